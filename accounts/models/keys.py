"""The keys that people make for scripts. Only a keyed digest of each is stored."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import new_id
from organizations.scopes import Scope


class ApiKeyEnd(models.TextChoices):
    """Why a key stopped, where its time was not simply over."""

    ENDED_BY_OWNER = "ended_by_owner", _("Ended by its owner")
    ENDED_BY_ADMINISTRATOR = "ended_by_administrator", _("Ended by an administrator")
    PASSWORD_CHANGED = "password_changed", _("The password changed")
    FACTOR_CHANGED = "factor_changed", _("The second factor changed")
    EMAIL_CHANGED = "email_changed", _("The e-mail address changed")
    DEACTIVATED = "deactivated", _("The account was switched off")
    MEMBERSHIP_ENDED = "membership_ended", _("The membership ended")


class ApiKey(models.Model):
    """A key that a person made for a script: it acts as they do in one organization, within its scopes. Global, like
    their sessions: it is the person's, and is looked up before anybody knows in which organization (adr/0011)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="api_keys", db_index=False)
    organization = models.ForeignKey("organizations.Organization", models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=60)
    #: The beginning of the key, by which its owner tells it from others.
    prefix = models.CharField(max_length=13)
    digest = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=40, choices=Scope))
    #: Whether its owner had given their second factor when they made it.
    is_second_factor = models.BooleanField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: Written once a minute at most.
    last_used_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=30, choices=ApiKeyEnd, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None, end_reason="") | Q(ended_at__isnull=False) & ~Q(end_reason=""),
                name="api_key_ended_has_reason",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=models.F("created_at")), name="api_key_expires"),
            models.CheckConstraint(condition=Q(scopes__len__gt=0), name="api_key_has_scopes"),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at"], condition=Q(ended_at=None), name="api_key_live_of_user"),
        ]

    @property
    def scope_labels(self) -> list[str]:
        """What the key may do, in words."""
        return [str(Scope(scope).label) for scope in self.scopes]

    def __str__(self) -> str:
        return f"API key {self.pk}"
