"""Routes of the organizations' API, below /api/v1/admin/organizations/."""

from django.urls import path

from . import views

app_name = "organizations_api"
urlpatterns = [
    path("", views.OrganizationListView.as_view(), name="list"),
    path("stats/", views.StatsView.as_view(), name="stats"),
    path("<uuid:organization_id>/", views.OrganizationDetailView.as_view(), name="detail"),
    path("<uuid:organization_id>/deactivate/", views.DeactivateView.as_view(), name="deactivate"),
    path("<uuid:organization_id>/activate/", views.ActivateView.as_view(), name="activate"),
    path("<uuid:organization_id>/assign-admin/", views.AssignAdministratorView.as_view(), name="assign_admin"),
    path("<uuid:organization_id>/plan/", views.PlanView.as_view(), name="plan"),
]
