"""What the pages of accounts share: limits for strangers, where a request comes from, and how a session begins."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from accounts import registry
from accounts.lockout import KNOWN_BROWSER_LIFE, Locked, is_known_browser, new_known_browser
from accounts.middleware import SESSION_ID
from accounts.models import SessionKind, SignInMethod, User
from healthivr.kernel.limits import count_attempt

BACKEND = "accounts.backends.EmailBackend"
View = Callable[..., HttpResponse]
get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def limited(scope: str) -> Callable[[View], View]:
    """Count each request of a stranger to a public page in `scope` (settings.LIMITS)."""

    def decorate(view: View) -> View:
        @wraps(view)
        def counted(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if scope != "anonymous_pages" or not request.user.is_authenticated:
                count_attempt(request, scope)
            return view(request, *args, **kwargs)

        return counted

    return decorate


def origin(request: HttpRequest) -> dict[str, str]:
    """Return where a request comes from, as services write it into the trail."""
    return {"ip": request.client_address, "request_id": request.request_id}  # type: ignore[attr-defined]


def begin_session(
    request: HttpRequest,
    user: User,
    *,
    second_factor_at: datetime | None = None,
    method: SignInMethod = SignInMethod.PASSWORD,
) -> None:
    """Sign somebody in, in this browser, who has proved all that was asked: a row in the registry, and a new key for the
    cookie (ASVS 7.2.4)."""
    request.session.flush()
    session = registry.start_session(
        user=user,
        kind=SessionKind.BROWSER,
        user_agent=request.headers.get("User-Agent", ""),
        second_factor_at=second_factor_at,
        method=method,
        at=timezone.now(),
        **origin(request),
    )
    request.user_session = session  # type: ignore[attr-defined]
    request.session[SESSION_ID] = str(session.pk)
    login(request, user, backend=BACKEND)


def end_session(request: HttpRequest) -> None:
    """Sign out of this browser."""
    session = request.user_session  # type: ignore[attr-defined]
    if session:
        registry.sign_out(session=session, at=timezone.now(), **origin(request))
    logout(request)


def is_ours(target: str) -> bool:
    """Say whether a target is a page of ours: a path, for anything else might be a view's name to redirect()."""
    return target.startswith("/") and url_has_allowed_host_and_scheme(target, allowed_hosts=None)


def safe_target(request: HttpRequest) -> str:
    """Return where a form says to go on to (`next`), if it is a page of ours; else nothing."""
    target = str(request.POST.get("next", request.GET.get("next", "")))
    return target if is_ours(target) else ""


def locked_out(request: HttpRequest, response: HttpResponse, refusal: Locked) -> HttpResponse:
    """Say in headers too until when guessing is locked."""
    response["Retry-After"] = str(refusal.retry_after)
    request.rate_limit = (refusal.limit, 0, refusal.window)  # type: ignore[attr-defined]
    return response


def known_browser(request: HttpRequest) -> str:
    """Return by what the owner of an address is known in this browser."""
    return request.COOKIES.get(settings.KNOWN_BROWSER_COOKIE_NAME, "")


def remember_browser(response: HttpResponse, cookie: str) -> None:
    """Keep in this browser what gives it tries of its own when somebody else locks the address."""
    response.set_cookie(
        settings.KNOWN_BROWSER_COOKIE_NAME,
        cookie,
        max_age=int(KNOWN_BROWSER_LIFE.total_seconds()),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def remember_owner(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Know this browser as one in which the owner of an address has signed in, unless it is known already. Whoever else
    it is known by stays: colleagues share a workstation."""
    cookie = known_browser(request)
    if not is_known_browser(user.email, cookie):
        remember_browser(response, new_known_browser(user.email, cookie))
