"""What programs go on with: refresh tokens. Only a keyed digest of each is stored."""

from django.db import models

from healthivr.kernel.ids import new_id

from .sessions import UserSession


class RefreshToken(models.Model):
    """One link of a family's chain: used once, and each use makes the next."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    session = models.ForeignKey(UserSession, models.CASCADE, related_name="refresh_tokens")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    #: The family's end: a chain cannot outlast it.
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"refresh token {self.pk}"
