"""The tree of organizations as seen from one of them: itself and what lies below, in the directory's own words and
counts. What is inside (seats, administrators, policies) is shown of one's own organization and, to who runs them all, of
each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from healthivr.kernel.errors import NotFound

from .actor import Actor
from .models import (
    Membership,
    Organization,
    OrganizationClosure,
    OrganizationSettings,
    OrganizationState,
)
from .paging import ROWS, Page, beside, cut_page, read_cursor, read_place
from .roles import Capability, OrganizationKind, Role, may_stand_below
from .tenancy import platform, tenant

LATELY = timedelta(days=30)
ORDER = ("name", "pk")
#: More are told apart by a search.
MOST_PARENTS = 200


@dataclass(frozen=True)
class DirectoryFilters:
    """What the list shows. `text` is part of a name, or the beginning of a slug."""

    text: str = ""
    kind: str = ""
    state: str = ""
    #: Active ones that nobody runs, alone.
    is_without_administrator: bool = False


@dataclass(frozen=True)
class Detail:
    """One organization. What is None is not for this actor."""

    organization: Organization
    members: int
    below: int
    settings: OrganizationSettings | None = None
    administrators: list[Membership] | None = None


@dataclass(frozen=True)
class Stats:
    """How many there are in the tree. Seats are None for who does not run them all."""

    total: int
    active: int
    inactive: int
    recently_founded: int
    without_administrator: int
    people: int
    by_kind: dict[str, int] = field(default_factory=dict)
    seats_used: int | None = None
    seat_limit: int | None = None


def tree(*, actor: Actor) -> QuerySet[Organization]:
    """Return the actor's organization and all below it: seen from the platform, every one. Needs the right to run an
    organization or to see what lies below. Raises NotPermitted."""
    actor.require(Capability.VIEW_ORGANIZATIONS)
    return Organization.objects.filter(above__ancestor=actor.organization_id)


def organization_in_tree(*, actor: Actor, organization_id: UUID) -> Organization:
    """Return one of them. Raises NotFound for any other, whether it exists or not."""
    organization = tree(actor=actor).select_related("parent").filter(pk=organization_id).first()
    if organization is None:
        raise NotFound
    return organization


def sees_inside(actor: Actor, organization: Organization) -> bool:
    """Say whether the actor may see what an organization has and allows."""
    is_own = organization.pk == actor.organization_id and actor.has(Capability.MANAGE_ORGANIZATION)
    return is_own or actor.has(Capability.RUN_ORGANIZATIONS)


@contextmanager
def acting_in(*, actor: Actor, organization_id: UUID) -> Iterator[Actor]:
    """Open the door of an organization of the tree, and yield the actor as they are there: themselves in their own, and
    in the others its administrator, if they run them all. Raises NotFound, and NotPermitted."""
    organization = organization_in_tree(actor=actor, organization_id=organization_id)
    if organization.pk != actor.organization_id:
        actor.require(Capability.RUN_ORGANIZATIONS)
        roles = actor.roles & {Role.ADMIN}
        actor = replace(actor, organization=organization, roles=roles, is_org_admin=bool(roles), staff_may_invite=None)
    with tenant(organization):
        yield actor


# --- the list --------------------------------------------------------------------------------------------------------
def organization_page(
    *, actor: Actor, filters: DirectoryFilters, cursor: str = "", size: int = ROWS
) -> Page[Organization]:
    """Return one page of the tree by name, each with `members` (people, each once) and `administrators`, with one query
    and no count. Raises Malformed (`cursor`) for one that is not ours."""
    rows = tree(actor=actor).select_related("parent")
    if filters.kind:
        rows = rows.filter(kind=filters.kind)
    if filters.state:
        rows = rows.filter(state=filters.state)
    if filters.is_without_administrator:
        rows = rows.filter(_nobody_runs())
    if text := " ".join(filters.text.split()):
        rows = rows.filter(Q(name__icontains=text) | Q(slug__startswith=text.lower()))
    backwards, position = read_cursor(cursor)
    if position:
        rows = rows.filter(beside(ORDER, read_place(Organization, position, ORDER), backwards=backwards))
    active = Membership.objects.active()
    rows = rows.annotate(members=_people(active), administrators=_people(active.filter(is_org_admin=True)))
    with platform("organizations below one's own"):
        return cut_page(
            rows,
            order=ORDER,
            is_first=not position,
            backwards=backwards,
            size=size,
            position=lambda organization: str(organization.pk),
        )


def _nobody_runs() -> Q:
    """The condition for active organizations without an administrator. Asked in the platform's door."""
    run = Membership.objects.administrators().values("organization")
    return Q(state=OrganizationState.ACTIVE) & ~Q(pk__in=run)


