"""What the API reads and shows of signing in."""

from typing import Any

from rest_framework import serializers

from organizations.api.strict import StrictSerializer


class SignInSerializer(StrictSerializer):
    """What a program signs in with."""

    email = serializers.CharField(max_length=320)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


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
