"""Pages of accounts."""

from django.urls import path

from . import views

app_name = "accounts"
urlpatterns = [
    path("setup/<str:secret>/", views.setup, name="setup"),
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("password-reset/", views.password_reset, name="password_reset"),
    path("password-reset/sent/", views.password_reset_sent, name="password_reset_sent"),
    path("password-reset/done/", views.password_reset_done, name="password_reset_done"),
    path("password-reset/<str:uid>/<str:token>/", views.new_password, name="new_password"),
    path("profile/", views.profile, name="profile"),
    path("profile/password/", views.change_password, name="change_password"),
]
