"""Organizations in Django admin, to read: names, policies, plans and seats are changed on the organization's pages, which
platform administrators may open too, and where a fresh proof is asked for."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin import ReadOnlyAdmin

from .agreements.models import AgreementDocument, BaaReminder, BusinessAssociateAgreement
from .models import Membership, Organization, OrganizationSettings


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "kind", "state", "parent", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("parent",)
    search_fields = ("name", "slug")


@admin.register(OrganizationSettings)
class OrganizationSettingsAdmin(ReadOnlyAdmin):
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
