"""What gunicorn serves for `authenticated`: healthivr, and in the same process a Django view that does nothing, with and
without our middleware. Not imported as a part of bench, which would name another scratch database."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "healthivr.settings")

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from healthivr.wsgi import application as healthivr

BARE = "/bare/"


@login_not_required
def bare(request: HttpRequest) -> HttpResponse:
    """Say yes."""
    return HttpResponse(b"yes", content_type="text/plain", headers={"Content-Length": "3"})


def _without_middleware() -> WSGIHandler:
    ours, settings.MIDDLEWARE = settings.MIDDLEWARE, []
    try:
        return WSGIHandler()
    finally:
        settings.MIDDLEWARE = ours


nothing_around_it = _without_middleware()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve the bare view by itself, and everything else as always."""
    handler = nothing_around_it if environ["PATH_INFO"] == BARE else healthivr
    return handler(environ, start_response)


def _urlpatterns() -> list[Any]:
    from healthivr.urls import urlpatterns as ours  # noqa: PLC0415  after the settings

    return [path(BARE.strip("/") + "/", bare), path("surrounded/", bare), *ours]


settings.ROOT_URLCONF = __name__
urlpatterns = _urlpatterns()
