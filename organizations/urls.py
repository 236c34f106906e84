"""Pages below /o/<organization>/ that this app answers for. (The overview counts invitations, and the pages of people say
much about accounts: healthivr/urls.py.)"""

from django.urls import path

from . import views
from .agreements.urls import urlpatterns as agreement_pages
from .views import directory

urlpatterns = [
    *agreement_pages,
    path("people/<uuid:membership_id>/administrator/", views.change_administrator, name="change_administrator"),
    path("people/<uuid:membership_id>/end/", views.end_membership, name="end_membership"),
    path("settings/", views.settings, name="settings"),
    path("organizations/", directory.directory, name="directory"),
    path("organizations/new/", directory.create_organization, name="create"),
    path("organizations/<uuid:organization_id>/", directory.show_organization, name="organization"),
    path("organizations/<uuid:organization_id>/plan/", directory.change_plan, name="change_plan"),
    path("organizations/<uuid:organization_id>/deactivate/", directory.deactivate_organization, name="deactivate"),
    path("organizations/<uuid:organization_id>/activate/", directory.activate_organization, name="activate"),
]
