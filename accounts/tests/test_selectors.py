"""Whom administrators see: filters, pages, numbers that SQL recomputes, and how many statements that takes."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts.lockout import reserve_guess
from accounts.models import Authenticator, SignInLock, User
from accounts.selectors import (
    AccountFilters,
    PersonStatus,
    people_page,
    people_stats,
    people_with_second_factor,
    person_detail,
    person_sessions,
)
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from healthivr.testing.factories import MembershipFactory, UserFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.models import OrganizationSettings
from organizations.rank import Outranked
from organizations.roles import Role
from organizations.tenancy import platform, tenant


def enrol(user: User, **facts: Any) -> None:
    at = user.created_at
    Authenticator.objects.create(user=user, seed=b"sealed", created_at=at, **{"confirmed_at": at, **facts})


def found(actor: Actor, at: datetime, **filters: str) -> list[str]:
    with tenant(actor.organization):
        page = people_page(actor=actor, filters=AccountFilters(**filters), at=at)
    return [user.first_name for user in page.items]


@pytest.fixture
def crowd(world: World, now: datetime) -> World:
    """The practice with everybody there is to find: Gil left, Hal is switched off, Ivy is locked, Joe is unreviewed and
    also a privacy officer."""
    at = now - timedelta(days=1)
    with platform("test"):

        def member(first_name: str, role: Role = Role.LAB_TECH, **facts: Any) -> User:
            user = UserFactory(first_name=first_name, last_name="Zay", email=f"{first_name.lower()}@example.org")
            MembershipFactory(organization=world.practice, user=user, role=role, **{"started_at": at, **facts})
            return user

        member("Gil", status="ended", ended_at=now)
        User.objects.filter(pk=member("Hal").pk).update(is_active=False)
        ivy = member("Ivy")
        joe = member("Joe", started_at=now - timedelta(days=90))
        MembershipFactory(organization=world.practice, user=joe, role=Role.PRIVACY_OFFICER, started_at=at)
        MembershipFactory(organization=world.strange_practice, user=ivy, role=Role.DOCTOR, started_at=at)
    enrol(joe)
    for _guess in range(5):
        reserve_guess(email="Ivy@example.org", known_browser="", at=now)
    return world


@pytest.mark.seed("S2.11", "S3.50")
@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["Omar", "Jun", "Mia", "Gil", "Hal", "Ivy", "Joe"]),
        ({"status": "active"}, ["Omar", "Jun", "Mia", "Ivy", "Joe"]),
        ({"status": "former"}, ["Gil"]),
        ({"status": "deactivated"}, ["Hal"]),
        ({"status": "locked"}, ["Ivy"]),
        ({"status": "unreviewed"}, ["Joe"]),
        ({"role": "lab_tech"}, ["Hal", "Ivy", "Joe"]),
        ({"role": "privacy_officer", "status": "unreviewed"}, ["Joe"]),
        ({"role": "doctor"}, ["Jun"]),  # not who is one elsewhere
        ({"text": "za"}, ["Gil", "Hal", "Ivy", "Joe"]),
        ({"text": "ivy  z"}, ["Ivy"]),
        ({"text": "MIA@"}, ["Mia"]),
        ({"text": "%"}, []),
        ({"organization": "stone-clinic"}, ["Omar", "Jun", "Mia", "Gil", "Hal", "Ivy", "Joe"]),  # not theirs to ask
    ],
)
def test_people__by_each_filter__who_fits(
    crowd: World, now: datetime, filters: dict[str, str], names: list[str]
) -> None:
    assert found(crowd.actor(crowd.lee), now, **filters) == names


@pytest.mark.seed("S2.11")
def test_people__for_platform_staff_at_home__everybody_and_by_organization(crowd: World, now: datetime) -> None:
    ana = crowd.actor(crowd.ana, crowd.platform)
    assert set(found(ana, now)) >= {"Ana", "Ida", "Omar", "Jun", "Mia", "Gil", "Hal", "Ivy", "Joe"}
    assert found(ana, now, organization="stone-clinic") == ["Ida", "Ivy"]
    assert found(ana, now, organization="stone-clinic", role="doctor") == ["Ida", "Ivy"]
    assert found(ana, now, organization="stone-clinic", role="lab_tech") == []
    assert found(ana, now, organization="stone-clinic", status="locked") == ["Ivy"]
    assert found(ana, now, organization="no-such") == []
    assert found(crowd.actor(crowd.ana, crowd.strange_practice), now) == ["Ida", "Ivy"]


def test_people__row__says_what_is_to_know_of_the_account(crowd: World, now: datetime) -> None:
    with tenant(crowd.practice):
        rows = {
            user.first_name: user
            for user in people_page(actor=crowd.actor(crowd.lee), filters=AccountFilters(), at=now).items
        }
    facts: Callable[[Any], Any] = lambda user: (user.is_locked, user.has_second_factor)  # noqa: E731
    assert [facts(rows[name]) for name in ("Ivy", "Joe", "Mia")] == [(True, False), (False, True), (False, False)]
    assert {row.role for row in rows["Joe"].shown_memberships} == {"lab_tech", "privacy_officer"}
    assert {row.organization_id for row in rows["Ivy"].shown_memberships} == {crowd.practice.pk}


@pytest.fixture
def gil(crowd: World, now: datetime) -> User:
    """Gil, who left: with a new address since, a second factor, switched off, and locked."""
    gil = User.objects.get(first_name="Gil")
    User.objects.filter(pk=gil.pk).update(email="gil@new-employer.example", is_active=False, last_login=now)
    enrol(gil)
    for _guess in range(5):
        reserve_guess(email="gil@new-employer.example", known_browser="", at=now)
    return User.objects.get(pk=gil.pk)


def test_former_member__what_became_of_the_account__is_neither_shown_nor_found(
    crowd: World, now: datetime, gil: User
) -> None:
    lee = crowd.actor(crowd.lee)
    with tenant(crowd.practice):
        detail = person_detail(actor=lee, user_id=gil.pk, at=now)
        (row,) = people_page(actor=lee, filters=AccountFilters(status="former"), at=now).items
        stats = people_stats(actor=lee, at=now)
    for shown in (detail, row):
        assert (shown.shows_account, shown.is_locked, shown.has_second_factor) == (False, None, None)
    assert found(lee, now, text="gil@") == found(lee, now, status="locked", text="gil") == []
    assert found(lee, now, status="deactivated") == ["Hal"]
    assert found(lee, now, text="gil") == found(lee, now, status="former") == ["Gil"]
    assert (stats.locked, stats.deactivated) == (1, 1)


def test_former_member__for_platform_staff__all_is_shown_and_found(crowd: World, now: datetime, gil: User) -> None:
    for place in (crowd.platform, crowd.practice):
        ana = crowd.actor(crowd.ana, place)
        with tenant(place):
            shown = person_detail(actor=ana, user_id=gil.pk, at=now)
        assert (shown.shows_account, shown.is_locked, shown.has_second_factor) == (True, True, True)
        assert found(ana, now, text="gil@new") == found(ana, now, status="locked", text="gil") == ["Gil"]


def test_former_member__who_came_back__is_shown(crowd: World, now: datetime, gil: User) -> None:
    with platform("test"):
        MembershipFactory(organization=crowd.practice, user=gil, role=Role.LAB_TECH)
    with tenant(crowd.practice):
        assert person_detail(actor=crowd.actor(crowd.lee), user_id=gil.pk, at=now).is_locked is True


@pytest.mark.seed("S2.11")
def test_people__page_by_page_and_back__each_once_in_order(crowd: World, now: datetime) -> None:
    actor = crowd.actor(crowd.lee)
    everybody = found(actor, now)
    seen: list[str] = []
    with tenant(crowd.practice):
        page = people_page(actor=actor, filters=AccountFilters(), size=3, at=now)
        assert page.newer is None
        while True:
            seen += [user.first_name for user in page.items]
            if not page.older:
                break
            page = people_page(actor=actor, filters=AccountFilters(), cursor=page.older, size=3, at=now)
        assert seen == everybody
        assert page.newer
        before = people_page(actor=actor, filters=AccountFilters(), cursor=page.newer, size=3, at=now)
        assert [user.first_name for user in before.items] == everybody[3:6]
        for broken in ("x", "bnx8", page.newer[:-3]):
            with pytest.raises(Malformed):
                people_page(actor=actor, filters=AccountFilters(), cursor=broken, at=now)


def test_people__a_hundred_instead_of_three__as_many_statements(
    world: World, now: datetime, statements: Callable[[], AbstractContextManager[Statements]]
) -> None:
    reserve_guess(email="somebody@example.org", known_browser="", at=now)
    SignInLock.objects.update(locked_until=now + timedelta(minutes=5))

    def asked(actor: Actor) -> int:
        with tenant(actor.organization), statements() as made:
            people_page(actor=actor, filters=AccountFilters(), size=100, at=now)
            people_page(actor=actor, filters=AccountFilters(status=PersonStatus.LOCKED), size=100, at=now)
            people_stats(actor=actor, at=now)
        return len(made.domain)

    actors = world.actor(world.lee), world.actor(world.ana, world.platform)
    before = [asked(actor) for actor in actors]
    with platform("test"):
        OrganizationSettings.objects.update(seat_limit=500)
        for _number in range(97):
            MembershipFactory(organization=world.practice, role=Role.LAB_TECH)
    assert [asked(actor) for actor in actors] == before


@pytest.mark.seed("S2.24")
def test_people__without_the_right__refused(world: World, now: datetime) -> None:
    found(world.actor(world.lee), now)
    for user in (world.omar, world.mia):
        with pytest.raises(NotPermitted):
            found(world.actor(user), now)
        with tenant(world.practice), pytest.raises(NotPermitted):
            people_stats(actor=world.actor(user), at=now)
        with tenant(world.practice), pytest.raises(NotPermitted):
            person_detail(actor=world.actor(user), user_id=world.lee.pk, at=now)


@pytest.mark.seed("S2.24")
def test_person__of_another_organization__as_nobody(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    with tenant(world.practice):
        assert person_detail(actor=lee, user_id=world.mia.pk, at=now) == world.mia
        for user_id in (world.stone.pk, uuid4()):
            with pytest.raises(NotFound):
                person_detail(actor=lee, user_id=user_id, at=now)
            with pytest.raises(NotFound):
                person_sessions(actor=lee, user_id=user_id, at=now)
    with tenant(world.platform):
        ana = world.actor(world.ana, world.platform)
        assert person_detail(actor=ana, user_id=world.stone.pk, at=now) == world.stone


def test_sessions__of_a_member__those_that_live_last_used_first(world: World, now: datetime) -> None:
    old = session_of(world.mia, last_seen_at=now - timedelta(minutes=10))
    new = session_of(world.mia, last_seen_at=now)
    session_of(world.mia, last_seen_at=now - timedelta(minutes=16))
    session_of(world.omar)
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.ana, role=Role.SUPPORT)
    with tenant(world.practice):
        assert person_sessions(actor=world.actor(world.lee), user_id=world.mia.pk, at=now) == [new, old]
        with pytest.raises(Outranked):
            person_sessions(actor=world.actor(world.lee), user_id=world.ana.pk, at=now)
        with pytest.raises(NotPermitted):
            person_sessions(actor=world.actor(world.omar), user_id=world.mia.pk, at=now)


# --- numbers ---------------------------------------------------------------------------------------------------------
SQL = """
WITH here AS (
    SELECT m.*, u.is_active, u.id AS person FROM accounts_user u
    LEFT JOIN organizations_membership m ON m.user_id = u.id AND (%(all)s OR m.organization_id = %(organization)s)
    WHERE %(all)s OR m.id IS NOT NULL
)
SELECT count(DISTINCT person),
    count(DISTINCT person) FILTER (WHERE status = 'active' AND is_active),
    (SELECT count(*) FROM (SELECT person FROM here WHERE id IS NOT NULL GROUP BY person
        HAVING bool_and(status = 'ended')) gone),
    count(DISTINCT person) FILTER (WHERE NOT is_active),
    count(DISTINCT person) FILTER (WHERE status = 'active' AND is_active
        AND coalesce(reviewed_at, started_at) <= %(at)s - interval '90 days'),
    count(DISTINCT person) FILTER (WHERE status = 'active' AND is_active AND is_org_admin)
FROM here
"""


@pytest.mark.seed("S2.11")
def test_stats__of_an_organization_and_of_all__what_sql_counts(crowd: World, now: datetime) -> None:
    for actor, is_all in ((crowd.actor(crowd.lee), False), (crowd.actor(crowd.ana, crowd.platform), True)):
        with tenant(actor.organization):
            stats = people_stats(actor=actor, at=now)
        with platform("test"), connection.cursor() as cursor:
            cursor.execute(SQL, {"all": is_all, "organization": actor.organization_id, "at": now})
            counted = cursor.fetchone()
        assert counted == (
            stats.people,
            stats.active,
            stats.former,
            stats.deactivated,
            stats.unreviewed,
            stats.administrators,
        )
        assert (stats.locked, stats.with_second_factor, stats.by_role["lab_tech"]) == (1, 1, 2)
    assert set(stats.by_role) == set(Role.values)


def test_second_factor__confirmed__and_not_merely_begun(world: World) -> None:
    enrol(world.mia)
    enrol(world.omar, confirmed_at=None)
    everybody: Iterable[Any] = User.objects.values_list("pk", flat=True)
    assert people_with_second_factor(everybody) == {world.mia.pk}
    assert people_with_second_factor([world.lee.pk]) == set()
