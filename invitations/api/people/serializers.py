"""What the API reads and shows of people: allow-lists; a new column is hidden until it is named here."""

from typing import Any

from rest_framework import serializers

from accounts.models import SessionKind, User, UserSession
from accounts.selectors import PersonStatus
from invitations.leaving import Leaving, Receipt
from invitations.models import UserInvitation
from invitations.people import MOST_ROWS, BulkAct, Outcome
from organizations.api.strict import StrictSerializer
from organizations.models import Membership
from organizations.roles import Role


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """What somebody is, or was, in an organization that you see."""

    organization = serializers.CharField(source="organization.slug")

    class Meta:
        model = Membership
        fields = ["id", "organization", "role", "is_org_admin", "status", "started_at", "ended_at", "reviewed_at"]
        read_only_fields = fields


#: What of a person is their account's: null where it does not show (accounts.selectors).
ACCOUNT_FACTS = ("email", "is_active", "must_change_password", "is_locked", "has_second_factor", "last_login")


class PersonSerializer(serializers.ModelSerializer[User]):
    """A person, as who administers them sees them. Never a password, nor its hash. Of the account of a former member
    nothing is said but to the platform's administrators: those fields are null."""

    email = serializers.EmailField(read_only=True, allow_null=True)
    is_active = serializers.BooleanField(read_only=True, allow_null=True)
    must_change_password = serializers.BooleanField(read_only=True, allow_null=True)
    is_locked = serializers.BooleanField(
        read_only=True, allow_null=True, help_text="Whether sign-in by password is locked just now."
    )
    has_second_factor = serializers.BooleanField(read_only=True, allow_null=True)
    memberships = MembershipSerializer(source="shown_memberships", many=True)

    class Meta:
        model = User
        fields = [
            "id",
            "email",
            "first_name",
            "last_name",
            "is_active",
            "must_change_password",
            "is_locked",
            "has_second_factor",
            "last_login",
            "created_at",
            "memberships",
        ]
        read_only_fields = fields

    def to_representation(self, instance: User) -> dict[str, Any]:
        """Say nothing of the account of who has left."""
        shown = super().to_representation(instance)
        return shown if instance.shows_account else shown | dict.fromkeys(ACCOUNT_FACTS)  # type: ignore[attr-defined]


class PeoplePageSerializer(serializers.Serializer[Any]):
    """One page of the list. Follow `older` and `newer`; there is no total."""

    results = PersonSerializer(many=True)
    newer = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page before.")
    older = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page after.")


class PeopleQuerySerializer(StrictSerializer):
    """Filters of the list."""

    status = serializers.ChoiceField(choices=PersonStatus.choices, required=False, default="")
    role = serializers.ChoiceField(choices=Role.choices, required=False, default="")
    text = serializers.CharField(
        required=False, default="", max_length=254, help_text="The beginning of a name or an address."
    )
    organization = serializers.CharField(
        required=False, default="", max_length=80, help_text="A slug. For platform administrators who act at home."
    )
    cursor = serializers.CharField(required=False, default="")
    limit = serializers.IntegerField(min_value=1, max_value=100, required=False, default=50)


class PeopleStatsSerializer(serializers.Serializer[Any]):
    """How many people there are. Each number is that of the list with its filter."""

    people = serializers.IntegerField()
    active = serializers.IntegerField()
    former = serializers.IntegerField()
    deactivated = serializers.IntegerField()
    locked = serializers.IntegerField()
    unreviewed = serializers.IntegerField()
    administrators = serializers.IntegerField()
    with_second_factor = serializers.IntegerField()
    by_role = serializers.DictField(child=serializers.IntegerField())


class UpdatePersonSerializer(StrictSerializer):
    """What an administrator may change of somebody: what they are in the organization. A name is its owner's."""

    role = serializers.ChoiceField(choices=Role.choices, required=False)
    is_org_admin = serializers.BooleanField(required=False)
    membership_id = serializers.UUIDField(required=False, help_text="Which membership, for somebody with several.")
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class ReplacePersonSerializer(StrictSerializer):
    """The same, all of it."""

    role = serializers.ChoiceField(choices=Role.choices)
    is_org_admin = serializers.BooleanField()
    membership_id = serializers.UUIDField(required=False, help_text="Which membership, for somebody with several.")
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class GrantRoleSerializer(StrictSerializer):
    """A further role."""

    role = serializers.ChoiceField(choices=Role.choices)


