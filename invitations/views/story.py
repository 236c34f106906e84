"""The timeline in words: what each entry of an invitation's story looks like, and what to do next."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.outbox import DeliveryStatus
from invitations.messages import DECLINE_REASONS
from invitations.models import OWN_REASONS, Delivery, UserInvitation
from invitations.selectors import TimelineItem
from invitations.states import Event, Status
from organizations.roles import Role

Words = str | Promise

#: Icon, tone and words of each lifecycle event.
EVENTS: dict[str, tuple[str, str, Words]] = {
    "created": ("plus-lg", "neutral", gettext_lazy("Created")),
    Event.ACCEPT: ("check-lg", "success", gettext_lazy("Accepted")),
    Event.DECLINE: ("x-lg", "neutral", gettext_lazy("Declined")),
    Event.CANCEL: ("slash-circle", "neutral", gettext_lazy("Cancelled")),
    Event.EXPIRE: ("clock-history", "warning", gettext_lazy("Expired")),
    Event.RENEW: ("arrow-repeat", "progress", gettext_lazy("Renewed, with a new link")),
    Event.RESEND: ("arrow-repeat", "progress", gettext_lazy("Sent again, with a new link")),
    Event.ADOPT: ("person-check", "neutral", gettext_lazy("Taken over, with the same link")),
    Event.UPDATE: ("pencil", "neutral", gettext_lazy("Changed")),
}
#: Icon, tone and words of each state of a delivery.
DELIVERIES: dict[str, tuple[str, str, Words]] = {
    DeliveryStatus.QUEUED: ("hourglass-split", "neutral", gettext_lazy("Waiting to be sent")),
    DeliveryStatus.SENDING: ("send", "progress", gettext_lazy("Being sent")),
    DeliveryStatus.SENT: ("send-check", "progress", gettext_lazy("Sent: the mail server took it")),
    DeliveryStatus.DEFERRED: ("hourglass-split", "warning", gettext_lazy("Delayed by the mail server")),
    DeliveryStatus.DELIVERED: ("envelope-check", "progress", gettext_lazy("Delivered to the mailbox")),
    DeliveryStatus.BOUNCED: ("exclamation-octagon-fill", "danger", gettext_lazy("Bounced")),
    DeliveryStatus.REJECTED: (
        "exclamation-octagon-fill",
        "danger",
        gettext_lazy("Not sent: the mail server refused the message"),
    ),
    DeliveryStatus.FAILED: ("exclamation-triangle-fill", "warning", gettext_lazy("Could not be sent")),
    DeliveryStatus.COMPLAINED: ("flag-fill", "danger", gettext_lazy("Reported as spam by the recipient")),
    DeliveryStatus.CANCELLED: ("slash-circle", "neutral", gettext_lazy("Taken back before it was sent")),
    DeliveryStatus.DISABLED: ("plug", "warning", gettext_lazy("Not sent: no mail server is set up")),
    DeliveryStatus.UNKNOWN: ("question-circle", "neutral", gettext_lazy("No receipt")),
}
#: What a mail server's answer means (RFC 3463), most telling part first.
REASONS: tuple[tuple[str, Words], ...] = (
    (r"not reachable|closed the connection|connection lost", gettext_lazy("The mail server could not be reached.")),
    (r"\b5\.1\.[126]\b|no such|user unknown|does not exist|no mailbox", gettext_lazy("The mailbox does not exist.")),
    (r"\b[45]\.2\.2\b|\b[45]52\b|full|quota", gettext_lazy("The mailbox is full.")),
    (r"\b5\.2\.1\b|disabled|inactive", gettext_lazy("The mailbox is switched off.")),
    (r"\b[45]\.7\.\d|spam|policy|blocked|denied", gettext_lazy("The mail server refuses mail from us.")),
    (r"\b5\.1\.10\b|domain", gettext_lazy("The part behind the @ does not receive mail.")),
    (r"time", gettext_lazy("The mail server could not be reached.")),
    (r"^4\d\d", gettext_lazy("The mail server asked to try again later.")),
    (r"^5\d\d", gettext_lazy("The mail server refused the mail.")),
)
FIELDS: dict[str, Words] = {
    "invitation_type": gettext_lazy("Role"),
    "expires_at": gettext_lazy("The link works until"),
    "first_name": gettext_lazy("First name"),
    "last_name": gettext_lazy("Last name"),
    "message": gettext_lazy("Note"),
    "language": gettext_lazy("Language"),
}
#: The words of a recorded value, of the fields that may be shown.
VALUES: dict[str, Callable[[str], Words]] = {
    "invitation_type": lambda value: Role(value).label,
    "expires_at": lambda value: formats.date_format(
        timezone.localtime(datetime.fromisoformat(value)), "DATETIME_FORMAT"
    ),
    "language": lambda value: dict(settings.LANGUAGES).get(value, value),
}


@dataclass(frozen=True)
class Line:
    """One line of the timeline as the page shows it."""

    icon: str
    tone: str
    title: str
    at: datetime | None = None
    by: str = ""
    detail: str = ""  # may have several lines
    technical: str = ""
    next: str = ""


def reason_in_words(answer: str) -> str:
    """Return what a mail server's answer means, in a sentence."""
    for pattern, words in REASONS:
        if re.search(pattern, answer, re.IGNORECASE):
            return str(words)
    return ""


