"""The API of organizations: parse, one service call, render."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from healthivr.kernel.problems import problems
from organizations import administration, directory
from organizations.roles import Capability
from organizations.scopes import Scope

from . import OrganizationAPIMixin
from .documented import INSIDE, ORGANIZATION
from .serializers import (
    ActivateSerializer,
    AdministratorSerializer,
    AssignAdministratorSerializer,
    ChangePlanSerializer,
    CreateOrganizationSerializer,
    DeactivateSerializer,
    DirectoryEntrySerializer,
    ListQuerySerializer,
    OrganizationDetailSerializer,
    OrganizationPageSerializer,
    PlanSerializer,
    ReplaceOrganizationSerializer,
    StatsSerializer,
    UpdateOrganizationSerializer,
)
from .strict import parsed

UPDATE = problems(
    e400="malformed_field, malformed_body, organization_required, organization_name, slug, email_domains",
    e403="not_permitted, step_up_required, no_membership, organization_inactive, csrf_failed",
    e409="slug_taken",
)


class OrganizationListView(OrganizationAPIMixin, APIView):
    """The list, and new organizations."""

    rights = {"GET": Capability.VIEW_ORGANIZATIONS, "POST": Capability.RUN_ORGANIZATIONS}
    scopes = {"GET": Scope.ORGANIZATIONS_READ}

    @extend_schema(
        operation_id="organizations_list",
        parameters=[ORGANIZATION, ListQuerySerializer],
        responses={200: OrganizationPageSerializer, **INSIDE},
    )
    def get(self, request: Request) -> Response:
        """List your organization and those below it, by name."""
        query = parsed(ListQuerySerializer, request.query_params)
        filters = directory.DirectoryFilters(text=query["text"], kind=query["kind"], state=query["state"])
        page = directory.organization_page(
            actor=self.actor, filters=filters, cursor=query["cursor"], size=query["limit"]
        )
        results = DirectoryEntrySerializer(page.items, many=True).data
        return Response({"results": results, "newer": page.newer, "older": page.older})

    @extend_schema(
        operation_id="organizations_create",
        parameters=[ORGANIZATION],
        request=CreateOrganizationSerializer,
        responses={
            201: OrganizationDetailSerializer,
            **INSIDE,
            **problems(
                e400="malformed_field, malformed_body, organization_required, organization_name, slug, plan",
                e409="slug_taken",
                e422="parent_not_possible",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Create an organization that nobody belongs to yet. Platform administrators only."""
        body = parsed(CreateOrganizationSerializer, request.data)
        body["parent_id"] = body.pop("parent")
        created = administration.create_organization(actor=self.actor, at=timezone.now(), **body)
        return shown(self, created.pk, status.HTTP_201_CREATED)


class StatsView(OrganizationAPIMixin, APIView):
    """Numbers."""

    rights = {"GET": Capability.VIEW_ORGANIZATIONS}
    scopes = {"GET": Scope.ORGANIZATIONS_READ}

    @extend_schema(
        operation_id="organizations_stats", parameters=[ORGANIZATION], responses={200: StatsSerializer, **INSIDE}
    )
    def get(self, request: Request) -> Response:
        """Count your organization and those below it."""
        return Response(asdict(directory.organization_stats(actor=self.actor, at=timezone.now())))


class OrganizationDetailView(OrganizationAPIMixin, APIView):
    """One organization. It is switched off, never deleted."""

    rights = {
        "GET": Capability.VIEW_ORGANIZATIONS,
        "PUT": Capability.MANAGE_ORGANIZATION,
        "PATCH": Capability.MANAGE_ORGANIZATION,
    }
    scopes = {
        "GET": Scope.ORGANIZATIONS_READ,
        "PUT": Scope.ORGANIZATIONS_WRITE,
        "PATCH": Scope.ORGANIZATIONS_WRITE,
    }

    @extend_schema(
        operation_id="organizations_retrieve",
        parameters=[ORGANIZATION],
        responses={200: OrganizationDetailSerializer, **INSIDE},
    )
    def get(self, request: Request, organization_id: UUID) -> Response:
        """Show one organization."""
        return shown(self, organization_id)

    @extend_schema(
        operation_id="organizations_replace",
        parameters=[ORGANIZATION],
        request=ReplaceOrganizationSerializer,
        responses={200: OrganizationDetailSerializer, **INSIDE, **UPDATE},
    )
    def put(self, request: Request, organization_id: UUID) -> Response:
        """Replace the name and the policies. All of them must be named."""
        return self._update(organization_id, parsed(ReplaceOrganizationSerializer, request.data))

    @extend_schema(
        operation_id="organizations_update",
        parameters=[ORGANIZATION],
        request=UpdateOrganizationSerializer,
        responses={200: OrganizationDetailSerializer, **INSIDE, **UPDATE},
    )
    def patch(self, request: Request, organization_id: UUID) -> Response:
        """Change the name or a policy."""
        return self._update(organization_id, parsed(UpdateOrganizationSerializer, request.data))

    def _update(self, organization_id: UUID, body: dict[str, Any]) -> Response:
        administration.update_organization_in_tree(
            actor=self.actor, organization_id=organization_id, at=timezone.now(), **body
        )
        return shown(self, organization_id)


