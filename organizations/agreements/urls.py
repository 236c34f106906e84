"""Pages of agreements, below /o/<organization>/."""

from django.urls import path

from . import views

urlpatterns = [
    path("compliance/", views.compliance, name="compliance"),
    path("agreements/", views.agreements, name="agreements"),
    path("agreements/sign/", views.sign, name="sign_agreement"),
    path("agreements/draft/", views.draft, name="draft_agreement"),
    path("agreements/<uuid:agreement_id>/draft/", views.draft, name="edit_agreement"),
    path("agreements/<uuid:agreement_id>/send/", views.send, name="send_agreement"),
    path("agreements/<uuid:agreement_id>/renew/", views.renew, name="renew_agreement"),
    path("agreements/<uuid:agreement_id>/terminate/", views.terminate, name="terminate_agreement"),
    path("agreements/<uuid:agreement_id>/document/", views.document, name="agreement_document"),
]
