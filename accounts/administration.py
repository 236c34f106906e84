"""What administrators do about people's accounts: on and off, void a password, end sessions (checklist S2.11–S2.14).

Nobody ever sees or sets somebody else's password. Each act is one event in the trail of the organization in which the
administrator acts.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit import services as audit
from healthivr.kernel.errors import NotFound
from healthivr.kernel.names import clean_text
from organizations.actor import Actor
from organizations.granting import require_other_person
from organizations.models import Membership
from organizations.roles import Capability
from organizations.seats import lock_seats
from organizations.services import AccountInactive, LastAdministrator
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .models import AccountMail, AccountMailKind, SessionEnd, User, void_password
from .outbox import DeliveryStatus
from .registry import end_session_of_person, end_sessions_of
from .selectors import member_to_administer


# --- on and off ------------------------------------------------------------------------------------------------------
def deactivate_user(*, actor: Actor, user_id: UUID, reason: str, at: datetime) -> User:
    """Take away somebody's right to sign in anywhere; their sessions and tokens end at once, and nobody can accept what
    they invited until a colleague adopts it. For platform administrators. Who is switched off already stays as they are.

    Raises NotFound, OwnAccount, and LastAdministrator when an organization would be left without one.
    """
    actor.require(Capability.RUN_ACCOUNTS)
    with platform("deactivate a person"):
        lock_organizations_run_by([user_id])
        return deactivate_locked(actor=actor, user_id=user_id, reason=reason, at=at)[0]


def lock_organizations_run_by(user_ids: Collection[UUID]) -> None:
    """Lock the organizations that some people administer, always in the same order; the first lock of a transaction.
    Inside platform()."""
    run = Membership.objects.administrators().filter(user__in=user_ids).values_list("organization", flat=True)
    for organization_id in sorted(set(run)):
        lock_seats(organization_id=organization_id)


def deactivate_locked(*, actor: Actor, user_id: UUID, reason: str, at: datetime) -> tuple[User, bool]:
    """The same, in a door that is open and with the organizations locked; says beside whether anything changed."""
    require_other_person(actor, user_id)
    user = _locked(user_id)
    if not user.is_active:
        return user, False
    for organization_id in sorted(_run_by(user_id)):
        others = Membership.objects.administrators().filter(organization=organization_id).exclude(user=user_id)
        if not others.exists():
            raise LastAdministrator
    left_open = user.sent_invitations.open(at=at).count()  # invitations stand above
    user.is_active = False
    user.save(update_fields=["is_active"])
    end_sessions_of(user_id=user.pk, reason=SessionEnd.DEACTIVATED, actor=actor, at=at)
    audit.record(
        actor=actor,
        action="user.deactivated",
        target=user,
        reason=clean_text(reason),
        changes={"is_active": ["true", "false"]},
        detail={"invitations_to_adopt": str(left_open)},
    )
    return user, True


def _run_by(user_id: UUID) -> set[UUID]:
    return set(Membership.objects.administrators().filter(user=user_id).values_list("organization", flat=True))


def activate_user(*, actor: Actor, user_id: UUID, reason: str = "", at: datetime) -> User:
    """Give somebody back the right to sign in, with the password that they had. For platform administrators. Who may
    sign in already stays as they are. Raises NotFound."""
    actor.require(Capability.RUN_ACCOUNTS)
    with platform("activate a person"):
        return activate_locked(actor=actor, user_id=user_id, reason=reason)[0]


def activate_locked(*, actor: Actor, user_id: UUID, reason: str = "") -> tuple[User, bool]:
    """The same, in a door that is open; says beside whether anything changed."""
    user = _locked(user_id)
    if user.is_active:
        return user, False
    user.is_active = True
    user.save(update_fields=["is_active"])
    audit.record(
        actor=actor,
        action="user.activated",
        target=user,
        reason=clean_text(reason),
        changes={"is_active": ["false", "true"]},
    )
    return user, True


def _locked(user_id: UUID) -> User:
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


# --- passwords -------------------------------------------------------------------------------------------------------
def force_password_reset(*, actor: Actor, user_id: UUID, reason: str = "", at: datetime) -> User:
    """Void a member's password and mail them a link to choose a new one. All of their sessions and tokens end; the second
    factor stays, and the voided password is not taken again. Nobody sees or sets a password: the mailed link leads to the
    page that asks for a new one, once, within 24 hours (S2.14); after that, "forgot your password" mails another.

    Raises NotPermitted, NotFound, OwnAccount, Outranked, AccountInactive.
    """
    with transaction.atomic():
        member_to_administer(actor=actor, user_id=user_id, needs=Capability.MANAGE_PEOPLE)
        require_other_person(actor, user_id)
        user = _locked(user_id)
        if not user.is_active:
            raise AccountInactive
        user.password, user.must_change_password = void_password(user.password), True
        user.save(update_fields=["password", "must_change_password"])
        ended = end_sessions_of(user_id=user.pk, reason=SessionEnd.PASSWORD_CHANGED, actor=actor, at=at)
        waiting = AccountMail.objects.filter(kind=AccountMailKind.RESET_FORCED, user=user, status=DeliveryStatus.QUEUED)
        waiting.update(status=DeliveryStatus.CANCELLED, finished_at=at)
        AccountMail.objects.create(kind=AccountMailKind.RESET_FORCED, user=user, next_try_at=at, created_at=at)
        transaction.on_commit(hint_account_mail)
        audit.record(
            actor=actor,
            action="password.reset_forced",
            target=user,
            organization_id=actor.organization_id,
            reason=clean_text(reason),
            detail={"sessions": str(ended)},
        )
    return user


# --- sessions --------------------------------------------------------------------------------------------------------
def end_person_sessions(*, actor: Actor, user_id: UUID, session_id: UUID | None = None, at: datetime) -> int:
    """Sign a member out: of one session, or of all. Returns how many ended; none is no error when all were meant.

    Raises NotPermitted, Outranked, and NotFound for a stranger and for a session that is none of theirs or has ended.
    """
    with transaction.atomic():
        user = member_to_administer(actor=actor, user_id=user_id, needs=Capability.MANAGE_PEOPLE)
        reason = SessionEnd.ENDED_BY_ADMINISTRATOR
        if session_id:
            end_session_of_person(user_id=user.pk, session_id=session_id, reason=reason, actor=actor, at=at)
            return 1
        return end_sessions_of(user_id=user.pk, reason=reason, actor=actor, at=at)
