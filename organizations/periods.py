"""Since when people belong to an organization. A membership is a role for a period, and a changed role begins a new one;
who belongs without a break has belonged since the first."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from .models import Membership


def add_member_since(memberships: Collection[Membership]) -> None:
    """Say of each membership since when its person belongs to its organization without a break (`member_since`), in one
    statement for all. Whoever left and came back belongs since they came back."""
    periods: dict[tuple[UUID, UUID], list[Membership]] = defaultdict(list)
    users = {membership.user_id for membership in memberships}
    organizations = {membership.organization_id for membership in memberships}
    if memberships:
        rows = Membership.objects.filter(organization__in=organizations, user__in=users)
        for row in rows.only("organization_id", "user_id", "started_at", "ended_at").order_by("started_at", "pk"):
            periods[row.organization_id, row.user_id].append(row)
    for membership in memberships:
        since = _since(periods[membership.organization_id, membership.user_id])
        membership.member_since = since or membership.started_at  # type: ignore[attr-defined]


def _since(periods: list[Membership]) -> datetime | None:
    """Return when the last of some unbroken stretches began; the periods come in the order of their beginning."""
    since: datetime | None = None
    until: datetime | None = None  # of the stretch so far; None beside a `since`: it goes on
    for period in periods:
        if since is None or (until is not None and period.started_at > until):
            since, until = period.started_at, period.ended_at
        elif until is not None:
            until = None if period.ended_at is None else max(until, period.ended_at)
    return since
