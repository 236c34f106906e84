"""The tree of organizations: the database keeps its closure, refuses loops, and moves subtrees."""

from datetime import datetime
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotPermitted
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.races import race
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.models import Organization, OrganizationClosure, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.selectors import organizations_below
from organizations.services import found_organization
from organizations.tenancy import platform, tenant


class Chain:
    """chp > master > distributor > practice, below the platform; and an aunt beside the master."""

    def __init__(self) -> None:
        with platform("test"):
            self.chp = OrganizationFactory(name="Coast CHP", slug="coast-chp", kind="chp")
            self.master = OrganizationFactory(slug="master", kind="master_distributor", parent=self.chp)
            self.distributor = OrganizationFactory(slug="distributor", kind="distributor", parent=self.master)
            self.practice = OrganizationFactory(slug="practice", parent=self.distributor)
            self.aunt = OrganizationFactory(slug="aunt", kind="master_distributor", parent=self.chp)


def ancestors(organization: Organization) -> dict[str, int]:
    rows = OrganizationClosure.objects.filter(descendant=organization).select_related("ancestor")
    return {row.ancestor.slug: row.depth for row in rows}


def recomputed() -> set[tuple[Any, ...]]:
    """The closure as a recursive query over the parents finds it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE up AS (SELECT id AS descendant, id AS ancestor, 0 AS depth FROM organizations_organization"
            " UNION ALL SELECT up.descendant, o.parent_id, up.depth + 1 FROM up JOIN organizations_organization o"
            " ON o.id = up.ancestor WHERE o.parent_id IS NOT NULL AND up.depth < 50) SELECT ancestor, descendant, depth"
            " FROM up"
        )
        return set(cursor.fetchall())


def stored() -> set[tuple[Any, ...]]:
    return set(OrganizationClosure.objects.values_list("ancestor_id", "descendant_id", "depth"))


def move(organization: Organization, *, below: Organization | None) -> None:
    Organization.objects.filter(pk=organization.pk).update(parent=below)


@pytest.mark.seed("S0.14")
@pytest.mark.django_db
def test_closure__a_chain__every_ancestor_with_its_distance() -> None:
    chain = Chain()
    assert ancestors(chain.practice) == {"practice": 0, "distributor": 1, "master": 2, "coast-chp": 3, "platform": 4}
    assert ancestors(chain.aunt) == {"aunt": 0, "coast-chp": 1, "platform": 2}
    assert stored() == recomputed()


@pytest.mark.django_db
def test_closure__subtree_moved__takes_everything_below_along() -> None:
    chain = Chain()
    move(chain.distributor, below=chain.aunt)
    assert ancestors(chain.practice) == {"practice": 0, "distributor": 1, "aunt": 2, "coast-chp": 3, "platform": 4}
    assert ancestors(chain.master) == {"master": 0, "coast-chp": 1, "platform": 2}
    assert stored() == recomputed()
    move(chain.aunt, below=Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID))
    assert ancestors(chain.practice) == {"practice": 0, "distributor": 1, "aunt": 2, "platform": 3}
    assert stored() == recomputed()


@pytest.mark.seed("S0.14")
@pytest.mark.django_db
def test_closure__a_loop__refused_by_the_database() -> None:
    chain = Chain()
    move(chain.aunt, below=chain.practice)
    before = stored()
    for lower in (chain.practice, chain.distributor, chain.aunt):
        with pytest.raises(IntegrityError, match="cannot stand below itself"), transaction.atomic():
            move(chain.master, below=lower)
    assert stored() == before == recomputed()


@pytest.mark.django_db
def test_parent__itself_or_none__refused_by_the_database() -> None:
    chain = Chain()
    with pytest.raises(IntegrityError, match="organization_not_own_parent"), transaction.atomic():
        move(chain.chp, below=chain.chp)
    with pytest.raises(IntegrityError, match="organization_stands_below_another"), transaction.atomic():
        move(chain.chp, below=None)


@pytest.mark.django_db
def test_closure__written_by_the_application__refused() -> None:
    chain = Chain()
    assert OrganizationClosure.objects.filter(ancestor=chain.chp).count() == 5
    for door in (tenant(chain.chp), platform("test")):
        with pytest.raises(ProgrammingError, match="permission denied"), door:
            OrganizationClosure.objects.filter(ancestor=chain.chp).delete()


@pytest.mark.django_db(transaction=True)
def test_closure__two_moved_below_each_other_at_once__no_loop() -> None:
    for _round in range(5):
        with platform("test"):
            left, right = OrganizationFactory(kind="distributor"), OrganizationFactory(kind="distributor")

        def move_and_linger(organization: Organization, below: Organization) -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                move(organization, below=below)
                cursor.execute("SELECT pg_sleep(0.02)")  # keep both transactions open side by side

        outcomes = race(
            lambda left=left, right=right: move_and_linger(left, right),
            lambda left=left, right=right: move_and_linger(right, left),
        )
        assert sum(isinstance(outcome, IntegrityError) for outcome in outcomes) == 1, outcomes
        assert stored() == recomputed()


@pytest.mark.django_db(transaction=True)
def test_closure__founded_below_what_is_being_moved__counts_its_new_ancestors() -> None:
    chain = Chain()

    def found() -> None:
        with platform("test"), connection.cursor() as cursor:
            OrganizationFactory(slug="newborn", parent=chain.practice)
            cursor.execute("SELECT pg_sleep(0.02)")

    def move_slowly() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            move(chain.master, below=chain.aunt)
            cursor.execute("SELECT pg_sleep(0.02)")

    assert race(found, move_slowly) == [None, None]
    assert stored() == recomputed()
    assert "aunt" in ancestors(Organization.objects.get(slug="newborn"))


# --- reading below one's own -----------------------------------------------------------------------------------------
@pytest.mark.seed("S0.14")
def test_below__seller__organizations_states_and_counts_by_name_and_nothing_beside(world: World) -> None:
    chain = Chain()
    with platform("test"):
        MembershipFactory(organization=chain.practice, role=Role.DOCTOR)
        MembershipFactory(organization=chain.practice, role=Role.MEDICAL_STAFF)
        MembershipFactory(organization=chain.practice, role=Role.MEDICAL_STAFF, user__is_active=False)
    actor = Actor(world.lee, chain.master, frozenset({Role.MASTER_DISTRIBUTOR}))
    with tenant(chain.master):
        below, has_more = organizations_below(actor=actor)
        first, has_more_than_one = organizations_below(actor=actor, limit=1)
    assert [(entry.organization.slug, entry.depth, entry.members) for entry in below] == [
        ("distributor", 1, 0),
        ("practice", 2, 2),
    ]
    assert (has_more, has_more_than_one, first) == (False, True, below[:1])
    doctor = Actor(world.lee, chain.master, frozenset({Role.DOCTOR}))
    with tenant(chain.master), pytest.raises(NotPermitted):
        organizations_below(actor=doctor)


# --- founding --------------------------------------------------------------------------------------------------------
def test_found__below_the_sender__with_settings_closure_and_one_event(world: World, now: datetime) -> None:
    chain = Chain()
    actor = Actor(world.lee, chain.distributor, ip="192.0.2.1", request_id="test-request")
    with platform("test"):
        founded = found_organization(
            actor=actor,
            name="  Hill   Street\nPractice ",
            kind=OrganizationKind.PRACTICE,
            parent=chain.distributor,
            at=now,
        )
    assert founded.name == "Hill Street Practice"
    assert founded.slug.startswith("hill-street-practice-")
    assert ancestors(founded) == {founded.slug: 0, "distributor": 1, "master": 2, "coast-chp": 3, "platform": 4}
    with tenant(founded):
        settings = OrganizationSettings.objects.get()
        assert (settings.seats_used, settings.seat_limit, settings.staff_may_invite) == (1, 25, False)
        event = AuditEvent.objects.get()
    assert (event.action, event.target_id, event.organization_id) == (
        "organization.founded",
        str(founded.pk),
        founded.pk,
    )
    assert event.detail == {"kind": "practice", "parent": str(chain.distributor.pk)}


def test_found__the_same_name_twice__two_slugs_that_tell_nothing(world: World, now: datetime) -> None:
    actor = Actor(world.lee, world.practice)
    slugs = set()
    with platform("test"):
        for _count in range(5):
            founded = found_organization(
                actor=actor, name="Ärzte & Söhne", kind=OrganizationKind.PRACTICE, parent=world.platform, at=now
            )
            slugs.add(founded.slug)
    assert len(slugs) == 5
    assert all(slug.startswith("arzte-sohne-") for slug in slugs)


@pytest.mark.parametrize("name", ["", " ", "x", "x" * 121, "\n\t"])
def test_found__no_name_or_too_long__refused_and_nothing_written(world: World, name: str) -> None:
    actor = Actor(world.lee, world.practice)
    before = Organization.objects.count()
    with pytest.raises(Malformed) as refused, platform("test"):
        found_organization(
            actor=actor, name=name, kind=OrganizationKind.PRACTICE, parent=world.platform, at=timezone.now()
        )
    assert refused.value.field == "organization_name"
    assert Organization.objects.count() == before


def test_found__name_without_latin_letters__still_gets_a_slug(world: World, now: datetime) -> None:
    with platform("test"):
        founded = found_organization(
            actor=Actor(world.lee, world.practice),
            name="診療所",
            kind=OrganizationKind.PRACTICE,
            parent=world.platform,
            at=now,
        )
    assert founded.slug.startswith("organization-")
    assert founded.name == "診療所"
