"""Reads: whom an administrator sees, and what is to know of their accounts.

An administrator sees who is, or was, a member of their organization. Of the account of who has left they see nothing:
what becomes of it, its address included, is no matter of the organization any more, nor can it be found by a search. An
administrator of the platform sees accounts everywhere, and in the platform's own organization everybody
(docs/adr/0017-running-people.md).
"""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, Value
from django.db.models.functions import Concat
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import NotFound
from organizations.actor import Actor
from organizations.models import Membership, MembershipStatus
from organizations.paging import ROWS, Page, beside, cut_page, read_cursor, read_place
from organizations.rank import require_may_administer
from organizations.roles import Capability, Role
from organizations.selectors import Shown
from organizations.selectors import people as listed_people
from organizations.tenancy import platform

from .lockout import locked_among
from .models import Authenticator, User, UserSession
from .registry import live_sessions

ORDER = ("last_name", "first_name", "pk")


class PersonStatus(models.TextChoices):
    """By what people are found. Somebody may be several of these."""

    ACTIVE = "active", _("Members now")
    FORMER = "former", _("Former members")
    DEACTIVATED = "deactivated", _("Switched off")
    LOCKED = "locked", _("Sign-in locked")
    UNREVIEWED = "unreviewed", _("Access not reviewed for 90 days")


@dataclass(frozen=True)
class AccountFilters:
    """Which people are listed. `text` is the beginning of a name or an address, `organization` a slug."""

    text: str = ""
    role: str = ""
    status: str = ""
    organization: str = ""


# --- how far somebody sees -------------------------------------------------------------------------------------------
def reach(actor: Actor, reason: str) -> AbstractContextManager[None]:
    """Open the door that the actor's reach needs: all organizations' for who sees everybody, else none more."""
    return platform(reason) if actor.is_everywhere else nullcontext()


def _memberships(actor: Actor) -> "models.QuerySet[Membership]":
    """The memberships that the actor sees. Asked inside `reach`."""
    return (
        Membership.objects.all() if actor.is_everywhere else Membership.objects.filter(organization=actor.organization)
    )


def _people(actor: Actor) -> "models.QuerySet[User]":
    users = User.objects.all()
    return users if actor.is_everywhere else users.filter(Exists(_memberships(actor).filter(user=OuterRef("pk"))))


def _whose_accounts_show(actor: Actor) -> Q:
    """Return the condition for people of whose accounts the actor may know: members now, anybody for platform staff and
    for support."""
    here = Membership.objects.filter(
        organization=actor.organization, user=OuterRef("pk"), status=MembershipStatus.ACTIVE
    )
    return Q() if actor.is_platform_staff or actor.is_everywhere else Q(Exists(here))


def member_to_administer(*, actor: Actor, user_id: UUID, needs: Capability) -> User:
    """Return somebody on whose account the actor may act: a member now, or anybody for platform staff at home. Raises
    NotPermitted, Outranked, and NotFound for everybody else."""
    actor.require(needs)
    users = User.objects.filter(pk=user_id)
    if not actor.is_everywhere:
        here = Membership.objects.filter(organization=actor.organization, status=MembershipStatus.ACTIVE)
        users = users.filter(Exists(here.filter(user=OuterRef("pk"))))
    user = users.first()
    if user is None:
        raise NotFound
    require_may_administer(actor, user)
    return user


# --- one page of people ----------------------------------------------------------------------------------------------
def people_page(
    *, actor: Actor, filters: AccountFilters, cursor: str = "", size: int = ROWS, at: datetime
) -> Page[User]:
    """Return one page of people by name, each with `shown_memberships`, `shows_account`, and `is_locked` and
    `has_second_factor`, which are None where the account does not show. The number of statements does not depend on that
    of people. A cursor holds an id and no name. Raises Malformed (`cursor`)."""
    actor.require(Capability.VIEW_ACCOUNTS)
    with reach(actor, "people of every organization"):
        users = filtered_people(actor=actor, filters=filters, at=at)
        backwards, position = read_cursor(cursor)
        if position:
            users = users.filter(beside(ORDER, read_place(User, position, ORDER), backwards=backwards))
        page = cut_page(
            users.prefetch_related(_shown_memberships(actor)),
            order=ORDER,
            is_first=not position,
            backwards=backwards,
            size=size,
            position=lambda user: str(user.pk),
        )
        _add_what_shows(actor, page.items, at=at)
    return page


def filtered_people(*, actor: Actor, filters: AccountFilters, at: datetime) -> "models.QuerySet[User]":
    """Return the people that fit. Asked inside `reach`."""
    users = _people(actor)
    memberships = _memberships(actor).filter(user=OuterRef("pk"))
    if filters.organization and actor.is_everywhere:
        memberships = memberships.filter(organization__slug=filters.organization)
        users = users.filter(Exists(memberships))
    now = memberships.filter(status=MembershipStatus.ACTIVE)
    shows = _whose_accounts_show(actor)
    if filters.status == PersonStatus.ACTIVE:
        users = users.filter(Exists(now), is_active=True)
    elif filters.status == PersonStatus.FORMER:
        users = users.filter(Exists(memberships) & ~Exists(now))
    elif filters.status == PersonStatus.DEACTIVATED:
        users = users.filter(shows, is_active=False)
    elif filters.status == PersonStatus.UNREVIEWED:
        users = users.filter(Exists(memberships.unreviewed(at=at)))  # type: ignore[attr-defined]
    elif filters.status == PersonStatus.LOCKED:
        users = users.filter(shows)
        users = users.filter(pk__in=locked_among(users.values_list("pk", "email"), at=at))
    if filters.role:
        users = users.filter(Exists(now.filter(role=filters.role)))
    if text := " ".join(filters.text.split()):
        users = users.alias(name=Concat("first_name", Value(" "), "last_name")).filter(
            Q(name__istartswith=text) | Q(last_name__istartswith=text) | Q(shows, email__startswith=text.lower())
        )
    return users


