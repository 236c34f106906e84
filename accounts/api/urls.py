"""Routes of signing in by API, below /api/v1/auth/."""

from django.urls import path

from . import second_factor, views

app_name = "accounts_api"
urlpatterns = [
    path("token/", views.ObtainView.as_view(), name="token"),
    path("token/refresh/", views.RefreshView.as_view(), name="refresh"),
    path("token/revoke/", views.RevokeView.as_view(), name="revoke"),
    path("keys/", views.KeyListView.as_view(), name="keys"),
    path("keys/<uuid:key_id>/", views.KeyView.as_view(), name="key"),
    path("second-factor/", second_factor.FactorView.as_view(), name="second_factor"),
    path("second-factor/confirm/", second_factor.ConfirmView.as_view(), name="second_factor_confirm"),
    path("second-factor/recovery-codes/", second_factor.RecoveryCodesView.as_view(), name="recovery_codes"),
    path("verify/", second_factor.VerifyView.as_view(), name="verify"),
]
