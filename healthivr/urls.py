"""Every address of healthivr. The organization is in the URL: two tabs on two clinics never share a hidden switch."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from healthivr import health

urlpatterns = [
    path("healthz/", health.healthz, name="healthz"),
    path("readyz/", health.readyz, name="readyz"),
    path("api/v1/invitations/", include("invitations.api.urls")),
    path("api/v1/schema/", login_not_required(SpectacularAPIView.as_view()), name="schema"),
    path("api/v1/docs/", login_not_required(SpectacularSwaggerView.as_view(url_name="schema")), name="docs"),
    path("admin/", admin.site.urls),
]

handler400 = "healthivr.views.bad_request"
handler403 = "healthivr.views.not_permitted"
handler404 = "healthivr.views.not_found"
handler500 = "healthivr.views.server_error"
