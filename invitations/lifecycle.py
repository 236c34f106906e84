"""The one place where an invitation changes its state."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from healthivr.kernel.ids import new_id

from .models import InvitationHistory, UserInvitation
from .states import Event, Status, next_status


def advance(
    invitation: UserInvitation,
    event: Event,
    *,
    at: datetime,
    by_id: UUID | None,
    reason: str = "",
    accepted_by_id: UUID | None = None,
    **changes: Any,
) -> bool:
    """Move an invitation along the transition table, and write its history, in one conditional statement.

    `changes` are further columns to set. The row moves only if it is still as the caller read it: same status, same
    link, and, for what an invitee does, not overdue. Returns False when somebody else was faster (the caller reads again
    and says what is true now). Raises IllegalTransition when the table knows no such move.
    """
    status = next_status(Status(invitation.status), event)
    is_closing = status != Status.PENDING
    columns: dict[str, Any] = {
        "status": str(status.value),
        "closed_at": at if is_closing else None,
        "closed_by_id": by_id if is_closing else None,
        "updated_at": at,
        **changes,
    }
    if event == Event.ACCEPT:
        columns |= {"accepted_at": at, "accepted_by_id": accepted_by_id, "closed_by_id": None}
    dead_link = invitation.token_hash if is_closing or "token_hash" in changes else None
    in_time = " AND expires_at > %s" if event in (Event.ACCEPT, Event.DECLINE) else ""
    assignments = ", ".join(f"{column} = %s" for column in columns)
    sql = (
        f"WITH moved AS (UPDATE {UserInvitation._meta.db_table} SET {assignments}"
        f" WHERE id = %s AND status = %s AND token_hash = %s{in_time} RETURNING id, organization_id)"
        f" INSERT INTO {InvitationHistory._meta.db_table}"
        " (id, organization_id, invitation_id, event, at, by_id, reason, token_hash)"
        " SELECT %s, organization_id, id, %s, %s, %s, %s, %s FROM moved"
    )
    parameters = [
        *columns.values(),
        invitation.pk,
        invitation.status,
        invitation.token_hash,
        *([at] if in_time else []),
        new_id(),
        str(event.value),
        at,
        by_id,
        reason[:500],
        dead_link,
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        has_moved = bool(cursor.rowcount == 1)
    if has_moved:
        for column, value in columns.items():
            setattr(invitation, column, value)
    return has_moved
