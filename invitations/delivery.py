"""Sending what is queued: claim, compose, hand over, note the result (architecture.md 5).

Promise: nothing acknowledged is lost; a mail leaves twice only when its worker dies between the server's 250 and our
commit, and then with the same Message-ID and the same link.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog
from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.outbox import BACK_OFF, LEASE, RUN_SECONDS, DeliveryStatus, due, outcome
from audit import services as audit
from healthivr.kernel.ids import new_id
from healthivr.kernel.mail import MailConnection, MailNotConfigured, SendFailed, ServerUnusable, mail_connection
from organizations.selectors import system_actor
from organizations.tenancy import platform

from .messages import compose
from .models import FAILED_DELIVERY, Delivery, Purpose, UserInvitation
from .states import Status

log = structlog.get_logger("invitations.delivery")

DELIVERIES, INVITATIONS = Delivery._meta.db_table, UserInvitation._meta.db_table
#: Notes what became of one delivery, and asks whether another may leave: its invitation is open, and this is its present
#: link. Says whether the first was still ours, and NULL when the other is not ours any more.
TURN = f"""
    WITH noted AS (
        UPDATE {DELIVERIES} SET status = %s, reason = %s, finished_at = %s
        WHERE id = %s AND claim = %s AND status = 'sending' RETURNING invitation_id
    ), copied AS (
        UPDATE {INVITATIONS} i
        SET delivery_status = %s, send_count = least(send_count + %s, 10), sent_at = coalesce(%s, sent_at)
        FROM noted WHERE %s AND i.id = noted.invitation_id AND i.token_nonce = %s
    ) SELECT EXISTS (SELECT FROM noted), (
        SELECT d.purpose <> 'invitation' OR (i.status = 'pending' AND i.expires_at > %s AND i.token_nonce = %s)
        FROM {DELIVERIES} d JOIN {INVITATIONS} i ON i.id = d.invitation_id
        WHERE d.id = %s AND d.claim = %s AND d.status = 'sending' AND d.next_try_at > %s
    )"""
#: Copies a state of deliveries into the invitations whose newest they are (domain.md 2.2, column 17). An invitation that
#: somebody changes just now is left out, since whoever holds it may be waiting for its delivery: what becomes of the
#: mail is copied again in any case.
COPY = f"""
    UPDATE {INVITATIONS} SET delivery_status = %s WHERE id IN (
        SELECT i.id FROM {DELIVERIES} d JOIN {INVITATIONS} i ON i.id = d.invitation_id
        WHERE d.id = ANY(%s) AND d.purpose = 'invitation' AND NOT EXISTS (
            SELECT FROM {DELIVERIES} newer WHERE newer.invitation_id = i.id AND newer.purpose = 'invitation'
            AND (newer.created_at, newer.id) > (d.created_at, d.id)
        ) FOR NO KEY UPDATE OF i SKIP LOCKED
    )"""
BATCH_SECONDS = 45.0  # a batch gives the rest back after this long, so that a slow server does not hold it


def hint_relay() -> None:
    """Tell a worker that there is mail. Only a hint: without Redis the row waits for the sweep, and the request that
    caused it does not fail."""
    try:
        current_app.send_task("invitations.tasks.relay_deliveries", ignore_result=True, retry=False)
    except Exception as error:  # noqa: BLE001  every transport has errors of its own; none may fail a committed request
        log.warning("relay_hint_lost", reason=type(error).__name__)


def relay_due_deliveries() -> int:
    """Send all that is due, batch by batch, until the mail server is unusable or RUN_SECONDS are over: the next run goes
    on. Returns how many mails left. Safe beside itself: batches skip each other's rows."""
    started, sent = time.monotonic(), 0
    while batch := claim_batch(size=settings.MAIL_BATCH_SIZE, at=timezone.now()):
        if sent == 0 and len(batch) == settings.MAIL_BATCH_SIZE:
            hint_relay()  # there is more: another worker may help
        count, is_usable = _send_batch(batch)
        sent += count
        if not is_usable:
            break
        if time.monotonic() - started > RUN_SECONDS:
            hint_relay()
            break
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
        taken = list(ids.values_list("pk", flat=True))
        if not taken:
            return []
        Delivery.objects.filter(pk__in=taken).update(status=DeliveryStatus.SENDING, claim=claim, next_try_at=at + LEASE)
        _copy(DeliveryStatus.SENDING, taken)
        return list(
            Delivery.objects.filter(claim=claim, status=DeliveryStatus.SENDING)
            .select_related("invitation")
            .prefetch_related(
                "invitation__organization", "invitation__invited_by", "invitation__accepted_by"
            )  # few, of many invitations
            .order_by("created_at", "pk")
        )


