"""Who asks by `Authorization: Bearer`: what a token says, and whether the registry still agrees."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import keys, registry
from accounts.access_tokens import TokenRefused, read_access_token
from accounts.middleware import bearer_credentials
from accounts.models import SessionKind, User
from accounts.tokens import SessionEnded
from healthivr.kernel.errors import NotPermitted
from organizations.actor import Actor
from organizations.middleware import reference_in
from organizations.scopes import Scope, allows


class SecondFactorEnrolmentRequired(NotPermitted):
    """The person's role or organization asks for a second factor, and they have none yet."""

    code = "second_factor_enrolment_required"
    message = _("Your role asks for a second factor. Set one up first: until then nothing else is open.")


class ScopeMissing(NotPermitted):
    """The key may not do this, whatever its owner may; `scope` says what it lacks, where keys may do it at all."""

    code = "scope_missing"
    message = _("This key may not do that. Make one with the scope for it; some things no key may do.")


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
        if credentials.startswith(keys.MARK):
            return self._by_key(request, credentials), None
        return self._by_access_token(request, credentials), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def _by_access_token(self, request: Request, token: str) -> User:
        at = timezone.now()
        claims = read_access_token(token, at=at)
        present = registry.present_session(
            session_id=claims.session_id, at=at, reference=reference_in(request._request)
        )
        if present is None:
            raise SessionEnded
        session = present.session
        if session.user_id != claims.user_id or session.kind != SessionKind.TOKEN:
            raise TokenRefused
        if present.over and session.ended_at is None:
            registry.end_overdue_session(session=session, reason=present.over, at=at)
        if present.over:
            raise SessionEnded
        request_of_django: HttpRequest = request._request
        request_of_django.user_session = session  # type: ignore[attr-defined]
        request_of_django.present_session = present  # type: ignore[attr-defined]
        request_of_django.standing = present.standing  # type: ignore[attr-defined]
        registry.see_session(session, at=at)
        require_second_factor(request, present)
        return session.user

    def _by_key(self, request: Request, secret: str) -> User:
        at = timezone.now()
        present = keys.present_key(secret=secret, at=at)
        if present is None:
            raise TokenRefused
        request_of_django: HttpRequest = request._request
        #: Whose attempt stands in the trail if the key is refused here.
        request_of_django.refused_actor = Actor(  # type: ignore[attr-defined]
            present.key.user,
            present.key.organization,
            ip=request_of_django.client_address,  # type: ignore[attr-defined]
            request_id=request_of_django.request_id,  # type: ignore[attr-defined]
            key_id=present.key.pk,
        )
        self._require_scope(request, present)
        if present.lacks_second_factor:
            raise SecondFactorEnrolmentRequired
        request_of_django.user_session = None  # type: ignore[attr-defined]  # no key gives a fresh proof
        request_of_django.key_id = present.key.pk  # type: ignore[attr-defined]
        request_of_django.key_scopes = present.scopes  # type: ignore[attr-defined]
        request_of_django.standing = present.standing  # type: ignore[attr-defined]
        request_of_django.key_organization = present.key.organization  # type: ignore[attr-defined]
        keys.see_key(present.key, at=at)
        return present.key.user

    def _require_scope(self, request: Request, present: keys.PresentKey) -> None:
        """Raise ScopeMissing unless the view says which scope the method asks for, and the key has it."""
        declared: dict[str, Scope] = getattr(request.parser_context["view"], "scopes", {})
        method = "GET" if request.method == "HEAD" else str(request.method)
        asked = declared.get(method)
        if asked is None:
            raise ScopeMissing
        if not allows(present.scopes, asked):
            raise ScopeMissing(scope=asked.value)


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema names it."""

    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An access token, or a personal API key."}
