"""The history of a license in words."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.models import AuditEvent

#: Icon, tone and words of each act.
ACTS: dict[str, tuple[str, str, Promise]] = {
    "practitioner.submitted": ("send", "progress", gettext_lazy("Submitted")),
    "practitioner.approved": ("check-lg", "success", gettext_lazy("Approved")),
    "practitioner.rejected": ("x-lg", "danger", gettext_lazy("Rejected")),
    "practitioner.suspended": ("pause-circle", "danger", gettext_lazy("Suspended")),
    "practitioner.expired": ("clock-history", "warning", gettext_lazy("The approval ended with the license")),
}
FIELDS: dict[str, Promise] = {
    "npi": gettext_lazy("NPI"),
    "license_number": gettext_lazy("License number"),
    "license_state": gettext_lazy("State or territory"),
    "license_expires_on": gettext_lazy("Expires on"),
}


@dataclass(frozen=True)
class Line:
    """One line of the timeline (templates/components/timeline_item.html)."""

    icon: str
    tone: str
    title: str
    at: datetime
    by: str
    detail: str
    next: str = ""


def story(events: list[tuple[AuditEvent, str]]) -> list[Line]:
    """Return the lines of a history, newest first: what is decided next depends on the latest."""
    lines = []
    for number, (event, person) in enumerate(events):
        icon, tone, words = ACTS[event.action]
        title = _("Submitted again") if event.action == "practitioner.submitted" and number else str(words)
        lines.append(
            Line(icon, tone, title, event.recorded, person, event.reason or _changed(event, is_first=not number))
        )
    return lines[::-1]


def _changed(event: AuditEvent, *, is_first: bool) -> str:
    """Name what a later submission changed; the values are on the page, but for the number, which the trail masks."""
    names = [str(words) for field, words in FIELDS.items() if field in event.changes]
    if is_first or event.action != "practitioner.submitted" or not names:
        return ""
    return _("Changed: %(fields)s") % {"fields": ", ".join(names)}
