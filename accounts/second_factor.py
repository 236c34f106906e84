"""The second factor: setting it up, asking for it, replacing and removing it (docs/adr/0013-second-factor.md).

A code is a guess like a password and takes its slot with those (accounts/lockout.py): who knows the password has five
tries at the code. Each code is taken once, by a conditional UPDATE of which one of two at the same moment wins.
"""

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.encryption import blind_index, possible_blind_indexes
from healthivr.kernel.errors import Conflict, Malformed, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.actor import Actor, StepUpRequired
from organizations.models import Organization
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .lockout import forget_failures, note_failure, reserve_guess
from .models import AccountMail, AccountMailKind, Authenticator, RecoveryCode, SessionEnd, User, UserSession
from .models.factors import DIGITS, SEED_BYTES
from .outbox import DeliveryStatus
from .registry import end_sessions_of, renew_verification, sign_in_terms
from .services import confirm_password

#: A key that was shown and not confirmed is forgotten after this.
ENROLMENT_LIFE = timedelta(hours=1)
RECOVERY_CODES = 10
#: Crockford's base 32: no letter that is taken for a digit. 24 of them are 120 bits (ASVS 6.5.2: a fast hash will do).
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH, GROUP = 24, 4
_READ_AS = str.maketrans("OIL", "011")


class CodeRefused(Refused):
    """The code is wrong, of another time, or was taken before. Says the same for each: whoever guesses learns nothing."""

    code = "second_factor_invalid"
    message = _(
        "This code is not right, or was used already. Wait for the next one in your app, and check that the clock of your"
        " phone is set automatically."
    )


class EnrolmentClosed(Conflict):
    """The code confirms nothing: no key was shown in this session, or it is older than an hour."""

    code = "enrolment_closed"
    message = _("This key is no longer valid. Start again: you get a new one.")


class FactorNeeded(Refused):
    """The person's role or organization asks for a second factor: it can be replaced, and not removed."""

    code = "second_factor_needed"
    message = _("Your role or your organization asks for a second factor. You can replace it, but not remove it.")


class NoFactor(Conflict):
    """The person has no second factor."""

    code = "no_second_factor"
    message = _("You have no second factor. Set one up first.")


@dataclass(frozen=True)
class FactorState:
    """What somebody has."""

    enrolled_at: datetime
    codes_left: int
    #: Whether the person said that the codes are in a safe place.
    codes_kept: bool
    may_remove: bool


# --- reading ---------------------------------------------------------------------------------------------------------
def is_enrolled(user: User) -> bool:
    """Say whether somebody has a second factor."""
    return Authenticator.objects.filter(user=user, confirmed_at__isnull=False).exists()


def factor_state(user: User) -> FactorState | None:
    """Return what somebody has, for their own eyes; None when it is nothing."""
    authenticator = Authenticator.objects.filter(user=user, confirmed_at__isnull=False).first()
    if authenticator is None or authenticator.confirmed_at is None:
        return None
    return FactorState(
        enrolled_at=authenticator.confirmed_at,
        codes_left=RecoveryCode.objects.filter(user=user, used_at=None).count(),
        codes_kept=authenticator.codes_kept_at is not None,
        may_remove=not sign_in_terms(user).requires_second_factor,
    )


# --- what each act shares --------------------------------------------------------------------------------------------
def own_actor(user: User, *, ip: str, request_id: str, session: UserSession | None = None) -> Actor:
    """Who acts on their own account: the event goes into the platform's chain."""
    verified_at = session.verified_at if session else None
    return Actor(user, Organization(pk=PLATFORM_ORGANIZATION_ID), ip=ip, request_id=request_id, verified_at=verified_at)


def _require_fresh_proof(user: User, session: UserSession, *, at: datetime) -> None:
    """Raise StepUpRequired unless the person has just proved who they are: by the factor that they have, or, before the
    first one, by the password. An unattended browser enrols nobody else's phone."""
    if session.second_factor_at is None and is_enrolled(user):
        raise StepUpRequired
    own_actor(user, ip="", request_id="", session=session).require_step_up(at=at)


