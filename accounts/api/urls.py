"""Routes of signing in by API, below /api/v1/auth/."""

from django.urls import path

from . import views

app_name = "accounts_api"
urlpatterns = [
    path("token/", views.ObtainView.as_view(), name="token"),
    path("token/refresh/", views.RefreshView.as_view(), name="refresh"),
    path("token/revoke/", views.RevokeView.as_view(), name="revoke"),
    path("keys/", views.KeyListView.as_view(), name="keys"),
    path("keys/<uuid:key_id>/", views.KeyView.as_view(), name="key"),
]
