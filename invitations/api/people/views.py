"""The API of people: parse, one service call, render."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import administration, lockout, selectors
from healthivr.kernel.problems import problems
from invitations import people, services
from invitations.api.serializers import CreateInvitationSerializer, InvitationSerializer
from invitations.leaving import leave_organization, preview_leaving
from organizations.api import OrganizationAPIMixin
from organizations.api.documented import INSIDE, ORGANIZATION
from organizations.api.strict import parsed
from organizations.granting import grant_role, update_member
from organizations.roles import Capability
from organizations.scopes import Scope

from .serializers import (
    BulkSerializer,
    EndedSerializer,
    EndSessionsSerializer,
    GrantRoleSerializer,
    LeaveSerializer,
    LeavingSerializer,
    NothingSerializer,
    OptionalReasonSerializer,
    PeoplePageSerializer,
    PeopleQuerySerializer,
    PeopleStatsSerializer,
    PersonSerializer,
    ReasonSerializer,
    ReceiptSerializer,
    ReplacePersonSerializer,
    RowsSerializer,
    SessionsSerializer,
    UpdatePersonSerializer,
)

GRANT = problems(
    e403="not_permitted, step_up_required, role_not_grantable, baa_required, no_membership, organization_inactive,"
    " csrf_failed",
    e409="already_member, last_administrator",
    e422="own_account, administration_fixed",
)
ACCOUNT = problems(
    e403="not_permitted, outranked, no_membership, organization_inactive, csrf_failed",
    e409="account_inactive, last_administrator",
    e422="own_account",
)


class PeopleAPIView(OrganizationAPIMixin, APIView):
    """Views of people, inside an organization."""

    def shown(self, user_id: UUID) -> Response:
        """Return somebody as they stand now."""
        user = selectors.person_detail(actor=self.actor, user_id=user_id, at=timezone.now())
        return Response(PersonSerializer(user).data)


class PeopleView(PeopleAPIView):
    """The list, and new people."""

    rights = {"GET": Capability.VIEW_ACCOUNTS, "POST": Capability.INVITE}
    scopes = {"GET": Scope.PEOPLE_READ, "POST": Scope.INVITATIONS_WRITE}

    @extend_schema(
        operation_id="users_list",
        parameters=[ORGANIZATION, PeopleQuerySerializer],
        responses={200: PeoplePageSerializer, **INSIDE},
    )
    def get(self, request: Request) -> Response:
        """List people by name."""
        query = parsed(PeopleQuerySerializer, request.query_params)
        filters = selectors.AccountFilters(
            text=query["text"], role=query["role"], status=query["status"], organization=query["organization"]
        )
        page = selectors.people_page(
            actor=self.actor, filters=filters, cursor=query["cursor"], size=query["limit"], at=timezone.now()
        )
        results = PersonSerializer(page.items, many=True).data
        return Response({"results": results, "newer": page.newer, "older": page.older})

    @extend_schema(
        operation_id="users_invite",
        parameters=[ORGANIZATION],
        request=CreateInvitationSerializer,
        responses={
            201: InvitationSerializer,
            **INSIDE,
            **problems(
                e400="malformed_field, malformed_body, organization_required, email_malformed, name",
                e403="not_permitted, role_not_allowed, baa_required, no_membership, organization_inactive, csrf_failed",
                e409="duplicate_invitation, already_member, no_seat_left",
                e422="email_look_alike, own_address, email_domain_not_allowed",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Invite somebody: people come into being by accepting. The answer is the invitation."""
        body = parsed(CreateInvitationSerializer, request.data)
        at = timezone.now()
        invitation = services.create_invitation(actor=self.actor, at=at, **body)
        return Response(InvitationSerializer(invitation, context={"at": at}).data, status=status.HTTP_201_CREATED)


class StatsView(PeopleAPIView):
    """Numbers."""

    rights = {"GET": Capability.VIEW_ACCOUNTS}
    scopes = {"GET": Scope.PEOPLE_READ}

    @extend_schema(
        operation_id="users_stats", parameters=[ORGANIZATION], responses={200: PeopleStatsSerializer, **INSIDE}
    )
    def get(self, request: Request) -> Response:
        """Count people."""
        stats = selectors.people_stats(actor=self.actor, at=timezone.now())
        return Response(PeopleStatsSerializer(asdict(stats)).data)


