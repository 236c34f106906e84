"""What people prove themselves with beside the password: an authenticator app, and the codes for when it is lost."""

from base64 import b32encode
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django_otp.oath import TOTP

from healthivr.kernel.encryption import BLIND_INDEX_LENGTH, decrypt, encrypt
from healthivr.kernel.ids import new_id

#: RFC 6238, as every authenticator app computes it unless told otherwise, and not all can be.
STEP_SECONDS, DIGITS = 30, 6
#: RFC 4226 4: 160 bits.
SEED_BYTES = 20
#: How far the clock of a phone may be off, in steps, once we have seen by how much.
MOST_DRIFT = 4


class Authenticator(models.Model):
    """An authenticator app that shares a seed with us (TOTP): one a person, and one more while it is being set up.

    The seed is encrypted and bound to the row. `last_step` is the time step of the newest code taken: it only grows, so
    no code is taken twice, and none that is older than one taken.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="authenticators", db_index=False)
    #: The session that sets it up: another one, perhaps somebody else's, never gets to see the seed.
    begun_in = models.ForeignKey("accounts.UserSession", models.CASCADE, null=True, related_name="+", db_index=False)
    seed = models.BinaryField()
    last_step = models.BigIntegerField(default=-1)
    #: By how many steps the app's clock is known to be off.
    drift = models.SmallIntegerField(default=0)
    created_at = models.DateTimeField()
    #: When a first code proved that the app has the seed. None: still being set up.
    confirmed_at = models.DateTimeField(null=True)
    #: When the person said that the recovery codes are in a safe place.
    codes_kept_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(confirmed_at__isnull=False), name="authenticator_once"
            ),
            models.UniqueConstraint(fields=["user"], condition=Q(confirmed_at=None), name="authenticator_begun_once"),
        ]

    def __str__(self) -> str:
        return f"authenticator {self.pk}"

    def keep_seed(self, seed: bytes) -> None:
        """Take a seed, encrypted for this row."""
        self.seed = encrypt(seed, table=self._meta.db_table, purpose="seed", row_id=self.pk)

    def _seed(self) -> bytes:
        return decrypt(self.seed, table=self._meta.db_table, purpose="seed", row_id=self.pk)

    @property
    def key(self) -> str:
        """The seed as people type it into an app."""
        return b32encode(self._seed()).decode()

    def match(self, code: str, *, at: datetime) -> tuple[int, int] | None:
        """Return of which time step a code is, and how far off the app's clock is; None for one that is not of now, the
        step before or the one after, by our clock or by the app's, or is not newer than one taken. Taking it is the
        caller's: a conditional UPDATE of `last_step`, of which one of two wins."""
        totp = TOTP(self._seed(), step=STEP_SECONDS, digits=DIGITS)
        totp.time = at.timestamp()
        for drift in sorted({*range(-1, 2), *range(self.drift - 1, self.drift + 2)}, key=abs):
            totp.drift = drift
            if abs(drift) <= MOST_DRIFT and totp.t() > self.last_step and totp.verify(int(code)):
                return totp.t(), drift
        return None

    def uri(self) -> str:
        """Return what the QR code says: an app that reads it shows codes from then on."""
        label = quote(f"healthivr:{self.user.email}", safe=":@")
        # What apps take for granted (SHA-1, six digits, 30 seconds) is left out: a smaller QR code reads better.
        facts = {"secret": self.key, "issuer": "healthivr"}
        return f"otpauth://totp/{label}?{urlencode(facts)}"


class RecoveryCode(models.Model):
    """One of ten codes that each stand in for the app once. Only a keyed digest is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes", db_index=False)
    digest = models.CharField(max_length=BLIND_INDEX_LENGTH)
    created_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code {self.pk}"


class FactorResetQuerySet(models.QuerySet["FactorReset"]):
    def open(self, *, at: datetime) -> "FactorResetQuerySet":
        """Resets that the person can still finish."""
        return self.filter(used_at=None, expires_at__gt=at)


class FactorReset(models.Model):
    """That an administrator lets somebody set up their second factor anew: finished by the person, who holds the mail and
    knows the password. Nothing is removed before."""

    LIFE = timedelta(hours=1)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="factor_resets")
    #: Nobody: from the command line of the server.
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = FactorResetQuerySet.as_manager()

    class Meta:
        verbose_name = _("reset of a second factor")
        verbose_name_plural = _("resets of second factors")

    def __str__(self) -> str:
        return f"reset of a second factor {self.pk}"
