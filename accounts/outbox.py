"""Mail as rows: written in the transaction that causes it, sent after its commit by whichever worker claims it.

The truth is here; a Celery task is only a hint that makes it fast (architecture.md 5). A claim is a lease: what a killed
worker held is claimed again when the lease ends, and leaves with the same Message-ID and the same link.
"""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import new_id
from healthivr.kernel.mail import AddressRefused, MessageRefused, SendFailed

#: How long a claim holds. It outlasts a batch (45 s) and the slowest mail, eleven answers of EMAIL_TIMEOUT each: nobody
#: else takes up what is still on its way.
LEASE = timedelta(minutes=5)
#: How long one run takes up further mail. With a batch (45 s) and the slowest mail (220 s) it ends before Celery's time
#: limit (CELERY_TASK_TIME_LIMIT, 300 s), which kills in the middle of a mail.
RUN_SECONDS = 30.0
#: How long to wait before each further attempt: after the first, five more within a day (invitations.md 4.2).
BACK_OFF = (timedelta(seconds=30), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=4), timedelta(hours=18))


class DeliveryStatus(models.TextChoices):
    """Where one attempt stands (invitations.md 4.2). SENT means the next server took it, not that somebody has it."""

    QUEUED = "queued", _("Waiting to be sent")
    SENDING = "sending", _("Being sent")
    SENT = "sent", _("Sent")
    DEFERRED = "deferred", _("Delayed by the mail server")
    DELIVERED = "delivered", _("Delivered")
    BOUNCED = "bounced", _("Bounced")
    REJECTED = "rejected", _("Rejected")
    FAILED = "failed", _("Failed")
    COMPLAINED = "complained", _("Reported as spam")
    CANCELLED = "cancelled", _("Cancelled before it was sent")
    DISABLED = "disabled", _("Mail is not set up")
    UNKNOWN = "unknown", _("No receipt")


#: How a failed attempt ends. A refusal for good is not tried again, and only that of the recipient speaks of the address.
FINAL = {AddressRefused: DeliveryStatus.BOUNCED, MessageRefused: DeliveryStatus.REJECTED}
WAITING = (DeliveryStatus.QUEUED, DeliveryStatus.SENDING)


class OutgoingMail(models.Model):
    """One attempt to send one mail."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    status = models.CharField(max_length=12, choices=DeliveryStatus, default=DeliveryStatus.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=1)
    #: When it may be claimed: at once, after the back-off, or when a lease ends.
    next_try_at = models.DateTimeField()
    #: Which batch holds it while it is being sent.
    claim = models.UUIDField(null=True)
    #: The server's answer when it refused, without addresses.
    reason = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


def due(*, at: datetime) -> Q:
    """The rows that may be claimed now: queued ones whose time has come, and those whose lease has ended."""
    return Q(status__in=WAITING, next_try_at__lte=at)


def outcome(failure: SendFailed, *, attempt: int, at: datetime) -> tuple[DeliveryStatus, datetime | None]:
    """Return how failed attempt number `attempt` ends, and when to try again, or None when there is no next time."""
    if status := FINAL.get(type(failure)):
        return status, None
    return DeliveryStatus.FAILED, at + BACK_OFF[attempt - 1] if attempt <= len(BACK_OFF) else None
