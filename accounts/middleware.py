"""Asks strangers to sign in; shows pages in the signed-in person's language, and times in their zone."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone, translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _


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
        if request.method in ("GET", "HEAD"):
            return super().handle_no_permission(request, view_func)
        messages.warning(request, _("You are signed out, and nothing was sent. Sign in, then send it again."))
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
