"""Seats: one counter an organization, moved by conditional UPDATEs (performance.md 9.3). Every path that adds or frees a
seat comes through here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict

from .agreements.gate import IN_FORCE, BaaRequired, role_needs_agreement, run_by_nobody
from .models import Membership, OrganizationSettings
from .policies import InvitationPolicy
from .roles import Role


class NoSeatLeft(Conflict):
    """The plan's seats are all taken by members and open invitations."""

    code = "no_seat_left"
    message = _("No seat is left on your plan. Cancel an open invitation, remove a member, or ask us for more seats.")


@dataclass(frozen=True)
class Seat:
    """What the statement that takes a seat says beside: which active roles the owner of the address has there already,
    and the organization's policy for its invitations."""

    held: list[str]
    policy: InvitationPolicy


def _held(address: str) -> str:
    """SQL that says which active roles the owner of an address has in the organization of the settings row `s`."""
    users, members = get_user_model()._meta.db_table, Membership._meta.db_table
    return (
        f"(SELECT array_agg(m.role::text) FROM {members} m JOIN {users} u ON u.id = m.user_id"
        f" WHERE m.organization_id = s.organization_id AND m.status = 'active' AND u.email = {address})"
    )


def reserve_seat(
    *, organization_id: UUID, email: str, role: Role | None, may_start: bool = False, at: datetime
) -> Seat:
    """Take a seat for an invitation of `role` to `email`, unless its owner is a member already and has one.

    One statement that locks the organization's settings row, which makes it the first lock of the transaction, and
    reads what decides about the invitation. Raises NoSeatLeft, and BaaRequired for a role that works with patients' data
    where no agreement is in force; `role` is None for a seat that an invitation keeps. With `may_start` the agreement may
    come later where nobody runs the organization: somebody has to be there who signs it.
    """
    table = OrganizationSettings._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} s SET seats_used = seats_used + CASE WHEN {_held('%s')} IS NULL THEN 1 ELSE 0 END"
            f" WHERE organization_id = %s AND (seats_used < seat_limit OR {_held('%s')} IS NOT NULL)"
            f" RETURNING coalesce({_held('%s')}, ARRAY[]::text[]), invitation_hours, email_domains,"
            f" {IN_FORCE.format(organization='s.organization_id')}, {run_by_nobody('s.organization_id')}",
            [email, organization_id, email, email, at, at],
        )
        row = cursor.fetchone()
    if row is None:
        raise NoSeatLeft
    held, hours, domains, has_agreement, is_run_by_nobody = row
    if role and role_needs_agreement(role) and not (has_agreement or (may_start and is_run_by_nobody)):
        raise BaaRequired(field="invitation_type")
    return Seat(list(held), InvitationPolicy(hours, tuple(domains)))


def release_seat(*, organization_id: UUID, email: str, seats: int = 1) -> None:
    """Give back what a closed invitation to `email` held; nothing if its owner is a member, whose seat stays."""
    table = OrganizationSettings._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} s SET seats_used = greatest(0, seats_used - %s)"
            f" WHERE organization_id = %s AND {_held('%s')} IS NULL",
            [seats, organization_id, email],
        )


def lock_seats(*, organization_id: UUID) -> OrganizationSettings:
    """Lock an organization for a change of its members, and return its settings. The first lock of a transaction."""
    return OrganizationSettings.objects.select_for_update(no_key=True).get(organization_id=organization_id)


def lock_free_seats(*, organizations: QuerySet[Any, Any], limit: int) -> list[UUID]:
    """Lock those of several organizations whose seats nobody is moving just now, `limit` at most, and return their ids.
    Waits for none."""
    settings = OrganizationSettings.objects.filter(organization_id__in=organizations).order_by("organization_id")
    free = settings.select_for_update(of=("self",), no_key=True, skip_locked=True)
    return list(free.values_list("organization_id", flat=True)[:limit])


def free_member_seat(*, organization_id: UUID) -> None:
    """Give back the seat of somebody whose last membership ended."""
    OrganizationSettings.objects.filter(organization_id=organization_id, seats_used__gt=0).update(
        seats_used=F("seats_used") - 1
    )
