"""What templates of every app say in the same way: times and states."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.db.models import Choices
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

register = template.Library()

#: Tone and icon of every state that a person can see, by its value; the words are the state's own label.
STATES: dict[str, tuple[str, str]] = {
    "pending": ("neutral", "hourglass-split"),
    "sent": ("progress", "send-check"),
    "failed": ("danger", "exclamation-octagon-fill"),
    "accepted": ("success", "check-circle-fill"),
    "declined": ("neutral", "x-circle"),
    "cancelled": ("neutral", "slash-circle"),
    "expired": ("warning", "clock-history"),
    "queued": ("neutral", "hourglass-split"),
    "sending": ("progress", "send"),
    "deferred": ("warning", "hourglass-split"),
    "delivered": ("progress", "envelope-check"),
    "bounced": ("danger", "exclamation-octagon-fill"),
    "rejected": ("danger", "exclamation-octagon-fill"),
    "complained": ("danger", "flag-fill"),
    "unknown": ("neutral", "question-circle"),
    "disabled": ("warning", "plug"),
    "approved": ("success", "check-circle-fill"),
    "suspended": ("danger", "pause-circle"),
    "none": ("danger", "exclamation-octagon-fill"),
    "draft": ("neutral", "pencil"),
    "signed": ("success", "check-circle-fill"),
    "terminated": ("danger", "slash-circle"),
    "met": ("success", "check-circle-fill"),
    "partly": ("warning", "exclamation-triangle-fill"),
    "unmet": ("danger", "exclamation-octagon-fill"),
    "active": ("success", "check-circle-fill"),
    "ended": ("neutral", "slash-circle"),
    "inactive": ("warning", "pause-circle"),
    "done": ("success", "check-circle-fill"),
    "unchanged": ("neutral", "dash-circle"),
    "refused": ("danger", "exclamation-octagon-fill"),
}


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """Show an icon of bootstrap-icons. It stands beside words that say the same, so it is hidden from screen readers."""
    return format_html('<i class="bi bi-{}{}" aria-hidden="true"></i>', name, f" {extra}" if extra else "")


@register.inclusion_tag("components/status.html")
def status(state: Choices) -> dict[str, Any]:
    """Show a state as a badge: words and an icon, the colour only on top."""
    tone, icon = STATES[state.value]
    return {"tone": tone, "icon": icon, "label": state.label}


@register.inclusion_tag("components/moment.html")
def moment(at: datetime) -> dict[str, Any]:
    """Show a time of a list as people say it ("3 hours ago"). The exact time and zone show on hover and while the row has
    the focus, and are always there for screen readers; the time itself is no Tab stop, of which a list would have a
    hundred."""
    return {"iso": at.isoformat(timespec="seconds"), "words": relative(at), "exact": exact(at)}


@register.filter
def initial(name: str) -> str:
    """Return the first letter or digit of a name, which may begin with something else: it stands where a picture
    would."""
    return next((character for character in name if character.isalnum()), "")


@register.filter
def exact(at: datetime) -> str:
    """Return a time with its zone, in the reader's: `Nov 21, 2026, 6:00 AM EST`."""
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")


@register.filter
def with_code(text: str) -> SafeString:
    """Show what stands between backticks as code."""
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if i % 2 else part,) for i, part in enumerate(text.split("`")))
    )


@register.filter
def up_to(number: int, most: int) -> str:
    """Return a number, or "1,000+" where it was not counted further."""
    shown = formats.number_format(min(number, most), force_grouping=True)
    return f"{shown}+" if number > most else shown


@register.filter
def span(length: timedelta) -> str:
    """Return how long something takes, in its largest whole unit."""
    minutes = length // timedelta(minutes=1)
    if minutes < 1:
        return _("under a minute")
    if minutes < 60:
        return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    hours = minutes // 60
    if hours < 48:
        return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    return ngettext("%(n)d day", "%(n)d days", hours // 24) % {"n": hours // 24}


@register.filter
def relative(at: datetime) -> str:
    """Return how far away a time is, in its largest whole unit; beyond a month, the day itself."""
    return away(at) or formats.date_format(timezone.localtime(at), "SHORT_DATE_FORMAT")


@register.filter
def away(at: datetime) -> str:
    """Return how far away a time is, in its largest whole unit, or nothing beyond a month."""
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
    return ""


def _ahead_or_ago(span: str, *, ahead: bool) -> str:
    return (_("in %(span)s") if ahead else _("%(span)s ago")) % {"span": span}
