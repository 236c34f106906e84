"""Says who asks, from the registry of sessions; asks strangers to sign in, and who lacks a second factor to enrol one;
shows pages in the signed-in person's language, and times in their zone."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib import messages
from django.contrib.auth.middleware import AuthenticationMiddleware, LoginRequiredMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from organizations.middleware import reference_in

from . import registry
from .models import SessionEnd, User

#: Where a browser's session of Django names its row in the registry.
SESSION_ID = "sid"
#: What somebody is told whose session ended without them.
ENDED: dict[str, Promise] = {
    SessionEnd.IDLE: gettext_lazy("You were signed out because nothing was done here for a while. Sign in to go on."),
    SessionEnd.EXPIRED: gettext_lazy("You were signed out: a session lasts 24 hours. Sign in to go on."),
    SessionEnd.ENDED_BY_OWNER: gettext_lazy("You were signed out from another of your sessions."),
    SessionEnd.ENDED_BY_ADMINISTRATOR: gettext_lazy("You were signed out by an administrator. Sign in to go on."),
    SessionEnd.PASSWORD_CHANGED: gettext_lazy("You were signed out because your password was changed. Sign in anew."),
    SessionEnd.FACTOR_CHANGED: gettext_lazy(
        "You were signed out because your second factor was changed. Sign in anew."
    ),
    SessionEnd.EXTERNAL_REMOVED: gettext_lazy(
        "You were signed out because an external sign-in of your account was removed. Sign in anew."
    ),
    SessionEnd.EMAIL_CHANGED: gettext_lazy(
        "You were signed out because your e-mail address was changed. Sign in with the new one."
    ),
    SessionEnd.DEACTIVATED: gettext_lazy(
        "You were signed out because your account was switched off. Ask your administrator about it."
    ),
    SessionEnd.MEMBERSHIP_ENDED: gettext_lazy(
        "You were signed out because a membership or role of yours ended. Sign in to go on."
    ),
    SessionEnd.ROLE_CHANGED: gettext_lazy(
        "You were signed out because an administrator changed your role. Sign in to go on with the new one."
    ),
}

#: What a form sends that nobody typed.
NOT_TYPED = {"csrfmiddlewaretoken", "once"}


def reachable_without_second_factor(view: Any) -> Any:
    """Mark a view that somebody may open who has yet to enrol the second factor that their role asks for."""
    view.is_reachable_without_second_factor = True
    return view


def is_background(view: Any) -> Any:
    """Mark a view that pages ask by themselves: it is no act of a person and keeps no session alive. Decided here and
    never by the request (OpenEMR CVE-2026-25476)."""
    view.is_background = True
    return view


def bearer_credentials(request: HttpRequest) -> str | None:
    """Return what a request to the API shows as `Authorization: Bearer`; None when it shows nothing of the kind. Pages
    and Django admin know browsers only."""
    if not request.path_info.startswith("/api/"):
        return None
    scheme, _space, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


class RegisteredSessionMiddleware(AuthenticationMiddleware):
    """Says who asks. The cookie's session names a row of the registry, and the person is whose row it is while it lives:
    one statement, which an ended session, a switched-off account and a changed password all answer alike."""

    def process_request(self, request: HttpRequest) -> None:
        request.user_session = request.session_over = None  # type: ignore[attr-defined]
        request.user = SimpleLazyObject(lambda: self._who_asks(request))  # type: ignore[assignment]

    def _who_asks(self, request: HttpRequest) -> User | AnonymousUser:
        if bearer_credentials(request) is not None:
            return AnonymousUser()  # accounts/api/authentication.py says who; the cookie counts for nothing
        named = request.session.get(SESSION_ID)
        if not named:
            return AnonymousUser()
        now, present = timezone.now(), None
        with suppress(ValueError):
            present = registry.present_session(session_id=UUID(named), at=now, reference=reference_in(request))
        if present is None or present.over:
            if present and present.over and not present.session.ended_at:
                registry.end_overdue_session(session=present.session, reason=present.over, at=now)
            over = present.over if present else registry.end_of_session(named)
            request.session_over = over  # type: ignore[attr-defined]
            request.session.flush()
            return AnonymousUser()
        request.user_session = present.session  # type: ignore[attr-defined]
        request.present_session = present  # type: ignore[attr-defined]
        request.standing = present.standing  # type: ignore[attr-defined]
        return present.session.user

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Note that the person acts, and lead who lacks a second factor to its enrolment. (The API does the same where it
        authenticates: healthivr/api.py.)"""
        if not request.user.is_authenticated or not request.user_session:  # type: ignore[attr-defined]
            return None
        if not getattr(view, "is_background", False):
            registry.see_session(request.user_session, at=timezone.now())  # type: ignore[attr-defined]
        is_open = not getattr(view, "login_required", True) or getattr(
            view, "is_reachable_without_second_factor", False
        )
        if is_open or not request.present_session.lacks_second_factor:  # type: ignore[attr-defined]
            return None
        enrolment = reverse("accounts:second_factor_enrol")
        if request.headers.get("HX-Request"):
            return HttpResponse(status=403, headers={"HX-Redirect": enrolment})
        return redirect(f"{enrolment}?next={quote(request.get_full_path())}" if request.method == "GET" else enrolment)


def page_behind(request: HttpRequest) -> str:
    """Return the page of ours on which a form was sent, as a path, or nothing if the browser does not say. Where a form
    sends is often no page that can be opened."""
    page = request.META.get("HTTP_REFERER", "")
    if not url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure()):
        return ""
    path: str = urlsplit(page)._replace(scheme="", netloc="").geturl()
    return path


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Leads who pressed a button after their session had ended back to the button's page, not to where it sends: a
    redirect is always a GET. A part of a page that asks for itself (htmx) is told 401, and the page says so."""

    def handle_no_permission(self, request: HttpRequest, view_func: Any) -> HttpResponse:  # type: ignore[override]
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401)
        if why := ENDED.get(request.session_over):  # type: ignore[attr-defined]
            messages.warning(request, str(why))
        if request.method in ("GET", "HEAD"):
            return super().handle_no_permission(request, view_func)
        if any(str(value).strip() for name, value in request.POST.items() if name not in NOT_TYPED):
            said = _("You are signed out, and nothing was sent. Sign in, then fill the form in again: it was not kept.")
        else:
            said = _("You are signed out, and nothing was sent. Sign in, then send it again.")
        messages.warning(request, said)
        return redirect_to_login(page_behind(request) or resolve_url("home"))


class PersonMiddleware:
    """Activates the person's language and time zone for the request; for strangers the browser's language and UTC. The
    API speaks UTC to everybody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            is_api = request.path_info.startswith("/api/")
            zone = ZoneInfo(request.user.time_zone) if request.user.is_authenticated and not is_api else None
        except (ZoneInfoNotFoundError, ValueError):
            zone = None
        if request.user.is_authenticated:
            translation.activate(request.user.language)  # until LocaleMiddleware, which says so in Content-Language
            request.LANGUAGE_CODE = translation.get_language()
        with timezone.override(zone):
            return self.get_response(request)