class PersonView(PeopleAPIView):
    """One person."""

    rights = {
        "GET": Capability.VIEW_ACCOUNTS,
        "PUT": Capability.MANAGE_PEOPLE,
        "PATCH": Capability.MANAGE_PEOPLE,
    }
    scopes = {"GET": Scope.PEOPLE_READ}

    @extend_schema(
        operation_id="users_retrieve", parameters=[ORGANIZATION], responses={200: PersonSerializer, **INSIDE}
    )
    def get(self, request: Request, user_id: UUID) -> Response:
        """Show one person."""
        return self.shown(user_id)

    @extend_schema(
        operation_id="users_replace",
        parameters=[ORGANIZATION],
        request=ReplacePersonSerializer,
        responses={200: PersonSerializer, **INSIDE, **GRANT},
    )
    def put(self, request: Request, user_id: UUID) -> Response:
        """Say what somebody is in the organization. A changed role signs them out."""
        return self._update(user_id, parsed(ReplacePersonSerializer, request.data))

    @extend_schema(
        operation_id="users_update",
        parameters=[ORGANIZATION],
        request=UpdatePersonSerializer,
        responses={200: PersonSerializer, **INSIDE, **GRANT},
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Change what somebody is in the organization. A changed role signs them out."""
        return self._update(user_id, parsed(UpdatePersonSerializer, request.data))

    def _update(self, user_id: UUID, body: dict[str, Any]) -> Response:
        update_member(actor=self.actor, user_id=user_id, at=timezone.now(), **body)
        return self.shown(user_id)


class RolesView(PeopleAPIView):
    """Further roles."""

    rights = {"POST": Capability.MANAGE_PEOPLE}

    @extend_schema(
        operation_id="users_grant_role",
        parameters=[ORGANIZATION],
        request=GrantRoleSerializer,
        responses={200: PersonSerializer, **INSIDE, **GRANT},
    )
    def post(self, request: Request, user_id: UUID) -> Response:
        """Give a member a further role, such as privacy officer. Signs them out."""
        grant_role(actor=self.actor, user_id=user_id, at=timezone.now(), **parsed(GrantRoleSerializer, request.data))
        return self.shown(user_id)


class ActivateView(PeopleAPIView):
    """An account, on again."""

    rights = {"PATCH": Capability.RUN_ACCOUNTS}

    @extend_schema(
        operation_id="users_activate",
        parameters=[ORGANIZATION],
        request=OptionalReasonSerializer,
        responses={200: PersonSerializer, **INSIDE},
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Let somebody sign in again, with the password that they had."""
        body = parsed(OptionalReasonSerializer, request.data)
        selectors.person_detail(actor=self.actor, user_id=user_id, at=timezone.now())
        administration.activate_user(actor=self.actor, user_id=user_id, at=timezone.now(), **body)
        return self.shown(user_id)


class DeactivateView(PeopleAPIView):
    """An account, off."""

    rights = {"PATCH": Capability.RUN_ACCOUNTS}

    @extend_schema(
        operation_id="users_deactivate",
        parameters=[ORGANIZATION],
        request=ReasonSerializer,
        responses={200: PersonSerializer, **INSIDE, **ACCOUNT},
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Let somebody sign in nowhere any more. Their sessions and tokens end at once."""
        body = parsed(ReasonSerializer, request.data)
        selectors.person_detail(actor=self.actor, user_id=user_id, at=timezone.now())
        administration.deactivate_user(actor=self.actor, user_id=user_id, at=timezone.now(), **body)
        return self.shown(user_id)


class PasswordView(PeopleAPIView):
    """A forced reset."""

    rights = {"PATCH": Capability.MANAGE_PEOPLE}

    @extend_schema(
        operation_id="users_reset_password",
        parameters=[ORGANIZATION],
        request=OptionalReasonSerializer,
        responses={200: PersonSerializer, **INSIDE, **ACCOUNT},
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Void somebody's password and mail them a link to choose another. Nobody sets a password for somebody else."""
        body = parsed(OptionalReasonSerializer, request.data)
        administration.force_password_reset(actor=self.actor, user_id=user_id, at=timezone.now(), **body)
        return self.shown(user_id)


class UnlockView(PeopleAPIView):
    """The end of a lock."""

    rights = {"POST": Capability.UNLOCK_PEOPLE}

    @extend_schema(
        operation_id="users_unlock",
        parameters=[ORGANIZATION],
        request=None,
        responses={200: PersonSerializer, **INSIDE},
    )
    def post(self, request: Request, user_id: UUID) -> Response:
        """Let somebody try their password again."""
        parsed(NothingSerializer, request.data)
        lockout.unlock_account(actor=self.actor, user_id=user_id)
        return self.shown(user_id)


class SessionsView(PeopleAPIView):
    """Where somebody is signed in."""

    rights = {"": Capability.MANAGE_PEOPLE}
    scopes = {"DELETE": Scope.PEOPLE_WRITE}

    @extend_schema(
        operation_id="users_sessions",
        parameters=[ORGANIZATION],
        responses={200: SessionsSerializer, **INSIDE, **ACCOUNT},
    )
    def get(self, request: Request, user_id: UUID) -> Response:
        """List where a member is signed in, the last used first."""
        found = selectors.person_sessions(actor=self.actor, user_id=user_id, at=timezone.now())
        return Response(SessionsSerializer({"results": found}).data)

    @extend_schema(
        operation_id="users_end_sessions",
        parameters=[ORGANIZATION],
        request=None,
        responses={200: EndedSerializer, **INSIDE, **ACCOUNT},
    )
    def delete(self, request: Request, user_id: UUID) -> Response:
        """Sign a member out everywhere; of one session alone when the body names it as `session_id`."""
        body = parsed(EndSessionsSerializer, request.data or {})
        ended = administration.end_person_sessions(actor=self.actor, user_id=user_id, at=timezone.now(), **body)
        return Response({"ended": ended})


class LeaveView(PeopleAPIView):
    """Leaving, in one step."""

    rights = {"": Capability.MANAGE_PEOPLE}
    scopes = {"POST": Scope.PEOPLE_WRITE}

    @extend_schema(
        operation_id="users_leave_preview",
        parameters=[ORGANIZATION],
        responses={200: LeavingSerializer, **INSIDE},
    )
    def get(self, request: Request, user_id: UUID) -> Response:
        """Show what it will touch when a member leaves. Changes nothing."""
        leaving = preview_leaving(actor=self.actor, user_id=user_id, at=timezone.now())
        return Response(LeavingSerializer(leaving).data)

    @extend_schema(
        operation_id="users_leave",
        parameters=[ORGANIZATION],
        request=LeaveSerializer,
        responses={
            200: ReceiptSerializer,
            **INSIDE,
            **problems(e409="last_administrator, illegal_transition", e422="heir_not_entitled"),
        },
    )
    def post(self, request: Request, user_id: UUID) -> Response:
        """End all that a member has in the organization. The answer is the receipt. A key needs the scope
        invitations:write as well where the person has open invitations."""
        body = parsed(LeaveSerializer, request.data)
        receipt = leave_organization(actor=self.actor, user_id=user_id, at=timezone.now(), **body)
        return Response(ReceiptSerializer(receipt).data)


class ResendView(PeopleAPIView):
    """The invitation of who never came."""

    rights = {"POST": Capability.VIEW_INVITATIONS}

    @extend_schema(
        operation_id="users_resend_invitation",
        parameters=[ORGANIZATION],
        request=None,
        responses={
            200: InvitationSerializer,
            **INSIDE,
            **problems(
                e403="not_permitted, role_not_allowed, not_your_invitation, baa_required, no_membership,"
                " organization_inactive, csrf_failed",
                e409="already_activated, illegal_transition, send_limit_reached, address_bounced, no_seat_left",
            ),
        },
    )
    def post(self, request: Request, invitation_id: UUID) -> Response:
        """Mail an invitation again to somebody who has not accepted it. The id is the invitation's."""
        parsed(NothingSerializer, request.data)
        at = timezone.now()
        invitation = people.resend_to_who_never_came(actor=self.actor, invitation_id=invitation_id, at=at)
        return Response(InvitationSerializer(invitation, context={"at": at}).data)


class BulkView(PeopleAPIView):
    """Several at once."""

    rights = {"POST": Capability.MANAGE_PEOPLE}

    @extend_schema(
        operation_id="users_bulk",
        parameters=[ORGANIZATION],
        request=BulkSerializer,
        responses={200: RowsSerializer, **INSIDE},
    )
    def post(self, request: Request) -> Response:
        """Do one thing to up to a hundred people, with a result for each. What one refuses does not stop the others."""
        rows = people.act_on_people(actor=self.actor, at=timezone.now(), **parsed(BulkSerializer, request.data))
        return Response(RowsSerializer({"results": rows}).data)
