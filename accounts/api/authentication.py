"""Who asks by `Authorization: Bearer`: what a token says, and whether the registry still agrees."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import registry
from accounts.access_tokens import TokenRefused, read_access_token
from accounts.middleware import bearer_credentials
from accounts.models import SessionKind, User
from accounts.tokens import SessionEnded
from healthivr.kernel.errors import NotPermitted


class SecondFactorEnrolmentRequired(NotPermitted):
    """The person's role or organization asks for a second factor, and they have none yet."""

    code = "second_factor_enrolment_required"
    message = _("Your role asks for a second factor. Set one up first: until then nothing else is open.")


def require_second_factor(request: Request, present: registry.PresentSession) -> None:
    """Raise SecondFactorEnrolmentRequired for who lacks one, save where one is enrolled."""
    view = request.parser_context["view"]
    if present.lacks_second_factor and not getattr(view, "is_reachable_without_second_factor", False):
        raise SecondFactorEnrolmentRequired


class BearerAuthentication(BaseAuthentication):
    """An access token. A browser's cookie beside it counts for nothing, so there is nothing that CSRF could abuse; on
    pages and in Django admin it is the token that counts for nothing."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        credentials = bearer_credentials(request._request)
        if credentials is None:
            return None
        return self._by_access_token(request, credentials), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def _by_access_token(self, request: Request, token: str) -> User:
        at = timezone.now()
        claims = read_access_token(token, at=at)
        present = registry.present_session(session_id=claims.session_id, at=at)
        if present is None:
            raise SessionEnded
        session = present.session
        if session.user_id != claims.user_id or session.kind != SessionKind.TOKEN:
            raise TokenRefused
        if present.over:
            registry.end_overdue_session(session=session, reason=present.over, at=at)
            raise SessionEnded
        request_of_django: HttpRequest = request._request
        request_of_django.user_session = session  # type: ignore[attr-defined]
        request_of_django.present_session = present  # type: ignore[attr-defined]
        registry.see_session(session, at=at)
        require_second_factor(request, present)
        return session.user


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema names it."""

    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An access token, or a personal API key."}
