"""The page that explains the API to people."""

import re
from pathlib import Path
from typing import Any

from csp.decorators import csp_exempt
from django.conf import settings
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response


def documented_codes() -> list[tuple[str, str, str, str]]:
    """Return the rows of docs/errors.md, as plain text: code, statuses, meaning, what to do."""
    text = (Path(settings.BASE_DIR) / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return [(code, status, meaning.replace("`", ""), act.replace("`", "")) for code, status, meaning, act in rows]


@method_decorator(csp_exempt(), name="dispatch")  # it writes inline styles
class DocsView(SpectacularSwaggerSplitView):
    """Swagger's page, with an anchor for each code below it: there a problem's `type` leads. The library opens it to
    pop-ups of other origins, for a way to sign in that is not ours."""

    template_name = "healthivr/api_docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        if response.template_name == self.template_name:  # not the script that the page asks for
            response.data["codes"] = documented_codes()
        response["Cross-Origin-Opener-Policy"] = "same-origin"
        return response
