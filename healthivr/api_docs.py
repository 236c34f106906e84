"""The page that explains the API to people."""

from typing import Any

from csp.decorators import csp_exempt
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response


@method_decorator(csp_exempt(), name="dispatch")  # it writes inline styles
class DocsView(SpectacularSwaggerView):
    """Swagger's page. The library opens it to pop-ups of other origins, for a way to sign in that is not ours."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response["Cross-Origin-Opener-Policy"] = "same-origin"
        return response
