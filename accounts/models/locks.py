"""How often somebody guessed, whether or not an account stands behind the address."""

from django.db import models


class SignInLock(models.Model):
    """The guesses against one address, or those of one known browser of its owner. The key is a keyed digest: neither an
    address nor whether it has an account can be read here."""

    key = models.CharField(max_length=64, primary_key=True)
    #: The digest of the address, the same for all of its rows: whoever helps its owner to get in ends every lock.
    owner = models.CharField(max_length=64, db_index=True)
    failures = models.PositiveSmallIntegerField(default=0)
    last_failure_at = models.DateTimeField()
    locked_until = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return "sign-in lock"
