"""What happens around every request: an id, a log line, headers, both forms of a URL, domain errors as pages."""

import time
import unicodedata
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import Resolver404, is_valid_path, resolve
from django.utils.cache import patch_cache_control

from accounts.views import step_up
from healthivr.kernel.errors import TooManyRequests, domain_error
from healthivr.kernel.limits import client_address, count_attempt
from healthivr.views import error_page
from organizations.actor import StepUpRequired

log = structlog.get_logger("healthivr.request")
GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestContextMiddleware:
    """Gives the request an id that stands in its log lines, its audit events, its error page and its answer; writes
    one line when it is done. First in the list, so that nothing happens without an id."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        start = time.monotonic()
        request.request_id = str(uuid4())  # type: ignore[attr-defined]
        request.client_address = client_address(request)  # type: ignore[attr-defined]
        # Bound for this request alone: what the server logs between two requests of a thread belongs to neither.
        with structlog.contextvars.bound_contextvars(request_id=request.request_id):  # type: ignore[attr-defined]
            response = self.get_response(request)
            response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
            self._add_headers(request, response)
            self._write_line(request, response, start)
        return response

    def _add_headers(self, request: HttpRequest, response: HttpResponseBase) -> None:
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), interest-cohort=()")
        if not request.path.startswith(settings.STATIC_URL) and not response.has_header("Cache-Control"):
            patch_cache_control(response, no_store=True, private=True)
        limit = getattr(request, "rate_limit", None)
        if limit:
            response["RateLimit-Limit"], response["RateLimit-Remaining"], response["RateLimit-Reset"] = map(str, limit)

    def _write_line(self, request: HttpRequest, response: HttpResponseBase, start: float) -> None:
        match = getattr(request, "resolver_match", None)
        actor = getattr(request, "actor", None)
        log.info(
            "request",
            method=request.method,
            route=match.route if match else None,  # the pattern, never the path: it may hold a token
            status=response.status_code,
            milliseconds=round((time.monotonic() - start) * 1000, 1),
            organization=str(actor.organization.pk) if actor else None,
            user=self._user_id(request),
        )

    def _user_id(self, request: HttpRequest) -> str | None:
        """Nobody as well while PostgreSQL is away, where sessions stand: the answer must not fail for its log line."""
        try:
            return str(request.user.pk) if hasattr(request, "user") and request.user.is_authenticated else None
        except DatabaseError:
            return None


class PathInfoMiddleware:
    """Answers a route with and without the trailing slash, without redirecting (a redirected POST loses its body),
    and refuses what stock Django answers with 500 or with somebody else's row: NUL, control characters, digits of
    other scripts (security.md 0.7)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if any(_is_unwanted(character) for character in request.path_info) or "\0" in "".join(
            key + value for key, values in request.GET.lists() for value in values
        ):
            return error_page(request, 400)
        if not request.path_info.endswith("/") and not request.path_info.startswith(settings.STATIC_URL):
            with_slash = request.path_info + "/"
            if not is_valid_path(request.path_info) and _resolves(with_slash):
                request.path_info = with_slash
        return self.get_response(request)


class HealthMiddleware:
    """Forgets the session on the health pages: it stands in PostgreSQL, without which they must answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in ("/healthz/", "/readyz/"):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        return self.get_response(request)


def _is_unwanted(character: str) -> bool:
    if character.isascii():
        return (character < " " and character not in "\r\n\t") or character == "\x7f"
    return unicodedata.category(character) in ("Cc", "Cs", "Nd", "No")


def _resolves(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


class DomainErrorMiddleware:
    """Shows a domain error that a page's view did not handle as a page with the right status. (The API's own handler
    is healthivr/api.py, from the same table.)"""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed):  # empty: whoever signs in again after a button lands here
            page = error_page(request, response.status_code)
            page["Allow"] = response["Allow"]
            return page
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Count the pages that somebody signed in asks for as calls of the API are (checklist C5), which counts its own;
        what pages ask for by themselves counts for nobody."""
        is_page = not request.path_info.startswith("/api/") and not getattr(view, "is_background", False)
        if is_page and request.user.is_authenticated:
            try:
                count_attempt(request, "everything", key=str(request.user.pk))
            except TooManyRequests as error:
                return error_page(request, error=error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        error = domain_error(exception)
        if isinstance(error, StepUpRequired) and not request.path_info.startswith("/api/"):
            request.refusal_code = error.code  # type: ignore[attr-defined]
            return step_up.ask(request)
        return error_page(request, error=error) if error else None
