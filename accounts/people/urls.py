"""Pages below /o/<organization>/people/."""

from django.urls import path

from accounts.views import people, people_acts, people_review

app_name = "people"
urlpatterns = [
    path("review/", people_review.review, name="review"),
    path("review/table/", people_review.table, name="review_table"),
    path("<uuid:membership_id>/role/", people_acts.change_role, name="change_role"),
    path("<uuid:membership_id>/further-role/", people_acts.grant_role, name="grant_role"),
    path("<uuid:membership_id>/unlock/", people_acts.unlock, name="unlock"),
    path("<uuid:membership_id>/password/", people_acts.reset_password, name="reset_password"),
    path("<uuid:membership_id>/sessions/", people_acts.end_sessions, name="end_sessions"),
    path("<uuid:membership_id>/deactivate/", people_acts.deactivate, name="deactivate"),
    path("<uuid:membership_id>/activate/", people_acts.activate, name="activate"),
]
#: The list and one person stand in the organizations' namespace: healthivr/urls.py puts them there.
people_pages = [
    path("people/", people.people, name="people"),
    path("people/<uuid:membership_id>/", people.member, name="member"),
]
