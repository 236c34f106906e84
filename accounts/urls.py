"""Pages of accounts."""

from django.urls import path

from .views import (
    addresses,
    external,
    factor_reset,
    keys,
    license,
    passwords,
    profile,
    second_factor,
    sessions,
    setup,
    sign_in,
    step_up,
)

app_name = "accounts"
urlpatterns = [
    path("setup/<str:secret>/", setup.setup, name="setup"),
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/verify/", sign_in.sign_in_verify, name="sign_in_verify"),
    path("sign-in/external/", external.begin, name="external"),
    path("sign-in/external/callback/", external.callback, name="external_callback"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("unlock/<str:token>/", sign_in.unlock, name="unlock"),
    path("password-reset/", passwords.password_reset, name="password_reset"),
    path("password-reset/sent/", passwords.password_reset_sent, name="password_reset_sent"),
    path("password-reset/done/", passwords.password_reset_done, name="password_reset_done"),
    path("password-reset/<str:uid>/<str:token>/", passwords.new_password, name="new_password"),
    path("session/", sessions.session, name="session"),
    path("profile/sessions/", sessions.sessions, name="sessions"),
    path("profile/sessions/end-others/", sessions.end_others, name="end_other_sessions"),
    path("profile/sessions/<uuid:session_id>/end/", sessions.end_one, name="end_session"),
    path("profile/", profile.profile, name="profile"),
    path("profile/external/<uuid:identity_id>/remove/", external.remove, name="external_remove"),
    path("profile/license/", license.license, name="license"),
    path("verify/", step_up.verify, name="verify"),
    path("second-factor-reset/<str:token>/", factor_reset.finish, name="finish_factor_reset"),
    path(
        "o/<slug:organization>/people/<uuid:membership_id>/second-factor/",
        factor_reset.start,
        name="start_factor_reset",
    ),
    path("profile/second-factor/", second_factor.overview, name="second_factor"),
    path("profile/second-factor/enrol/", second_factor.enrol, name="second_factor_enrol"),
    path("profile/second-factor/kept/", second_factor.codes_kept, name="second_factor_kept"),
    path("profile/second-factor/codes/", second_factor.replace_codes, name="second_factor_codes"),
    path("profile/second-factor/remove/", second_factor.remove, name="second_factor_remove"),
    path("profile/keys/", keys.keys, name="keys"),
    path("profile/keys/new/", keys.new_key, name="new_key"),
    path("profile/keys/<uuid:key_id>/end/", keys.end_key, name="end_key"),
    path("profile/email/", addresses.change_email, name="change_email"),
    path("profile/email/sent/", addresses.change_email_sent, name="change_email_sent"),
    path("confirm-email/<str:token>/", addresses.confirm_email, name="confirm_email"),
    path("profile/password/", passwords.change_password, name="change_password"),
]
