"""Routes of the people's API, below /api/v1/admin/users/."""

from django.urls import path

from . import views

app_name = "people_api"
urlpatterns = [
    path("", views.PeopleView.as_view(), name="list"),
    path("stats/", views.StatsView.as_view(), name="stats"),
    path("bulk/", views.BulkView.as_view(), name="bulk"),
    path("<uuid:user_id>/", views.PersonView.as_view(), name="detail"),
    path("<uuid:user_id>/activate/", views.ActivateView.as_view(), name="activate"),
    path("<uuid:user_id>/deactivate/", views.DeactivateView.as_view(), name="deactivate"),
    path("<uuid:user_id>/password/", views.PasswordView.as_view(), name="password"),
    path("<uuid:user_id>/unlock/", views.UnlockView.as_view(), name="unlock"),
    path("<uuid:user_id>/roles/", views.RolesView.as_view(), name="roles"),
    path("<uuid:user_id>/sessions/", views.SessionsView.as_view(), name="sessions"),
    path("<uuid:user_id>/leave/", views.LeaveView.as_view(), name="leave"),
    path("<uuid:invitation_id>/resend-invitation/", views.ResendView.as_view(), name="resend"),
]
