"""Sending what is queued: claim, compose, hand over, note the result (architecture.md 5).

Promise: nothing acknowledged is lost; a mail leaves twice only when its worker dies between the server's 250 and our
commit, and then with the same Message-ID and the same link.
"""

import time
from datetime import datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Least
from django.utils import timezone

from accounts.outbox import LEASE, DeliveryStatus, due, next_attempt_at
from audit import services as audit
from healthivr.kernel.ids import new_id
from healthivr.kernel.mail import MailConnection, MailNotConfigured, SendFailed, mail_connection
from organizations.selectors import system_actor
from organizations.tenancy import platform

from .messages import compose
from .models import Delivery, Purpose, UserInvitation
from .states import Status

log = structlog.get_logger("invitations.delivery")

BATCH_SECONDS = 45.0  # a batch gives the rest back after this long, so that a slow server does not hold it


class _Gone(Exception):
    """The row is no longer ours to send: cancelled, replaced by a newer link, or claimed by somebody else."""


def hint_relay() -> None:
    """Tell a worker that there is mail. Only a hint: without Redis the row waits for the sweep, and the request that
    caused it does not fail."""
    try:
        current_app.send_task("invitations.tasks.relay_deliveries", ignore_result=True, retry=False)
    except Exception as error:  # noqa: BLE001  every transport has errors of its own; none may fail a committed request
        log.warning("relay_hint_lost", reason=type(error).__name__)


def relay_due_deliveries() -> int:
    """Send all that is due, batch by batch. Returns how many mails left. Safe beside itself: batches skip each other's
    rows."""
    sent = 0
    while batch := claim_batch(size=settings.MAIL_BATCH_SIZE, at=timezone.now()):
        sent += _send_batch(batch)
    return sent


def claim_batch(*, size: int, at: datetime) -> list[Delivery]:
    """Take up to `size` due deliveries under a lease, oldest first."""
    claim = new_id()
    with platform("relay: claim"):
        ids = (
            Delivery.objects.filter(due(at=at))
            .order_by("next_try_at")
            .select_for_update(skip_locked=True, of=("self",))
            .values("pk")[:size]
        )
        taken = Delivery.objects.filter(pk__in=list(ids.values_list("pk", flat=True))).update(
            status=DeliveryStatus.SENDING, claim=claim, next_try_at=at + LEASE
        )
        if not taken:
            return []
        return list(
            Delivery.objects.filter(claim=claim, status=DeliveryStatus.SENDING)
            .select_related("invitation__organization", "invitation__invited_by")
            .order_by("created_at", "pk")
        )


def _send_batch(batch: list[Delivery]) -> int:
    """Send one batch over one connection; each result is committed before the next mail is begun."""
    started, sent = time.monotonic(), 0
    with mail_connection() as mail:
        for number, delivery in enumerate(batch):
            if time.monotonic() - started > BATCH_SECONDS:
                _give_back(batch[number:])
                break
            sent += _send_one(mail, delivery)
    return sent


def _send_one(mail: MailConnection, delivery: Delivery) -> bool:
    at = timezone.now()
    try:
        _begin(delivery, at=at)
        composed = compose(delivery, at=at)
        if composed is None:
            raise _Gone
        message, recipient = composed
        mail.send(message, to=recipient)
    except _Gone:
        _finish(delivery, DeliveryStatus.CANCELLED, at=timezone.now())
        return False
    except MailNotConfigured:
        _finish(delivery, DeliveryStatus.DISABLED, at=timezone.now())
        return False
    except SendFailed as failure:
        _fail(delivery, failure, at=timezone.now())
        return False
    _finish(delivery, DeliveryStatus.SENT, at=timezone.now())
    return True


def _begin(delivery: Delivery, *, at: datetime) -> None:
    """Renew the lease, if the row is still ours and the invitation still wants this mail. Raises _Gone."""
    rows = Delivery.objects.filter(pk=delivery.pk, claim=delivery.claim, status=DeliveryStatus.SENDING)
    if delivery.purpose == Purpose.INVITATION:
        invitation = delivery.invitation
        rows = rows.filter(
            invitation_id__in=UserInvitation.objects.open(at=at)
            .filter(pk=invitation.pk, token_nonce=invitation.token_nonce)
            .values("pk")
        )
    with platform("relay: begin"):
        if not rows.update(next_try_at=at + LEASE):
            raise _Gone


