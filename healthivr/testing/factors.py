"""A phone with an authenticator app."""

from base64 import b32decode
from datetime import datetime

from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP, hotp

from accounts.models import Authenticator, User

from .pages import read, submit


class Phone:
    """An app that was given a key."""

    def __init__(self, key: str) -> None:
        self.seed = b32decode(key.replace(" ", ""))
        self.last_step = -1

    def shows(self, *, at: datetime, steps: int = 0) -> str:
        """Return what the app shows at a time, if its clock is this many steps ahead."""
        return f"{hotp(self.seed, self._step(at) + steps):06d}"

    def code(self, *, at: datetime | None = None) -> str:
        """Return a code that was never returned before: the next one where that of now is used up, which we take as from
        a clock that is a little fast. No test waits half a minute."""
        self.last_step = max(self._step(at or timezone.now()), self.last_step + 1)
        return f"{hotp(self.seed, self.last_step):06d}"

    def _step(self, at: datetime) -> int:
        totp = TOTP(self.seed)
        totp.time = at.timestamp()
        return int(totp.t())


def phone_of(user: User, *, at: datetime | None = None) -> Phone:
    """Give somebody a second factor, and return the app that has its key."""
    at = at or timezone.now()
    authenticator = Authenticator(user=user, created_at=at, confirmed_at=at, codes_kept_at=at)
    authenticator.keep_seed(b"a seed of 20 bytes..")
    authenticator.save(force_insert=True)
    return Phone(authenticator.key)


def enrol(client: Client) -> Phone:
    """Have somebody who is signed in in a browser set up the second factor through its page."""
    here = "/profile/second-factor/enrol/"
    phone = Phone(read(client.get(here)).tree.all("code", id="key")[0].text)
    assert read(submit(client, here, code=phone.code())).heading == "Keep your recovery codes"
    return phone
