"""The API of signing in: parse, one service call, render."""

from datetime import datetime
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import keys, registry, second_factor, services, tokens
from accounts.lockout import forget_failures
from accounts.models import User
from accounts.views.requests import known_browser, origin
from healthivr.kernel.errors import Malformed, Refused
from healthivr.kernel.limits import count_attempt
from healthivr.kernel.problems import problems
from organizations.api.strict import parsed

from .serializers import (
    CreatedKeySerializer,
    CreateKeySerializer,
    KeySerializer,
    KeysSerializer,
    RefreshSerializer,
    SignInSerializer,
    TokensSerializer,
)

OWN = problems(
    e401="sign_in_required, token_invalid, token_expired, session_ended",
    e403="scope_missing, second_factor_enrolment_required, csrf_failed",
    e429="too_many_requests",
)


class TokenAPIView(APIView):
    """For who has yet to show a token: no other proof is looked at, neither a cookie nor an older token."""

    authentication_classes = []
    permission_classes = [AllowAny]
    limit = "sign_in_refresh"

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, self.limit)


def shown(made: tokens.Tokens) -> Response:
    """Return a pair as its owner sees it, this once."""
    terms = registry.sign_in_terms(made.session.user)
    return Response(
        TokensSerializer(
            {
                "access": made.access,
                "expires_in": made.expires_in,
                "refresh": made.refresh,
                "session_expires_at": made.session.expires_at,
                "second_factor_enrolment_required": terms.requires_second_factor
                and made.session.second_factor_at is None,
            }
        ).data
    )


class ObtainView(TokenAPIView):
    """Signing in."""

    limit = "sign_in_address"

    @extend_schema(
        operation_id="auth_token_create",
        auth=[],
        request=SignInSerializer,
        responses={
            200: TokensSerializer,
            **problems(
                e400="malformed_field, malformed_body",
                e401="invalid_credentials, second_factor_required",
                e422="second_factor_invalid",
                e429="too_many_requests, locked",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Sign in. The session that begins lasts 24 hours, its access half 30 minutes. Who has a second factor sends a
        code of it as `otp`; who needs one and has none gets a session that opens nothing but its enrolment."""
        body, at = parsed(SignInSerializer, request.data), timezone.now()
        otp = body.pop("otp")
        user, guess = services.check_credentials(
            **body, known_browser=known_browser(request._request), at=at, **origin(request._request)
        )
        has_factor = second_factor.is_enrolled(user)
        if has_factor and not otp:
            second_factor.await_second_factor(user=user, **origin(request._request))
            raise registry.SecondFactorRequired
        if has_factor:
            self._check_code(request, user=user, code=otp, at=at)
        made = tokens.start_token_session(
            user=user,
            second_factor_at=at if has_factor else None,
            user_agent=request.headers.get("User-Agent", ""),
            at=at,
            **origin(request._request),
        )
        if not has_factor:
            forget_failures(guess)
        return shown(made)

    def _check_code(self, request: Request, *, user: User, code: str, at: datetime) -> None:
        """Check the second factor: a guess like the password. A refusal names the field as it is called here."""
        try:
            second_factor.check_second_factor(
                user=user,
                code=code,
                known_browser=known_browser(request._request),
                at=at,
                **origin(request._request),
            )
        except (Malformed, Refused) as error:
            error.field = "otp"
            raise


class RefreshView(TokenAPIView):
    """The next pair."""

    @extend_schema(
        operation_id="auth_token_refresh",
        auth=[],
        request=RefreshSerializer,
        responses={
            200: TokensSerializer,
            **problems(
                e400="malformed_field, malformed_body",
                e401="token_invalid, session_ended, refresh_reused",
                e409="refresh_conflict",
                e429="too_many_requests",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for the next pair. One that comes a second time ends its session; of two requests
        at the same moment one wins."""
        body = parsed(RefreshSerializer, request.data)
        return shown(tokens.refresh_tokens(**body, at=timezone.now(), **origin(request._request)))


class RevokeView(TokenAPIView):
    """The end."""

    @extend_schema(
        operation_id="auth_token_revoke",
        auth=[],
        request=RefreshSerializer,
        responses={204: None, **problems(e400="malformed_field, malformed_body", e429="too_many_requests")},
    )
    def post(self, request: Request) -> Response:
        """Sign out: end the session of a refresh token. What is none is as good as revoked."""
        body = parsed(RefreshSerializer, request.data)
        tokens.revoke_tokens(**body, at=timezone.now(), **origin(request._request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyListView(APIView):
    """One's own keys. No key makes, sees or ends keys: there are no scopes for it."""

    @extend_schema(operation_id="auth_keys_list", responses={200: KeysSerializer, **OWN})
    def get(self, request: Request) -> Response:
        """List your keys that work, the newest first."""
        live = keys.live_keys(user=request.user, at=timezone.now())  # type: ignore[arg-type]  # signed in
        return Response({"results": KeySerializer(live, many=True).data})

    @extend_schema(
        operation_id="auth_keys_create",
        request=CreateKeySerializer,
        responses={
            201: CreatedKeySerializer,
            **OWN,
            **problems(
                e400="malformed_field, malformed_body, key_name",
                e403="step_up_required, scope_missing, second_factor_enrolment_required, csrf_failed",
                e404="not_found",
                e409="too_many_keys",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Make a key for scripts: in one organization, for a while, never with more than your role allows. It is shown
        this once, and you are mailed that it exists."""
        body = parsed(CreateKeySerializer, request.data)
        key, secret = keys.create_key(
            user=request.user,  # type: ignore[arg-type]  # signed in
            session=request._request.user_session,  # type: ignore[attr-defined]
            at=timezone.now(),
            **{**body, **origin(request._request)},
        )
        return Response(
            {**KeySerializer(key).data, "key": secret},
            status=status.HTTP_201_CREATED,
        )


class KeyView(APIView):
    """One key."""

    @extend_schema(operation_id="auth_keys_end", responses={204: None, **OWN, **problems(e404="not_found")})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """End a key: it stops at its next request."""
        keys.end_own_key(
            user=request.user,  # type: ignore[arg-type]  # signed in
            key_id=key_id,
            at=timezone.now(),
            **origin(request._request),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
