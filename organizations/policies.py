"""What an organization's administrators decide about sign-in and invitations: which values there are, and what they mean
for one invitation. Idle time and second factor are the sessions' (accounts); invitations read theirs here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import idna
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Malformed, Refused, Text

IDLE_MINUTES = (5, 30)
INVITATION_HOURS = (1, 720)
MOST_DOMAINS = 50
DOMAIN_LENGTH = 253  # RFC 1035 2.3.4, as text
SHOWN = 60


class EmailDomainNotAllowed(Refused):
    """The organization lets only addresses of some domains join it, or its members change to them.
    `extra["email_domains"]` names them."""

    code = "email_domain_not_allowed"
    message = _("Only addresses of %(domains)s can join this organization. Use one of those.")

    def __init__(self, domains: Sequence[str], text: Text = "", *, field: str = "") -> None:
        text = str(text or self.message) % {"domains": ", ".join(domains)}
        super().__init__(text, field=field, email_domains=list(domains))


@dataclass(frozen=True)
class InvitationPolicy:
    """How long an organization's invitations live (None leaves it to the type), and the domains of the addresses that
    may join it (none: all)."""

    hours: int | None = None
    email_domains: tuple[str, ...] = ()

    def allows(self, address: str) -> bool:
        """Say whether the owner of a normalised address may join. A domain stands for itself, not for those below it."""
        return not self.email_domains or address.rpartition("@")[2] in self.email_domains


def clean_idle_minutes(minutes: int) -> int:
    """Return after how many minutes people are signed out. Raises Malformed outside 5 to 30 (C24)."""
    least, most = IDLE_MINUTES
    if not least <= minutes <= most:
        raise Malformed(_("Choose between 5 and 30 minutes."), code="idle_minutes", field="idle_minutes")
    return minutes


def clean_invitation_hours(hours: int | None) -> int | None:
    """Return how long invitations live, None by their type. Raises Malformed outside 1 to 720 (C1)."""
    least, most = INVITATION_HOURS
    if hours is not None and not least <= hours <= most:
        raise Malformed(_("Choose between 1 and 720 hours."), code="invitation_hours", field="invitation_hours")
    return hours


def clean_domains(typed: Iterable[str]) -> list[str]:
    """Return domains as addresses are compared with them: lower case, in ASCII (IDNA 2008), each once, sorted.

    Raises Malformed (`email_domains`) that quotes each line which is none, or when there are more than fifty.
    """
    lines = [line.strip() for line in typed]
    cleaned = {line: _ascii_domain(line) for line in lines if line}
    wrong = [line for line, domain in cleaned.items() if not domain]
    if wrong:
        reasons = [
            _("“%(line)s” is no domain. Write one a line, such as example.org.") % {"line": line[:SHOWN]}
            for line in wrong
        ]
        raise Malformed(reasons[0], code="email_domains", field="email_domains", reasons=reasons)
    domains = sorted(set(cleaned.values()))
    if len(domains) > MOST_DOMAINS:
        raise Malformed(_("Name 50 domains at most."), code="email_domains", field="email_domains")
    return domains


def _ascii_domain(line: str) -> str:
    """Return the domain of a line, empty when it is none. `@example.org` and `example.org.` mean example.org."""
    try:
        domain = idna.encode(line.removeprefix("@").removesuffix("."), uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        return ""
    labels = domain.split(".")
    is_name = len(labels) > 1 and not labels[-1].isdigit()  # 192.0.2.1 is a machine
    return domain if is_name and len(domain) <= DOMAIN_LENGTH else ""


def lowers(policy: str, before: Any, after: Any) -> bool:
    """Say whether another value makes a policy weaker: it asks less of who signs in, or lets more people, or the same for
    longer, in."""
    match policy:
        case "requires_second_factor":
            return bool(before and not after)
        case "staff_may_invite":
            return bool(after and not before)
        case "idle_minutes":
            return bool(after > before)
        case "invitation_hours":  # none: whoever invites chooses, up to the longest
            return bool((after or INVITATION_HOURS[1]) > (before or INVITATION_HOURS[1]))
        case "email_domains":
            return bool(before and not (after and set(after) <= set(before)))
    raise ValueError(policy)  # a policy of which nobody said what is weaker


def in_words(value: Sequence[str] | int | bool | str | None) -> str:
    """Return a policy's value as the trail shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, list | tuple) else str(value)
