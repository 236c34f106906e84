"""What the API reads and shows of organizations: allow-lists; a new column is hidden until it is named here."""

from typing import Any

from rest_framework import serializers

from organizations.administration import MOST_SEATS, REASON_LENGTH
from organizations.directory import Detail
from organizations.models import Membership, Organization, OrganizationSettings, OrganizationState
from organizations.policies import DOMAIN_LENGTH, IDLE_MINUTES, INVITATION_HOURS, MOST_DOMAINS
from organizations.roles import OrganizationKind

from .strict import StrictSerializer

KINDS = [(kind.value, str(kind.label)) for kind in OrganizationKind]
STATES = [(state.value, str(state.label)) for state in OrganizationState]


# --- what is shown ---------------------------------------------------------------------------------------------------
class DirectoryEntrySerializer(serializers.ModelSerializer[Organization]):
    """An organization as everybody above it in the chain may see it."""

    kind = serializers.CharField()
    state = serializers.CharField()
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    members = serializers.IntegerField(help_text="People with an active membership, each once.")

    class Meta:
        model = Organization
        fields = ["id", "name", "slug", "kind", "state", "parent", "created_at", "members"]
        read_only_fields = fields


class OrganizationPageSerializer(serializers.Serializer[Any]):
    """One page of the list. Follow `older` and `newer`; there is no total."""

    results = DirectoryEntrySerializer(many=True)
    newer = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page before.")
    older = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page after.")


class PoliciesSerializer(serializers.ModelSerializer[OrganizationSettings]):
    """What its administrators decide."""

    class Meta:
        model = OrganizationSettings
        fields = ["staff_may_invite", "idle_minutes", "invitation_hours", "requires_second_factor", "email_domains"]
        read_only_fields = fields


class PlanSerializer(serializers.ModelSerializer[OrganizationSettings]):
    """What it has bought, and what of it is in use."""

    class Meta:
        model = OrganizationSettings
        fields = ["plan", "seat_limit", "seats_used"]
        read_only_fields = fields


class AdministratorSerializer(serializers.ModelSerializer[Membership]):
    """Somebody who runs it."""

    user_id = serializers.UUIDField()
    name = serializers.CharField(source="user.get_full_name")
    email = serializers.EmailField(source="user.email")
    role = serializers.CharField()
    is_org_admin = serializers.BooleanField()

    class Meta:
        model = Membership
        fields = ["user_id", "name", "email", "role", "is_org_admin"]
        read_only_fields = fields


class OrganizationDetailSerializer(serializers.Serializer[Detail]):
    """One organization. What is null is for its own administrators and the platform's."""

    id = serializers.UUIDField(source="organization.pk")
    name = serializers.CharField(source="organization.name")
    slug = serializers.CharField(source="organization.slug")
    kind = serializers.CharField(source="organization.kind")
    state = serializers.CharField(source="organization.state")
    parent = serializers.UUIDField(source="organization.parent_id", allow_null=True)  # type: ignore[assignment]
    created_at = serializers.DateTimeField(source="organization.created_at")
    members = serializers.IntegerField(help_text="People with an active membership, each once.")
    below = serializers.IntegerField(help_text="How many organizations lie below it.")
    plan = PlanSerializer(source="settings", allow_null=True)
    policies = PoliciesSerializer(source="settings", allow_null=True)
    administrators = AdministratorSerializer(many=True, allow_null=True)


class StatsSerializer(serializers.Serializer[Any]):
    """How many organizations, and people, there are in the tree."""

    total = serializers.IntegerField()
    active = serializers.IntegerField()
    inactive = serializers.IntegerField()
    recently_founded = serializers.IntegerField(help_text="In the last 30 days.")
    without_administrator = serializers.IntegerField(help_text="Active ones that nobody runs.")
    people = serializers.IntegerField(help_text="With an active membership in any of them, each once.")
    by_kind = serializers.DictField(child=serializers.IntegerField())
    seats_used = serializers.IntegerField(allow_null=True, help_text="Null for who does not run them all.")
    seat_limit = serializers.IntegerField(allow_null=True, help_text="Null for who does not run them all.")


# --- what is read ----------------------------------------------------------------------------------------------------
class ListQuerySerializer(StrictSerializer):
    """Filters of the list."""

    text = serializers.CharField(
        required=False, default="", max_length=120, help_text="Part of a name, or the beginning of a slug."
    )
    kind = serializers.ChoiceField(choices=KINDS, required=False, default="")
    state = serializers.ChoiceField(choices=STATES, required=False, default="")
    cursor = serializers.CharField(required=False, default="")
    limit = serializers.IntegerField(min_value=1, max_value=100, required=False, default=50)


class CreateOrganizationSerializer(StrictSerializer):
    """A new organization, below your own unless `parent` names another."""

    name = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(choices=KINDS)
    slug = serializers.CharField(max_length=80, required=False, default="", help_text="Made from the name if left out.")
    parent = serializers.UUIDField(required=False, default=None)  # type: ignore[assignment]
    plan = serializers.CharField(max_length=30, required=False, default=None)
    seat_limit = serializers.IntegerField(min_value=1, max_value=MOST_SEATS, required=False, default=None)


class UpdateOrganizationSerializer(StrictSerializer):
    """What can change; what is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    slug = serializers.CharField(max_length=80, required=False, help_text="Platform administrators only.")
    staff_may_invite = serializers.BooleanField(required=False)
    idle_minutes = serializers.IntegerField(min_value=IDLE_MINUTES[0], max_value=IDLE_MINUTES[1], required=False)
    invitation_hours = serializers.IntegerField(
        min_value=INVITATION_HOURS[0],
        max_value=INVITATION_HOURS[1],
        required=False,
        allow_null=True,
        help_text="The usual time and the longest; null: by type.",
    )
    requires_second_factor = serializers.BooleanField(required=False)
    email_domains = serializers.ListField(
        child=serializers.CharField(max_length=DOMAIN_LENGTH), required=False, max_length=MOST_DOMAINS
    )


class ReplaceOrganizationSerializer(StrictSerializer):
    """All that its administrators decide. Nothing has a default here, so that no policy is lost by leaving it out."""

    name = serializers.CharField(max_length=200)
    staff_may_invite = serializers.BooleanField()
    idle_minutes = serializers.IntegerField(min_value=IDLE_MINUTES[0], max_value=IDLE_MINUTES[1])
    invitation_hours = serializers.IntegerField(
        min_value=INVITATION_HOURS[0], max_value=INVITATION_HOURS[1], allow_null=True
    )
    requires_second_factor = serializers.BooleanField()
    email_domains = serializers.ListField(
        child=serializers.CharField(max_length=DOMAIN_LENGTH), max_length=MOST_DOMAINS
    )


class DeactivateSerializer(StrictSerializer):
    """Why an organization is switched off."""

    reason = serializers.CharField(max_length=REASON_LENGTH)


class ActivateSerializer(StrictSerializer):
    """Why an organization is switched on again."""

    reason = serializers.CharField(max_length=REASON_LENGTH, required=False, allow_blank=True, default="")


class AssignAdministratorSerializer(StrictSerializer):
    """Who runs the organization, or no longer."""

    user_id = serializers.UUIDField()
    is_org_admin = serializers.BooleanField(required=False, default=True)


class ChangePlanSerializer(StrictSerializer):
    """What it has bought; what is left out stays."""

    plan = serializers.CharField(max_length=30, required=False)
    seat_limit = serializers.IntegerField(min_value=1, max_value=MOST_SEATS, required=False)