def _copy(status: DeliveryStatus, deliveries: list[UUID]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(COPY, [status.value, deliveries])


@dataclass(frozen=True)
class _Result:
    """What became of one delivery."""

    delivery: Delivery
    status: DeliveryStatus
    at: datetime
    reason: str = ""
    retry_at: datetime | None = None
    is_server_usable: bool = True

    @property
    def concerns_invitation(self) -> bool:
        """Whether the invitation shows it: a word to the inviter it does not."""
        return self.delivery.purpose == Purpose.INVITATION

    @property
    def is_attempt(self) -> bool:
        """Whether a server was asked to take it."""
        return self.status not in (DeliveryStatus.CANCELLED, DeliveryStatus.DISABLED)


def _send_batch(batch: list[Delivery]) -> tuple[int, bool]:
    """Send one batch over one connection. One transaction notes what became of a mail and begins the next, so each
    result is committed before the next mail is begun. Returns how many left, and whether the server is usable: when it
    is not, one mail has found out, and the others wait without losing an attempt."""
    started, sent = time.monotonic(), 0
    result: _Result | None = None
    with mail_connection() as mail:
        for number, delivery in enumerate(batch):
            if time.monotonic() - started > BATCH_SECONDS:
                _give_back(batch[number:], until=timezone.now())
                break
            is_wanted = _turn(result, delivery)
            if is_wanted:
                result = _send(mail, delivery)
                sent += result.status == DeliveryStatus.SENT
                if not result.is_server_usable:
                    _give_back(batch[number + 1 :], until=result.at + BACK_OFF[0])
                    break
            else:
                result = None if is_wanted is None else _ended(delivery, DeliveryStatus.CANCELLED)
    _turn(result, None)
    return sent, result is None or result.is_server_usable


def _turn(result: _Result | None, following: Delivery | None) -> bool | None:
    """Note what became of one mail, in the delivery that is still ours and in its invitation unless that has a newer
    link; then whatever follows from it. Returns whether the following mail may leave, None when its lease has ended."""
    if result is None and following is None:
        return None
    with platform("relay: result, and next mail", is_logged=False):
        was_ours, is_wanted = _run_prepared(TURN, [*_columns(result), *_question(following, at=timezone.now())])
        if result and was_ours:
            _note(result)
    return None if is_wanted is None else bool(is_wanted)


def _columns(result: _Result | None) -> list[object]:
    if result is None:
        return [None] * 10
    delivery, status = result.delivery, result.status
    return [
        *(status, result.reason, result.at, delivery.pk, delivery.claim),
        *(status, int(result.is_attempt), result.at if status == DeliveryStatus.SENT else None),
        *(result.concerns_invitation, delivery.invitation.token_nonce),
    ]


def _question(delivery: Delivery | None, *, at: datetime) -> list[object]:
    if delivery is None:
        return [None] * 5
    return [at, delivery.invitation.token_nonce, delivery.pk, delivery.claim, at]


def _run_prepared(statement: str, parameters: list[object]) -> tuple[Any, ...]:
    """Run a statement that PostgreSQL plans once a connection, and return its row: a batch runs the same one for each
    mail, and to plan it takes longer than to do what it says."""
    connection.connection.prepare_threshold = 1
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        row: tuple[Any, ...] | None = cursor.execute(statement, parameters).fetchone()
    assert row is not None  # it begins with a bare SELECT
    return row


def _send(mail: MailConnection, delivery: Delivery) -> _Result:
    """Write one mail and hand it to the server."""
    try:
        composed = compose(delivery, at=timezone.now())
        if composed is None:
            return _ended(delivery, DeliveryStatus.CANCELLED)
        message, recipient = composed
        mail.send(message, to=recipient)
    except MailNotConfigured:
        log.error("email_not_configured", invitation_id=str(delivery.invitation_id), delivery=str(delivery.pk))
        return _ended(delivery, DeliveryStatus.DISABLED)
    except SendFailed as failure:
        return _failed(delivery, failure)
    except Exception as error:  # a mail that cannot be written must not hold up those behind it
        log.exception("email_not_written", delivery=str(delivery.pk))
        return _failed(delivery, SendFailed(f"could not be written ({type(error).__name__})"))
    log.info("email_sent", invitation_id=str(delivery.invitation_id), delivery=str(delivery.pk))
    return _ended(delivery, DeliveryStatus.SENT)


def _ended(delivery: Delivery, status: DeliveryStatus) -> _Result:
    return _Result(delivery, status, timezone.now())


def _failed(delivery: Delivery, failure: SendFailed) -> _Result:
    """A refusal for good ends here; anything else is tried again later, with back-off."""
    at = timezone.now()
    status, retry_at = outcome(failure, attempt=delivery.attempt, at=at)
    log.warning(
        "email_failed",
        invitation_id=str(delivery.invitation_id),
        delivery=str(delivery.pk),
        status=status.value,
        attempt=delivery.attempt,
    )
    return _Result(delivery, status, at, failure.reason, retry_at, not isinstance(failure, ServerUnusable))


def _note(result: _Result) -> None:
    """Put a result in the trail, and do what follows from it."""
    delivery, status, invitation = result.delivery, result.status, result.delivery.invitation
    if result.concerns_invitation and status != DeliveryStatus.CANCELLED:
        audit.record(
            actor=system_actor("relay"),
            action=f"invitation.{status}",
            target=invitation,
            detail={"delivery": str(delivery.pk), "attempt": str(delivery.attempt), "reason": result.reason},
            is_logged=False,  # as email_sent and its like
        )
    if result.retry_at:
        if not result.concerns_invitation or _present(invitation).update(delivery_status=DeliveryStatus.QUEUED):
            _queue_again(delivery, at=result.at, retry_at=result.retry_at)
    elif result.concerns_invitation and status in FAILED_DELIVERY and _present(invitation).exists():
        queue_notice(invitation, Purpose.FAILED, at=result.at, reason=result.reason)


def _present(invitation: UserInvitation) -> QuerySet[UserInvitation]:
    """Find the invitation as the batch read it: while the server held its mail, somebody may have made a new link or
    closed it, and that has a mail of its own, or needs none."""
    return UserInvitation.objects.filter(pk=invitation.pk, token_nonce=invitation.token_nonce, status=Status.PENDING)


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


def queue_notice(invitation: UserInvitation, purpose: Purpose, *, at: datetime, reason: str = "") -> None:
    """Queue a word to the inviter, if there is one. No hint: the sweep takes it within seconds, and whoever accepts need
    not wait for a broker."""
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


def _give_back(rest: list[Delivery], *, until: datetime) -> None:
    """Let others take what this batch has not begun, from `until` on."""
    if not rest:
        return
    ours = [delivery.pk for delivery in rest]
    with platform("relay: give back"):
        Delivery.objects.filter(pk__in=ours, claim=rest[0].claim, status=DeliveryStatus.SENDING).update(
            status=DeliveryStatus.QUEUED, claim=None, next_try_at=until
        )
        _copy(DeliveryStatus.QUEUED, ours)


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
