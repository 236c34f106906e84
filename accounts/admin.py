"""People in Django admin: names may be corrected here, nothing else. Nobody ever sees or sets a password."""

from django.contrib import admin

from audit.admin import AuditedAdmin, ReadOnlyAdmin

from .models import AccountMail, SetupLink, User


@admin.register(User)
class UserAdmin(AuditedAdmin):
    editable = ("first_name", "last_name")
    exclude = ("password",)
    list_display = ("email", "first_name", "last_name", "is_active", "last_login", "created_at")
    search_fields = ("email", "first_name", "last_name")


@admin.register(AccountMail)
class AccountMailAdmin(ReadOnlyAdmin):
    list_display = ("kind", "user", "status", "attempt", "created_at", "finished_at")


@admin.register(SetupLink)
class SetupLinkAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("id", "expires_at", "used_at")