def story(invitation: UserInvitation, items: list[TimelineItem], *, correct: str, at: datetime) -> list[Line]:
    """Return the lines of a timeline, and as the last one what lies ahead. `correct` names the button that leads to
    another address, empty when there is none."""
    if invitation.is_expired(at=at):
        items = _with_true_end(invitation, items)
    items = sorted(items, key=lambda item: (item.at, item.kind == "delivery"))  # what caused a mail comes before it
    lines = [_delivery(item.delivery, correct=correct) if item.delivery else _event(invitation, item) for item in items]
    if invitation.is_open(at=at):
        lines.append(Line("clock", "future", _("The link stops working"), invitation.expires_at))
    return lines


def _with_true_end(invitation: UserInvitation, items: list[TimelineItem]) -> list[TimelineItem]:
    """Return the items with the last expiry at the time at which the link stopped working. The history says when the
    sweep noticed it, and nothing before that."""
    ends = [item for item in items if item.kind == Event.EXPIRE]
    last = max(ends, key=lambda item: item.at, default=None) if invitation.status == Status.EXPIRED else None
    rest = [item for item in items if item is not last]
    return [*rest, TimelineItem(invitation.expires_at, Event.EXPIRE, history=last.history if last else None)]


def _event(invitation: UserInvitation, item: TimelineItem) -> Line:
    icon, tone, words = EVENTS[item.kind]
    if item.kind == "created":
        role = Role(invitation.invitation_type).label
        by = invitation.invited_by.get_full_name() if invitation.invited_by else ""
        detail = _("Role: %(role)s") % {"role": role}
        return Line(icon, tone, str(words), item.at, by, detail)
    return Line(icon, tone, str(words), item.at, _who(item), _detail(item))


def _who(item: TimelineItem) -> str:
    if item.history and item.history.by:
        return str(item.history.by.get_full_name())
    return _("the invited person") if item.kind == Event.DECLINE else ""


def _detail(item: TimelineItem) -> str:
    reason = item.history.reason if item.history else ""
    if item.kind == Event.DECLINE:
        return str(DECLINE_REASONS.get(reason, reason))
    if item.kind == Event.UPDATE:
        return "\n".join(_change(name, values) for name, values in item.changes.items())
    return _(reason) if reason in OWN_REASONS else reason


def _change(name: str, values: list[str]) -> str:
    """Return what changed: `Role: Medical staff → Doctor`, and of personal data the name of the field alone."""
    label = str(FIELDS.get(name, name))
    if name not in VALUES or not values:
        return label
    before, after = (VALUES[name](value) for value in values)
    return _("%(field)s: %(before)s → %(after)s") % {"field": label, "before": before, "after": after}


def _delivery(delivery: Delivery, *, correct: str) -> Line:
    icon, tone, words = DELIVERIES[delivery.status]
    is_retry = delivery.status == DeliveryStatus.QUEUED and delivery.attempt > 1
    if is_retry:
        return Line(icon, "future", _("We try again"), delivery.next_try_at)
    return Line(
        icon,
        tone,
        str(words),
        delivery.finished_at or delivery.created_at,
        # An answer to the message may use the words of one to the address, and says nothing about the mailbox.
        detail="" if delivery.status == DeliveryStatus.REJECTED else reason_in_words(delivery.reason),
        technical=delivery.reason,
        next=_next_step(delivery, correct=correct),
    )


def _next_step(delivery: Delivery, *, correct: str) -> str:
    """Say what a person can do about a delivery that went wrong."""
    if delivery.status == DeliveryStatus.BOUNCED and correct:
        return _("Ask for the right address, then choose “%(button)s”.") % {"button": correct}
    if delivery.status == DeliveryStatus.REJECTED and correct:
        return _("Shorten or leave out the note and send it again, or choose “%(button)s” for another address.") % {
            "button": correct
        }
    if delivery.status == DeliveryStatus.COMPLAINED:
        return _("Talk to the person before you write again.")
    if delivery.status == DeliveryStatus.DISABLED:
        return _("Tell the people who run healthivr that mail is not set up. Then send the invitation again.")
    return ""
