"""The platform's pages about doctors to approve, below /o/<organization>/practitioners/."""

from django.urls import path

from accounts.views import practitioners

app_name = "practitioners"
urlpatterns = [
    path("", practitioners.practitioners, name="list"),
    path("<uuid:credential_id>/", practitioners.practitioner, name="detail"),
    path("<uuid:credential_id>/approve/", practitioners.approve, name="approve"),
    path("<uuid:credential_id>/reject/", practitioners.reject, name="reject"),
    path("<uuid:credential_id>/suspend/", practitioners.suspend, name="suspend"),
]
