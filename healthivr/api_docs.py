"""The page that explains the API to people."""

import re
from pathlib import Path
from typing import Any

from csp.decorators import csp_exempt
from django.conf import settings
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response


def _errors() -> str:
    return (Path(settings.BASE_DIR) / "docs" / "errors.md").read_text(encoding="utf-8")


def documented_codes() -> list[tuple[str, str, str, str]]:
    """Return the rows of docs/errors.md: code, statuses, meaning, what to do. Backticks mark code."""
    return re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", _errors(), re.MULTILINE)


def explanation() -> list[str]:
    """Return the paragraphs of docs/errors.md above its table. Backticks mark code; a link is its words."""
    above, _table, _rows = _errors().partition("\n\n|")
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", above).split("\n\n")[1:]


@method_decorator(csp_exempt(), name="dispatch")  # Swagger writes inline styles
class DocsView(SpectacularSwaggerView):
    """Our page around Swagger's list of endpoints, with an anchor for each code below it: there a problem's `type` leads.
    The library opens it to pop-ups of other origins, for a way to sign in that is not ours."""

    template_name = "healthivr/api_docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response.data |= {"codes": documented_codes(), "explanation": explanation()}
        response["Cross-Origin-Opener-Policy"] = "same-origin"
        return response
