"""Every address of healthivr. The organization is in the URL: two tabs on two clinics never share a hidden switch."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from accounts.people.urls import people_pages
from healthivr import development, health, views
from healthivr.api_docs import DocsView
from invitations.urls import overview_page
from organizations.urls import urlpatterns as organization_pages
from organizations.views import home

urlpatterns = [
    path("", home, name="home"),
    path("", include("accounts.urls")),
    path("", include("invitations.urls")),
    path("o/<slug:organization>/", include(([overview_page, *people_pages, *organization_pages], "organizations"))),
    path("o/<slug:organization>/practitioners/", include("accounts.practitioners.urls")),
    path("o/<slug:organization>/people/", include("accounts.people.urls")),
    path("favicon.ico", views.favicon, name="favicon"),
    path("healthz/", health.healthz, name="healthz"),
    path("readyz/", health.readyz, name="readyz"),
    path("api/v1/invitations/", include("invitations.api.urls")),
    path("api/v1/", include("accounts.practitioners.api.urls")),
    path("api/v1/auth/", include("accounts.api.urls")),
    path("api/v1/admin/users/", include("invitations.api.people.urls")),
    path("api/v1/admin/organizations/", include("organizations.api.urls")),
    path("api/v1/admin/organizations/", include("organizations.api.agreements")),
    path("api/v1/schema/", login_not_required(SpectacularAPIView.as_view()), name="schema"),
    path("api/v1/docs/", login_not_required(DocsView.as_view(url_name="schema")), name="docs"),
    path("admin/", admin.site.urls),
]

if settings.ENVIRONMENT == "development" and settings.MAIL_FOLDER:
    urlpatterns += [
        path("dev/mail/", development.mail_list, name="development_mail_list"),
        path("dev/mail/<str:name>/", development.mail, name="development_mail"),
        path("dev/mail/<str:name>/html/", development.mail_html, name="development_mail_html"),
    ]

handler400 = "healthivr.views.bad_request"
handler403 = "healthivr.views.not_permitted"
handler404 = "healthivr.views.not_found"
handler500 = "healthivr.views.server_error"
