"""The mail of an invitation, as a row of the transaction that causes it. A worker takes it from there (delivery.py)."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.outbox import DeliveryStatus
from organizations.actor import Actor

from .delivery import hint_relay
from .errors import AddressBounced, SendLimitReached
from .models import Channel, Delivery, Purpose, UserInvitation

MAX_SENDS = 10


def queue_mail(invitation: UserInvitation, *, at: datetime) -> None:
    """Write the mail as a row of this transaction; a worker takes it from there."""
    Delivery.objects.create(
        organization_id=invitation.organization_id,
        invitation=invitation,
        channel=Channel.EMAIL,
        purpose=Purpose.INVITATION,
        next_try_at=at,
        created_at=at,
    )
    transaction.on_commit(hint_relay)


def require_may_be_mailed(actor: Actor, invitation: UserInvitation) -> None:
    """Half of the sends are for staff alone: whoever holds a link and asks for another cannot use those up."""
    if invitation.delivery_status == DeliveryStatus.BOUNCED:
        raise AddressBounced
    if invitation.send_count >= MAX_SENDS:
        raise SendLimitReached
    if actor.user is None and invitation.send_count >= MAX_SENDS // 2:
        raise SendLimitReached(_("This invitation was mailed often enough. Ask the organization to send it again."))


def mail_new_link(invitation: UserInvitation, *, at: datetime) -> None:
    """Queue the mail of a fresh issue; mails of the old one that have not left are dropped. Only after the invitation
    has moved: whoever changes both locks the invitation first."""
    _drop_waiting_mail(invitation, at=at)
    queue_mail(invitation, at=at)


def _drop_waiting_mail(invitation: UserInvitation, *, at: datetime) -> bool:
    """Close what no worker holds, and say whether there was any. What one is sending this very moment is the worker's to
    close: it asks again before each mail, and says `sent` of what had left."""
    waiting = Delivery.objects.filter(invitation=invitation, purpose=Purpose.INVITATION, status=DeliveryStatus.QUEUED)
    return bool(waiting.update(status=DeliveryStatus.CANCELLED, finished_at=at))


def mail_nothing_more(invitation: UserInvitation, *, at: datetime) -> None:
    """Drop the mail of an invitation that is closed now. Like _mail_new_link, only after it has moved."""
    if _drop_waiting_mail(invitation, at=at):
        copy_delivery_status(invitation, DeliveryStatus.CANCELLED)


def copy_delivery_status(invitation: UserInvitation, status: DeliveryStatus) -> None:
    """An invitation shows the state of its newest delivery (domain.md 2.2, column 17)."""
    UserInvitation.objects.filter(pk=invitation.pk).update(delivery_status=status)
    invitation.delivery_status = status
