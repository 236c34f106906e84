"""Open invitations of members, to another role in their organization: they end when the member leaves it, or leaves the
address that they were sent to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import User
from audit import services as audit
from organizations.actor import Actor
from organizations.models import Membership
from organizations.roles import Role
from organizations.seats import lock_seats

from .lifecycle import advance
from .mailing import mail_nothing_more
from .models import INVITEE_LEFT, INVITEE_MOVED, UserInvitation
from .seats import release, takes_seat
from .states import Event, Status


def withdraw_from_leaver(*, membership: Membership, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """Somebody's last membership ended: an open invitation of theirs to join for another role ends with it, or they would
    come back by a link that was mailed while they belonged there."""
    withdraw_from_member(
        organization_id=membership.organization_id,
        email=membership.user.email,
        reason=INVITEE_LEFT,
        actor=actor,
        at=at,
    )


def invitation_of_member(*, organization_id: UUID, email: str) -> UserInvitation | None:
    """Return the open invitation of a member to join for another role. One that founds an organization is no such."""
    open_ones = UserInvitation.objects.filter(organization_id=organization_id, email=email, status=Status.PENDING)
    invitation = open_ones.select_related("organization").first()
    if invitation is None or not takes_seat(Role(invitation.invitation_type), invitation.organization):
        return None
    return invitation


def withdraw_from_member(*, organization_id: UUID, email: str, reason: str, actor: Actor, at: datetime) -> None:
    """Cancel a member's open invitation to join for another role, whoever sent it. It took no seat, and gives none back.
    Asked behind the lock of the organization's seats."""
    invitation = invitation_of_member(organization_id=organization_id, email=email)
    if invitation and advance(invitation, Event.CANCEL, at=at, by_id=actor.user_id, reason=reason):
        mail_nothing_more(invitation, at=at)
        audit.record(actor=actor, action="invitation.cancelled", target=invitation, reason=reason)


def follow_address(*, user: User, old_email: str, new_email: str, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """A member's address is about to change. An open invitation to the old one, for another role, dies with it: the
    mailbox may be another's by now. One to the new one gives back its seat, for its owner has one. Asked in
    platform()."""
    memberships = Membership.objects.active().filter(user=user).order_by("organization")
    for organization_id in memberships.values_list("organization", flat=True).distinct():
        lock_seats(organization_id=organization_id)
        withdraw_from_member(organization_id=organization_id, email=old_email, reason=INVITEE_MOVED, actor=actor, at=at)
        to_new = UserInvitation.objects.filter(organization_id=organization_id, email=new_email, status=Status.PENDING)
        for invitation in to_new.select_related("organization"):
            release(invitation, Role(invitation.invitation_type))
