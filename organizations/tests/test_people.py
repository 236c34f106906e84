"""Members of an organization: ending a membership, making administrators, and the last administrator, who stays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.administration import deactivate_user
from accounts.models import User
from audit.models import AuditEvent
from healthivr.kernel.errors import NotFound, NotPermitted
from healthivr.testing.factories import MembershipFactory, UserFactory
from healthivr.testing.races import race
from healthivr.testing.world import World
from invitations.seats import count_seats
from organizations.actor import Actor
from organizations.models import Membership, OrganizationSettings
from organizations.roles import Role
from organizations.selectors import people, person
from organizations.services import (
    AccountInactive,
    AdministrationFixed,
    AlreadyMember,
    LastAdministrator,
    add_membership,
    change_administrator,
    end_membership,
    membership_ended,
)
from organizations.tenancy import platform, tenant


def membership_of(user: User) -> Membership:
    with platform("test"):
        return Membership.objects.get(user=user, status="active")


def running(world: World, user: User) -> Actor:
    """A member of the practice as its administrator."""
    return replace(world.actor(user), is_org_admin=True)


def end(world: World, who: User, *, by: User, at: datetime, actor: Actor | None = None) -> Membership:
    actor = actor or world.actor(by)
    membership = membership_of(who)
    with tenant(actor.organization):
        return end_membership(actor=actor, membership_id=membership.pk, reason=" le\u202eft", at=at)


def administer(world: World, who: User, value: bool, *, by: User, actor: Actor | None = None) -> Membership:
    actor = actor or world.actor(by)
    membership = membership_of(who)
    with tenant(actor.organization):
        return change_administrator(actor=actor, membership_id=membership.pk, is_org_admin=value, at=timezone.now())


def make_administrator(user: User) -> None:
    with platform("test"):
        Membership.objects.filter(user=user).update(is_org_admin=True)


def events(world: World) -> list[AuditEvent]:
    with tenant(world.practice):
        return list(AuditEvent.objects.order_by("sequence"))


def seats(world: World) -> int:
    with platform("test"):
        return OrganizationSettings.objects.get(organization=world.practice).seats_used


# --- ending ----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13", "S2.26")
def test_end__by_the_administrator__history_stays_seat_is_free_and_one_event(world: World, now: datetime) -> None:
    heard: list[Any] = []

    def listener(**kwargs: Any) -> None:
        heard.append((kwargs["membership"].user, kwargs["actor"].user, kwargs["at"]))

    membership_ended.connect(listener)
    try:
        ended = end(world, world.omar, by=world.lee, at=now)
    finally:
        membership_ended.disconnect(listener)
    with tenant(world.practice):
        row = Membership.objects.get(pk=ended.pk)
        assert (row.status, row.ended_at) == ("ended", now)
        assert world.omar not in {member.user for member in people(actor=world.actor(world.lee))}
    assert seats(world) == 3
    assert heard == [(world.omar, world.lee, now)]
    (event,) = events(world)
    assert (event.action, event.target_id, event.reason) == ("membership.ended", str(ended.pk), "left")
    assert event.detail == {"user": str(world.omar.pk), "role": "office_admin"}
    assert event.actor_id == world.lee.pk


def test_end__person_with_a_second_role__keeps_the_seat_and_nobody_is_told(world: World, now: datetime) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.practice, user=world.omar, role=Role.MEDICAL_STAFF)
        OrganizationSettings.objects.filter(organization=world.practice).update(seats_used=4)
    heard: list[Any] = []

    def listener(**kwargs: Any) -> None:
        heard.append(kwargs)

    membership_ended.connect(listener)
    try:
        with tenant(world.practice):
            end_membership(actor=world.actor(world.lee), membership_id=second.pk, reason="", at=now)
        assert (seats(world), heard) == (4, [])
        end(world, world.omar, by=world.lee, at=now)
        assert (seats(world), len(heard)) == (3, 1)
    finally:
        membership_ended.disconnect(listener)


@pytest.mark.seed("S4.11")
def test_end__person_who_is_switched_off_with_two_roles__one_seat_is_free_and_only_after_the_last(
    world: World, now: datetime
) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.practice, user=world.omar, role=Role.MEDICAL_STAFF)
        OrganizationSettings.objects.filter(organization=world.practice).update(seats_used=4)
        User.objects.filter(pk=world.omar.pk).update(is_active=False)
    with tenant(world.practice):
        end_membership(actor=world.actor(world.lee), membership_id=second.pk, reason="", at=now)
    assert seats(world) == 4
    end(world, world.omar, by=world.lee, at=now)
    assert seats(world) == 3
    with platform("test"):
        assert count_seats(world.practice) == 3


@pytest.mark.seed("S0.24")
def test_end__without_the_right_or_elsewhere_or_twice__refused_and_nothing_written(world: World, now: datetime) -> None:
    end(world, world.omar, by=world.lee, at=now)
    with pytest.raises(NotPermitted):
        end(world, world.lee, by=world.mia, at=now)
    lee = world.actor(world.lee)
    for membership_id in (membership_of(world.stone).pk, uuid4()):
        with tenant(world.practice), pytest.raises(NotFound):
            end_membership(actor=lee, membership_id=membership_id, reason="", at=now)
    with platform("test"):
        ended = Membership.objects.get(user=world.omar)
    with tenant(world.practice), pytest.raises(NotFound):
        end_membership(actor=lee, membership_id=ended.pk, reason="", at=now)
    assert [event.action for event in events(world)] == ["membership.ended"]
    assert membership_of(world.stone).status == "active"


def test_end__then_invited_again__a_new_membership_beside_the_old(world: World, now: datetime) -> None:
    end(world, world.omar, by=world.lee, at=now)
    values: dict[str, Any] = {
        "actor": world.actor(world.lee),
        "user_id": world.omar.pk,
        "organization": world.practice,
        "role": Role.OFFICE_ADMIN,
        "is_org_admin": False,
        "upline_id": None,
        "invited_by_id": None,
        "at": now,
    }
    with tenant(world.practice):
        add_membership(**values)
        assert sorted(row.status for row in Membership.objects.filter(user=world.omar)) == ["active", "ended"]
        with pytest.raises(AlreadyMember):
            add_membership(**values)
        assert Membership.objects.filter(user=world.omar).count() == 2


# --- the upline ------------------------------------------------------------------------------------------------------
def add(world: World, who: User, *, above: User | None) -> None:
    """Make somebody office staff of the practice, invited by `above`."""
    with tenant(world.practice):
        add_membership(
            actor=world.actor(world.lee),
            user_id=who.pk,
            organization=world.practice,
            role=Role.MEDICAL_STAFF,
            is_org_admin=False,
            upline_id=above and above.pk,
            invited_by_id=above and above.pk,
            at=timezone.now(),
        )


def upline_of(world: World, who: User) -> UUID | None:
    with platform("test"):
        return Membership.objects.get(organization=world.practice, user=who, status="active").upline_id


@pytest.mark.seed("S0.14")
@pytest.mark.parametrize("length", [2, 5])
def test_upline__invited_back_by_somebody_below__no_loop_and_the_rest_stays(
    world: World, now: datetime, length: int
) -> None:
    chain = [UserFactory() for _number in range(length)]
    for above, who in zip([world.lee, *chain[:-1]], chain, strict=True):
        add(world, who, above=above)
    assert [upline_of(world, who) for who in chain] == [user.pk for user in (world.lee, *chain[:-1])]
    end(world, chain[0], by=world.lee, at=now)
    add(world, chain[0], above=chain[-1])
    assert upline_of(world, chain[0]) is None
    assert [upline_of(world, who) for who in chain[1:]] == [user.pk for user in chain[:-1]]
    stranger = UserFactory()
    add(world, stranger, above=chain[-1])
    assert upline_of(world, stranger) == chain[-1].pk


@pytest.mark.seed("S0.14")
def test_upline__loop_that_ended_memberships_close__is_none(world: World, now: datetime) -> None:
    first, second = UserFactory(), UserFactory()
    add(world, first, above=world.lee)
    add(world, second, above=first)
    for who in (first, second):
        end(world, who, by=world.lee, at=now)
    add(world, second, above=None)
    add(world, first, above=second)
    assert upline_of(world, first) == second.pk


@pytest.mark.seed("S0.14")
def test_upline__changed_by_sql__no_loop_either(world: World) -> None:
    first, second = UserFactory(), UserFactory()
    add(world, first, above=world.lee)
    add(world, second, above=first)
    with platform("test"):
        Membership.objects.filter(user=first).update(upline=second)
    assert upline_of(world, first) is None
    with pytest.raises(IntegrityError, match="membership_not_own_upline"), platform("test"):
        Membership.objects.filter(user=second).update(upline=second)


@pytest.mark.seed("S0.14")
def test_upline__two_above_each_other_at_once__one_stands_above_the_other(committed_world: World) -> None:
    world = committed_world
    for _round in range(4):
        first, second = UserFactory(), UserFactory()
        outcomes = race(
            lambda first=first, second=second: add(world, first, above=second),
            lambda first=first, second=second: add(world, second, above=first),
        )
        assert outcomes == [None, None]
        assert [upline_of(world, first), upline_of(world, second)].count(None) == 1


# --- who sees people -------------------------------------------------------------------------------------------------
def test_people__who_may_see_them__and_never_another_organizations(world: World) -> None:
    with tenant(world.practice):
        listed = list(people(actor=world.actor(world.omar)))
        assert [row.user for row in listed] == [world.omar, world.lee, world.mia]
        assert person(actor=world.actor(world.lee), membership_id=listed[0].pk) == listed[0]
        with pytest.raises(NotFound):
            person(actor=world.actor(world.lee), membership_id=membership_of(world.stone).pk)
        with pytest.raises(NotPermitted):
            people(actor=world.actor(world.mia))


# --- administrators --------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.20", "S2.26")
def test_administrator__made_and_unmade__one_event_each_with_both_sides(world: World) -> None:
    assert administer(world, world.omar, True, by=world.lee).is_org_admin
    assert not administer(world, world.omar, False, by=world.lee).is_org_admin
    made, unmade = events(world)
    assert made.action == unmade.action == "membership.administrator_changed"
    assert made.changes == {"is_org_admin": ["false", "true"]}
    assert unmade.changes == {"is_org_admin": ["true", "false"]}


@pytest.mark.seed("S2.20")
def test_administrator__who_is_switched_off__not_made_one_until_on_again(world: World) -> None:
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    with pytest.raises(AccountInactive):
        administer(world, world.mia, True, by=world.lee)
    assert not membership_of(world.mia).is_org_admin
    assert events(world) == []
    User.objects.filter(pk=world.mia.pk).update(is_active=True)
    assert administer(world, world.mia, True, by=world.lee).is_org_admin
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    assert not administer(world, world.mia, False, by=world.lee).is_org_admin


def test_administrator__as_it_is__no_event(world: World) -> None:
    assert administer(world, world.lee, True, by=world.lee).is_org_admin
    assert events(world) == []


@pytest.mark.seed("S2.20")
def test_administrator__who_may_not_or_no_active_member__refused(world: World, now: datetime) -> None:
    administer(world, world.omar, True, by=world.lee)
    with pytest.raises(NotPermitted):
        administer(world, world.mia, True, by=world.mia)
    mias = membership_of(world.mia).pk
    end(world, world.mia, by=world.lee, at=now)
    with tenant(world.practice), pytest.raises(NotFound):
        change_administrator(actor=world.actor(world.lee), membership_id=mias, is_org_admin=True, at=now)
    with tenant(world.practice), pytest.raises(NotFound):
        change_administrator(
            actor=world.actor(world.lee), membership_id=membership_of(world.stone).pk, is_org_admin=False, at=now
        )


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.ADMIN])
def test_administrator__on_the_platform__comes_with_the_role_alone(world: World, now: datetime, role: Role) -> None:
    with platform("test"):
        other = MembershipFactory(organization=world.platform, role=role)
    assert other.is_org_admin == (role == Role.ADMIN)
    ana = world.actor(world.ana, world.platform)
    with tenant(world.platform), pytest.raises(AdministrationFixed):
        change_administrator(actor=ana, membership_id=other.pk, is_org_admin=not other.is_org_admin, at=now)
    with pytest.raises(IntegrityError, match="membership_platform_is_run_by_admins"), platform("test"):
        Membership.objects.filter(pk=other.pk).update(is_org_admin=not other.is_org_admin)


def test_administrator__a_patient__is_never_one(world: World, now: datetime) -> None:
    with platform("test"):
        pat = MembershipFactory(organization=world.practice, role=Role.PATIENT)
    with tenant(world.practice), pytest.raises(AdministrationFixed):
        change_administrator(actor=world.actor(world.lee), membership_id=pat.pk, is_org_admin=True, at=now)
    with pytest.raises(IntegrityError, match="membership_patients_run_nothing"), platform("test"):
        Membership.objects.filter(pk=pat.pk).update(is_org_admin=True)


def test_last_admin_of_the_platform__beside_support__stays(world: World, now: datetime) -> None:
    with platform("test"):
        MembershipFactory(organization=world.platform, role=Role.SUPPORT)
        anas = Membership.objects.get(user=world.ana).pk
    with tenant(world.platform), pytest.raises(LastAdministrator):
        end_membership(actor=world.actor(world.ana, world.platform), membership_id=anas, reason="I leave", at=now)


# --- the last administrator ------------------------------------------------------------------------------------------
Removal = Callable[[World, User, User], Any]
REMOVALS: dict[str, Removal] = {
    "removed": lambda world, who, by: end(world, who, by=by, at=timezone.now(), actor=running(world, by)),
    "demoted": lambda world, who, by: administer(world, who, False, by=by, actor=running(world, by)),
    "deactivated": lambda world, who, by: deactivate_user(
        actor=world.actor(world.ana), user_id=who.pk, reason="left", at=timezone.now()
    ),
}


def administrators(world: World) -> set[UUID]:
    with platform("test"):
        return set(
            Membership.objects.administrators().filter(organization=world.practice).values_list("user", flat=True)
        )


@pytest.mark.seed("S2.13")
@pytest.mark.parametrize("removal", REMOVALS)
def test_last_administrator__goes_only_when_another_stays(world: World, removal: str) -> None:
    with pytest.raises(LastAdministrator):
        REMOVALS[removal](world, world.lee, world.lee)
    assert administrators(world) == {world.lee.pk}
    assert events(world) == []
    make_administrator(world.omar)
    REMOVALS[removal](world, world.lee, world.omar)
    assert administrators(world) == {world.omar.pk}
    with pytest.raises(LastAdministrator):
        REMOVALS[removal](world, world.omar, world.omar)
    assert administrators(world) == {world.omar.pk}


@pytest.mark.parametrize("removal", REMOVALS)
def test_last_administrator__another_who_may_not_sign_in__does_not_count(world: World, removal: str) -> None:
    make_administrator(world.omar)
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    with pytest.raises(LastAdministrator):
        REMOVALS[removal](world, world.lee, world.lee)


@pytest.mark.parametrize("removal", REMOVALS)
def test_last_administrator__own_second_membership__does_not_count(world: World, removal: str) -> None:
    with platform("test"):
        old = MembershipFactory(organization=world.practice, user=world.lee, role=Role.SUPPORT, is_org_admin=True)
        Membership.objects.filter(pk=old.pk).update(status="ended", ended_at=timezone.now())
    with pytest.raises(LastAdministrator):
        REMOVALS[removal](world, world.lee, world.lee)


# --- two by each other at once ---------------------------------------------------------------------------------------
@pytest.fixture
def slow_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave time between the look and the write, where a check without a lock would let both through."""
    administrators_of = Membership.objects.administrators

    def slowly() -> Any:
        found = administrators_of()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")
        return found

    monkeypatch.setattr(Membership.objects, "administrators", slowly)


