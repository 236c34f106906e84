"""The API of one's own second factor, and of proving anew who one is: parse, one service call, render."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import second_factor
from accounts.models import UserSession
from accounts.views.requests import known_browser, origin
from healthivr.kernel.errors import NotPermitted
from healthivr.kernel.limits import count_attempt
from healthivr.kernel.problems import problems
from organizations.api.strict import StrictSerializer, parsed


class CodeSerializer(StrictSerializer):
    """A code of the app."""

    code = serializers.CharField(max_length=100, write_only=True, help_text="Six digits; spaces do not matter.")


class ProofSerializer(StrictSerializer):
    """A fresh proof of who one is."""

    code = serializers.CharField(
        max_length=100,
        write_only=True,
        required=False,
        default="",
        help_text="Of the app, or a recovery code; of whoever has a second factor.",
    )
    password = serializers.CharField(
        max_length=1024,
        write_only=True,
        required=False,
        default="",
        trim_whitespace=False,
        help_text="Of whoever has no second factor.",
    )


class StateSerializer(serializers.Serializer[Any]):
    """What somebody has."""

    enrolled_at = serializers.DateTimeField(allow_null=True)
    recovery_codes_left = serializers.IntegerField()
    required = serializers.BooleanField(  # type: ignore[assignment]  # DRF has a flag so named
        help_text="Whether a role or an organization asks for it."
    )


class EnrolmentSerializer(serializers.Serializer[Any]):
    """What goes into an app. The key is shown to this session alone, until a code confirms it."""

    key = serializers.CharField(help_text="Base 32, to type.")
    uri = serializers.CharField(help_text="otpauth://, for a QR code or a link.")


class RecoveryCodesSerializer(serializers.Serializer[Any]):
    """Ten codes, shown this once."""

    recovery_codes = serializers.ListField(child=serializers.CharField())


OWN = problems(
    e400="malformed_field, malformed_body",
    e401="sign_in_required, token_invalid, token_expired, session_ended",
    e403="csrf_failed, not_permitted",
    e429="too_many_requests",
    e503="busy",
)
FRESH = problems(e403="step_up_required, csrf_failed, not_permitted")


class FactorAPIView(APIView):
    """For whoever is signed in, about nobody but themselves; open to who has yet to set up what their role asks for."""

    is_reachable_without_second_factor = True

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, "invitation_api", key=str(request.user.pk))

    def act(self, request: Request) -> dict[str, Any]:
        """Return who acts, in which session. A key of a script is no person: it changes nobody's factor."""
        session: UserSession | None = getattr(request._request, "user_session", None)
        if session is None:
            raise NotPermitted
        return {"user": request.user, "session": session, "at": timezone.now(), **origin(request._request)}


class FactorView(FactorAPIView):
    """What one has, setting it up, and removing it."""

    @extend_schema(operation_id="auth_second_factor", responses={200: StateSerializer, **OWN})
    def get(self, request: Request) -> Response:
        """Say whether a second factor is set up, and how many recovery codes are left."""
        state = second_factor.factor_state(request.user)  # type: ignore[arg-type]
        present = request._request.present_session  # type: ignore[attr-defined]
        return Response(
            StateSerializer(
                {
                    "enrolled_at": state.enrolled_at if state else None,
                    "recovery_codes_left": state.codes_left if state else 0,
                    "required": present.requires_second_factor,
                }
            ).data
        )

    @extend_schema(
        operation_id="auth_second_factor_begin", request=None, responses={200: EnrolmentSerializer, **OWN, **FRESH}
    )
    def post(self, request: Request) -> Response:
        """Begin to set up an app. What was set up before holds until the new one is confirmed."""
        authenticator = second_factor.begin_enrolment(**self.act(request))
        return Response(EnrolmentSerializer({"key": authenticator.key, "uri": authenticator.uri()}).data)

    @extend_schema(
        operation_id="auth_second_factor_remove",
        request=None,
        responses={
            204: None,
            **OWN,
            **FRESH,
            **problems(e409="no_second_factor", e422="second_factor_needed"),
        },
    )
    def delete(self, request: Request) -> Response:
        """Remove it, where none is asked for. Every other session and token ends."""
        second_factor.remove_factor(**self.act(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConfirmView(FactorAPIView):
    """The end of setting up."""

    @extend_schema(
        operation_id="auth_second_factor_confirm",
        request=CodeSerializer,
        responses={
            200: RecoveryCodesSerializer,
            **OWN,
            **FRESH,
            **problems(e409="enrolment_closed", e422="second_factor_invalid"),
        },
    )
    def post(self, request: Request) -> Response:
        """Confirm the app by its first code. Every other session and token ends."""
        codes = second_factor.confirm_enrolment(**parsed(CodeSerializer, request.data), **self.act(request))
        return Response(RecoveryCodesSerializer({"recovery_codes": codes}).data)


class RecoveryCodesView(FactorAPIView):
    """Recovery codes."""

    @extend_schema(
        operation_id="auth_recovery_codes_replace",
        request=None,
        responses={200: RecoveryCodesSerializer, **OWN, **FRESH, **problems(e409="no_second_factor")},
    )
    def post(self, request: Request) -> Response:
        """Replace the recovery codes. The old ones stop working; every other session and token ends."""
        codes = second_factor.replace_recovery_codes(**self.act(request))
        return Response(RecoveryCodesSerializer({"recovery_codes": codes}).data)


class VerifyView(FactorAPIView):
    """Step-up."""

    @extend_schema(
        operation_id="auth_verify",
        request=ProofSerializer,
        responses={
            204: None,
            **OWN,
            **problems(e422="second_factor_invalid, current_password", e429="too_many_requests, locked"),
        },
    )
    def post(self, request: Request) -> Response:
        """Prove anew who you are: what needs a fresh proof is open to this session for five minutes."""
        browser = known_browser(request._request)
        second_factor.prove_again(**parsed(ProofSerializer, request.data), known_browser=browser, **self.act(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