def _shown_memberships(actor: Actor) -> "Prefetch[Any, Any, Any]":
    rows = _memberships(actor).select_related("organization", "reviewed_by").order_by("-started_at", "pk")
    return Prefetch("memberships", rows, to_attr="shown_memberships")


def person_detail(*, actor: Actor, user_id: UUID, at: datetime) -> User:
    """Return somebody as `people_page` does. Raises NotFound."""
    actor.require(Capability.VIEW_ACCOUNTS)
    with reach(actor, "a person of any organization"):
        user = _people(actor).filter(pk=user_id).prefetch_related(_shown_memberships(actor)).first()
        if user is None:
            raise NotFound
        _add_what_shows(actor, [user], at=at)
    return user


# --- what is to know of accounts -------------------------------------------------------------------------------------
def _add_what_shows(actor: Actor, people: Collection[User], *, at: datetime) -> None:
    """Say of each person whether the actor may know of their account, and what is to know then."""
    for user in people:
        is_member = any(row.status == MembershipStatus.ACTIVE for row in user.shown_memberships)  # type: ignore[attr-defined]
        user.shows_account = actor.is_platform_staff or is_member  # type: ignore[attr-defined]
        user.is_locked = user.has_second_factor = None  # type: ignore[attr-defined]
    add_account_facts([user for user in people if user.shows_account], at=at)  # type: ignore[attr-defined]


def add_account_facts(users: Collection[User], *, at: datetime) -> None:
    """Say of each person whether their sign-in is locked now, and whether they have a second factor."""
    locked = locked_among(((user.pk, user.email) for user in users), at=at)
    enrolled = people_with_second_factor(user.pk for user in users)
    for user in users:
        user.is_locked, user.has_second_factor = user.pk in locked, user.pk in enrolled  # type: ignore[attr-defined]


def people_with_second_factor(user_ids: Iterable[UUID]) -> set[UUID]:
    """Return which of some people have a second factor that works."""
    enrolled = Authenticator.objects.filter(user__in=list(user_ids), confirmed_at__isnull=False)
    return set(enrolled.values_list("user", flat=True))


def locked_members(*, actor: Actor, at: datetime) -> set[UUID]:
    """Return which members of the organization cannot sign in by password just now."""
    actor.require(Capability.VIEW_PEOPLE)
    members = Membership.objects.filter(organization=actor.organization, status=MembershipStatus.ACTIVE)
    return locked_among(members.values_list("user", "user__email"), at=at)


def person_sessions(*, actor: Actor, user_id: UUID, at: datetime) -> list[UserSession]:
    """Return where a member is signed in now. Raises NotPermitted, NotFound, Outranked."""
    user = member_to_administer(actor=actor, user_id=user_id, needs=Capability.MANAGE_PEOPLE)
    return live_sessions(user=user, at=at)


# --- numbers ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PeopleStats:
    """How many people there are, of each kind and role; of the organization, or of all for platform staff at home."""

    people: int
    active: int
    former: int
    deactivated: int
    locked: int
    unreviewed: int
    administrators: int
    with_second_factor: int
    by_role: dict[str, int]


def people_stats(*, actor: Actor, at: datetime) -> PeopleStats:
    """Count people. Each number is that of the list with its filter."""
    actor.require(Capability.VIEW_ACCOUNTS)

    def count(status: str) -> int:
        return filtered_people(actor=actor, filters=AccountFilters(status=status), at=at).count()

    with reach(actor, "numbers of people"):
        active = _memberships(actor).active()  # type: ignore[attr-defined]
        by_role: dict[str, Any] = dict(
            active.values_list("role").annotate(count=Count("user", distinct=True)).order_by()
        )
        enrolled = Authenticator.objects.filter(user=OuterRef("pk"), confirmed_at__isnull=False)
        members = filtered_people(actor=actor, filters=AccountFilters(status=PersonStatus.ACTIVE), at=at)
        return PeopleStats(
            people=_people(actor).count(),
            active=count(PersonStatus.ACTIVE),
            former=count(PersonStatus.FORMER),
            deactivated=count(PersonStatus.DEACTIVATED),
            locked=count(PersonStatus.LOCKED),
            unreviewed=count(PersonStatus.UNREVIEWED),
            administrators=active.filter(is_org_admin=True).aggregate(n=Count("user", distinct=True))["n"],
            with_second_factor=members.filter(Exists(enrolled)).count(),
            by_role={role.value: by_role.get(role.value, 0) for role in Role},
        )


def numbers_of_list(*, actor: Actor, at: datetime) -> list[tuple[Shown | None, int]]:
    """Count the people in the organization's own list, the members now (None) and under each of its filters, for who may
    ask for `people_stats`. Those reach as far as the actor does; these never further than the list that they stand above.
    """
    actor.require(Capability.VIEW_ACCOUNTS)

    def count(shown: Shown | None) -> int:
        listed = listed_people(actor=actor, shown=shown, at=at)
        if shown == Shown.LOCKED:
            listed = listed.filter(user__in=locked_members(actor=actor, at=at))
        return listed.aggregate(people=Count("user", distinct=True))["people"] or 0

    order = (None, Shown.LOCKED, Shown.UNREVIEWED, Shown.DEACTIVATED, Shown.ENDED)
    return [(shown, count(shown)) for shown in order]
