"""The API of licenses: parse, one service call, render."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import PractitionerCredential
from accounts.practitioners import selectors, services
from accounts.views.requests import origin
from healthivr.kernel.errors import NotFound
from healthivr.kernel.limits import count_attempt
from healthivr.kernel.problems import problems
from organizations.api import OrganizationAPIMixin
from organizations.api.documented import INSIDE, ORGANIZATION
from organizations.api.strict import parsed
from organizations.roles import Capability

from .serializers import (
    ApproveSerializer,
    OwnPractitionerSerializer,
    PractitionerPageSerializer,
    PractitionerQuerySerializer,
    PractitionerSerializer,
    RefuseSerializer,
    SubmitLicenseSerializer,
)

OWN = problems(
    e401="sign_in_required", e403="not_a_practitioner, csrf_failed", e404="not_found", e429="too_many_requests"
)
SUBMIT = problems(
    e400="malformed_field, malformed_body, npi, license_number, license_state, license_expires_on",
    e409="npi_in_use, conflict",
    e422="license_expired, npi_fixed",
    e503="busy",
)
DECIDE = problems(
    e400="malformed_field, malformed_body, organization_required, reason",
    e403="not_permitted, own_credential, step_up_required, no_membership, organization_inactive, csrf_failed",
    e409="illegal_decision, submitted_anew",
    e422="license_expired",
)


class OwnPractitionerView(APIView):
    """One's own license, in no organization: it holds in all of them."""

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, "invitation_api", key=str(request.user.pk))

    @extend_schema(operation_id="practitioner_retrieve", responses={200: OwnPractitionerSerializer, **OWN})
    def get(self, request: Request) -> Response:
        """Show your license and where it stands; 404 while nothing was submitted."""
        credential = selectors.own_credential(_person(request))
        if credential is None:
            raise NotFound
        return _own(credential)

    @extend_schema(
        operation_id="practitioner_submit",
        request=SubmitLicenseSerializer,
        responses={200: OwnPractitionerSerializer, **OWN, **SUBMIT},
    )
    def put(self, request: Request) -> Response:
        """Submit your license: the first, a corrected or a renewed one. It is pending again; an approval that is in
        force stays so until its day."""
        http: HttpRequest = request._request
        body = {**parsed(SubmitLicenseSerializer, request.data), **origin(http)}
        return _own(services.submit_license(user=_person(request), **body, at=timezone.now()))


def _person(request: Request) -> Any:
    return request.user


def _own(credential: PractitionerCredential) -> Response:
    return Response(OwnPractitionerSerializer(credential, context={"at": timezone.now()}).data)


class PractitionerAPIView(OrganizationAPIMixin, APIView):
    """Views of who decides, inside the platform's organization."""

    rights = {"": Capability.APPROVE_PRACTITIONERS}

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, "invitation_api", key=str(request.user.pk))

    def shown(self, credential: PractitionerCredential) -> Response:
        """Return a license as who decides sees it."""
        return Response(PractitionerSerializer(credential, context={"at": timezone.now()}).data)


class PractitionerListView(PractitionerAPIView):
    """The queue."""

    @extend_schema(
        operation_id="admin_practitioners_list",
        parameters=[ORGANIZATION, PractitionerQuerySerializer],
        responses={200: PractitionerPageSerializer, **INSIDE},
    )
    def get(self, request: Request) -> Response:
        """List doctors who submitted a license: those who wait first, the longest wait on top."""
        query = parsed(PractitionerQuerySerializer, request.query_params)
        at = timezone.now()
        page = selectors.practitioner_page(
            actor=self.actor,
            filters=selectors.Filters(text=query["text"], standing=query["status"], state=query["state"]),
            cursor=query["cursor"],
            size=query["limit"],
            at=at,
        )
        results = PractitionerSerializer(page.items, many=True, context={"at": at}).data
        return Response({"results": results, "newer": page.newer, "older": page.older})


class PractitionerDetailView(PractitionerAPIView):
    """One license."""

    @extend_schema(
        operation_id="admin_practitioners_retrieve",
        parameters=[ORGANIZATION],
        responses={200: PractitionerSerializer, **INSIDE},
    )
    def get(self, request: Request, credential_id: UUID) -> Response:
        """Show one doctor's license."""
        return self.shown(selectors.practitioner_detail(actor=self.actor, credential_id=credential_id))


class ApproveView(PractitionerAPIView):
    """Approving."""

    @extend_schema(
        operation_id="admin_practitioners_approve",
        parameters=[ORGANIZATION],
        request=ApproveSerializer,
        responses={200: PractitionerSerializer, **INSIDE, **DECIDE},
    )
    def post(self, request: Request, credential_id: UUID) -> Response:
        """Approve what a doctor submitted, through the last day of the license. Needs a fresh proof of who you are."""
        body = parsed(ApproveSerializer, request.data)
        return self.shown(
            services.approve_practitioner(actor=self.actor, credential_id=credential_id, at=timezone.now(), **body)
        )


class RejectView(PractitionerAPIView):
    """Rejecting."""

    @extend_schema(
        operation_id="admin_practitioners_reject",
        parameters=[ORGANIZATION],
        request=RefuseSerializer,
        responses={200: PractitionerSerializer, **INSIDE, **DECIDE},
    )
    def post(self, request: Request, credential_id: UUID) -> Response:
        """Reject what a doctor submitted, with a reason. An earlier approval that is in force stays so until its day."""
        body = parsed(RefuseSerializer, request.data)
        return self.shown(
            services.reject_practitioner(actor=self.actor, credential_id=credential_id, at=timezone.now(), **body)
        )


class SuspendView(PractitionerAPIView):
    """Suspending."""

    @extend_schema(
        operation_id="admin_practitioners_suspend",
        parameters=[ORGANIZATION],
        request=RefuseSerializer,
        responses={200: PractitionerSerializer, **INSIDE, **DECIDE},
    )
    def post(self, request: Request, credential_id: UUID) -> Response:
        """Take a doctor's approval back at once, with a reason. Needs a fresh proof of who you are."""
        body = parsed(RefuseSerializer, request.data)
        return self.shown(
            services.suspend_practitioner(actor=self.actor, credential_id=credential_id, at=timezone.now(), **body)
        )
