"""The seat of an invitation, and the nightly comparison of every seat counter with what it counts (organizations/seats.py
moves it)."""

from datetime import datetime

import structlog
from django.contrib.auth import get_user_model
from django.db import connection

from audit import services as audit
from organizations.actor import Actor
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import HOME, JOINING, OrganizationKind, Role, founds_organization, starts_organization
from organizations.seats import release_seat, reserve_seat
from organizations.selectors import system_actor
from organizations.services import AlreadyMember
from organizations.tenancy import platform

from .models import UserInvitation

log = structlog.get_logger(__name__)


def takes_seat(role: Role, organization: Organization) -> bool:
    """Who founds an organization takes no seat of the sender."""
    return not founds_organization(role, OrganizationKind(organization.kind))


def may_start(actor: Actor, role: Role) -> bool:
    """Say whether the actor may bring the first person, who runs it then, into an organization before its agreement: the
    platform's administrators, and the invitee's own wish for a new link, whose inviter was asked for
    (`terms_at_acceptance`)."""
    return starts_organization(role) and (actor.is_platform_staff or bool(actor.system))


def reserve(actor: Actor, invitation: UserInvitation, role: Role, *, at: datetime) -> None:
    """Take the seat of an invitation for `role`. Raises NoSeatLeft, BaaRequired, and AlreadyMember when its owner has the
    role."""
    if takes_seat(role, invitation.organization):
        seat = reserve_seat(
            organization_id=invitation.organization_id,
            email=invitation.email or "",
            role=role,
            may_start=may_start(actor, role),
            at=at,
        )
        if role in seat.held:
            raise AlreadyMember


def release(invitation: UserInvitation, role: Role) -> None:
    """Give the seat of an invitation for `role` back."""
    if takes_seat(role, invitation.organization):
        release_seat(organization_id=invitation.organization_id, email=invitation.email or "")


# --- the nightly comparison ---------------------------------------------------------------------------------------
def seat_takers(kind: OrganizationKind) -> list[str]:
    """Return the invitation types that take a seat of a sender of this kind: those that join it."""
    return [role.value for role, home in HOME.items() if role in JOINING or home == kind]


def reconcile_seats(*, at: datetime) -> int:
    """Correct every counter that differs from active members plus open invitations of people who are not members.

    Returns how many differed; each is an event in that organization's trail and a warning in the log.
    """
    corrected = 0
    for organization in Organization.objects.all():
        with platform("reconcile seats"):
            corrected += _reconcile(organization, at=at)
    return corrected


def _reconcile(organization: Organization, *, at: datetime) -> bool:
    settings = OrganizationSettings.objects.select_for_update(no_key=True).get(organization=organization)
    counted = count_seats(organization)
    if counted == settings.seats_used:
        return False
    log.warning("seats_corrected", organization=str(organization.pk), counted=counted, stored=settings.seats_used)
    audit.record(
        actor=system_actor("reconcile-seats"),
        action="organization.seats_corrected",
        target=settings,
        changes={"seats_used": [str(settings.seats_used), str(counted)]},
    )
    settings.seats_used = min(counted, settings.seat_limit)
    settings.updated_at = at
    settings.save(update_fields=["seats_used", "updated_at"])
    return True


def count_seats(organization: Organization) -> int:
    """Count the seats in use: people with an active membership, and open invitations of people without one."""
    members, users, invitations = (
        Membership._meta.db_table,
        get_user_model()._meta.db_table,
        UserInvitation._meta.db_table,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(DISTINCT user_id) FROM {members} WHERE organization_id = %s AND status = 'active')"
            f" + (SELECT count(*) FROM {invitations} i WHERE i.organization_id = %s AND i.status = 'pending'"
            f" AND i.invitation_type = ANY(%s) AND NOT EXISTS (SELECT FROM {members} m JOIN {users} u"
            " ON u.id = m.user_id WHERE m.organization_id = i.organization_id AND m.status = 'active'"
            " AND u.email = i.email))",
            [organization.pk, organization.pk, seat_takers(OrganizationKind(organization.kind))],
        )
        return int(cursor.fetchone()[0])
