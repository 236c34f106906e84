"""Routes of the invitations' API, below /api/v1/invitations/."""

from django.urls import path

from . import views

app_name = "invitations_api"
urlpatterns = [
    path("", views.InvitationListView.as_view(), name="list"),
    path("validate/<str:token>/", views.ValidateView.as_view(), name="validate"),
    path("accept/<str:token>/", views.AcceptView.as_view(), name="accept"),
    path("decline/<str:token>/", views.DeclineView.as_view(), name="decline"),
    path("<uuid:invitation_id>/", views.InvitationDetailView.as_view(), name="detail"),
    path("<uuid:invitation_id>/resend/", views.ResendView.as_view(), name="resend"),
    path("<uuid:invitation_id>/renew/", views.RenewView.as_view(), name="renew"),
]
