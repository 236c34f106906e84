"""Pages that belong to no app: errors, and the icon that browsers ask for."""

import sys
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import select_template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.middleware import page_behind
from healthivr.kernel.errors import (
    Busy,
    Conflict,
    DomainError,
    LinkClosed,
    Malformed,
    NotFound,
    NotPermitted,
    NotSignedIn,
    Refused,
    TooManyRequests,
    domain_error,
)

#: The one table from domain errors to HTTP. A subclass has the status of its nearest ancestor here.
HTTP_STATUS: dict[type[DomainError], HTTPStatus] = {
    Malformed: HTTPStatus.BAD_REQUEST,
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    NotPermitted: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    LinkClosed: HTTPStatus.GONE,
    Refused: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
}


def http_status(error: DomainError) -> HTTPStatus:
    """Return the status of a domain error. Raises LookupError for a family that the table does not know."""
    for family in type(error).__mro__:
        if family in HTTP_STATUS:
            return HTTP_STATUS[family]
    raise LookupError(type(error).__name__)


#: What an answer that no view gave is called in the API.
CODES = {400: "malformed_request", 403: "not_permitted", 404: "not_found", 500: "server_error"}
SENTENCES = {
    400: _("The address of this request is not valid."),
    403: NotPermitted.message,
    404: NotFound.message,
    500: _("Something went wrong on our side. Quote the request id to support."),
}


def problem_body(
    request: Any, status: HTTPStatus, *, code: str, detail: Any, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the problem details of an error (RFC 9457), as every error of the API is written."""
    return {
        **(extra or {}),  # first: what RFC 9457 names means what RFC 9457 says
        "type": f"{settings.BASE_URL}/api/v1/docs/#{code}",
        "title": status.phrase,
        "status": int(status),
        "detail": str(detail),
        "code": code,
        "request_id": getattr(request, "request_id", ""),
    }


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def error_page(request: HttpRequest, status: int = 0, error: DomainError | None = None) -> HttpResponse:
    """Return the page of a status or of a domain error, with the request's id to quote to support; below /api/ the same
    as a problem."""
    status = http_status(error) if error else HTTPStatus(status)
    request.refusal_code = error.code if error else CODES.get(status, "")  # type: ignore[attr-defined]  # for the trail
    response: HttpResponse
    if _is_api(request):
        code, detail = (error.code, error.message) if error else (CODES[status], SENTENCES[status])
        body = problem_body(request, status, code=code, detail=detail)
        response = JsonResponse(body, status=status, content_type="application/problem+json")
    else:
        template = select_template([f"{status}.html", "layout/error.html"])
        context = {"status": int(status), "error": error, "request_id": getattr(request, "request_id", "")}
        response = HttpResponse(template.render(context, request), status=status)
    if error and error.retry_after:
        response["Retry-After"] = str(error.retry_after)
    return response


@login_not_required
@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Lead to the icon: browsers ask for it at this address where no page names it, as with a mail or a JSON answer."""
    return redirect(static("img/favicon.svg"))


@login_not_required
def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400."""
    return error_page(request, HTTPStatus.BAD_REQUEST)


@login_not_required
def not_permitted(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403, in the words of the refusal behind it if there is one."""
    refusal = exception.__cause__ if exception else None
    return error_page(request, HTTPStatus.FORBIDDEN, refusal if isinstance(refusal, NotPermitted) else None)


@login_not_required
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404."""
    return error_page(request, HTTPStatus.NOT_FOUND)


@login_not_required
def server_error(request: HttpRequest) -> HttpResponse:
    """500: without context or database, for either may be what failed. Says the id and nothing else. A COMMIT that
    waited too long for a lock ends here too, because it runs outside of views; it is answered as they answer it."""
    failure = sys.exception()
    busy = domain_error(failure) if isinstance(failure, Exception) else None
    if busy:
        return error_page(request, error=busy)
    request_id = getattr(request, "request_id", "")
    if _is_api(request):
        return error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR)
    response = render(None, "500.html", {"request_id": request_id}, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    response["X-Request-ID"] = request_id
    return response


@login_not_required
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was open for too long, before its person signed in in another tab, or sent from elsewhere: say so, and
    lead back to it. Who signed in elsewhere meanwhile has nothing left to do at sign-in."""
    is_signed_in = request.user.is_authenticated
    if is_signed_in and request.path_info == reverse("accounts:sign_in"):
        return redirect("home")
    context = {
        "request_id": getattr(request, "request_id", ""),
        "is_signed_in": is_signed_in,
        "form_page": page_behind(request),
    }
    return render(request, "403_csrf.html", context, status=HTTPStatus.FORBIDDEN)
