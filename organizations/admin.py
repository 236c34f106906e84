"""Organizations in Django admin. Names may be corrected here; members, seats and states have services of their own."""

from django.contrib import admin

from audit.admin import AuditedAdmin, ReadOnlyAdmin

from .models import Membership, Organization, OrganizationSettings


@admin.register(Organization)
class OrganizationAdmin(AuditedAdmin):
    editable = ("name",)
    list_display = ("name", "slug", "kind", "state", "parent", "created_at")
    list_filter = ("kind", "state")
    search_fields = ("name", "slug")


@admin.register(OrganizationSettings)
class OrganizationSettingsAdmin(AuditedAdmin):
    editable = ("seat_limit", "staff_may_invite")
    list_display = ("organization", "plan", "seats_used", "seat_limit", "staff_may_invite")


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("organization", "user", "role", "is_org_admin", "status", "started_at", "ended_at")
    list_filter = ("role", "status", "is_org_admin")
