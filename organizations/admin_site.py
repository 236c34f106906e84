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
    final_catch_all_view = False  # it would answer each address without its slash with 404

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Leave out what others bring along: django-auditlog's table is never made, Django's groups give no rights."""
        if not admin_class.__module__.startswith(("auditlog.", "django.")):
            super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[Any]:
        """Leave out the redirect from a row to its page: no row here has one."""
        return [route for route in super().get_urls() if getattr(route, "name", "") != "view_on_site"]

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
            return view(request, *args, **kwargs)  # type: ignore[no-any-return]

        return super().admin_view(inside, cacheable)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page, and strangers are sent there before they come here. For whoever is signed in and no
        platform administrator this site does not exist."""
        if not self.has_permission(request):
            raise Http404
        return redirect("admin:index")

    def logout(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is one way out, which stands in the trail."""
        return redirect("accounts:sign_out", preserve_request=True)

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is one way to change a password, which stands in the trail."""
        return redirect("accounts:change_password")
