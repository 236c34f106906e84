"""Changing the address that one signs in with (ASVS 6.3.7): the new mailbox proves itself first, the old one is told."""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import Conflict, LinkClosed, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.masking import address_digest, mask_email
from organizations.actor import Actor
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.policies import EmailDomainNotAllowed, InvitationPolicy
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .links import read_email_link
from .models import AccountMail, AccountMailKind, EmailChange, SessionEnd, User, UserSession
from .outbox import DeliveryStatus
from .registry import end_sessions_of
from .services import confirm_password

LINK_LIFE = timedelta(hours=1)
#: How long a wish is kept: long enough for its mails to leave and for support to be asked about it, and longer than an
#: expired invitation can be renewed by whoever has the old mailbox (invitations/acceptance.py asks who has left it).
KEPT = timedelta(days=31)


#: Sent just before somebody's address changes, in its transaction and before its locks, with user, old_email, new_email,
#: actor and at.
address_changes = Signal()


class EmailTaken(Conflict):
    """The address got an account between the mail and the confirmation. Only who holds its mailbox hears this."""

    code = "email_taken"
    message = _("This address has an account of its own by now. Sign in with it, or choose another address.")


def _actor(user: User, *, ip: str, request_id: str) -> Actor:
    return Actor(user, Organization(pk=PLATFORM_ORGANIZATION_ID), ip=ip, request_id=request_id)


def _require_allowed_domain(user: User, address: str) -> None:
    """Hold a new address against the policy of each organization that somebody is a member of: else whoever joined with
    an allowed one changes to another the day after. Founders are no exception: it is the sender's policy that does not
    ask about their address; their own organization's does. Asked in platform(). Raises EmailDomainNotAllowed."""
    belongs = Membership.objects.active().filter(user=user, organization=OuterRef("organization"))
    of_all = OrganizationSettings.objects.filter(Exists(belongs)).order_by("organization")
    for domains in of_all.values_list("email_domains", flat=True):
        if not InvitationPolicy(email_domains=tuple(domains)).allows(address):
            text = _("An organization that you belong to takes addresses of %(domains)s only. Use one of those.")
            raise EmailDomainNotAllowed(domains, text, field="email")


def request_email_change(
    *, user: User, email: str, password: str, known_browser: str = "", ip: str, request_id: str, at: datetime
) -> EmailChange:
    """Have a link mailed to the address that somebody wants to change to. An address that has an account gets another
    mail, which says that somebody tried: both write the same rows and answer alike, so nobody learns which it was.

    Raises what confirm_password and normalise_email raise, EmailDomainNotAllowed, and Refused (`same_address`) for one's
    own.
    """
    confirm_password(user=user, password=password, known_browser=known_browser, ip=ip, request_id=request_id, at=at)
    address = normalise_email(email)
    if address == user.email:
        raise Refused(_("This is your address already."), code="same_address", field="email")
    owner = User.objects.filter(email=address).first()
    with platform("own address"):
        _require_allowed_domain(user, address)
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # one wish at a time
        EmailChange.objects.filter(user=user, closed_at=None).update(closed_at=at)
        change = EmailChange.objects.create(
            user=user,
            old_email=user.email,
            new_email=address,
            created_at=at,
            expires_at=at + LINK_LIFE,
            closed_at=at if owner else None,
        )
        AccountMail.objects.create(
            kind=AccountMailKind.EMAIL_TAKEN if owner else AccountMailKind.EMAIL_CONFIRM,
            user=owner or user,
            facts={"email_change": str(change.pk)},
            status=DeliveryStatus.CANCELLED if owner and not owner.is_active else DeliveryStatus.QUEUED,
            next_try_at=at,
            created_at=at,
        )
        transaction.on_commit(hint_account_mail)
        audit.record(
            actor=_actor(user, ip=ip, request_id=request_id),
            action="user.email_change_requested",
            target=user,
            detail={"address": address_digest(address)},
        )
    return change


def open_email_link(*, user: User, token: str, at: datetime) -> EmailChange:
    """Return the wish of a mailed link, while it works and for whose it is. Changes nothing. Raises LinkClosed
    (`email_link_closed`), the same for every reason."""
    change_id = read_email_link(token)
    works = EmailChange.objects.filter(user=user, old_email=user.email, closed_at=None, expires_at__gt=at)
    change = works.filter(pk=change_id).first() if change_id else None
    if change is None:
        raise LinkClosed(
            _("This link has been used, is older than one hour, or was made for another account."),
            code="email_link_closed",
        )
    return change


def is_confirmed(*, user: User, token: str) -> bool:
    """Say whether a mailed link has done what it was for: the address is the person's by now."""
    change_id = read_email_link(token)
    if change_id is None:
        return False
    return EmailChange.objects.filter(pk=change_id, user=user, new_email=user.email, closed_at__isnull=False).exists()


def confirm_email_change(
    *,
    user: User,
    token: str,
    session: UserSession,
    ip: str,
    request_id: str,
    at: datetime,
) -> EmailChange:
    """Change somebody's address by the link that its mailbox got. Every other session and token ends, links that were
    mailed to the old address die with it, and the old address is told.

    Raises LinkClosed, StepUpRequired, EmailDomainNotAllowed, EmailTaken, Conflict.
    """
    change = open_email_link(user=user, token=token, at=at)
    actor = replace(_actor(user, ip=ip, request_id=request_id), verified_at=session.verified_at)
    actor.require_step_up(at=at)
    try:
        with platform("own address"):
            _require_allowed_domain(user, change.new_email)  # the policy may have come after the mail
            address_changes.send(
                sender=User, user=user, old_email=change.old_email, new_email=change.new_email, actor=actor, at=at
            )
            # Conditional: of two uses of one link, one wins; and the unique index decides between two accounts.
            moved = User.objects.filter(pk=user.pk, email=change.old_email).update(email=change.new_email)
            if not moved or not EmailChange.objects.filter(pk=change.pk, closed_at=None).update(closed_at=at):
                raise Conflict
            AccountMail.objects.create(
                kind=AccountMailKind.EMAIL_CHANGED,
                user=user,
                facts={"email_change": str(change.pk)},
                next_try_at=at,
                created_at=at,
            )
            transaction.on_commit(hint_account_mail)
            audit.record(
                actor=actor,
                action="user.email_changed",
                target=user,
                changes={"email": [mask_email(change.old_email), mask_email(change.new_email)]},
                detail={"before": address_digest(change.old_email), "after": address_digest(change.new_email)},
            )
            end_sessions_of(user_id=user.pk, reason=SessionEnd.EMAIL_CHANGED, but=session.pk, actor=actor, at=at)
    except IntegrityError as error:
        if "user_email_once" in str(error):
            raise EmailTaken from None
        raise
    user.email = change.new_email
    return change


def forget_email_changes(*, at: datetime) -> int:
    """Delete wishes of long ago: addresses that nobody needs any more. Returns how many."""
    return EmailChange.objects.filter(created_at__lt=at - KEPT).delete()[0]
