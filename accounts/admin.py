"""People in Django admin, to look at: a name is its owner's to change, and the profile page cleans it. Nobody ever sees
or sets a password."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from audit.admin import ReadOnlyAdmin

from .models import (
    AccountMail,
    ApiKey,
    Authenticator,
    EmailChange,
    ExternalIdentity,
    FactorReset,
    PractitionerCredential,
    RecoveryCode,
    RefreshToken,
    SetupLink,
    SignInLock,
    User,
    UserSession,
)


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    exclude = ("password",)
    list_display = ("email", "first_name", "last_name", "is_active", "last_login", "created_at")
    search_fields = ("email", "first_name", "last_name")


@admin.register(AccountMail)
class AccountMailAdmin(ReadOnlyAdmin):
    list_display = ("kind", "person", "status", "attempt", "created_at", "finished_at")
    list_select_related = ("user",)

    @admin.display(description=_("person"), ordering="user__email")
    def person(self, mail: AccountMail) -> str:
        """Return whose mail it is, as staff know them: str() of a person names nobody."""
        return mail.user.email if mail.user else ""


@admin.register(SetupLink)
class SetupLinkAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("id", "expires_at", "used_at")


@admin.register(EmailChange)
class EmailChangeAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at", "expires_at", "closed_at")
    search_fields = ("old_email", "new_email")


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin):
    list_display = ("user", "kind", "method", "created_at", "last_seen_at", "ended_at", "end_reason")
    list_select_related = ("user",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("prefix", "user", "organization", "created_at", "expires_at", "last_used_at", "end_reason")
    list_select_related = ("user", "organization")


@admin.register(RefreshToken)
class RefreshTokenAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("session", "created_at", "used_at", "expires_at")
    list_select_related = ("session",)


@admin.register(ExternalIdentity)
class ExternalIdentityAdmin(ReadOnlyAdmin):
    list_display = ("user", "issuer", "subject", "created_at", "last_used_at")
    list_select_related = ("user",)


@admin.register(SignInLock)
class SignInLockAdmin(ReadOnlyAdmin):
    exclude = ("key",)
    list_display = ("__str__", "failures", "last_failure_at", "locked_until")


@admin.register(PractitionerCredential)
class PractitionerCredentialAdmin(ReadOnlyAdmin):
    list_display = ("npi", "license_state", "standing", "approved_until", "submitted_at", "decided_at")
    list_filter = ("standing", "license_state")
    search_fields = ("npi",)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    exclude = ("seed", "last_step", "drift", "begun_in")
    list_display = ("user", "created_at", "confirmed_at", "codes_kept_at")
    list_select_related = ("user",)


@admin.register(RecoveryCode)
class RecoveryCodeAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("user", "created_at", "used_at")
    list_select_related = ("user",)


@admin.register(FactorReset)
class FactorResetAdmin(ReadOnlyAdmin):
    list_display = ("user", "started_by", "created_at", "expires_at", "used_at")
    list_select_related = ("user", "started_by")
