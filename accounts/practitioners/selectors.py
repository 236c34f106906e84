"""Reads of doctors' licenses: one's own, the platform's queue, and the question whether somebody is approved."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, Value
from django.db.models.functions import Concat

from accounts.models import PractitionerCredential, User
from accounts.models.credentials import RANK
from audit.models import AuditEvent
from audit.selectors import events_of
from healthivr.kernel.errors import NotFound
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.actor import Actor
from organizations.paging import ROWS, Page, beside, cut_page, damaged_cursor, read_cursor
from organizations.roles import LICENSED_ROLES, Capability
from organizations.selectors import has_role_anywhere

from .errors import PractitionerNotApproved
from .states import Standing

ORDER = ("rank", "submitted_at", "pk")


# --- the doctor ------------------------------------------------------------------------------------------------------
def practices_medicine(user: User) -> bool:
    """Say whether somebody works anywhere in a role that needs a license."""
    return has_role_anywhere(user, LICENSED_ROLES)


def own_credential(user: User) -> PractitionerCredential | None:
    """Return what somebody submitted about themselves."""
    return PractitionerCredential.objects.filter(user=user).first()


def needs_license(*, actor: Actor, at: datetime) -> str:
    """Say why the actor, whose role here needs a license, has to do something about it: "missing", or how it stands
    ("rejected", "suspended"). Nothing where there is an approval, or a decision to wait for."""
    if actor.user is None or not actor.roles & LICENSED_ROLES:
        return ""
    credential = own_credential(actor.user)
    if credential is None:
        return "missing"
    standing = credential.standing_at(at)
    return standing.value if standing in (Standing.REJECTED, Standing.SUSPENDED) else ""


def require_approved_practitioner(actor: Actor, at: datetime) -> PractitionerCredential:
    """Return the actor's credential if its approval holds now. One query, asked in any door.

    Raises PractitionerNotApproved, which says where the license stands and what to do.
    """
    credential = PractitionerCredential.objects.filter(user=actor.user_id).first() if actor.user_id else None
    if credential is None or not credential.is_approved(at=at):
        raise PractitionerNotApproved(credential.standing_at(at) if credential else "")
    return credential


# --- the platform's queue --------------------------------------------------------------------------------------------
def require_approver(actor: Actor) -> None:
    """Raise NotFound outside the platform, whose queue it is, and NotPermitted there without the right to decide."""
    if actor.organization_id != PLATFORM_ORGANIZATION_ID:
        raise NotFound
    actor.require(Capability.APPROVE_PRACTITIONERS)


@dataclass(frozen=True)
class Filters:
    """What the list shows. `text` is the beginning of a name or an address, or an NPI."""

    text: str = ""
    standing: str = ""
    state: str = ""


def practitioner_page(
    *, actor: Actor, filters: Filters, cursor: str = "", size: int = ROWS, at: datetime
) -> Page[PractitionerCredential]:
    """Return one page of the list with one query and no count: what waits first, the longest wait on top.

    Raises Malformed (`cursor`) for a cursor that is not ours.
    """
    require_approver(actor)
    credentials = PractitionerCredential.objects.select_related("user").alias(rank=RANK)
    if filters.standing:
        credentials = credentials.standing_as(filters.standing, at=at)
    if filters.state:
        credentials = credentials.filter(license_state=filters.state)
    if text := " ".join(filters.text.split()):
        credentials = credentials.alias(name=Concat("user__first_name", Value(" "), "user__last_name")).filter(
            Q(name__istartswith=text)
            | Q(user__last_name__istartswith=text)
            | Q(user__email__startswith=text.lower())
            | Q(npi=text)
        )
    backwards, position = read_cursor(cursor)
    if position:
        credentials = credentials.filter(beside(ORDER, _place(position), backwards=backwards))
    return cut_page(
        credentials,
        order=ORDER,
        is_first=not position,
        backwards=backwards,
        size=size,
        position=_position,
    )


def _position(credential: PractitionerCredential) -> str:
    rank = 0 if credential.standing == Standing.PENDING else 1
    return f"{rank}|{credential.submitted_at.isoformat()}|{credential.pk}"


def _place(position: str) -> tuple[int, datetime, UUID]:
    try:
        written_rank, written_moment, pk = position.split("|")
        rank, submitted_at = int(written_rank), datetime.fromisoformat(written_moment)
        if submitted_at.utcoffset() != timedelta(0) or rank not in (0, 1):  # as _position writes it
            raise ValueError("not one of ours")
        return rank, submitted_at, UUID(pk)
    except ValueError:
        raise damaged_cursor() from None


def practitioner_detail(*, actor: Actor, credential_id: UUID) -> PractitionerCredential:
    """Return one credential with its person. Raises NotFound."""
    require_approver(actor)
    credential = PractitionerCredential.objects.select_related("user", "decided_by").filter(pk=credential_id).first()
    if credential is None:
        raise NotFound
    return credential


def history(*, actor: Actor, credential: PractitionerCredential) -> list[tuple[AuditEvent, str]]:
    """Return what happened to a credential, oldest first, each with the name of who did it, as the trail has it. Two
    queries, however long it is."""
    require_approver(actor)
    events = events_of(credential, organization_id=PLATFORM_ORGANIZATION_ID)
    people = User.objects.in_bulk([event.actor_id for event in events if event.actor_id])
    return [(event, people[event.actor_id].get_full_name() if event.actor_id in people else "") for event in events]


def waiting_practitioners(*, actor: Actor, most: int) -> int:
    """Return how many doctors wait for a decision of the actor, counted up to one more than `most`; none for who cannot
    decide."""
    if actor.organization_id != PLATFORM_ORGANIZATION_ID or not actor.has(Capability.APPROVE_PRACTITIONERS):
        return 0
    return PractitionerCredential.objects.filter(standing=Standing.PENDING)[: most + 1].count()
