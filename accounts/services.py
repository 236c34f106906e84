"""Writes on one's own account: set-up, sign-in, passwords, profile. (What administrators do: administration.py.)"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.utils.encoding import force_str
from django.utils.http import urlsafe_base64_decode
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from audit.registry import differences
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import Conflict, DomainError, LinkClosed, Malformed, NotFound, NotSignedIn, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.masking import address_digest
from healthivr.kernel.names import clean_line
from organizations.actor import Actor
from organizations.models import Organization
from organizations.roles import SECOND_FACTOR_ROLES, Role
from organizations.seats import reserve_seat
from organizations.services import add_membership
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .lockout import Guess, forget_failures, give_back, note_failure, reserve_guess
from .models import (
    AccountMail,
    AccountMailKind,
    SessionEnd,
    SetupLink,
    User,
    UserSession,
    hash_password,
    is_voided_password,
    normalise_password,
)
from .outbox import DeliveryStatus
from .passwords import PasswordTerms, problems, terms_of
from .registry import end_sessions_of

SETUP_LINK_LIFE = timedelta(hours=24)
#: The first person is an administrator, and administrators need a second factor.
SETUP_TERMS = PasswordTerms(second_factor=Role.ADMIN in SECOND_FACTOR_ROLES)
NAME_LENGTH = 100


class InvalidCredentials(NotSignedIn):
    """The address and the password do not belong together. Says the same for every reason."""

    code = "invalid_credentials"
    message = _("The e-mail address or the password is not right.")


class PasswordRefused(Refused):
    """A new password that is too short, too common, or made of the person's own data. `extra["reasons"]` lists why."""

    code = "password_refused"


class SetupClosed(NotFound):
    """The set-up link is unknown, used, too old, or somebody exists already."""

    code = "setup_closed"
    message = _("This set-up link does not work any more. Start healthivr again to get a new one.")


# --- names and passwords ---------------------------------------------------------------------------------------------
def clean_person_name(typed: str, *, field: str) -> str:
    """Return a person's name on one line. Raises Malformed when it is empty, longer than 100 characters, or carries
    what no name does."""
    name = clean_line(typed, code="name", field=field)
    if not name or len(name) > NAME_LENGTH:
        raise Malformed(_("Enter a name of 1 to 100 characters."), code="name", field=field)
    return name


def require_good_password(password: str, *, terms: PasswordTerms, field: str = "password") -> None:
    """Raise PasswordRefused, with every reason, unless the password may be used under these terms."""
    if found := problems(password, terms):
        reasons = [problem.message for problem in found]
        raise PasswordRefused(" ".join(reasons), field=field, reasons=reasons)


# --- set-up ----------------------------------------------------------------------------------------------------------
def _setup_digest(secret: str) -> str:
    return hmac.digest(settings.SECRET_KEY.encode(), b"setup:" + secret.encode(), hashlib.sha256).hex()


def create_setup_link(*, at: datetime) -> str | None:
    """Return a fresh one-time secret for /setup/<secret>/, valid for 24 hours, or None when somebody exists already.
    Earlier links die."""
    if User.objects.exists():
        return None
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        SetupLink.objects.all().delete()
        SetupLink.objects.create(digest=_setup_digest(secret), expires_at=at + SETUP_LINK_LIFE)
    return secret


def open_setup_link(*, secret: str, at: datetime) -> SetupLink:
    """Return the link of a secret while it works. Raises SetupClosed."""
    link = SetupLink.objects.filter(digest=_setup_digest(secret), used_at=None, expires_at__gt=at).first()
    if link is None or User.objects.exists():
        raise SetupClosed
    return link


