"""Invitations whose time is over."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit import services as audit
from organizations.roles import Role
from organizations.seats import lock_free_seats, lock_seats
from organizations.selectors import system_actor

from .lifecycle import advance
from .mailing import mail_nothing_more
from .models import UserInvitation
from .seats import release
from .states import Event


def expire_overdue(*, organization_id: UUID | None = None, limit: int = 200, at: datetime) -> int:
    """Record that overdue invitations have expired, and free their seats; of one organization, or of all in platform().

    Safe to run twice and beside itself: rows that somebody else holds are left to the next run, and so are whole
    organizations when all are swept, so that one that is busy holds up no other. Returns how many.
    """
    overdue = UserInvitation.objects.overdue(at=at)
    with transaction.atomic():  # seats first, then rows: the lock order of architecture.md 2
        if organization_id:
            lock_seats(organization_id=organization_id)
            organizations = [organization_id]
        else:
            organizations = lock_free_seats(organizations=overdue.order_by().values("organization_id"), limit=limit)
        rows = (
            overdue.filter(organization_id__in=organizations)
            .select_related("organization")
            .select_for_update(of=("self",), no_key=True, skip_locked=True)
            .order_by("organization_id", "pk")[:limit]
        )
        return sum(expire(invitation, at=at) for invitation in list(rows))


def expire(invitation: UserInvitation, *, at: datetime) -> bool:
    """Seat first, then the row. A row that moved meanwhile gives its seat back."""
    with transaction.atomic():
        release(invitation, Role(invitation.invitation_type))
        if not advance(invitation, Event.EXPIRE, at=at, by_id=None):
            transaction.set_rollback(True)
            return False
        mail_nothing_more(invitation, at=at)
        audit.record(actor=system_actor("expiry"), action="invitation.expired", target=invitation)
    return True