@pytest.mark.seed("S2.13")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("removed", "removed"),
        ("demoted", "demoted"),
        ("deactivated", "deactivated"),
        ("removed", "deactivated"),
        ("demoted", "removed"),
        ("deactivated", "demoted"),
    ],
)
def test_two_administrators__each_takes_the_other_away_at_once__one_stays(
    committed_world: World, slow_checks: None, first: str, second: str
) -> None:
    world = committed_world
    make_administrator(world.omar)
    for _round in range(4):
        outcomes = race(
            lambda: REMOVALS[first](world, world.omar, world.lee),
            lambda: REMOVALS[second](world, world.lee, world.omar),
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert [type(error) for error in refused] == [LastAdministrator], outcomes
        assert len(administrators(world)) == 1
        restore(world)


@pytest.mark.parametrize("removal", ["removed", "demoted"])
def test_two_of_three_administrators__each_takes_the_other_away_at_once__one_of_them_does(
    committed_world: World, removal: str
) -> None:
    world = committed_world
    make_administrator(world.omar)
    make_administrator(world.mia)
    for _round in range(4):
        outcomes = race(
            lambda: REMOVALS[removal](world, world.omar, world.lee),
            lambda: REMOVALS[removal](world, world.lee, world.omar),
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert [type(error) for error in refused] == [NotPermitted], outcomes
        assert len(administrators(world)) == 2
        restore(world)


def restore(world: World) -> None:
    User.objects.update(is_active=True)
    with platform("test"):
        pair = Membership.objects.filter(user__in=[world.lee, world.omar])
        pair.update(status="active", ended_at=None, is_org_admin=True)
        OrganizationSettings.objects.filter(organization=world.practice).update(seats_used=4)


# --- the database alone ----------------------------------------------------------------------------------------------
def run_sql(sql: str, parameters: list[Any], *, linger: float = 0) -> None:
    """What a bug, or somebody at a console with the application's role, could send."""
    with platform("test"), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        cursor.execute("SELECT pg_sleep(%s)", [linger])


STATEMENTS = {
    "demoted": "UPDATE organizations_membership SET is_org_admin = false WHERE user_id = %s",
    "removed": "UPDATE organizations_membership SET status = 'ended', ended_at = now() WHERE user_id = %s",
    "deleted": "DELETE FROM organizations_membership WHERE user_id = %s",
    "deactivated": "UPDATE accounts_user SET is_active = false WHERE id = %s",
}


@pytest.mark.seed("S2.13")
@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_database__last_administrator_taken_away_by_sql__refused_at_commit(
    committed_world: World, statement: str
) -> None:
    world = committed_world
    make_administrator(world.omar)
    run_sql(statement, [world.omar.pk])
    assert administrators(world) == {world.lee.pk}
    with pytest.raises(IntegrityError, match="the last administrator of an organization stays"):
        run_sql(statement, [world.lee.pk])
    assert administrators(world) == {world.lee.pk}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_database__two_taken_away_by_sql_at_once__one_stays(committed_world: World, statement: str) -> None:
    world = committed_world
    make_administrator(world.omar)
    outcomes = race(
        lambda: run_sql(statement, [world.lee.pk], linger=0.02),
        lambda: run_sql(statement, [world.omar.pk], linger=0.02),
    )
    assert sum(isinstance(outcome, IntegrityError) for outcome in outcomes) == 1, outcomes
    assert len(administrators(world)) == 1


def test_database__all_administrators_swapped_in_one_transaction__allowed(committed_world: World) -> None:
    """Held at commit, not at each statement: one may hand over to another in any order."""
    world = committed_world
    with platform("test"):
        Membership.objects.filter(user=world.lee).update(is_org_admin=False)
        Membership.objects.filter(user=world.mia).update(is_org_admin=True)
    assert administrators(world) == {world.mia.pk}


# --- what a membership can be ----------------------------------------------------------------------------------------
@pytest.mark.seed("S0.13")
@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"role": "king"}, "membership_role_known"),
        ({"role": "admin"}, "membership_admins_are_platform_staff"),
        ({"status": "paused"}, "membership_(status_known|ended_has_time)"),
        ({"status": "ended"}, "membership_ended_has_time"),
        ({"ended_at": timezone.now()}, "membership_ended_has_time"),
    ],
)
def test_membership__what_the_domain_does_not_know__refused_by_the_database(
    world: World, values: dict[str, Any], constraint: str
) -> None:
    user = UserFactory()
    right: dict[str, Any] = {"organization": world.practice, "role": "doctor", "started_at": timezone.now()}
    with tenant(world.practice):
        Membership.objects.create(user=world.ana, **right)
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Membership.objects.create(user=user, **{**right, **values})
        with pytest.raises(IntegrityError, match="membership_not_own_upline"), transaction.atomic():
            Membership.objects.create(user=user, upline=user, **right)


@pytest.mark.parametrize("role", sorted(Role.values))
def test_membership__every_role__can_be_stored_where_it_belongs(world: World, role: str) -> None:
    home = world.platform if role == "admin" else world.practice
    with tenant(home):
        Membership.objects.create(
            organization=home,
            user=UserFactory(),
            role=role,
            is_org_admin=role == "admin",
            started_at=timezone.now(),
        )
