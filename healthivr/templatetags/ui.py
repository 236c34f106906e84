"""What templates of every app say in the same way: times and states."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import dateformat, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

register = template.Library()

Words = str | Promise

#: Tone, icon and words of every state that a person can see. The words are those of the API's `status` first, then the
#: states of a delivery that the list does not fold into one of them.
STATES: dict[str, tuple[str, str, Words]] = {
    "pending": ("neutral", "hourglass-split", gettext_lazy("Not sent yet")),
    "sent": ("progress", "send-check", gettext_lazy("Sent")),
    "failed": ("danger", "exclamation-octagon-fill", gettext_lazy("Delivery failed")),
    "accepted": ("success", "check-circle-fill", gettext_lazy("Accepted")),
    "declined": ("neutral", "x-circle", gettext_lazy("Declined")),
    "cancelled": ("neutral", "slash-circle", gettext_lazy("Cancelled")),
    "expired": ("warning", "clock-history", gettext_lazy("Expired")),
    "queued": ("neutral", "hourglass-split", gettext_lazy("Waiting to be sent")),
    "sending": ("progress", "send", gettext_lazy("Sending")),
    "deferred": ("warning", "hourglass-split", gettext_lazy("Delayed")),
    "delivered": ("progress", "envelope-check", gettext_lazy("Delivered")),
    "bounced": ("danger", "exclamation-octagon-fill", gettext_lazy("Bounced")),
    "rejected": ("danger", "exclamation-octagon-fill", gettext_lazy("Refused")),
    "complained": ("danger", "flag-fill", gettext_lazy("Marked as unwanted")),
    "unknown": ("neutral", "question-circle", gettext_lazy("No receipt")),
    "disabled": ("warning", "plug", gettext_lazy("E-mail is switched off")),
    "active": ("success", "check-circle-fill", gettext_lazy("Active")),
    "ended": ("neutral", "slash-circle", gettext_lazy("Ended")),
    "inactive": ("warning", "pause-circle", gettext_lazy("Inactive")),
}


@register.inclusion_tag("components/status.html")
def status(state: str) -> dict[str, Any]:
    """Show a state as a badge: words and an icon, the colour only on top."""
    tone, icon, label = STATES[str(state)]
    return {"tone": tone, "icon": icon, "label": label}


@register.inclusion_tag("components/moment.html")
def moment(at: datetime, *, end: bool = False) -> dict[str, Any]:
    """Show a time as people say it ("3 hours ago"), with the exact time and zone on hover and focus. `end` lets the
    exact time grow to the left, for the last column."""
    return {"iso": at.isoformat(timespec="seconds"), "words": relative(at), "exact": exact(at), "end": end}


@register.filter
def exact(at: datetime) -> str:
    """Return a time with its zone, in the reader's: `Nov 21, 2026, 6:00 AM EST`."""
    return str(dateformat.format(timezone.localtime(at), "M j, Y, g:i A T"))


@register.filter
def relative(at: datetime) -> str:
    """Return how far away a time is, in its largest whole unit; beyond a month, the day itself."""
    now = timezone.now()
    ahead = at > now
    # What lies ahead is rounded, so that a week from a second ago is "in 7 days"; what is past counts whole units.
    minutes = (abs(at - now) + timedelta(seconds=30 if ahead else 0)) // timedelta(minutes=1)
    if minutes < 1:
        return _("in a moment") if ahead else _("just now")
    if minutes < 60:
        return _ahead_or_ago(ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}, ahead=ahead)
    hours = round(minutes / 60) if ahead else minutes // 60
    if hours < 48:
        return _ahead_or_ago(ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}, ahead=ahead)
    days = round(hours / 24) if ahead else hours // 24
    if days <= 31:
        return _ahead_or_ago(ngettext("%(n)d day", "%(n)d days", days) % {"n": days}, ahead=ahead)
    return str(dateformat.format(timezone.localtime(at), "M j, Y"))


def _ahead_or_ago(span: str, *, ahead: bool) -> str:
    return (_("in %(span)s") if ahead else _("%(span)s ago")) % {"span": span}
