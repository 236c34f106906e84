"""Shows pages in the signed-in person's language, and times in their zone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation


class PersonMiddleware:
    """Activates the person's language and time zone for the request; for strangers the browser's language and UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            zone = ZoneInfo(request.user.time_zone) if request.user.is_authenticated else None
        except (ZoneInfoNotFoundError, ValueError):
            zone = None
        if request.user.is_authenticated:
            translation.activate(request.user.language)  # until LocaleMiddleware, which says so in Content-Language
            request.LANGUAGE_CODE = translation.get_language()
        with timezone.override(zone):
            return self.get_response(request)