def _people(memberships: QuerySet[Membership]) -> Coalesce:
    """How many people have one of these memberships in the organization of the row."""
    counted = (
        memberships.filter(organization=OuterRef("pk"))
        .order_by()
        .values("organization")
        .annotate(n=Count("user", distinct=True))
    )
    return Coalesce(Subquery(counted.values("n")), 0)


# --- one of them -----------------------------------------------------------------------------------------------------
def organization_detail(*, actor: Actor, organization_id: UUID) -> Detail:
    """Return one organization of the tree. Raises NotFound."""
    organization = organization_in_tree(actor=actor, organization_id=organization_id)
    below = OrganizationClosure.objects.filter(ancestor=organization, depth__gt=0).count()
    with platform("one organization of the tree"):
        active = Membership.objects.active().filter(organization=organization)
        members = active.values("user").distinct().count()
        if not sees_inside(actor, organization):
            return Detail(organization, members, below)
        settings = OrganizationSettings.objects.get(organization=organization)
        if not actor.has(Capability.VIEW_PEOPLE):  # a key for organizations alone
            return Detail(organization, members, below, settings)
        administrators = active.filter(is_org_admin=True).select_related("user")
        return Detail(
            organization,
            members,
            below,
            settings,
            list(administrators.order_by("user__last_name", "user__first_name", "pk")),
        )


# --- how many --------------------------------------------------------------------------------------------------------
def organization_stats(*, actor: Actor, at: datetime) -> Stats:
    """Count the tree: organizations by state and kind, founded in the last 30 days, active ones that nobody runs, and
    people, each once."""
    rows = tree(actor=actor)
    is_active = Q(state=OrganizationState.ACTIVE)
    with platform("numbers of the organizations below one's own"):
        memberships = Membership.objects.active().filter(organization__in=rows.values("pk"))
        counted = rows.aggregate(
            total=Count("pk"),
            active=Count("pk", filter=is_active),
            recently_founded=Count("pk", filter=Q(created_at__gte=at - LATELY)),
            without_administrator=Count("pk", filter=_nobody_runs()),
        )
        by_kind = dict(rows.order_by().values_list("kind").annotate(count=Count("pk")))
        people = memberships.values("user").distinct().count()
        seats: dict[str, int] = {}
        if actor.has(Capability.RUN_ORGANIZATIONS):
            settings = OrganizationSettings.objects.filter(organization__in=rows.values("pk"))
            seats = settings.aggregate(
                seats_used=Coalesce(Sum(F("seats_used")), 0), seat_limit=Coalesce(Sum(F("seat_limit")), 0)
            )
    return Stats(
        **counted,
        inactive=counted["total"] - counted["active"],
        people=people,
        by_kind={kind.value: by_kind.get(kind.value, 0) for kind in OrganizationKind},
        seats_used=seats.get("seats_used"),
        seat_limit=seats.get("seat_limit"),
    )


# --- parents ---------------------------------------------------------------------------------------------------------
def possible_parents(*, actor: Actor) -> list[Organization]:
    """Return the active organizations of the tree below which another may stand, by name."""
    kinds = {parent for parent in OrganizationKind for kind in OrganizationKind if may_stand_below(kind, parent)}
    rows = tree(actor=actor).filter(kind__in=kinds, state=OrganizationState.ACTIVE)
    return list(rows.order_by(*ORDER)[:MOST_PARENTS])
