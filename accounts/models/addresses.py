"""An address that somebody wants to change to, until its mailbox has proved itself."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import new_id

from .people import User


class EmailChange(models.Model):
    """One wish to change one's address. The mailed link names it by a signature; nothing of the link is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="email_changes")
    old_email = models.CharField(_("old address"), max_length=254)
    new_email = models.CharField(_("new address"), max_length=254)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: When it was confirmed, or replaced by a newer one, or void from the start since the address has an account.
    closed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("change of address")
        verbose_name_plural = _("changes of address")
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=models.Q(closed_at=None), name="email_change_open_once"),
        ]

    def __str__(self) -> str:
        return f"change of address {self.pk}"