def set_up_platform(
    *, secret: str, email: str, first_name: str, last_name: str, password: str, ip: str, request_id: str, at: datetime
) -> User:
    """Make the first person, an administrator of the platform. Works once, and only while nobody exists.

    Raises SetupClosed, Malformed, PasswordRefused.
    """
    open_setup_link(secret=secret, at=at)
    user = User(
        email=normalise_email(email),
        first_name=clean_person_name(first_name, field="first_name"),
        last_name=clean_person_name(last_name, field="last_name"),
    )
    require_good_password(password, terms=SETUP_TERMS.knowing(user.first_name, user.last_name, user.email))
    user.password = hash_password(password)
    with platform("set-up"):
        used = SetupLink.objects.filter(digest=_setup_digest(secret), used_at=None, expires_at__gt=at)
        if not used.update(used_at=at) or User.objects.exists():
            raise SetupClosed
        organization = Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID)
        reserve_seat(organization_id=organization.pk, email=user.email, role=Role.ADMIN, at=at)
        user.save(force_insert=True)
        actor = Actor(user, organization, frozenset({Role.ADMIN}), True, ip, request_id)
        audit.record(actor=actor, action="platform.set_up", target=user)
        add_membership(
            actor=actor,
            user_id=user.pk,
            organization=organization,
            role=Role.ADMIN,
            is_org_admin=True,
            upline_id=None,
            invited_by_id=None,
            at=at,
        )
    return user


# --- signing in ----------------------------------------------------------------------------------------------
def _platform_actor(user: User | None, *, ip: str, request_id: str) -> Actor:
    """Who signs in or out acts in no organization: the event goes into the platform's chain."""
    return Actor(user, Organization(pk=PLATFORM_ORGANIZATION_ID), ip=ip, request_id=request_id)


def check_credentials(
    *, email: str, password: str, known_browser: str = "", ip: str, request_id: str, at: datetime
) -> tuple[User, Guess]:
    """Return the person whose address and password these are, and the guess that it was, for whoever completes the
    sign-in to forget (lockout.forget_failures).

    Costs one hash, known or not. Raises InvalidCredentials, the same after the same time for an unknown address, a wrong
    password and somebody who may no longer sign in; and Locked, before anything is compared, after five of them.
    """
    guess = reserve_guess(email=email, known_browser=known_browser, at=at)
    user = authenticate(email=guess.address, password=password)
    if not isinstance(user, User):
        owner = User.objects.filter(email=guess.address, is_active=True).first()
        note_failure(guess, proof="password", user=owner, ip=ip, request_id=request_id, at=at)
        raise InvalidCredentials
    give_back(guess)
    return user, guess


# --- password reset --------------------------------------------------------------------------------------------------
def request_password_reset(*, email: str, ip: str, request_id: str, at: datetime) -> None:
    """Have a reset link mailed to somebody who may sign in. Says nothing and takes the same time for everybody else: the
    mail leaves later, from the worker, and both paths write one row and one event."""
    try:
        address = normalise_email(email)
    except DomainError:
        address = ""
    user = User.objects.filter(email=address, is_active=True).first()
    with platform("password reset"):
        AccountMail.objects.create(
            kind=AccountMailKind.PASSWORD_RESET,
            user=user,
            status=DeliveryStatus.QUEUED if user else DeliveryStatus.CANCELLED,
            next_try_at=at,
            created_at=at,
        )
        transaction.on_commit(hint_account_mail)
        audit.record(
            actor=_platform_actor(None, ip=ip, request_id=request_id),
            action="password.reset_requested",
            target=user,
            organization_id=PLATFORM_ORGANIZATION_ID,
            detail={"address": address_digest(address)},
        )


def open_reset_link(*, uid: str, token: str) -> User:
    """Return the person whose reset link this is. Raises LinkClosed (`reset_link_closed`)."""
    closed = LinkClosed(
        _("This link has been used or is older than one hour. Ask for a new one."), code="reset_link_closed"
    )
    try:
        user = User.objects.get(pk=UUID(force_str(urlsafe_base64_decode(uid))), is_active=True)
    except (ValueError, User.DoesNotExist):
        raise closed from None
    if not default_token_generator.check_token(user, token):
        raise closed
    return user


