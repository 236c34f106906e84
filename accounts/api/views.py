"""The API of signing in: parse, one service call, render."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import registry, services, tokens
from accounts.lockout import forget_failures
from accounts.views.requests import origin
from healthivr.kernel.limits import count_attempt
from healthivr.kernel.problems import problems
from organizations.api.strict import parsed

from .serializers import RefreshSerializer, SignInSerializer, TokensSerializer


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
                e400="malformed_field, malformed_body", e401="invalid_credentials", e429="too_many_requests, locked"
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Sign in. The session that begins lasts 24 hours, its access half 30 minutes."""
        body, at = parsed(SignInSerializer, request.data), timezone.now()
        user, guess = services.check_credentials(**body, at=at, **origin(request._request))
        forget_failures(guess)
        made = tokens.start_token_session(
            user=user,
            second_factor_at=None,
            user_agent=request.headers.get("User-Agent", ""),
            at=at,
            **origin(request._request),
        )
        return shown(made)


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
