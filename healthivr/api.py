"""What all of the API shares: authentication, the body it reads, the shape of its errors (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication as DRFSessionAuthentication
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from accounts.access_tokens import TokenRefused
from accounts.api.authentication import require_second_factor
from healthivr.kernel.errors import (
    DomainError,
    Malformed,
    NotFound,
    NotPermitted,
    NotSignedIn,
    TooManyRequests,
    domain_error,
)
from healthivr.kernel.limits import count_attempt
from healthivr.views import http_status, problem_body

MAX_DEPTH = 20


class SessionAuthentication(DRFSessionAuthentication):
    """The browser's session, with CSRF. Says 401, not 403, to strangers."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found: tuple[Any, None] | None = super().authenticate(request)
        if found:
            require_second_factor(request, request._request.present_session)  # type: ignore[attr-defined]
        return found

    def authenticate_header(self, request: Request) -> str:
        return "Session"


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema names it."""

    target_class = "healthivr.api.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class EverythingThrottle(BaseThrottle):
    """The limit of every route that has none of its own (checklist C5): calls a minute of one person, or of one address
    where nobody has said who asks."""

    def allow_request(self, request: Request, view: Any) -> bool:
        key = str(request.user.pk) if request.user and request.user.is_authenticated else ""
        count_attempt(request._request, "everything", key=key)
        return True


class StrictJSONParser(BaseParser):
    """JSON as RFC 8259 and I-JSON (RFC 7493) mean it: one value a name, no NaN, no bottomless nesting, which stock
    parsers answer with 500 (security.md 0.7)."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            body = _read(stream).decode("utf-8")
            if _depth(body) > MAX_DEPTH:
                raise exceptions.ParseError("The JSON is nested too deeply.")
            value = json.loads(body, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character ("\\ud800") is none, and raises
        except (UnicodeDecodeError, ValueError, RecursionError):
            raise exceptions.ParseError("The body is not valid JSON.") from None
        if not isinstance(value, dict):
            raise exceptions.ParseError("The body must be a JSON object.")
        return value


def _read(stream: Any) -> bytes:
    """Return the body. Django counts what a form holds, and not what is read from a request as a stream."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(most + 1)
    if len(body) > most:
        raise exceptions.ParseError("The body is too large.")
    return body


def _depth(body: str) -> int:
    """An upper bound of the nesting, without parsing: brackets in strings count too, which only makes it stricter."""
    depth = deepest = 0
    for character in body:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _value in pairs]
    if len(names) != len(set(names)):
        raise exceptions.ParseError("The JSON has the same name twice.")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise exceptions.ParseError(f"{name} is not valid JSON.")


class ProblemRenderer(JSONRenderer):
    """Writes a problem as application/problem+json."""

    media_type = "application/problem+json"


def problem(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn an exception of a view into a problem+json response; DRF's exception handler. Unknown ones become a 500."""
    request = context.get("request")
    domain = _uncounted(request, context.get("view")) or _as_domain_error(error)
    if domain:
        status = http_status(domain)
    elif isinstance(error, exceptions.APIException):  # what HTTP itself refuses: wrong method, wrong media type
        domain, status = DomainError(str(error.detail), code=error.default_code), HTTPStatus(error.status_code)
    else:
        return None
    if request is not None:
        request._request.refusal_code = domain.code  # for the trail
    body = problem_body(request, status, code=domain.code, detail=domain.message, extra=domain.extra)
    if domain.field and "errors" not in body:
        reasons = [str(reason) for reason in domain.extra.get("reasons", [])]
        body["errors"] = {domain.field: reasons or [str(domain.message)]}
    headers = {"Retry-After": str(domain.retry_after)} if domain.retry_after else {}
    if isinstance(domain, NotSignedIn):
        headers["WWW-Authenticate"] = _challenge(domain)
    if isinstance(domain, TooManyRequests) and domain.limit and request is not None:
        request._request.rate_limit = (domain.limit, 0, domain.window)
    response = Response(body, status=status, headers=headers)
    if request is not None:
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = ProblemRenderer.media_type
    response.content_type = ProblemRenderer.media_type
    return response


def _uncounted(request: Request | None, view: Any) -> TooManyRequests | None:
    """Count a call that was refused before its view counted it, for want of a sign-in or of a right, and return the
    refusal of one too many: else who may nothing could ask without end, and fill the trail."""
    if request is None or hasattr(request._request, "rate_limit"):
        return None
    try:
        if hasattr(request, "_user") and request.user.is_authenticated:
            view.check_throttles(request)
        else:
            count_attempt(request._request, "everything", key=_refused_person(request._request))
    except TooManyRequests as error:
        return error
    return None


def _refused_person(request: Any) -> str:
    """Return the id of somebody whom authentication knew and refused, for want of a second factor or by the scopes of
    their key; nothing for nobody we know. (To ask DRF's request for its user would authenticate, and refuse, anew.)"""
    refused = getattr(request, "refused_actor", None)
    if refused:
        return str(refused.user_id)
    return str(request.user.pk) if request.user.is_authenticated else ""


def _challenge(error: NotSignedIn) -> str:
    """Return how one may sign in, and, of who sent a token, that it was not taken (RFC 6750 3)."""
    return 'Bearer error="invalid_token"' if isinstance(error, TokenRefused) else "Bearer, Session"


def _as_domain_error(error: Exception) -> DomainError | None:
    """Say in the domain's words what DRF and Django say in theirs."""
    if known := domain_error(error):
        return known
    if isinstance(error, exceptions.ValidationError):
        return Malformed(code="malformed_field", errors=_messages(error.detail))
    if isinstance(error, exceptions.ParseError):
        return Malformed(str(error.detail), code="malformed_body")
    if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        return NotSignedIn()
    if isinstance(error, exceptions.PermissionDenied):
        code = "csrf_failed" if str(error.detail).startswith("CSRF") else "not_permitted"
        return NotPermitted(str(error.detail), code=code)
    if isinstance(error, PermissionDenied):
        return NotPermitted()
    if isinstance(error, (Http404, exceptions.NotFound)):
        return NotFound()
    return None


def _messages(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for field, messages in detail.items():
            found |= _messages(messages, f"{prefix}{field}")
        return found
    return {prefix or "non_field_errors": [str(message) for message in detail]}