def reset_password(*, uid: str, token: str, password: str, ip: str, request_id: str, at: datetime) -> User:
    """Set a new password by a reset link; every session of the person ends. A lock stays: the link proves the mailbox,
    and opens no other door. Raises LinkClosed, PasswordRefused."""
    user = open_reset_link(uid=uid, token=token)
    _set_password(user, password, action="password.reset", but=None, ip=ip, request_id=request_id, at=at)
    return user


def change_password(
    *,
    user: User,
    session: UserSession | None,
    current: str,
    password: str,
    known_browser: str = "",
    ip: str,
    request_id: str,
    at: datetime,
) -> None:
    """Change one's own password; every other session and token ends at once. It is no fresh proof of who one is: for
    that whoever has a second factor gives it. Raises Refused (`current_password`), Locked after five wrong ones,
    PasswordRefused."""
    confirm_password(user=user, password=current, known_browser=known_browser, ip=ip, request_id=request_id, at=at)
    if normalise_password(password) == normalise_password(current):
        raise PasswordRefused(_("This is the password that you have. Choose another one."), field="password")
    but = session.pk if session else None
    _set_password(user, password, action="password.changed", but=but, ip=ip, request_id=request_id, at=at)


def confirm_password(
    *,
    user: User,
    password: str,
    known_browser: str = "",
    field: str = "current_password",
    ip: str,
    request_id: str,
    at: datetime,
) -> None:
    """Have somebody who is signed in prove it by their password: a guess like any other, counted with those at the front
    door. Raises Refused (`current_password`) and Locked."""
    guess = reserve_guess(email=user.email, known_browser=known_browser, at=at)
    if not user.check_password(password):
        note_failure(guess, proof="password", user=user, ip=ip, request_id=request_id, at=at)
        raise Refused(_("Your current password is not right."), code="current_password", field=field)
    if user.authenticators.filter(confirmed_at__isnull=False).exists():
        give_back(guess)  # not all that they have to prove: wrong codes stay counted
    else:
        forget_failures(guess)


def _set_password(
    user: User, password: str, *, action: str, but: UUID | None, ip: str, request_id: str, at: datetime
) -> None:
    require_good_password(password, terms=terms_of(user))
    before, hashed = user.password, hash_password(password)
    if is_voided_password(before, password):
        raise PasswordRefused(_("This is the password that was taken back. Choose another one."), field="password")
    actor = _platform_actor(user, ip=ip, request_id=request_id)
    with platform(action):
        # Conditional: of two uses of one link, one wins.
        if not User.objects.filter(pk=user.pk, password=before).update(password=hashed, must_change_password=False):
            raise Conflict
        audit.record(actor=actor, action=action, target=user)
        AccountMail.objects.create(kind=AccountMailKind.PASSWORD_CHANGED, user=user, next_try_at=at, created_at=at)
        transaction.on_commit(hint_account_mail)
        end_sessions_of(user_id=user.pk, reason=SessionEnd.PASSWORD_CHANGED, but=but, actor=actor, at=at)
    user.password, user.must_change_password = hashed, False


# --- profile ----------------------------------------------------------------------------------------
def update_profile(
    *, user: User, first_name: str, last_name: str, time_zone: str, language: str, ip: str, request_id: str
) -> User:
    """Change one's own name, time zone and language; as it was, it is not written. Raises Malformed."""
    new: dict[str, Any] = {
        "first_name": clean_person_name(first_name, field="first_name"),
        "last_name": clean_person_name(last_name, field="last_name"),
        "time_zone": time_zone,
        "language": language,
    }
    if time_zone not in available_timezones():
        raise Malformed(_("Choose a time zone from the list."), field="time_zone")
    if language not in dict(settings.LANGUAGES):
        raise Malformed(_("Choose a language from the list."), field="language")
    before = User.objects.get(pk=user.pk)
    for field, value in new.items():
        setattr(user, field, value)
    changes = differences(before, user)
    if not changes:
        return user
    with platform("own profile"):
        user.save(update_fields=list(new))
        audit.record(
            actor=_platform_actor(user, ip=ip, request_id=request_id),
            action="user.updated",
            target=user,
            changes=changes,
        )
    return user
