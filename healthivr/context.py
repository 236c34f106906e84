"""What every page's template knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def page(request: HttpRequest) -> dict[str, Any]:
    """Return the names that layout templates use: where we are, who to ask, and the actor if there is one."""
    return {
        "environment": settings.ENVIRONMENT,
        "support_email": settings.SUPPORT_EMAIL,
        "request_id": getattr(request, "request_id", ""),
        "actor": getattr(request, "actor", None),
    }
