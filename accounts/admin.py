"""People in Django admin, to look at: a name is its owner's to change, and the profile page cleans it. Nobody ever sees
or sets a password."""

from django.contrib import admin

from audit.admin import ReadOnlyAdmin

from .models import AccountMail, SetupLink, User


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
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