def _lock(user: User) -> None:
    """Let one change of somebody's factor, or beginning of a session, happen at a time."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)


def mail_person(user: User, kind: AccountMailKind, *, at: datetime) -> None:
    """Tell somebody what happened to their second factor."""
    AccountMail.objects.create(kind=kind, user=user, status=DeliveryStatus.QUEUED, next_try_at=at, created_at=at)
    transaction.on_commit(hint_account_mail)


def forget_factor(user: User) -> None:
    """Delete what somebody has; within the transaction of what causes it."""
    Authenticator.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()


def _clean(code: str) -> str:
    """Return a code as it was made: what apps and people put between its groups is no part of it."""
    plain = unicodedata.normalize("NFKC", code).upper()
    return "".join(character for character in plain if character.isascii() and character.isalnum())


def _is_of_app(code: str) -> bool:
    return len(code) == DIGITS and code.isdecimal()


def _require_all_digits(code: str) -> None:
    """Raise Malformed for the beginning of a code of the app: it is no guess, for nothing could come of it."""
    if len(code) < DIGITS and (code.isdecimal() or not code):
        raise Malformed(_("Enter all six digits of the code."), field="code")


# --- setting up ------------------------------------------------------------------------------------------------------
def begin_enrolment(*, user: User, session: UserSession, ip: str, request_id: str, at: datetime) -> Authenticator:
    """Return the authenticator to be set up in this session, with a new key, or the one that it was shown within the last
    hour: looking again changes nothing. What was there before holds until the new one is confirmed.

    Raises StepUpRequired without a fresh proof; who was shown a first key need not give it again.
    """
    begun = Authenticator.objects.filter(
        user=user, begun_in=session, confirmed_at=None, created_at__gt=at - ENROLMENT_LIFE
    )
    found = begun.select_related("user").first()
    if found is None or is_enrolled(user):
        _require_fresh_proof(user, session, at=at)
    if found:
        return found
    with platform("second factor begun"):
        _lock(user)
        if found := begun.select_related("user").first():
            return found
        Authenticator.objects.filter(user=user, confirmed_at=None).delete()
        authenticator = Authenticator(user=user, begun_in=session, created_at=at)
        authenticator.keep_seed(secrets.token_bytes(SEED_BYTES))
        authenticator.save(force_insert=True)
        audit.record(
            actor=own_actor(user, ip=ip, request_id=request_id),
            action="second_factor.begun",
            target=authenticator,
        )
    return authenticator


def confirm_enrolment(
    *, user: User, session: UserSession, code: str, ip: str, request_id: str, at: datetime
) -> list[str]:
    """Make the authenticator of this session the person's second factor, by its first code. Returns ten recovery codes,
    which nobody can show again. Every other session ends, and the person is mailed.

    Its codes are no guesses: whoever confirms was shown the key. Raises StepUpRequired, EnrolmentClosed, CodeRefused.
    """
    actor = own_actor(user, ip=ip, request_id=request_id)
    with platform("second factor set up"):
        _lock(user)
        if is_enrolled(user):
            _require_fresh_proof(user, session, at=at)
        begun = Authenticator.objects.filter(
            user=user, begun_in=session, confirmed_at=None, created_at__gt=at - ENROLMENT_LIFE
        ).first()
        if begun is None:
            raise EnrolmentClosed
        clean = _clean(code)
        _require_all_digits(clean)
        matched = begun.match(clean, at=at) if _is_of_app(clean) else None
        if matched is None:
            raise CodeRefused(field="code")
        replaced = Authenticator.objects.filter(user=user, confirmed_at__isnull=False).delete()[0]
        begun.last_step, begun.drift = matched
        begun.confirmed_at, begun.begun_in = at, None
        begun.save(update_fields=["last_step", "drift", "confirmed_at", "begun_in"])
        codes = _make_codes(user, at=at)
        audit.record(
            actor=actor, action="second_factor.enrolled", target=begun, detail={"replaced": "yes" if replaced else "no"}
        )
        end_sessions_of(user_id=user.pk, reason=SessionEnd.FACTOR_CHANGED, but=session.pk, actor=actor, at=at)
        renew_verification(session, is_second_factor=True, at=at)
        mail_person(user, AccountMailKind.FACTOR_ENROLLED, at=at)
    return codes


def _make_codes(user: User, *, at: datetime) -> list[str]:
    """Replace somebody's recovery codes. Returns the new ones as they are shown."""
    codes = ["".join(secrets.choice(ALPHABET) for _letter in range(CODE_LENGTH)) for _code in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, digest=blind_index(f"{user.pk}:{code}", kind="recovery code"), created_at=at)
        for code in codes
    )
    return ["-".join(code[start : start + GROUP] for start in range(0, CODE_LENGTH, GROUP)) for code in codes]


def replace_recovery_codes(*, user: User, session: UserSession, ip: str, request_id: str, at: datetime) -> list[str]:
    """Return ten new recovery codes; the old ones stop working and every other session ends. Raises StepUpRequired,
    NoFactor."""
    _require_fresh_proof(user, session, at=at)
    actor = own_actor(user, ip=ip, request_id=request_id)
    with platform("recovery codes replaced"):
        _lock(user)
        authenticator = Authenticator.objects.filter(user=user, confirmed_at__isnull=False).first()
        if authenticator is None:
            raise NoFactor
        codes = _make_codes(user, at=at)
        Authenticator.objects.filter(pk=authenticator.pk).update(codes_kept_at=None)
        audit.record(actor=actor, action="second_factor.codes_replaced", target=authenticator)
        end_sessions_of(user_id=user.pk, reason=SessionEnd.FACTOR_CHANGED, but=session.pk, actor=actor, at=at)
        mail_person(user, AccountMailKind.CODES_REPLACED, at=at)
    return codes


def note_codes_kept(*, user: User, ip: str, request_id: str, at: datetime) -> None:
    """Note that the person says that the recovery codes are in a safe place. Raises NoFactor."""
    with platform("recovery codes kept"):
        authenticator = Authenticator.objects.filter(user=user, confirmed_at__isnull=False).first()
        if authenticator is None:
            raise NoFactor
        if Authenticator.objects.filter(pk=authenticator.pk, codes_kept_at=None).update(codes_kept_at=at):
            audit.record(
                actor=own_actor(user, ip=ip, request_id=request_id),
                action="second_factor.codes_kept",
                target=authenticator,
            )


