"""Running organizations from outside: who may, what is refused, and what stands in whose trail."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from healthivr.testing.factories import MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.world import World
from organizations import administration, directory
from organizations.actor import Actor, StepUpRequired
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import Capability, OrganizationKind, Role, may_stand_below
from organizations.services import AdministrationFixed, LastAdministrator, SlugTaken
from organizations.tenancy import platform, tenant


def ana(world: World) -> Actor:
    return world.actor(world.ana, world.platform)


def act(service: Callable[..., Any], *, actor: Actor, **values: Any) -> Any:
    with tenant(actor.organization):
        return service(actor=actor, **values)


def trail(organization: Organization) -> list[AuditEvent]:
    with platform("test"):
        return list(AuditEvent.objects.filter(organization_id=organization.pk).order_by("sequence"))


def settings_of(organization: Organization) -> OrganizationSettings:
    with platform("test"):
        return OrganizationSettings.objects.get(organization=organization)


@pytest.fixture
def chp(world: World) -> Actor:
    """Who runs a program, with a master distributor and a distributor below it."""
    with platform("test"):
        program = OrganizationFactory(kind="chp", name="Health for all", slug="health-for-all")
        boss = MembershipFactory(organization=program, role=Role.CHP_ADMIN, is_org_admin=True).user
        master = OrganizationFactory(kind="master_distributor", name="Master", slug="master", parent=program)
        MembershipFactory(organization=master, role=Role.MASTER_DISTRIBUTOR, is_org_admin=True)
        OrganizationFactory(kind="distributor", name="Below", slug="below", parent=master)
    return Actor(boss, program, frozenset({Role.CHP_ADMIN}), True, verified_at=timezone.now())


# --- who sees which --------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.17", "S2.24")
def test_tree__own_and_below__others_do_not_exist(world: World, chp: Actor) -> None:
    def names(actor: Actor) -> list[str]:
        with tenant(actor.organization):
            page = directory.organization_page(actor=actor, filters=directory.DirectoryFilters())
        return [organization.slug for organization in page.items]

    assert names(chp) == ["below", "health-for-all", "master"]
    assert names(world.actor(world.lee)) == ["lee-family-practice"]
    assert set(names(ana(world))) == set(Organization.objects.values_list("slug", flat=True))
    for organization_id in (world.practice.pk, world.platform.pk, uuid4()):
        with pytest.raises(NotFound):
            act(directory.organization_detail, actor=chp, organization_id=organization_id)
    for person in (world.omar, world.mia):
        with pytest.raises(NotPermitted):
            act(directory.organization_detail, actor=world.actor(person), organization_id=world.practice.pk)


@pytest.mark.seed("S2.24")
def test_detail__of_one_below__the_directory_and_a_count_and_nothing_inside(world: World, chp: Actor) -> None:
    below = Organization.objects.get(slug="master")
    detail = act(directory.organization_detail, actor=chp, organization_id=below.pk)
    assert (detail.members, detail.below, detail.settings, detail.administrators) == (1, 1, None, None)
    own = act(directory.organization_detail, actor=chp, organization_id=chp.organization_id)
    assert own.settings.seat_limit == 25
    assert [membership.user for membership in own.administrators] == [chp.user]
    seen = act(directory.organization_detail, actor=ana(world), organization_id=below.pk)
    assert seen.settings.plan == "standard"
    assert len(seen.administrators) == 1


@pytest.mark.seed("S2.17", "S2.11")
def test_stats__equal_to_what_sql_counts(world: World, chp: Actor, now: datetime) -> None:
    with platform("test"):
        gone = OrganizationFactory(name="Gone", state="inactive", created_at=now - timedelta(days=31))
        MembershipFactory(organization=gone, user=world.lee, role=Role.DOCTOR)  # is one person
        OrganizationFactory(name="Nobody's", created_at=now - timedelta(days=29))
        MembershipFactory(organization=gone, role=Role.DOCTOR, status="ended", ended_at=now)
    stats = act(directory.organization_stats, actor=ana(world), at=now)
    with platform("test"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE state = 'inactive'),"
            " count(*) FILTER (WHERE created_at >= %s), count(*) FILTER (WHERE state = 'active' AND NOT EXISTS"
            " (SELECT FROM organizations_membership m WHERE m.organization_id = o.id AND m.status = 'active'"
            " AND m.is_org_admin)) FROM organizations_organization o",
            [now - timedelta(days=30)],
        )
        counted = cursor.fetchone()
        cursor.execute("SELECT count(DISTINCT user_id) FROM organizations_membership WHERE status = 'active'")
        (people,) = cursor.fetchone()
        cursor.execute("SELECT sum(seats_used), sum(seat_limit) FROM organizations_organizationsettings")
        seats = cursor.fetchone()
        cursor.execute("SELECT kind, count(*) FROM organizations_organization GROUP BY kind")
        kinds = dict(cursor.fetchall())
    found = (stats.total, stats.active, stats.inactive, stats.recently_founded, stats.without_administrator)
    assert found == counted
    assert stats.inactive == 1
    assert stats.without_administrator == 2  # Below, and Nobody's
    assert (stats.people, (stats.seats_used, stats.seat_limit)) == (people, seats)
    assert {kind: count for kind, count in stats.by_kind.items() if count} == kinds
    own = act(directory.organization_stats, actor=chp, at=now)
    assert (own.total, own.people, own.without_administrator, own.seats_used) == (3, 2, 1, None)


# --- create ----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.17", "S2.26")
def test_create__by_the_platform__empty_on_its_plan_and_in_its_own_trail(world: World, now: datetime) -> None:
    made = act(
        administration.create_organization,
        actor=ana(world),
        name=" Hill  Street ",
        kind="practice",
        slug="Hill-Street",
        plan="large",
        seat_limit=7,
        at=now,
    )
    made = Organization.objects.get(pk=made.pk)
    assert (made.name, made.slug, made.kind, made.parent, made.state) == (
        "Hill Street",
        "hill-street",
        "practice",
        world.platform,
        "active",
    )
    settings = settings_of(made)
    assert (settings.plan, settings.seat_limit, settings.seats_used) == ("large", 7, 0)
    (event,) = trail(made)
    assert (event.action, event.actor_id) == ("organization.created", world.ana.pk)
    assert trail(world.platform) == []


@pytest.mark.seed("S2.17")
def test_create__slug_that_another_has__refused_at_its_field(world: World, now: datetime) -> None:
    with pytest.raises(SlugTaken) as refused:
        act(
            administration.create_organization,
            actor=ana(world),
            name="Second",
            kind="practice",
            slug="lee-family-practice",
            at=now,
        )
    assert refused.value.field == "slug"
    assert not Organization.objects.filter(name="Second").exists()


@pytest.mark.parametrize("slug", ["a", "has space", "-a-", "ünder", "a" * 81, "under_score"])
def test_create__slug_that_is_none__refused(world: World, now: datetime, slug: str) -> None:
    with pytest.raises(Malformed) as refused:
        act(administration.create_organization, actor=ana(world), name="New", kind="practice", slug=slug, at=now)
    assert (refused.value.code, refused.value.field) == ("slug", "slug")


@pytest.mark.seed("C23")
@pytest.mark.parametrize("kind", OrganizationKind.values)
@pytest.mark.parametrize("parent", OrganizationKind.values)
def test_place__of_each_kind__in_the_chain_or_below_the_platform(kind: str, parent: str) -> None:
    places = {
        "platform": set(),
        "chp": {"platform"},
        "master_distributor": {"platform", "chp"},
        "distributor": {"platform", "master_distributor"},
        "practice": {"platform", "distributor"},
        "ivr_company": {"platform", "chp"},
        "logistics": {"platform", "chp"},
        "pharmacy": {"platform"},
        "lab": {"platform"},
        "payer": {"platform"},
    }
    assert may_stand_below(OrganizationKind(kind), OrganizationKind(parent)) == (parent in places[kind])


def test_create__where_it_has_no_place__refused(world: World, chp: Actor, now: datetime) -> None:
    program = chp.organization

    def create(kind: str, parent_id: Any) -> Organization:
        return act(  # type: ignore[no-any-return]
            administration.create_organization, actor=ana(world), name="New", kind=kind, parent_id=parent_id, at=now
        )

    assert create("master_distributor", program.pk).parent == program
    for kind in ("practice", "platform"):
        with pytest.raises(administration.ParentNotPossible):
            create(kind, program.pk)
    with pytest.raises(NotFound):
        create("practice", uuid4())
    Organization.objects.filter(pk=program.pk).update(state="inactive")
    with pytest.raises(administration.ParentNotPossible):
        create("master_distributor", program.pk)


# --- off and on ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.17", "S2.26")
def test_deactivate_and_activate__state_and_one_event_each_in_its_trail(world: World, now: datetime) -> None:
    for _again in range(2):  # asked twice, it happens once
        act(
            administration.deactivate_organization,
            actor=ana(world),
            organization_id=world.practice.pk,
            reason=" They  closed. ",
            at=now,
        )
    assert Organization.objects.get(pk=world.practice.pk).state == "inactive"
    act(administration.activate_organization, actor=ana(world), organization_id=world.practice.pk, at=now)
    assert Organization.objects.get(pk=world.practice.pk).state == "active"
    off, on = trail(world.practice)
    assert (off.action, off.changes, off.reason) == (
        "organization.deactivated",
        {"state": ["active", "inactive"]},
        "They  closed.",
    )
    assert (on.action, on.changes) == ("organization.activated", {"state": ["inactive", "active"]})
    assert (off.actor_id, off.role) == (world.ana.pk, "admin")


def test_deactivate__the_platform_or_without_a_reason__refused(world: World, now: datetime) -> None:
    for reason in ("", "  \n "):
        with pytest.raises(Malformed) as refused:
            act(
                administration.deactivate_organization,
                actor=ana(world),
                organization_id=world.practice.pk,
                reason=reason,
                at=now,
            )
        assert refused.value.field == "reason"
    with pytest.raises(administration.PlatformStays):
        act(
            administration.deactivate_organization,
            actor=ana(world),
            organization_id=world.platform.pk,
            reason="No.",
            at=now,
        )
    assert set(Organization.objects.values_list("state", flat=True)) == {"active"}


def test_deactivate__foreseen__says_whom_it_concerns(world: World, chp: Actor, now: datetime) -> None:
    def foreseen(organization: Organization) -> list[str]:
        return act(  # type: ignore[no-any-return]
            administration.foresee_deactivation, actor=ana(world), organization_id=organization.pk, at=now
        )

    assert foreseen(world.practice) == [
        "3 people lose access with their next click.",
        "1 open invitation cannot be accepted until it is switched on again.",
    ]
    assert foreseen(chp.organization) == [
        "1 person loses access with the next click.",
        "2 organizations below it stay as they are.",
    ]


# --- who may what ----------------------------------------------------------------------------------------------------
RUNS_ALL: dict[str, dict[str, Any]] = {
    "create_organization": {"name": "New", "kind": "master_distributor"},
    "deactivate_organization": {"reason": "Because."},
    "activate_organization": {},
    "foresee_deactivation": {},
    "change_plan": {"seat_limit": 99},
}


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize("service", RUNS_ALL)
def test_platform_acts__by_who_runs_one_organization__refused_in_their_own_and_below(
    world: World, chp: Actor, now: datetime, service: str
) -> None:
    call = getattr(administration, service)
    about = {} if service == "create_organization" else {"organization_id": chp.organization_id}
    values = RUNS_ALL[service]
    act(call, actor=ana(world), at=now, **about, **values)
    for organization in (chp.organization, Organization.objects.get(slug="below")):
        about = {"parent_id" if service == "create_organization" else "organization_id": organization.pk}
        with pytest.raises(NotPermitted):
            act(call, actor=chp, at=now, **about, **values)


@pytest.mark.seed("S2.24")
def test_update__own_by_its_administrator_below_by_nobody_but_the_platform(
    world: World, chp: Actor, now: datetime
) -> None:
    below = Organization.objects.get(slug="below")
    update = administration.update_organization_in_tree
    act(update, actor=chp, organization_id=chp.organization_id, idle_minutes=9, at=now)
    assert settings_of(chp.organization).idle_minutes == 9
    with pytest.raises(NotPermitted):
        act(update, actor=chp, organization_id=below.pk, idle_minutes=9, at=now)
    with pytest.raises(NotFound):
        act(update, actor=chp, organization_id=world.practice.pk, idle_minutes=9, at=now)
    act(update, actor=ana(world), organization_id=below.pk, idle_minutes=9, name="Renamed", at=now)
    assert settings_of(below).idle_minutes == 9
    (event,) = trail(below)
    assert event.changes == {"name": ["Below", "Renamed"], "idle_minutes": ["15", "9"]}
    assert settings_of(world.platform).idle_minutes == 15


@pytest.mark.seed("S2.17")
def test_update__short_name__by_the_platform_and_unique(world: World, now: datetime) -> None:
    update = administration.update_organization_in_tree
    with pytest.raises(NotPermitted):
        act(update, actor=world.actor(world.lee), organization_id=world.practice.pk, slug="lee", at=now)
    with pytest.raises(SlugTaken):
        act(update, actor=ana(world), organization_id=world.practice.pk, slug="stone-clinic", at=now)
    act(update, actor=ana(world), organization_id=world.practice.pk, slug="lee", at=now)
    assert Organization.objects.get(pk=world.practice.pk).slug == "lee"
    assert [event.changes for event in trail(world.practice)] == [{"slug": ["lee-family-practice", "lee"]}]


# --- administrators --------------------------------------------------------------------------------------------------
def assign(
    actor: Actor, organization: Organization, user: Any, *, at: datetime, is_org_admin: bool = True
) -> Membership:
    return act(  # type: ignore[no-any-return]
        administration.assign_administrator,
        actor=actor,
        organization_id=organization.pk,
        user_id=getattr(user, "pk", user),
        is_org_admin=is_org_admin,
        at=at,
    )


def administrators(organization: Organization) -> set[Any]:
    with platform("test"):
        return set(Membership.objects.administrators().filter(organization=organization).values_list("user", flat=True))


@pytest.mark.seed("S2.20", "S2.26")
@pytest.mark.parametrize("by", ["lee", "ana"])
def test_assign__and_take_back__audited_in_both_directions(world: World, now: datetime, by: str) -> None:
    actor = ana(world) if by == "ana" else world.actor(world.lee)
    assert assign(actor, world.practice, world.omar, at=now).is_org_admin
    assert administrators(world.practice) == {world.lee.pk, world.omar.pk}
    assign(actor, world.practice, world.omar, at=now)  # asked twice, it happens once
    assert not assign(actor, world.practice, world.omar, is_org_admin=False, at=now).is_org_admin
    assert administrators(world.practice) == {world.lee.pk}
    events = trail(world.practice)
    assert [(event.action, event.changes) for event in events] == [
        ("membership.administrator_changed", {"is_org_admin": ["false", "true"]}),
        ("membership.administrator_changed", {"is_org_admin": ["true", "false"]}),
    ]
    assert {event.detail["user"] for event in events} == {str(world.omar.pk)}
    assert {event.actor_id for event in events} == {actor.user_id}


@pytest.mark.seed("S2.20")
def test_assign__who_is_no_active_member__refused_alike(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    former, off = UserFactory(), UserFactory()
    with platform("test"):
        MembershipFactory(organization=world.practice, user=former, status="ended", ended_at=now)
        MembershipFactory(organization=world.practice, user=off)
    off.is_active = False
    off.save()
    for user in (former, off, world.stone, uuid4()):
        with pytest.raises(administration.NotAMember) as refused:
            assign(lee, world.practice, user, at=now)
        assert refused.value.field == "user_id"
    assert administrators(world.practice) == {world.lee.pk}
    assign(lee, world.practice, world.mia, at=now)


@pytest.mark.seed("S2.20")
def test_assign__patient_platform_or_last__refused(world: World, now: datetime) -> None:
    with platform("test"):
        patient = MembershipFactory(organization=world.practice, role=Role.PATIENT).user
        support = MembershipFactory(organization=world.platform, role=Role.SUPPORT).user
    with pytest.raises(AdministrationFixed):
        assign(world.actor(world.lee), world.practice, patient, at=now)
    with pytest.raises(AdministrationFixed):
        assign(ana(world), world.platform, support, at=now)
    with pytest.raises(LastAdministrator):
        assign(world.actor(world.lee), world.practice, world.lee, is_org_admin=False, at=now)
    assert administrators(world.practice) == {world.lee.pk}


def test_assign__somebody_with_several_roles__by_the_first_that_can_and_back_by_all(
    world: World, now: datetime
) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.PATIENT)
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.OFFICE_ADMIN, is_org_admin=False)
    lee = world.actor(world.lee)
    assert assign(lee, world.practice, world.mia, at=now).role == Role.OFFICE_ADMIN
    with platform("test"):
        Membership.objects.filter(user=world.mia, role=Role.MEDICAL_STAFF).update(is_org_admin=True)
    assign(lee, world.practice, world.mia, is_org_admin=False, at=now)
    assert administrators(world.practice) == {world.lee.pk}


@pytest.mark.seed("S2.20", "S2.24")
def test_assign__without_the_right_or_a_fresh_proof__refused(world: World, chp: Actor, now: datetime) -> None:
    for person in (world.omar, world.mia):
        with pytest.raises(NotPermitted):
            assign(world.actor(person), world.practice, world.omar, at=now)
    stale = replace(world.actor(world.lee), verified_at=now - timedelta(minutes=6))
    with pytest.raises(StepUpRequired):
        assign(stale, world.practice, world.omar, at=now)
    below = Organization.objects.get(slug="master")
    with platform("test"):
        member = MembershipFactory(organization=below, role=Role.MASTER_DISTRIBUTOR, is_org_admin=False).user
    with pytest.raises(NotPermitted):
        assign(chp, below, member, at=now)
    assert administrators(world.practice) == {world.lee.pk}
    assign(ana(world), below, member, at=now)


# --- the plan --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.17", "S2.26", "S4.11")
def test_plan__seats_never_below_those_in_use__said_at_the_field(world: World, now: datetime) -> None:
    def change(**terms: Any) -> OrganizationSettings:
        return act(  # type: ignore[no-any-return]
            administration.change_plan, actor=ana(world), organization_id=world.practice.pk, at=now, **terms
        )

    change(seat_limit=4, plan="small")  # all of them in use
    with pytest.raises(administration.SeatsInUse) as refused:
        change(seat_limit=3)
    assert (refused.value.field, refused.value.extra["seats_used"]) == ("seat_limit", 4)
    assert "4 seats are in use" in str(refused.value.message)
    settings = settings_of(world.practice)
    assert (settings.seat_limit, settings.plan, settings.seats_used) == (4, "small", 4)
    change(seat_limit=4)
    assert [(event.action, event.changes) for event in trail(world.practice)] == [
        ("organization.plan_changed", {"seat_limit": ["25", "4"], "plan": ["standard", "small"]})
    ]
    for terms in ({"seat_limit": 0}, {"seat_limit": 100_001}, {"plan": ""}, {"plan": "a b"}, {"plan": "x" * 31}):
        with pytest.raises(Malformed):
            change(**terms)


def test_actor__inside_another_organization__the_rights_of_the_platform_and_no_others(world: World) -> None:
    both = replace(ana(world), roles=frozenset({Role.ADMIN, Role.SUPPORT}))
    with tenant(world.platform), directory.acting_in(actor=both, organization_id=world.practice.pk) as inside:
        assert (inside.roles, inside.organization, inside.is_org_admin) == (
            frozenset({Role.ADMIN}),
            world.practice,
            True,
        )
        assert inside.has(Capability.MANAGE_ORGANIZATION)
        assert settings_of_here() == world.practice.pk
    with (
        pytest.raises(NotPermitted),
        tenant(world.practice),
        directory.acting_in(actor=world.actor(world.omar), organization_id=world.practice.pk),
    ):
        pass


def settings_of_here() -> Any:
    return OrganizationSettings.objects.get().organization_id
