"""Organizations in Django admin, read-only where the domain owns the change: a name stands in mails and is cleaned by the
settings page, which platform administrators may open too. Only what a plan allows is set here."""

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin import AuditedAdmin, ReadOnlyAdmin

from .agreements.models import AgreementDocument, BaaReminder, BusinessAssociateAgreement
from .models import Membership, Organization, OrganizationSettings


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "kind", "state", "parent", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("parent",)
    search_fields = ("name", "slug")


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    """Says what the database would refuse: it sees the seats in use, which the form does not show."""

    def clean_seat_limit(self) -> int:
        limit: int = self.cleaned_data["seat_limit"]
        if limit < self.instance.seats_used:
            raise forms.ValidationError(
                _("%(used)d seats are in use. End memberships or cancel invitations first."),
                params={"used": self.instance.seats_used},
            )
        return limit


@admin.register(OrganizationSettings)
class OrganizationSettingsAdmin(AuditedAdmin):
    form = SettingsForm
    editable = ("seat_limit", "staff_may_invite")
    list_display = ("organization", "plan", "seats_used", "seat_limit", "staff_may_invite")
    list_select_related = ("organization",)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("person", "organization", "role", "is_org_admin", "status", "started_at", "ended_at")
    list_filter = ("role", "status", "is_org_admin")
    list_select_related = ("organization", "user")

    @admin.display(description=_("person"), ordering="user__email")
    def person(self, membership: Membership) -> str:
        """Return whose it is, as staff know them: str() of a person names nobody."""
        return membership.user.email


@admin.register(BusinessAssociateAgreement)
class AgreementAdmin(ReadOnlyAdmin):
    list_display = ("organization", "status", "version", "effective", "expires", "signed_at", "ended_at")
    list_filter = ("status", "direction", "is_standard")
    list_select_related = ("organization",)


@admin.register(AgreementDocument)
class AgreementDocumentAdmin(ReadOnlyAdmin):
    exclude = ("content",)  # downloaded from the organization's page alone
    list_display = ("id", "organization", "media_type", "size", "sha256", "created_at")
    list_select_related = ("organization",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgreementDocument]:
        return super().get_queryset(request).defer("content")


@admin.register(BaaReminder)
class BaaReminderAdmin(ReadOnlyAdmin):
    list_display = ("organization", "agreement", "offset", "sent_at", "created_at")
    list_select_related = ("organization",)