def remove_factor(*, user: User, session: UserSession, ip: str, request_id: str, at: datetime) -> None:
    """Take one's own second factor away; every other session ends, and the person is mailed. Raises FactorNeeded where
    one is asked for, StepUpRequired, NoFactor."""
    _require_fresh_proof(user, session, at=at)
    actor = own_actor(user, ip=ip, request_id=request_id)
    with platform("second factor removed"):
        _lock(user)
        if sign_in_terms(user).requires_second_factor:
            raise FactorNeeded
        authenticator = Authenticator.objects.filter(user=user, confirmed_at__isnull=False).first()
        if authenticator is None:
            raise NoFactor
        audit.record(actor=actor, action="second_factor.removed", target=authenticator)
        forget_factor(user)
        end_sessions_of(user_id=user.pk, reason=SessionEnd.FACTOR_CHANGED, but=session.pk, actor=actor, at=at)
        # What a later policy asks for is enrolled anew: this session's proof was of what is no more.
        UserSession.objects.filter(pk=session.pk).update(second_factor_at=None)
        session.second_factor_at = None
        mail_person(user, AccountMailKind.FACTOR_REMOVED, at=at)


# --- asking for it ---------------------------------------------------------------------------------------------------
def await_second_factor(*, user: User, ip: str, request_id: str) -> None:
    """Note in the trail that somebody's password was given and the second factor is waited for: who never comes back may
    have found the password, and nothing else would tell."""
    with platform("second factor awaited"):
        audit.record(
            actor=own_actor(user, ip=ip, request_id=request_id),
            action="session.second_factor_awaited",
            target=user,
            organization_id=PLATFORM_ORGANIZATION_ID,
        )


def check_second_factor(
    *, user: User, code: str, known_browser: str = "", ip: str, request_id: str, at: datetime
) -> None:
    """Have somebody who has given the password, or is signed in, prove that they have the app, or one of the recovery
    codes, typed in the same field. A right one forgets the failures: all that is asked was given.

    Never call it in a transaction: a wrong code raises, and must leave its slot and its event behind. Raises Malformed
    for nothing typed, CodeRefused, and Locked before anything is compared.
    """
    clean = _clean(code)
    if not clean:
        raise Malformed(_("Enter the code."), field="code")
    _require_all_digits(clean)
    guess = reserve_guess(email=user.email, known_browser=known_browser, at=at)
    taken = (
        _take_app_code(user, clean, at=at)
        if _is_of_app(clean)
        else _take_recovery_code(user, clean, ip=ip, request_id=request_id, at=at)
    )
    if not taken:
        note_failure(guess, proof="second_factor", user=user, ip=ip, request_id=request_id, at=at)
        raise CodeRefused(field="code")
    forget_failures(guess)


def _take_app_code(user: User, code: str, *, at: datetime) -> bool:
    authenticator = Authenticator.objects.filter(user=user, confirmed_at__isnull=False).first()
    matched = authenticator.match(code, at=at) if authenticator else None
    if authenticator is None or matched is None:
        return False
    step, drift = matched
    newer = Authenticator.objects.filter(pk=authenticator.pk, last_step__lt=step)
    return bool(newer.update(last_step=step, drift=drift))


def _take_recovery_code(user: User, code: str, *, ip: str, request_id: str, at: datetime) -> bool:
    digests = possible_blind_indexes(f"{user.pk}:{code.translate(_READ_AS)}", kind="recovery code")
    with platform("recovery code"):
        unused = RecoveryCode.objects.filter(user=user, digest__in=digests, used_at=None)
        if not is_enrolled(user) or not unused.update(used_at=at):
            return False
        audit.record(
            actor=own_actor(user, ip=ip, request_id=request_id),
            action="second_factor.code_used",
            target=RecoveryCode.objects.get(user=user, digest__in=digests),
        )
        mail_person(user, AccountMailKind.CODE_USED, at=at)
    return True


def prove_again(
    *,
    user: User,
    session: UserSession,
    code: str = "",
    password: str = "",
    known_browser: str = "",
    ip: str,
    request_id: str,
    at: datetime,
) -> None:
    """Step-up: prove anew who one is, in this session: by the second factor, or by the password of who has none. Raises
    CodeRefused, Refused (`current_password`), Locked, Malformed."""
    has_factor = is_enrolled(user)
    if has_factor:
        check_second_factor(user=user, code=code, known_browser=known_browser, ip=ip, request_id=request_id, at=at)
    else:
        confirm_password(
            user=user,
            password=password,
            known_browser=known_browser,
            field="password",
            ip=ip,
            request_id=request_id,
            at=at,
        )
    with platform("step-up"):
        renew_verification(session, is_second_factor=has_factor, at=at)
        audit.record(
            actor=own_actor(user, ip=ip, request_id=request_id),
            action="session.verified",
            target=session,
            detail={"by": "second factor" if has_factor else "password"},
        )
