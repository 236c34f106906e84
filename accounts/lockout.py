"""Five wrong guesses, then a quarter of an hour of rest, at every door (checklist S3.3, C8).

Counted in PostgreSQL, by an address whether or not it has an account, so that the answer tells a stranger nothing and
Redis may be down. Each guess takes its slot before a hash is computed and gives it back when it was right: a hundred at
once evaluate no more than five. Trying while locked changes nothing.

A stranger cannot keep somebody out: a browser that its owner once signed in with has five tries of its own, and so has
one that came by the link in the mail. Both only get past the lock; password and second factor are asked all the same.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from audit.models import Outcome
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import DomainError, LinkClosed, NotFound, TooManyRequests
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.limits import count_and_period
from healthivr.kernel.masking import address_digest
from organizations.actor import Actor
from organizations.models import Membership, Organization
from organizations.rank import require_may_administer
from organizations.roles import Capability
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .links import UNLOCK_SALT
from .models import AccountMail, AccountMailKind, SignInLock, User
from .outbox import DeliveryStatus

#: How long the link in the mail works. A stranger may lock an address again and again: its owner is mailed when the link
#: that they have would die before the lock does, and not each time. So whoever is kept out always has one that works.
UNLOCK_LINK_LIFE = timedelta(hours=1)
KNOWN_BROWSER_LIFE = timedelta(days=180)
#: How many people a browser is known by: those who share a workstation. The longest known makes room.
MOST_OWNERS = 5
_BROWSER_SALT = "known-browser"
_PLATFORM = Organization(pk=PLATFORM_ORGANIZATION_ID)


class Locked(TooManyRequests):
    """Too many wrong guesses against this address; says nothing of whether it has an account."""

    code = "locked"
    message = _(
        "Too many failed attempts for this address. Wait 15 minutes, or use the link that we have mailed to it if it has"
        " an account here."
    )


Proof = Literal["password", "second_factor"]


@dataclass(frozen=True)
class Guess:
    """One try that has taken its slot."""

    key: str
    address: str
    is_last: bool


# --- whose guesses ---------------------------------------------------------------------------------------------------
def normalised(typed: str) -> str:
    """Return an address as guesses against it are counted; what is no address is counted as it was typed."""
    try:
        return normalise_email(typed)
    except DomainError:
        return typed.strip().lower()


def _digest(purpose: str, value: str) -> str:
    return hmac.digest(settings.SECRET_KEY.encode(), f"lockout:{purpose}:{value}".encode(), hashlib.sha256).hex()


def _browsers_by_owner(known_browser: str) -> dict[str, str]:
    """Return what a cookie says: a browser's name by the digest of each address whose owner has signed in there."""
    try:
        found = signing.loads(known_browser, salt=_BROWSER_SALT, max_age=KNOWN_BROWSER_LIFE)
        return {str(owner): str(browser) for owner, browser in found}
    except (signing.BadSignature, ValueError, TypeError):
        return {}


def new_known_browser(address: str, beside: str = "", *, browser: str = "") -> str:
    """Return what the cookie of a browser says in which the owner of an address has signed in, and before them those of
    whom the cookie `beside` speaks. `browser` is the browser's name, a new one unless given."""
    owner = _digest("address", address)
    others = [other for other in _browsers_by_owner(beside).items() if other[0] != owner]
    return signing.dumps([*others[1 - MOST_OWNERS :], (owner, browser or secrets.token_hex(16))], salt=_BROWSER_SALT)


def _browser_of(address: str, known_browser: str) -> str:
    """Return which browser of an address's owner a cookie speaks of; nothing when it speaks of none."""
    return _browsers_by_owner(known_browser).get(_digest("address", address), "")


def is_known_browser(address: str, known_browser: str) -> bool:
    """Say whether a cookie is that of a browser in which the owner of an address has signed in."""
    return bool(_browser_of(address, known_browser))


def _guesses_key(address: str, known_browser: str) -> str:
    """Return under which key a guess is counted: the address's, or that of a browser its owner is known by."""
    if browser := _browser_of(address, known_browser):
        return _digest("browser", f"{address}:{browser}")
    return _digest("address", address)


# --- guessing --------------------------------------------------------------------------------------------------------
def reserve_guess(*, email: str, known_browser: str, at: datetime) -> Guess:
    """Take the slot of one guess, before anything is compared. One statement, so that of many at once five get one.
    Raises Locked."""
    most, period = count_and_period("sign_in_account")
    address = normalised(email)
    key = _guesses_key(address, known_browser)
    table = SignInLock._meta.db_table
    failures = (
        f"CASE WHEN {table}.locked_until IS NOT NULL OR {table}.last_failure_at <= %(forgotten)s"
        f" THEN 1 ELSE {table}.failures + 1 END"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (key, owner, failures, last_failure_at) VALUES (%(key)s, %(owner)s, 1, %(at)s)"
            f" ON CONFLICT (key) DO UPDATE SET failures = {failures}, last_failure_at = %(at)s,"
            f" locked_until = CASE WHEN {failures} >= %(most)s THEN %(until)s END"
            f" WHERE {table}.locked_until IS NULL OR {table}.locked_until <= %(at)s RETURNING failures",
            {
                "key": key,
                "owner": _digest("address", address),
                "at": at,
                "forgotten": at - period,
                "most": most,
                "until": at + period,
            },
        )
        row = cursor.fetchone()
    if row is None:
        until = SignInLock.objects.filter(pk=key).values_list("locked_until", flat=True).first() or at
        raise locked(until=until, at=at)
    return Guess(key, address, is_last=row[0] >= most)


