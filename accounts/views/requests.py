"""What the pages of accounts share: limits for strangers, and where a request comes from."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

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
