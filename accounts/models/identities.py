"""Who somebody is elsewhere: accounts at an identity provider that sign in here."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import new_id

#: OpenID Connect Core 2: a subject has 255 ASCII characters at most.
SUBJECT_LENGTH = 255


class ExternalIdentity(models.Model):
    """An account at an identity provider that signs somebody in: one a person and provider. Global, like the person.

    The pair of issuer and subject is what the provider promises never to give to anybody else. An address it may, and is
    asked once only: docs/adr/0016-oidc.md.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="external_identities", db_index=False
    )
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=SUBJECT_LENGTH)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()

    class Meta:
        verbose_name = _("external identity")
        verbose_name_plural = _("external identities")
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="external_identity_once"),
            models.UniqueConstraint(fields=["user", "issuer"], name="external_identity_one_a_person"),
        ]

    def __str__(self) -> str:
        return f"external identity {self.pk}"
