"""The chain under pressure: many writers, no gap, no broken link, no deadlock."""

from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from audit import services as audit
from audit.chain import GENESIS
from audit.models import AuditEvent, AuditHead
from audit.verification import verify_chain
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.races import race
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.tenancy import platform, tenant

WRITERS, EACH = 8, 25


def chain_of(organization_id: Any) -> list[AuditEvent]:
    with tenant(organization_id):
        return list(AuditEvent.objects.order_by("sequence"))


def assert_whole(organization_id: Any, count: int) -> None:
    events = chain_of(organization_id)
    assert [event.sequence for event in events] == list(range(1, count + 1))
    assert events[0].previous_hash == GENESIS
    assert all(later.previous_hash == earlier.hash for earlier, later in pairwise(events))
    assert all(earlier.recorded <= later.recorded for earlier, later in pairwise(events))
    with tenant(organization_id):
        head = AuditHead.objects.get()
    assert (head.sequence, head.hash) == (count, events[-1].hash)
    assert verify_chain(organization_id=organization_id) == (count, 1, [])


@pytest.mark.seed("S0.23", "S3.14")
def test_chain__eight_writers_in_one_organization__no_gap_and_no_broken_link(committed_world: World) -> None:
    world = committed_world

    def write(actor: Actor) -> None:
        for number in range(EACH):
            with tenant(world.practice):
                for part in range(1 + number % 3):
                    audit.record(actor=actor, action=f"test.act{part}")

    expected = WRITERS * sum(1 + number % 3 for number in range(EACH))
    actor = world.actor(world.lee)
    assert race(*[lambda: write(actor)] * WRITERS) == [None] * WRITERS
    assert_whole(world.practice.pk, expected)


def test_chain__writers_of_whom_every_other_rolls_back__no_gap(committed_world: World) -> None:
    world, actor = committed_world, committed_world.actor(committed_world.lee)

    def write(number: int) -> None:
        for turn in range(10):
            try:
                with tenant(world.practice):
                    audit.record(actor=actor, action="test.act")
                    with connection.cursor() as cursor:  # as late as a rollback can be
                        cursor.execute("SELECT audit_append(ARRAY[]::text[])")
                    if (number + turn) % 2:
                        raise ValueError("on purpose")
            except ValueError:
                pass

    assert race(*(lambda number=number: write(number) for number in range(4))) == [None] * 4
    assert_whole(world.practice.pk, 20)


def test_chain__two_organizations_written_in_opposite_orders__no_deadlock(committed_world: World) -> None:
    world, actor = committed_world, committed_world.actor(committed_world.lee)

    def write(*organizations: Any) -> None:
        for _turn in range(15):
            with platform("test"):
                for organization in organizations:
                    audit.record(actor=actor, action="test.act", organization_id=organization.pk)

    there, back = (world.practice, world.strange_practice), (world.strange_practice, world.practice)
    assert race(*[lambda: write(*there), lambda: write(*back)] * 3) == [None] * 6
    for organization in there:
        assert_whole(organization.pk, 90)


def test_chain__event_without_an_organization__in_the_platforms(committed_world: World) -> None:
    before = len(chain_of(PLATFORM_ORGANIZATION_ID))
    with platform("test"):
        audit.record(actor=Actor(committed_world.lee, committed_world.platform), action="session.started")
    assert len(chain_of(PLATFORM_ORGANIZATION_ID)) == before + 1
    assert verify_chain(organization_id=PLATFORM_ORGANIZATION_ID)[2] == []
