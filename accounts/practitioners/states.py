"""The standing of a doctor's license as data. Until when an approval holds is another axis (`approved_until`): time moves
it without asking anybody."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict


class Standing(models.TextChoices):
    """Where what a doctor last submitted stands."""

    PENDING = "pending", _("Being checked")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    SUSPENDED = "suspended", _("Suspended")


class Event(models.TextChoices):
    """What can happen to it."""

    SUBMIT = "submit", _("Submitted")
    APPROVE = "approve", _("Approved")
    REJECT = "reject", _("Rejected")
    SUSPEND = "suspend", _("Suspended")
    EXPIRE = "expire", _("Expired")


#: An approval can end by date while its renewal is being checked or after that was rejected: only the approval ends.
TRANSITIONS: dict[tuple[Standing, Event], Standing] = {
    (Standing.PENDING, Event.SUBMIT): Standing.PENDING,
    (Standing.PENDING, Event.APPROVE): Standing.APPROVED,
    (Standing.PENDING, Event.REJECT): Standing.REJECTED,
    (Standing.PENDING, Event.SUSPEND): Standing.SUSPENDED,
    (Standing.PENDING, Event.EXPIRE): Standing.PENDING,
    (Standing.APPROVED, Event.SUBMIT): Standing.PENDING,
    (Standing.APPROVED, Event.SUSPEND): Standing.SUSPENDED,
    (Standing.APPROVED, Event.EXPIRE): Standing.SUSPENDED,
    (Standing.REJECTED, Event.SUBMIT): Standing.PENDING,
    (Standing.REJECTED, Event.SUSPEND): Standing.SUSPENDED,
    (Standing.REJECTED, Event.EXPIRE): Standing.REJECTED,
    (Standing.SUSPENDED, Event.SUBMIT): Standing.PENDING,
}

MESSAGES = {
    Standing.PENDING: _("This license is waiting to be checked."),
    Standing.APPROVED: _("This license has been approved already. Suspend it to take the approval back."),
    Standing.REJECTED: _("This license has been rejected. The doctor can correct it and submit it again."),
    Standing.SUSPENDED: _("This license is suspended. The doctor can submit it again, to be checked anew."),
}


class IllegalDecision(Conflict):
    """Somebody else has decided, or there is nothing to decide. `extra["practitioner_status"]` says where it stands."""

    code = "illegal_decision"

    def __init__(self, standing: Standing) -> None:
        super().__init__(MESSAGES[standing], practitioner_status=str(standing.value))


def next_standing(current: Standing, event: Event) -> Standing:
    """Return where `event` leads from `current`. Raises IllegalDecision."""
    try:
        return TRANSITIONS[current, event]
    except KeyError:
        raise IllegalDecision(current) from None