def locked(*, until: datetime, at: datetime) -> Locked:
    """Return the refusal of a try while locked."""
    seconds = max(1, int((until - at).total_seconds()) + 1)
    return Locked(retry_after=seconds, limit=count_and_period("sign_in_account")[0], window=seconds)


def give_back(guess: Guess) -> None:
    """Give a slot back, for what was guessed was right: the password of somebody whose second factor comes next. Earlier
    failures stay counted, or a known password would buy endless guesses at the factor (openemr#14110)."""
    table = SignInLock._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET failures = greatest(failures - 1, 0), locked_until = NULL WHERE key = %s", [guess.key]
        )


def forget_failures(guess: Guess) -> None:
    """Forget the failures: the person has signed in, with all that was asked."""
    SignInLock.objects.filter(pk=guess.key).delete()


def note_failure(guess: Guess, *, proof: Proof, user: User | None, ip: str, request_id: str, at: datetime) -> None:
    """Note a wrong guess in the trail, and which proof was guessed at: a wrong code says that the password is known. The
    fifth locks, and is mailed to whom the address belongs: in the same
    statements for nobody."""
    actor = Actor(None, _PLATFORM, ip=ip, request_id=request_id)
    with platform("failed sign-in"):
        audit.record(
            actor=actor,
            action="session.refused",
            outcome=Outcome.REFUSED,
            organization_id=PLATFORM_ORGANIZATION_ID,
            detail={"address": address_digest(guess.address), "proof": proof},
        )
        if not guess.is_last:
            return
        audit.record(
            actor=actor,
            action="account.locked",
            target=user,
            organization_id=PLATFORM_ORGANIZATION_ID,
            detail={"address": address_digest(guess.address)},
        )
        link_outlives_lock = at + count_and_period("sign_in_account")[1] - UNLOCK_LINK_LIFE
        mailable = SignInLock.objects.filter(pk=guess.key).exclude(mailed_at__gt=link_outlives_lock)
        is_due = bool(mailable.update(mailed_at=at))
        AccountMail.objects.create(
            kind=AccountMailKind.LOCKED,
            user=user,
            status=DeliveryStatus.QUEUED if user and user.is_active and is_due else DeliveryStatus.CANCELLED,
            next_try_at=at,
            created_at=at,
        )
        transaction.on_commit(hint_account_mail)


# --- getting past ----------------------------------------------------------------------------------------------------
def browser_for_unlock_link(token: str, beside: str = "") -> tuple[str, str]:
    """Return the known-browser cookie for whoever holds the mail, which keeps whom the cookie `beside` speaks of, and the
    address that the mail went to. Always the same browser for one link, so that a link gives five tries, however often
    and wherever it is opened. It never ends the lock itself. Raises LinkClosed."""
    closed = LinkClosed(_("This link is older than one hour. Sign in again, or wait a little."), code="unlock_closed")
    try:
        pk, mailbox = signing.loads(token, salt=UNLOCK_SALT, max_age=UNLOCK_LINK_LIFE)
        user = User.objects.get(pk=UUID(pk), is_active=True)
    except (signing.BadSignature, ValueError, TypeError, User.DoesNotExist):
        raise closed from None
    if mailbox != address_digest(user.email):
        raise closed
    return new_known_browser(user.email, beside, browser=_digest("link", token)[:32]), user.email


def use_unlock_link(token: str, beside: str = "", *, ip: str, request_id: str) -> tuple[str, str]:
    """Return what `browser_for_unlock_link` does, for who has opened the link to try again: that stands in the trail.
    Raises LinkClosed."""
    cookie, address = browser_for_unlock_link(token, beside)
    with platform("unlock link"):
        audit.record(
            actor=Actor(None, _PLATFORM, ip=ip, request_id=request_id),
            action="account.unlock_link_used",
            organization_id=PLATFORM_ORGANIZATION_ID,
            detail={"address": address_digest(address)},
        )
    return cookie, address


def unlock_account(*, actor: Actor, user_id: UUID) -> User:
    """End the locks on a member's address, also that on a browser of theirs, for those who help people to get in;
    administrators and support of the platform help everybody. Raises NotFound, Outranked."""
    actor.require(Capability.UNLOCK_PEOPLE)
    with transaction.atomic():
        user = User.objects.filter(pk=user_id, is_active=True).first()
        is_member = Membership.objects.active().filter(organization=actor.organization, user=user_id).exists()
        if user is None or not (is_member or actor.is_everywhere):
            raise NotFound
        require_may_administer(actor, user)
        SignInLock.objects.filter(owner=_digest("address", user.email)).delete()
        audit.record(actor=actor, action="account.unlocked", target=user, organization_id=actor.organization_id)
    return user


def locked_among(people: Iterable[tuple[UUID, str]], *, at: datetime) -> set[UUID]:
    """Return which of some people, given by id and address, cannot sign in by password just now, from a browser of theirs
    or from any other. Asks whether there is any lock at all before it looks at anybody: a digest says of whom it is only
    to who has the address."""
    locks = set(SignInLock.objects.filter(locked_until__gt=at).values_list("owner", flat=True))
    return {pk for pk, email in people if _digest("address", email) in locks} if locks else set()


def is_locked(user: User, *, at: datetime) -> bool:
    """Say whether password sign-in is locked for somebody just now, from a browser of theirs or from any other."""
    return SignInLock.objects.filter(owner=_digest("address", user.email), locked_until__gt=at).exists()
