"""What the API reads and shows of licenses: allow-lists; a new column is hidden until it is named here."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from accounts.models import PractitionerCredential
from accounts.practitioners.regions import Region
from accounts.practitioners.services import LICENSE_NUMBER_LENGTH, REASON_LENGTH
from accounts.practitioners.states import Standing
from organizations.api.strict import StrictSerializer

OWN = [
    "npi",
    "license_number",
    "license_state",
    "license_expires_on",
    "status",
    "approved_until",
    "submitted_at",
    "decided_at",
    "reason",
]


class OwnPractitionerSerializer(serializers.ModelSerializer[PractitionerCredential]):
    """One's own license and where it stands."""

    status = serializers.SerializerMethodField(help_text="Where what you last submitted stands now.")
    approved_until = serializers.SerializerMethodField(
        help_text="Until when you are approved; null: you are not. A renewal that is being checked leaves it as it is."
    )

    class Meta:
        model = PractitionerCredential
        fields = OWN
        read_only_fields = fields

    def get_status(self, credential: PractitionerCredential) -> Standing:
        at: datetime = self.context["at"]
        return credential.standing_at(at).value  # type: ignore[return-value]

    def get_approved_until(self, credential: PractitionerCredential) -> datetime | None:
        at: datetime = self.context["at"]
        return credential.approved_until if credential.is_approved(at=at) else None


class PractitionerSerializer(OwnPractitionerSerializer):
    """A doctor's license as who decides about it sees it."""

    name = serializers.CharField(source="user.get_full_name")
    email = serializers.CharField(source="user.email")
    decided_by = serializers.SerializerMethodField(help_text="Null where time decided.")

    class Meta(OwnPractitionerSerializer.Meta):
        fields = ["id", "name", "email", *OWN, "decided_by", "submission"]
        read_only_fields = fields

    def get_decided_by(self, credential: PractitionerCredential) -> str | None:
        return credential.decided_by.get_full_name() if credential.decided_by else None


class PractitionerPageSerializer(serializers.Serializer[Any]):
    """One page of the list. Follow `newer` and `older`; there is no total."""

    results = PractitionerSerializer(many=True)
    newer = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page before.")
    older = serializers.CharField(allow_null=True, help_text="Pass as `cursor` for the page after.")


class PractitionerQuerySerializer(StrictSerializer):
    """Filters of the list."""

    status = serializers.ChoiceField(choices=Standing.choices, required=False, default="")
    state = serializers.ChoiceField(choices=Region.choices, required=False, default="")
    text = serializers.CharField(
        max_length=254, required=False, default="", help_text="The beginning of a name or an address, or an NPI."
    )
    cursor = serializers.CharField(required=False, default="")
    limit = serializers.IntegerField(min_value=1, max_value=100, required=False, default=50)


class SubmitLicenseSerializer(StrictSerializer):
    """A doctor's license. Where it stands is not the doctor's to say."""

    npi = serializers.CharField(max_length=20)
    license_number = serializers.CharField(max_length=LICENSE_NUMBER_LENGTH)
    license_state = serializers.ChoiceField(choices=Region.choices)
    license_expires_on = serializers.DateField(help_text="The last day on which it is valid.")


class ApproveSerializer(StrictSerializer):
    """What is approved: the submission that you looked at."""

    submission = serializers.IntegerField(
        min_value=1, help_text="As the license showed it: whatever was submitted since is not decided about."
    )


class RefuseSerializer(ApproveSerializer):
    """Why it is rejected or suspended. The doctor reads it."""

    reason = serializers.CharField(max_length=REASON_LENGTH)
