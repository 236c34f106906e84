"""Pages of invitations: staff's below /o/<organization>/, the invited person's below /i/."""

from django.urls import path

from .views import detail, invitee, leaving, overview, preview, staff

app_name = "invitations"
urlpatterns = [
    path("i/start/", invitee.start, name="start"),
    path("i/accept/", invitee.accept, name="accept_form"),
    path("i/decline/", invitee.decline, name="decline"),
    path("i/decline/done/", invitee.decline_done, name="decline_done"),
    path("i/new-link/", invitee.new_link, name="new_link"),
    path("i/new-link/sent/", invitee.new_link_sent, name="new_link_sent"),
    path("i/<str:token>/", invitee.landing, name="accept"),
    path("o/<slug:organization>/welcome/", invitee.welcome, name="welcome"),
    path("o/<slug:organization>/invitations/", staff.invitation_list, name="list"),
    path("o/<slug:organization>/invitations/new/", staff.create, name="create"),
    path("o/<slug:organization>/invitations/new/preview/", preview.preview, name="preview"),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/", detail.detail, name="detail"),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/standing/", detail.standing, name="standing"),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/resend/", staff.resend, name="resend"),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/renew/", staff.renew, name="renew"),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/cancel/", staff.cancel, name="cancel"),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/edit/", staff.edit, name="edit"),
    path(
        "o/<slug:organization>/invitations/<uuid:invitation_id>/address/",
        staff.correct_address,
        name="correct_address",
    ),
    path("o/<slug:organization>/invitations/<uuid:invitation_id>/adopt/", leaving.adopt, name="adopt"),
    path("o/<slug:organization>/people/bulk/", leaving.bulk, name="people_bulk"),
    path("o/<slug:organization>/people/leave/<uuid:user_id>/", leaving.leave, name="leave"),
    path("o/<slug:organization>/people/left/<uuid:user_id>/", leaving.left, name="left"),
]
#: The overview stands in the organizations' namespace, and counts invitations: healthivr/urls.py puts it there.
overview_page = path("", overview.overview, name="overview")
