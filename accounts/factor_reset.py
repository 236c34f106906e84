"""A second factor that is lost with its recovery codes: an administrator starts, the person finishes.

Starting only mails the person. Finishing needs that mail and the password as it was at the start: whoever holds the
mailbox alone could have set a new one. Only then is the factor removed, and the next sign-in leads to a new one. The
administrator never sees a code or a link.
"""

from datetime import datetime
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import LinkClosed, NotFound
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.masking import address_digest
from organizations.actor import Actor
from organizations.granting import require_other_person
from organizations.roles import Capability
from organizations.services import AccountInactive
from organizations.tenancy import platform

from .links import FACTOR_RESET_SALT
from .models import AccountMailKind, FactorReset, SessionEnd, User
from .registry import end_sessions_of
from .second_factor import NoFactor, forget_factor, is_enrolled, mail_person, own_actor
from .selectors import member_to_administer
from .services import confirm_password


def start_factor_reset(*, actor: Actor, user_id: UUID, at: datetime) -> FactorReset:
    """Mail a member the link by which they can remove a second factor that they lost. Earlier links die.

    For administrators of an organization of theirs, and of the platform; nobody does it for themselves. Raises
    NotPermitted, StepUpRequired, NotFound, OwnAccount, Outranked, AccountInactive, NoFactor.
    """
    actor.require(Capability.MANAGE_PEOPLE)
    actor.require_step_up(at=at)
    with transaction.atomic():
        user = member_to_administer(actor=actor, user_id=user_id, needs=Capability.MANAGE_PEOPLE)
        require_other_person(actor, user_id)
        return _start(user, actor=actor, at=at)


def start_factor_reset_on_server(*, actor: Actor, email: str, at: datetime) -> FactorReset:
    """The same for whoever runs the server: the only way for the platform's last administrator. Raises NotFound,
    AccountInactive, NoFactor."""
    with platform("second factor reset on the server"):
        user = User.objects.filter(email=email).first()
        if user is None:
            raise NotFound
        return _start(user, actor=actor, at=at)


def _start(user: User, *, actor: Actor, at: datetime) -> FactorReset:
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if not user.is_active:
        raise AccountInactive
    if not is_enrolled(user):
        raise NoFactor(_("This person has no second factor. There is nothing to reset."))
    FactorReset.objects.open(at=at).filter(user=user).update(expires_at=at)
    reset = FactorReset.objects.create(
        user=user, started_by=actor.user, created_at=at, expires_at=at + FactorReset.LIFE
    )
    mail_person(user, AccountMailKind.FACTOR_RESET, at=at)
    audit.record(
        actor=actor,
        action="second_factor.reset_started",
        target=user,
        organization_id=actor.organization_id,
        detail={"reset": str(reset.pk)},
    )
    return reset


def open_factor_reset(*, token: str, at: datetime) -> FactorReset:
    """Return the reset of a mailed link. Changes nothing. Raises LinkClosed (`factor_reset_closed`)."""
    closed = LinkClosed(
        _(
            "This link has been used, is older than one hour, or your password or your address has changed since. Ask for"
            " a new one."
        ),
        code="factor_reset_closed",
    )
    try:
        pk, password, mailbox = signing.loads(token, salt=FACTOR_RESET_SALT)
        reset = FactorReset.objects.open(at=at).select_related("user").get(pk=UUID(pk), user__is_active=True)
    except (signing.BadSignature, ValueError, TypeError, FactorReset.DoesNotExist):
        raise closed from None
    if not constant_time_compare(password, reset.user.get_session_auth_hash()):
        raise closed
    if mailbox != address_digest(reset.user.email):
        raise closed
    return reset


def finish_factor_reset(
    *, token: str, password: str, known_browser: str = "", ip: str, request_id: str, at: datetime
) -> User:
    """Remove the second factor of whoever holds the mail and knows the password; every session ends, and a new one is set
    up at the next sign-in. Raises LinkClosed, Refused (`current_password`), Locked."""
    reset = open_factor_reset(token=token, at=at)
    user = reset.user
    confirm_password(
        user=user,
        password=password,
        known_browser=known_browser,
        field="password",
        ip=ip,
        request_id=request_id,
        at=at,
    )
    actor = own_actor(user, ip=ip, request_id=request_id)
    with platform("second factor reset"):
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not FactorReset.objects.open(at=at).filter(pk=reset.pk).update(used_at=at):
            raise LinkClosed(code="factor_reset_closed")
        forget_factor(user)
        end_sessions_of(user_id=user.pk, reason=SessionEnd.FACTOR_CHANGED, actor=actor, at=at)
        audit.record(
            actor=actor,
            action="second_factor.reset_finished",
            target=user,
            organization_id=PLATFORM_ORGANIZATION_ID,
            detail={"reset": str(reset.pk)},
        )
        mail_person(user, AccountMailKind.FACTOR_REMOVED, at=at)
    return user
