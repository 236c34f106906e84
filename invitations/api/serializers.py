"""What the API reads and shows of invitations: allow-lists; a new column is hidden until it is named here."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from rest_framework import serializers

from healthivr.kernel.masking import mask_email
from invitations.acceptance import founds
from invitations.messages import DECLINE_REASONS
from invitations.models import StatusWord, UserInvitation
from organizations.api.strict import StrictSerializer
from organizations.roles import INVITATION_TYPES

TYPES = [(role.value, str(role.label)) for role in INVITATION_TYPES]


def shown_time(moment: datetime | None) -> str | None:
    """Return a time as the API writes it: UTC, ISO 8601."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


class InvitationSerializer(serializers.ModelSerializer[UserInvitation]):
    """An invitation as staff see it. Never its link."""

    status = serializers.SerializerMethodField(help_text="The one word for lifecycle and delivery together.")
    invited_by = serializers.SerializerMethodField()

    class Meta:
        model = UserInvitation
        fields = [
            "id",
            "invitation_type",
            "status",
            "email",
            "first_name",
            "last_name",
            "message",
            "language",
            "delivery_channel",
            "delivery_status",
            "invited_by",
            "created_at",
            "sent_at",
            "send_count",
            "expires_at",
            "accepted_at",
            "closed_at",
        ]
        read_only_fields = fields

    def get_status(self, invitation: UserInvitation) -> StatusWord:
        at: datetime = self.context["at"]
        return invitation.status_word(at=at).value  # type: ignore[return-value]

    def get_invited_by(self, invitation: UserInvitation) -> str | None:
        return invitation.invited_by.get_full_name() if invitation.invited_by else None

    def to_representation(self, invitation: UserInvitation) -> dict[str, Any]:
        """Show what `Meta.fields` names, as DRF would, which makes seventeen fields anew for that each time: a tenth of
        a request (bench/authenticated.py). A test holds the two equal."""
        return {
            "id": str(invitation.pk),
            "invitation_type": invitation.invitation_type,
            "status": self.get_status(invitation),
            "email": invitation.email,
            "first_name": invitation.first_name,
            "last_name": invitation.last_name,
            "message": invitation.message,
            "language": invitation.language,
            "delivery_channel": invitation.delivery_channel,
            "delivery_status": invitation.delivery_status,
            "invited_by": self.get_invited_by(invitation),
            "created_at": shown_time(invitation.created_at),
            "sent_at": shown_time(invitation.sent_at),
            "send_count": invitation.send_count,
            "expires_at": shown_time(invitation.expires_at),
            "accepted_at": shown_time(invitation.accepted_at),
            "closed_at": shown_time(invitation.closed_at),
        }


class CreateInvitationSerializer(StrictSerializer):
    """A new invitation. Rules (who may, which address, seats) are the service's."""

    invitation_type = serializers.ChoiceField(choices=TYPES)
    email = serializers.CharField(max_length=320)
    first_name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    last_name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    message = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    language = serializers.ChoiceField(choices=settings.LANGUAGES, required=False, default="en")
    expires_in_hours = serializers.IntegerField(min_value=1, max_value=720, required=False, default=None)


class ReplaceInvitationSerializer(StrictSerializer):
    """All that can change while an invitation is open: what is left out goes back to its default. The end stays unless
    it is named, for a new one kills the link."""

    invitation_type = serializers.ChoiceField(choices=TYPES)
    email = serializers.CharField(
        max_length=320, required=False, help_text="The invited address as it is. To correct it, PATCH `email` alone."
    )
    first_name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    last_name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    message = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    language = serializers.ChoiceField(choices=settings.LANGUAGES, required=False, default="en")
    expires_in_hours = serializers.IntegerField(min_value=1, max_value=720, required=False)


class UpdateInvitationSerializer(StrictSerializer):
    """What can change while an invitation is open; what is left out stays."""

    invitation_type = serializers.ChoiceField(choices=TYPES, required=False)
    email = serializers.CharField(
        max_length=320, required=False, help_text="Another address is another invitation: send it alone."
    )
    first_name = serializers.CharField(max_length=100, required=False, allow_blank=True)
    last_name = serializers.CharField(max_length=100, required=False, allow_blank=True)
    message = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    language = serializers.ChoiceField(choices=settings.LANGUAGES, required=False)
    expires_in_hours = serializers.IntegerField(min_value=1, max_value=720, required=False)


class CancelInvitationSerializer(StrictSerializer):
    """Why an invitation is cancelled."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class InvitationPageSerializer(serializers.Serializer[Any]):
    """One page of the list. Follow `older` and `newer`; there is no total."""

    results = InvitationSerializer(many=True)
    newer = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page before.")
    older = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page after.")


class ListQuerySerializer(StrictSerializer):
    """Filters of the list."""

    status = serializers.ChoiceField(choices=StatusWord.choices, required=False, default="")
    type = serializers.ChoiceField(choices=TYPES, required=False, default="")
    email = serializers.CharField(required=False, default="", help_text="The beginning of an address.")
    since = serializers.DateTimeField(required=False, default=None)
    until = serializers.DateTimeField(required=False, default=None)
    cursor = serializers.CharField(required=False, default="")
    limit = serializers.IntegerField(min_value=1, max_value=100, required=False, default=50)


class OpenInvitationSerializer(serializers.ModelSerializer[UserInvitation]):
    """What the holder of a link may know before accepting (S0.10)."""

    email = serializers.SerializerMethodField(help_text="Masked.")
    organization_name = serializers.CharField(source="organization.name")
    founds_organization = serializers.SerializerMethodField(
        help_text="Whether accepting asks for an organization_name."
    )

    class Meta:
        model = UserInvitation
        fields = ["invitation_type", "organization_name", "email", "expires_at", "founds_organization"]
        read_only_fields = fields

    def get_email(self, invitation: UserInvitation) -> str:
        return mask_email(invitation.email or "")

    def get_founds_organization(self, invitation: UserInvitation) -> bool:
        return founds(invitation)


class AcceptInvitationSerializer(serializers.Serializer[Any]):
    """What a new person sends. Anything else in the body, such as a role, is ignored: the invitation decides (S0.11)."""

    password = serializers.CharField(
        required=False, allow_blank=True, default="", trim_whitespace=False, write_only=True
    )
    first_name = serializers.CharField(required=False, allow_blank=True, default="")
    last_name = serializers.CharField(required=False, allow_blank=True, default="")
    organization_name = serializers.CharField(required=False, allow_blank=True, default="")
    practice_id = serializers.UUIDField(required=False, default=None)


class AcceptedSerializer(serializers.Serializer[Any]):
    """What an acceptance made."""

    user_id = serializers.UUIDField()
    organization = serializers.CharField(help_text="The slug of the organization joined or founded.")
    role = serializers.CharField()
    is_new_user = serializers.BooleanField()


class DeclineInvitationSerializer(StrictSerializer):
    """Why the invitee says no."""

    reason = serializers.ChoiceField(
        choices=[(key, str(label)) for key, label in DECLINE_REASONS.items()], required=False, default="other"
    )


class DeclinedSerializer(serializers.Serializer[Any]):
    """That it is declined."""

    status = serializers.CharField()