class DeactivateView(OrganizationAPIMixin, APIView):
    """Switching off."""

    rights = {"PATCH": Capability.RUN_ORGANIZATIONS}

    @extend_schema(
        operation_id="organizations_deactivate",
        parameters=[ORGANIZATION],
        request=DeactivateSerializer,
        responses={200: OrganizationDetailSerializer, **INSIDE, **problems(e422="platform_stays")},
    )
    def patch(self, request: Request, organization_id: UUID) -> Response:
        """Switch an organization off. Its people cannot act in it from their next request on. Platform administrators
        only."""
        body = parsed(DeactivateSerializer, request.data)
        administration.deactivate_organization(
            actor=self.actor, organization_id=organization_id, at=timezone.now(), **body
        )
        return shown(self, organization_id)


class ActivateView(OrganizationAPIMixin, APIView):
    """Switching on."""

    rights = {"PATCH": Capability.RUN_ORGANIZATIONS}

    @extend_schema(
        operation_id="organizations_activate",
        parameters=[ORGANIZATION],
        request=ActivateSerializer,
        responses={200: OrganizationDetailSerializer, **INSIDE, **problems(e422="platform_stays")},
    )
    def patch(self, request: Request, organization_id: UUID) -> Response:
        """Switch an organization on again, as it was. Platform administrators only."""
        body = parsed(ActivateSerializer, request.data)
        administration.activate_organization(
            actor=self.actor, organization_id=organization_id, at=timezone.now(), **body
        )
        return shown(self, organization_id)


class AssignAdministratorView(OrganizationAPIMixin, APIView):
    """Who runs it."""

    rights = {"PATCH": Capability.MANAGE_PEOPLE}

    @extend_schema(
        operation_id="organizations_assign_admin",
        parameters=[ORGANIZATION],
        request=AssignAdministratorSerializer,
        responses={
            200: AdministratorSerializer,
            **INSIDE,
            **problems(
                e403="not_permitted, no_membership, organization_inactive, csrf_failed, step_up_required",
                e409="last_administrator",
                e422="not_a_member, administration_fixed",
            ),
        },
    )
    def patch(self, request: Request, organization_id: UUID) -> Response:
        """Make an active member an administrator, or no longer one. Asks for a fresh proof of who you are."""
        body = parsed(AssignAdministratorSerializer, request.data)
        membership = administration.assign_administrator(
            actor=self.actor, organization_id=organization_id, at=timezone.now(), **body
        )
        return Response(AdministratorSerializer(membership).data)


class PlanView(OrganizationAPIMixin, APIView):
    """What it has bought."""

    rights = {"PATCH": Capability.RUN_ORGANIZATIONS}

    @extend_schema(
        operation_id="organizations_plan",
        parameters=[ORGANIZATION],
        request=ChangePlanSerializer,
        responses={
            200: PlanSerializer,
            **INSIDE,
            **problems(e400="malformed_field, malformed_body, organization_required, plan", e409="seats_in_use"),
        },
    )
    def patch(self, request: Request, organization_id: UUID) -> Response:
        """Change the plan or its seats, never below those in use. Platform administrators only."""
        body = parsed(ChangePlanSerializer, request.data)
        settings = administration.change_plan(
            actor=self.actor, organization_id=organization_id, at=timezone.now(), **body
        )
        return Response(PlanSerializer(settings).data)


def shown(view: OrganizationAPIMixin, organization_id: UUID, code: int = status.HTTP_200_OK) -> Response:
    """Return one organization as the actor may see it."""
    detail = directory.organization_detail(actor=view.actor, organization_id=organization_id)
    return Response(OrganizationDetailSerializer(detail).data, status=code)
