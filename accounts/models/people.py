"""People who sign in, and the mails that their accounts cause."""

import unicodedata
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import (
    UNUSABLE_PASSWORD_PREFIX,
    check_password,
    is_password_usable,
    make_password,
)
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _

from accounts.outbox import OutgoingMail
from healthivr.kernel.ids import new_id


class UserManager(BaseUserManager["User"]):
    """Finds people by their normalised address."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())


def normalise_password(raw: str) -> str:
    """Return a password in the form that is hashed: the same keys typed on two machines may arrive as different code
    points (NIST SP 800-63B 3.1.1.2: NFKC)."""
    return unicodedata.normalize("NFKC", raw)


def hash_password(raw: str) -> str:
    """Return the Argon2id hash of a password. Takes some 40 ms: never call it inside a transaction."""
    return make_password(normalise_password(raw))


def void_password(encoded: str) -> str:
    """Return what a password becomes that an administrator takes back: unusable, another value each time, so that links
    made before die, and still knowing the hash, so that the same password is not taken again."""
    return f"{UNUSABLE_PASSWORD_PREFIX}{get_random_string(8)}{UNUSABLE_PASSWORD_PREFIX}{_hash_in(encoded)}"


def is_voided_password(encoded: str, raw: str) -> bool:
    """Say whether this is the password that an administrator took back. Costs a hash where there is one."""
    return not is_password_usable(encoded) and check_password(normalise_password(raw), _hash_in(encoded))


def _hash_in(encoded: str) -> str:
    return encoded.rpartition(UNUSABLE_PASSWORD_PREFIX)[2]


class User(AbstractBaseUser):
    """A person, in any number of organizations. Global: no tenant owns a person. Never deleted, only deactivated."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.CharField(_("e-mail address"), max_length=254)
    first_name = models.CharField(_("first name"), max_length=100)
    last_name = models.CharField(_("last name"), max_length=100)
    is_active = models.BooleanField(_("may sign in"), default=True)
    #: An administrator has voided the password: a mailed link leads to the page that sets a new one, and nothing else in.
    must_change_password = models.BooleanField(_("must choose a new password"), default=False)
    time_zone = models.CharField(_("time zone"), max_length=50, default="America/New_York")
    language = models.CharField(_("language"), max_length=10, default="en")
    invited_by = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="invited_people", db_index=False
    )
    # The database sets it to NULL (migration 0004) when the organization that invited is purged.
    invitation = models.OneToOneField(
        "invitations.UserInvitation", models.PROTECT, null=True, blank=True, related_name="created_user"
    )
    invitation_accepted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["first_name", "last_name"]
    objects = UserManager()

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            # Stored normalised (healthivr/kernel/emails.py), so plain uniqueness is uniqueness without case.
            models.UniqueConstraint(
                fields=["email"],
                name="user_email_once",
                violation_error_message=_("Somebody with this address exists already."),
            ),
            models.CheckConstraint(
                condition=Q(email=models.functions.Lower("email")) & Q(email__contains="@"),
                name="user_email_normalised",
            ),
        ]

    def __str__(self) -> str:
        return f"user {self.pk}"

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return self.first_name

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(normalise_password(raw_password) if raw_password is not None else None)

    def check_password(self, raw_password: str | None) -> bool:
        return super().check_password(normalise_password(raw_password or ""))

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Django's permissions are not used: rights are capabilities in an organization (organizations/roles.py)."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        return False


class SetupLink(models.Model):
    """The one-time link that makes the first administrator of an empty installation. Only its digest is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    digest = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"set-up link {self.pk}"


class AccountMailKind(models.TextChoices):
    PASSWORD_RESET = "password_reset", _("Password reset")
    LOCKED = "locked", _("Sign-in locked")
    FACTOR_ENROLLED = "factor_enrolled", _("Second factor set up")
    FACTOR_REMOVED = "factor_removed", _("Second factor removed")
    FACTOR_RESET = "factor_reset", _("Second factor to be reset")
    CODES_REPLACED = "codes_replaced", _("Recovery codes replaced")
    CODE_USED = "code_used", _("Recovery code used")
    API_KEY_CREATED = "api_key_created", _("API key made")
    PASSWORD_CHANGED = "password_changed", _("Password changed")
    EMAIL_CONFIRM = "email_confirm", _("Confirmation of a new address")
    EMAIL_TAKEN = "email_taken", _("Somebody named this address as theirs")
    EMAIL_CHANGED = "email_changed", _("Address changed")
    EXTERNAL_LINKED = "external_linked", _("External sign-in linked")
    EXTERNAL_REMOVED = "external_removed", _("External sign-in removed")
    RESET_FORCED = "reset_forced", _("Password reset by an administrator")
    LEAVER_RECEIPT = "leaver_receipt", _("Receipt: somebody left")
    ROLE_CHANGED = "role_changed", _("Role changed")
    ACCESS_ENDED = "access_ended", _("Access ended")
    LICENSE_APPROVED = "license_approved", _("License approved")
    LICENSE_REJECTED = "license_rejected", _("License rejected")
    LICENSE_SUSPENDED = "license_suspended", _("License suspended")
    LICENSE_EXPIRED = "license_expired", _("License expired")
    LICENSE_EXPIRING = "license_expiring", _("License expires soon")
    AGREEMENT_SENT = "agreement_sent", _("Agreement to sign")
    AGREEMENT_ENDING = "agreement_ending", _("Agreement ends soon")
    AGREEMENT_ENDED = "agreement_ended", _("Agreement has ended")
    AGREEMENT_TERMINATED = "agreement_terminated", _("Agreement terminated")


class AccountMail(OutgoingMail):
    """A mail that an account causes, to be sent by the worker. Holds ids only: links are made when it leaves."""

    kind = models.CharField(max_length=30, choices=AccountMailKind)
    #: Nobody for an address that nobody has: such a row is never sent, and makes both cases cost the same.
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+", db_index=False)
    #: Further values of the template: numbers, and paths of ours made of ids. Nothing personal.
    facts = models.JSONField(default=dict, blank=True)

    class Meta(OutgoingMail.Meta):
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(status__in=["queued", "sending"]), name="account_mail_due")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
