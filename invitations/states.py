"""The lifecycle of an invitation as data (architecture.md 4). Delivery is another axis and never moves this one."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict


class Status(models.TextChoices):
    """Where an invitation stands."""

    PENDING = "pending", _("Pending")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Declined")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class Event(models.TextChoices):
    """What can happen to it."""

    ACCEPT = "accept", _("Accepted")
    DECLINE = "decline", _("Declined")
    CANCEL = "cancel", _("Cancelled")
    EXPIRE = "expire", _("Expired")
    RENEW = "renew", _("Renewed")
    RESEND = "resend", _("Sent again")
    UPDATE = "update", _("Changed")
    ADOPT = "adopt", _("Adopted")


TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.PENDING, Event.ACCEPT): Status.ACCEPTED,
    (Status.PENDING, Event.DECLINE): Status.DECLINED,
    (Status.PENDING, Event.CANCEL): Status.CANCELLED,
    (Status.PENDING, Event.EXPIRE): Status.EXPIRED,
    (Status.PENDING, Event.RESEND): Status.PENDING,
    (Status.PENDING, Event.UPDATE): Status.PENDING,
    (Status.PENDING, Event.ADOPT): Status.PENDING,
    (Status.EXPIRED, Event.RENEW): Status.PENDING,
}

MESSAGES = {
    Status.PENDING: _("This invitation is still open."),
    Status.ACCEPTED: _("This invitation has been accepted, so it cannot be changed any more."),
    Status.DECLINED: _("This invitation has been declined. Send a new one instead."),
    Status.CANCELLED: _("This invitation has been cancelled. Send a new one instead."),
    Status.EXPIRED: _("This invitation has expired. Renew it first."),
}


class IllegalTransition(Conflict):
    """The invitation is no longer, or not yet, where this could happen to it. `extra["invitation_status"]` says
    where it is."""

    code = "illegal_transition"

    def __init__(self, status: Status) -> None:
        super().__init__(MESSAGES[status], invitation_status=str(status.value))


def next_status(current: Status, event: Event) -> Status:
    """Return where `event` leads from `current`. Raises IllegalTransition."""
    try:
        return TRANSITIONS[current, event]
    except KeyError:
        raise IllegalTransition(current) from None