def _finish(delivery: Delivery, status: DeliveryStatus, *, at: datetime, reason: str = "") -> None:
    """Note what became of a delivery, copy it to the invitation, and put it in the trail."""
    with platform("relay: result"):
        _note(delivery, status, at=at, reason=reason)


def _note(delivery: Delivery, status: DeliveryStatus, *, at: datetime, reason: str = "") -> bool:
    ours = Delivery.objects.filter(pk=delivery.pk, claim=delivery.claim, status=DeliveryStatus.SENDING)
    if not ours.update(status=status, reason=reason, finished_at=at):
        return False
    if delivery.purpose != Purpose.INVITATION or status == DeliveryStatus.CANCELLED:
        return True
    _copy_to_invitation(delivery, status, at=at)
    audit.record(
        actor=system_actor("relay"),
        action=f"invitation.{status}" if status != DeliveryStatus.SENT else "invitation.sent",
        target=delivery.invitation,
        detail={"delivery": str(delivery.pk), "attempt": str(delivery.attempt), "reason": reason},
    )
    return True


def _copy_to_invitation(delivery: Delivery, status: DeliveryStatus, *, at: datetime) -> None:
    """The invitation shows its newest delivery; a newer link has a newer one."""
    changes: dict[str, object] = {"delivery_status": status}
    if status != DeliveryStatus.DISABLED:
        changes["send_count"] = Least(F("send_count") + 1, Value(10))
    if status == DeliveryStatus.SENT:
        changes["sent_at"] = at
    invitation = delivery.invitation
    UserInvitation.objects.filter(pk=invitation.pk, token_nonce=invitation.token_nonce).update(**changes)


def _fail(delivery: Delivery, failure: SendFailed, *, at: datetime) -> None:
    """A refusal for good ends here and tells the inviter; anything else is tried again later, with back-off."""
    retry_at = None if failure.is_permanent else next_attempt_at(attempt=delivery.attempt, at=at)
    status = DeliveryStatus.BOUNCED if failure.is_permanent else DeliveryStatus.FAILED
    log.warning(
        "email_failed",
        invitation_id=str(delivery.invitation_id),
        delivery=str(delivery.pk),
        is_permanent=failure.is_permanent,
        attempt=delivery.attempt,
    )
    with platform("relay: failure"):
        if not _note(delivery, status, at=at, reason=failure.reason):
            return
        if retry_at:
            _queue_again(delivery, at=at, retry_at=retry_at)
        elif delivery.purpose == Purpose.INVITATION:
            queue_notice(delivery.invitation, Purpose.FAILED, at=at, reason=failure.reason)


def _queue_again(delivery: Delivery, *, at: datetime, retry_at: datetime) -> None:
    Delivery.objects.create(
        organization_id=delivery.organization_id,
        invitation_id=delivery.invitation_id,
        purpose=delivery.purpose,
        channel=delivery.channel,
        attempt=delivery.attempt + 1,
        reason="" if delivery.purpose == Purpose.INVITATION else delivery.reason,
        next_try_at=retry_at,
        created_at=at,
    )
    if delivery.purpose == Purpose.INVITATION:
        UserInvitation.objects.filter(
            pk=delivery.invitation_id, token_nonce=delivery.invitation.token_nonce, status=Status.PENDING
        ).update(delivery_status=DeliveryStatus.QUEUED)


def queue_notice(invitation: UserInvitation, purpose: Purpose, *, at: datetime, reason: str = "") -> None:
    """Queue a word to the inviter, if there is one."""
    if invitation.invited_by_id is None:
        return
    Delivery.objects.create(
        organization_id=invitation.organization_id,
        invitation=invitation,
        purpose=purpose,
        reason=reason,
        next_try_at=at,
        created_at=at,
    )
    transaction.on_commit(hint_relay)


def _give_back(rest: list[Delivery]) -> None:
    """Let others take what this batch has not begun."""
    with platform("relay: give back"):
        Delivery.objects.filter(
            pk__in=[delivery.pk for delivery in rest], claim=rest[0].claim, status=DeliveryStatus.SENDING
        ).update(status=DeliveryStatus.QUEUED, claim=None, next_try_at=timezone.now())


def outbox_age(*, at: datetime) -> timedelta:
    """Return how long the oldest due delivery has been waiting; nothing waiting is zero."""
    with platform("outbox age"), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT min(next_try_at) FROM {Delivery._meta.db_table} WHERE status IN ('queued', 'sending')"
            " AND next_try_at <= %s",
            [at],
        )
        oldest: datetime | None = cursor.fetchone()[0]
    return at - oldest if oldest else timedelta(0)
