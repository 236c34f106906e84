"""Routes of the licenses' API: one's own below /api/v1/practitioner/, the queue below /api/v1/admin/practitioners/."""

from django.urls import path

from . import views

app_name = "practitioners_api"
urlpatterns = [
    path("practitioner/", views.OwnPractitionerView.as_view(), name="own"),
    path("admin/practitioners/", views.PractitionerListView.as_view(), name="list"),
    path("admin/practitioners/<uuid:credential_id>/", views.PractitionerDetailView.as_view(), name="detail"),
    path("admin/practitioners/<uuid:credential_id>/approve/", views.ApproveView.as_view(), name="approve"),
    path("admin/practitioners/<uuid:credential_id>/reject/", views.RejectView.as_view(), name="reject"),
    path("admin/practitioners/<uuid:credential_id>/suspend/", views.SuspendView.as_view(), name="suspend"),
]