class ReasonSerializer(StrictSerializer):
    """Why; goes into the trail."""

    reason = serializers.CharField(max_length=500)


class OptionalReasonSerializer(StrictSerializer):
    """Why; goes into the trail."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class NothingSerializer(StrictSerializer):
    """No field at all."""


class SessionSerializer(serializers.ModelSerializer[UserSession]):
    """Where somebody is signed in."""

    kind = serializers.ChoiceField(choices=SessionKind.choices)

    class Meta:
        model = UserSession
        fields = ["id", "kind", "user_agent", "address", "created_at", "last_seen_at"]
        read_only_fields = fields


class SessionsSerializer(serializers.Serializer[Any]):
    """All of them, the last used first."""

    results = SessionSerializer(many=True)


class EndSessionsSerializer(StrictSerializer):
    """Which session ends; all of them when none is named."""

    session_id = serializers.UUIDField(required=False, default=None)


class EndedSerializer(serializers.Serializer[Any]):
    """How many sessions ended."""

    ended = serializers.IntegerField()


class LeftInvitationSerializer(serializers.ModelSerializer[UserInvitation]):
    """An open invitation of somebody who leaves."""

    class Meta:
        model = UserInvitation
        fields = ["id", "invitation_type", "email", "expires_at"]
        read_only_fields = fields


class NamedSerializer(serializers.Serializer[Any]):
    """Somebody by name."""

    id = serializers.UUIDField()
    name = serializers.CharField(source="get_full_name")


class LeavingSerializer(serializers.Serializer[Leaving]):
    """What it will touch when somebody leaves."""

    memberships = serializers.SerializerMethodField()
    sessions = serializers.IntegerField()
    invitations = LeftInvitationSerializer(many=True)
    own_invitation = LeftInvitationSerializer(
        allow_null=True, help_text="Their own, to another role here: cancelled in any case."
    )
    heirs = NamedSerializer(many=True, help_text="Who may take the invitations over: `hand_over_to`.")
    below = serializers.IntegerField(help_text="How many stand below in the sales chain, wherever they are.")
    below_here = NamedSerializer(many=True, help_text="Those of them in this organization.")
    is_last_administrator = serializers.BooleanField()

    def get_memberships(self, leaving: Leaving) -> list[str]:
        return [str(membership.role) for membership in leaving.memberships]


class LeaveSerializer(StrictSerializer):
    """Why somebody leaves, and who takes their open invitations over; nobody: they are cancelled."""

    reason = serializers.CharField(max_length=500)
    hand_over_to = serializers.UUIDField(required=False, default=None)


class ReceiptSerializer(serializers.Serializer[Receipt]):
    """What was done when somebody left."""

    at = serializers.DateTimeField()
    reason = serializers.CharField()
    memberships = serializers.SerializerMethodField()
    sessions = serializers.IntegerField()
    cancelled = LeftInvitationSerializer(many=True)
    handed_over = LeftInvitationSerializer(many=True)
    heir = NamedSerializer(allow_null=True)
    below = serializers.IntegerField()

    def get_memberships(self, receipt: Receipt) -> list[str]:
        return [str(membership.role) for membership in receipt.memberships]


class BulkSerializer(StrictSerializer):
    """One thing to do to several people (`resend`: invitations)."""

    act = serializers.ChoiceField(choices=BulkAct.choices)
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_ROWS)
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class RowSerializer(serializers.Serializer[Any]):
    """What became of one. `code` and `message` say why it was refused."""

    id = serializers.UUIDField()
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)


class RowsSerializer(serializers.Serializer[Any]):
    """What became of each, in the order of `ids`."""

    results = RowSerializer(many=True)
