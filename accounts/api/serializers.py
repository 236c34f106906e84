"""What the API reads and shows of signing in."""

from typing import Any

from rest_framework import serializers

from accounts.keys import KEY_NAME_LENGTH, MOST_DAYS, USUAL_DAYS
from accounts.models import ApiKey
from organizations.api.strict import StrictSerializer
from organizations.scopes import Scope


class SignInSerializer(StrictSerializer):
    """What a program signs in with."""

    email = serializers.CharField(max_length=320)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)
    otp = serializers.CharField(
        max_length=100,
        required=False,
        default="",
        allow_blank=True,
        write_only=True,
        help_text="A code of the authenticator app, or a recovery code; asked for by `second_factor_required`.",
    )


class RefreshSerializer(StrictSerializer):
    """The newest refresh token of a session."""

    refresh = serializers.CharField(max_length=200, write_only=True)


class TokensSerializer(serializers.Serializer[Any]):
    """A pair. Each is shown this once."""

    access = serializers.CharField(help_text="Send it as `Authorization: Bearer …`.")
    expires_in = serializers.IntegerField(help_text="Seconds until the access half has to be refreshed.")
    refresh = serializers.CharField(help_text="Good for one refresh. It cannot be read from anywhere again.")
    session_expires_at = serializers.DateTimeField(help_text="When it takes a sign-in again.")
    second_factor_enrolment_required = serializers.BooleanField(
        help_text="Whether this session opens nothing but the enrolment of a second factor."
    )


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key as its owner sees it afterwards: by its beginning."""

    organization = serializers.CharField(source="organization.slug", help_text="The only one in which it works.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))

    class Meta:
        model = ApiKey
        fields = ["id", "name", "prefix", "organization", "scopes", "created_at", "expires_at", "last_used_at"]
        read_only_fields = fields


class KeysSerializer(serializers.Serializer[Any]):
    """All keys that work; there are 20 at most."""

    results = KeySerializer(many=True)


class CreateKeySerializer(StrictSerializer):
    """A new key."""

    name = serializers.CharField(max_length=KEY_NAME_LENGTH)
    organization = serializers.CharField(max_length=80, help_text="Slug or id of one of your organizations.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices), min_length=1)
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, required=False, default=USUAL_DAYS)


class CreatedKeySerializer(KeySerializer):
    """A new key, with what is shown this once."""

    key = serializers.CharField(help_text="Send it as `Authorization: Bearer …`. It cannot be read again.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "key"]
        read_only_fields = fields
