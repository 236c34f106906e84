"""The API of invitations: parse, one service call, render."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from healthivr.kernel.limits import count_attempt
from healthivr.kernel.problems import problems
from invitations import acceptance, selectors, services
from invitations.models import UserInvitation
from organizations.api import OrganizationAPIMixin
from organizations.api.documented import INSIDE, ORGANIZATION
from organizations.roles import Capability
from organizations.scopes import Scope

from .serializers import (
    AcceptedSerializer,
    AcceptInvitationSerializer,
    CancelInvitationSerializer,
    CreateInvitationSerializer,
    DeclinedSerializer,
    DeclineInvitationSerializer,
    InvitationPageSerializer,
    InvitationSerializer,
    ListQuerySerializer,
    OpenInvitationSerializer,
    ReplaceInvitationSerializer,
    UpdateInvitationSerializer,
)

STAFF = {
    **INSIDE,
    **problems(
        e403="not_permitted, scope_missing, step_up_required, role_not_allowed, not_your_invitation, no_membership,"
        " organization_inactive, csrf_failed"
    ),
}
CHANGE = problems(
    e400="malformed_field, malformed_body, organization_required, email_malformed, name",
    e409="illegal_transition, already_member, no_seat_left, send_limit_reached, address_bounced",
    e422="email_look_alike, email_domain_not_allowed",
)
LINK = problems(
    e400="malformed_field, malformed_body",
    e403="wrong_account, csrf_failed",
    e404="invitation_not_found",
    e410="invitation_expired, invitation_cancelled, invitation_declined, invitation_accepted, link_replaced",
    e429="too_many_requests",
    e503="busy",
)


class InvitationAPIView(OrganizationAPIMixin, APIView):
    """Staff's views: inside an organization, sixty calls a minute and person (C5)."""

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, "invitation_api", key=str(request.user.pk))

    def shown(self, invitation: UserInvitation, code: int = status.HTTP_200_OK) -> Response:
        """Return the invitation as staff see it."""
        return Response(InvitationSerializer(invitation, context={"at": timezone.now()}).data, status=code)

    def parsed(self, serializer_class: Any, data: Any) -> dict[str, Any]:
        """Return the validated body or query."""
        serializer = serializer_class(data=data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class InvitationListView(InvitationAPIView):
    """The list, and new invitations."""

    rights = {"GET": Capability.VIEW_INVITATIONS, "POST": Capability.INVITE}
    scopes = {"GET": Scope.INVITATIONS_READ, "POST": Scope.INVITATIONS_WRITE}

    @extend_schema(
        operation_id="invitations_list",
        parameters=[ORGANIZATION, ListQuerySerializer],
        responses={200: InvitationPageSerializer, **STAFF},
    )
    def get(self, request: Request) -> Response:
        """List the invitations that you may see, newest first."""
        query = self.parsed(ListQuerySerializer, request.query_params)
        at = timezone.now()
        filters = selectors.Filters(
            status=query["status"],
            invitation_type=query["type"],
            email=query["email"],
            since=query["since"],
            until=query["until"],
        )
        page = selectors.invitation_page(
            actor=self.actor, filters=filters, cursor=query["cursor"], size=query["limit"], at=at
        )
        results = InvitationSerializer(page.items, many=True, context={"at": at}).data
        return Response({"results": results, "newer": page.newer, "older": page.older})

    @extend_schema(
        operation_id="invitations_create",
        parameters=[ORGANIZATION],
        request=CreateInvitationSerializer,
        responses={
            201: InvitationSerializer,
            **STAFF,
            **problems(
                e400="malformed_field, malformed_body, organization_required, email_malformed, name",
                e409="duplicate_invitation, already_member, no_seat_left",
                e422="email_look_alike, own_address, email_domain_not_allowed",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Invite somebody. Answers when the invitation is stored; the mail leaves from a worker."""
        body = self.parsed(CreateInvitationSerializer, request.data)
        invitation = services.create_invitation(actor=self.actor, at=timezone.now(), **body)
        return self.shown(invitation, status.HTTP_201_CREATED)


class InvitationDetailView(InvitationAPIView):
    """One invitation."""

    rights = {"": Capability.VIEW_INVITATIONS}
    scopes = {
        "GET": Scope.INVITATIONS_READ,
        "PUT": Scope.INVITATIONS_WRITE,
        "PATCH": Scope.INVITATIONS_WRITE,
        "DELETE": Scope.INVITATIONS_WRITE,
    }

    @extend_schema(
        operation_id="invitations_retrieve", parameters=[ORGANIZATION], responses={200: InvitationSerializer, **STAFF}
    )
    def get(self, request: Request, invitation_id: UUID) -> Response:
        """Show one invitation."""
        return self.shown(selectors.invitation_detail(actor=self.actor, invitation_id=invitation_id))

    @extend_schema(
        operation_id="invitations_replace",
        parameters=[ORGANIZATION],
        request=ReplaceInvitationSerializer,
        responses={200: InvitationSerializer, **STAFF, **CHANGE},
    )
    def put(self, request: Request, invitation_id: UUID) -> Response:
        """Replace all of an open invitation but its address. A new role or expiry kills the link and mails a new one."""
        return self._update(invitation_id, self.parsed(ReplaceInvitationSerializer, request.data))

    @extend_schema(
        operation_id="invitations_update",
        parameters=[ORGANIZATION],
        request=UpdateInvitationSerializer,
        responses={
            200: InvitationSerializer,
            201: OpenApiResponse(InvitationSerializer, "Another address: the new invitation, with its own id."),
            **STAFF,
            **CHANGE,
            **problems(
                e409="illegal_transition, duplicate_invitation, already_member, no_seat_left, send_limit_reached,"
                " address_bounced",
                e422="email_look_alike, own_address, same_address, email_domain_not_allowed",
            ),
        },
    )
    def patch(self, request: Request, invitation_id: UUID) -> Response:
        """Change some of an open invitation. A new role or expiry kills the link and mails a new one. An `email` alone
        cancels it and sends a new one, with the same content, to that address: 201 with the new invitation."""
        body = self.parsed(UpdateInvitationSerializer, request.data)
        if set(body) == {"email"}:
            corrected = services.correct_address(
                actor=self.actor, invitation_id=invitation_id, email=body["email"], at=timezone.now()
            )
            return self.shown(corrected, status.HTTP_201_CREATED)
        return self._update(invitation_id, body)

    def _update(self, invitation_id: UUID, body: dict[str, Any]) -> Response:
        return self.shown(
            services.update_invitation(actor=self.actor, invitation_id=invitation_id, at=timezone.now(), **body)
        )

    @extend_schema(
        operation_id="invitations_cancel",
        parameters=[ORGANIZATION],
        request=None,
        responses={200: InvitationSerializer, **STAFF, **problems(e409="illegal_transition")},
    )
    def delete(self, request: Request, invitation_id: UUID) -> Response:
        """Cancel an open invitation. The row is kept."""
        body = self.parsed(CancelInvitationSerializer, request.data or {})
        return self.shown(
            services.cancel_invitation(
                actor=self.actor, invitation_id=invitation_id, at=timezone.now(), reason=body["reason"]
            )
        )


class ResendView(InvitationAPIView):
    """A new link."""

    rights = {"": Capability.VIEW_INVITATIONS}
    scopes = {"POST": Scope.INVITATIONS_WRITE}

    @extend_schema(
        operation_id="invitations_resend",
        parameters=[ORGANIZATION],
        request=None,
        responses={
            200: InvitationSerializer,
            **STAFF,
            **problems(e409="illegal_transition, send_limit_reached, address_bounced, no_seat_left"),
        },
    )
    def post(self, request: Request, invitation_id: UUID) -> Response:
        """Mail a new link with a full new period; earlier links die."""
        return self.shown(services.resend_invitation(actor=self.actor, invitation_id=invitation_id, at=timezone.now()))


class RenewView(InvitationAPIView):
    """An expired invitation, open again."""

    rights = {"": Capability.VIEW_INVITATIONS}
    scopes = {"POST": Scope.INVITATIONS_WRITE}

    @extend_schema(
        operation_id="invitations_renew",
        parameters=[ORGANIZATION],
        request=None,
        responses={
            200: InvitationSerializer,
            **STAFF,
            **problems(
                e409="illegal_transition, duplicate_invitation, already_member, send_limit_reached, address_bounced,"
                " no_seat_left"
            ),
        },
    )
    def post(self, request: Request, invitation_id: UUID) -> Response:
        """Open an expired invitation again, with a new link."""
        return self.shown(services.renew_invitation(actor=self.actor, invitation_id=invitation_id, at=timezone.now()))


class LinkAPIView(APIView):
    """The invitee's views: public, for whoever holds a link; ten calls a minute and address (C5)."""

    permission_classes = [AllowAny]  # the link is the right

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, "token_pages")

    def parsed(self, serializer_class: Any, data: Any) -> dict[str, Any]:
        """Return the validated body."""
        serializer = serializer_class(data=data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


def visitor(request: HttpRequest) -> acceptance.Visitor:
    """Return who holds the link."""
    user = request.user if request.user.is_authenticated else None
    return acceptance.Visitor(user, request.client_address, request.request_id)  # type: ignore[attr-defined]


class ValidateView(LinkAPIView):
    """Whether a link works."""

    @extend_schema(operation_id="invitations_validate", auth=[], responses={200: OpenInvitationSerializer, **LINK})
    def get(self, request: Request, token: str) -> Response:
        """Say what a link is for. Changes nothing, however often it is called."""
        invitation = acceptance.open_invitation(token=token, at=timezone.now())
        return Response(OpenInvitationSerializer(invitation).data)


class AcceptView(LinkAPIView):
    """Acceptance."""

    @extend_schema(
        operation_id="invitations_accept",
        auth=[],
        request=AcceptInvitationSerializer,
        responses={
            201: AcceptedSerializer,
            **LINK,
            **problems(
                e400="malformed_field, malformed_body, name, organization_name",
                e401="sign_in_required",
                e403="wrong_account, csrf_failed, second_factor_enrolment_required",
                e409="invitation_accepted, already_member",
                e422="password_refused, account_switched_off, inviter_not_entitled, baa_required,"
                " email_domain_not_allowed, practice_not_yours",
            ),
        },
    )
    def post(self, request: Request, token: str) -> Response:
        """Accept. Creates the account when the address has none; an existing user must be signed in."""
        body = self.parsed(AcceptInvitationSerializer, request.data)
        accepted = acceptance.accept_invitation(
            token=token, visitor=visitor(request._request), at=timezone.now(), **body
        )
        shown = {
            "user_id": accepted.user.pk,
            "organization": accepted.organization.slug,
            "role": accepted.membership_role,
            "is_new_user": accepted.is_new_user,
        }
        return Response(AcceptedSerializer(shown).data, status=status.HTTP_201_CREATED)


class DeclineView(LinkAPIView):
    """A no."""

    @extend_schema(
        operation_id="invitations_decline",
        auth=[],
        request=DeclineInvitationSerializer,
        responses={200: DeclinedSerializer, **LINK, **problems(e409="invitation_accepted")},
    )
    def post(self, request: Request, token: str) -> Response:
        """Decline. The inviter is told."""
        body = self.parsed(DeclineInvitationSerializer, request.data)
        acceptance.decline_invitation(
            token=token, visitor=visitor(request._request), reason=body["reason"], at=timezone.now()
        )
        return Response({"status": "declined"})
