"""Who is signed in, from where, and how it was proved."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.devices import device_name
from healthivr.kernel.ids import new_id


class SessionKind(models.TextChoices):
    """What stands behind a row: a browser with its cookie, or a program with its tokens."""

    BROWSER = "browser", _("Browser")
    TOKEN = "token", _("API tokens")


class SignInMethod(models.TextChoices):
    """By what a session began. A second factor may have come on top (`second_factor_at`)."""

    PASSWORD = "password", _("by password")
    EXTERNAL = "external", _("by an identity provider")


class SessionEnd(models.TextChoices):
    """Why a session ended."""

    SIGNED_OUT = "signed_out", _("Signed out")
    IDLE = "idle", _("Not used for too long")
    EXPIRED = "expired", _("24 hours were over")
    ENDED_BY_OWNER = "ended_by_owner", _("Ended from another session")
    ENDED_BY_ADMINISTRATOR = "ended_by_administrator", _("Ended by an administrator")
    PASSWORD_CHANGED = "password_changed", _("The password changed")
    FACTOR_CHANGED = "factor_changed", _("The second factor changed")
    EXTERNAL_REMOVED = "external_removed", _("An external sign-in was removed")
    EMAIL_CHANGED = "email_changed", _("The e-mail address changed")
    DEACTIVATED = "deactivated", _("The account was switched off")
    MEMBERSHIP_ENDED = "membership_ended", _("A membership ended")
    ROLE_CHANGED = "role_changed", _("The role changed")
    TOKEN_REUSED = "token_reused", _("A used refresh token came back")


class UserSessionQuerySet(models.QuerySet["UserSession"]):
    def live(self, *, at: datetime) -> "UserSessionQuerySet":
        """Sessions that have not ended and whose 24 hours are not over. (Idleness depends on the person's
        organizations: accounts/registry.py.)"""
        return self.filter(ended_at=None, expires_at__gt=at)


class UserSession(models.Model):
    """A browser's session or a family of API tokens. Global, like the person: no tenant owns it.

    The secret stands elsewhere (Django's session key in its cookie; a signature on a token): this row's id is none, and
    what it says is asked on every request, so that ending it ends what it stands for at once.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="user_sessions", db_index=False)
    kind = models.CharField(max_length=10, choices=SessionKind, default=SessionKind.BROWSER)
    method = models.CharField(max_length=10, choices=SignInMethod, default=SignInMethod.PASSWORD)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    #: Written once in 20 seconds at most.
    last_seen_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: When the person last proved to us who they are, with the strongest that they have: what a step-up asks for.
    verified_at = models.DateTimeField()
    #: When the second factor was given; None: not in this session.
    second_factor_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=30, choices=SessionEnd, blank=True)

    objects = UserSessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None, end_reason="") | Q(ended_at__isnull=False) & ~Q(end_reason=""),
                name="session_ended_has_reason",
            ),
            models.CheckConstraint(condition=Q(kind__in=SessionKind.values), name="session_kind_known"),
            models.CheckConstraint(condition=Q(method__in=SignInMethod.values), name="session_method_known"),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at"], condition=Q(ended_at=None), name="session_live_of_user"),
            models.Index(fields=["last_seen_at"], condition=Q(ended_at=None), name="session_live_by_use"),
        ]

    def __str__(self) -> str:
        return f"session {self.pk}"

    @property
    def device(self) -> str:
        """The browser and system in words, or the program's name."""
        return device_name(self.user_agent)

    def is_overdue(self, *, idle: timedelta, at: datetime) -> SessionEnd | None:
        """Return why the session is over though nobody has written it down yet, None while it lives. Only browsers are
        signed out when nobody acts (45 CFR 164.312(a)(2)(iii)); a program's tokens have their own short life."""
        if at >= self.expires_at:
            return SessionEnd.EXPIRED
        if self.kind == SessionKind.BROWSER and at - self.last_seen_at >= idle:
            return SessionEnd.IDLE
        return None
