"""Django admin for platform administrators. It runs through the platform() door and is audited."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID

from .actor import Actor
from .models import Organization
from .roles import Role
from .selectors import is_platform_administrator
from .tenancy import platform


class PlatformAdminSite(AdminSite):
    """Lets in whoever is an administrator of the platform now, asked at each request."""

    site_header = _("healthivr platform administration")
    site_title = _("healthivr")
    index_title = _("Records")
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        if not request.user.is_authenticated:
            return False
        if not hasattr(request, "is_platform_administrator"):
            request.is_platform_administrator = is_platform_administrator(request.user)  # type: ignore[attr-defined]
        return bool(request.is_platform_administrator)  # type: ignore[attr-defined]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if self.has_permission(request):
                request.doors.enter_context(platform("django admin"))  # type: ignore[attr-defined]
                request.actor = Actor(  # type: ignore[attr-defined]
                    request.user,  # type: ignore[arg-type]
                    Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID),
                    frozenset({Role.ADMIN}),
                    True,
                    request.client_address,  # type: ignore[attr-defined]
                    request.request_id,  # type: ignore[attr-defined]
                )
            return view(request, *args, **kwargs)

        return super().admin_view(inside, cacheable)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page. Signed in and no platform administrator: this site does not exist for them."""
        if request.user.is_authenticated:
            raise Http404
        return redirect(f"/sign-in/?next={request.path}")
