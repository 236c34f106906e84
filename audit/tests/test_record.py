"""Recording: one act is one event, stored with its write or not at all."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from audit import services as audit
from audit.models import AuditEvent, Outcome
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.models import Organization
from organizations.selectors import system_actor
from organizations.tenancy import platform, tenant
from patients.models import Patient

API = "/api/v1/invitations/"


def trail(world: World) -> list[AuditEvent]:
    with tenant(world.practice):
        return list(AuditEvent.objects.filter(organization_id=world.practice.pk).order_by("sequence"))


# --- what an event says ----------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.23", "S4.10")
def test_record__an_act__who_what_which_record_where_why_and_how_it_ended(world: World) -> None:
    with tenant(world.practice):
        audit.record(
            actor=world.actor(world.lee),
            action="invitation.cancelled",
            target=world.invitation,
            changes={"status": ["pending", "cancelled"]},
            detail={"count": 3},  # type: ignore[dict-item]
            reason="wrong person",
            outcome=Outcome.REFUSED,
        )
    (event,) = trail(world)
    assert (event.sequence, event.action, event.outcome) == (1, "invitation.cancelled", "4")
    assert (event.actor_id, event.actor_kind, event.actor_name, event.role) == (world.lee.pk, "person", "", "doctor")
    assert (event.target_type, event.target_id) == ("invitations.userinvitation", str(world.invitation.pk))
    assert event.changes == {"status": ["pending", "cancelled"]}
    assert (event.detail, event.reason) == ({"count": "3"}, "wrong person")
    assert (event.address, event.request_id) == ("192.0.2.1", "test-request")
    assert event.recorded.tzinfo
    assert event.id.version == 7


@pytest.mark.parametrize(
    ("actor", "kind", "name"),
    [
        (lambda world: world.actor(world.lee), "person", ""),
        (lambda world: system_actor("expiry"), "system", "expiry"),
        (lambda world: Actor(None, world.practice), "anonymous", ""),
    ],
)
def test_record__actor__a_person_a_named_system_or_a_stranger(
    world: World, actor: Callable[[World], Actor], kind: str, name: str
) -> None:
    with tenant(world.practice):
        audit.record(actor=actor(world), action="test.act", organization_id=world.practice.pk)
    (event,) = trail(world)
    assert (event.actor_kind, event.actor_name) == (kind, name)


def test_record__organization__the_named_one_else_the_targets_else_the_actors(world: World) -> None:
    nowhere = Actor(world.lee, Organization(pk=None))
    with platform("test"):
        before = AuditEvent.objects.count()
        audit.record(actor=world.actor(world.lee), action="a", organization_id=world.strange_practice.pk)
        audit.record(actor=world.actor(world.lee), action="b", target=world.strange_invitation)
        audit.record(actor=world.actor(world.lee), action="c", target=world.lee)
        audit.record(actor=nowhere, action="d")
    with platform("test"):
        assert AuditEvent.objects.count() == before + 4
        found = dict(AuditEvent.objects.filter(action__in="abcd").values_list("action", "organization_id"))
    strange, own = world.strange_practice.pk, world.practice.pk
    assert found == {"a": strange, "b": strange, "c": own, "d": PLATFORM_ORGANIZATION_ID}


def test_record__characters_that_postgresql_cannot_hold__left_out_or_replaced(world: World) -> None:
    with tenant(world.practice):
        audit.record(
            actor=world.actor(world.lee),
            action="test.act",
            reason="a\0b\ud800c\n<b>\u2028",
            changes={"name": ["x\0", "ü"]},
        )
    (event,) = trail(world)
    assert (event.reason, event.changes) == ("ab?c\n<b>\u2028", {"name": ["x", "ü"]})


# --- with its write or not at all ------------------------------------------------------------------------------------
def test_record__outside_a_door__refused(world: World) -> None:
    with tenant(world.practice):
        audit.record(actor=world.actor(world.lee), action="test.act")
    with pytest.raises(RuntimeError, match="needs an open door"):
        audit.record(actor=world.actor(world.lee), action="test.act")
    with pytest.raises(RuntimeError, match="needs an open door"), transaction.atomic():
        audit.record(actor=world.actor(world.lee), action="test.act")
    assert len(trail(world)) == 1


@pytest.mark.django_db(transaction=True)
def test_record__in_autocommit__refused() -> None:
    with pytest.raises(RuntimeError, match="needs an open door"):
        audit.record(actor=system_actor("test"), action="test.act")


def test_record__inner_savepoint_rolls_back__its_events_go_along(world: World) -> None:
    actor = world.actor(world.lee)

    def fail() -> None:
        with transaction.atomic():
            audit.record(actor=actor, action="undone")
            with transaction.atomic():
                audit.record(actor=actor, action="undone.too")
            raise ValueError("on purpose")

    with tenant(world.practice):
        audit.record(actor=actor, action="first")
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        with transaction.atomic():
            audit.record(actor=actor, action="kept")
        audit.record(actor=actor, action="last")
    assert [event.action for event in trail(world)] == ["first", "kept", "last"]


def test_record__door_rolls_back__nothing_of_it_stays(world: World) -> None:
    actor = world.actor(world.lee)
    with tenant(world.practice):
        audit.record(actor=actor, action="before")

    def fail() -> None:
        with tenant(world.practice):
            Patient.objects.create(organization=world.practice)
            audit.record(actor=actor, action="undone")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert [event.action for event in trail(world)] == ["before"]
    with tenant(world.practice):
        assert not Patient.objects.exists()


@pytest.mark.seed("S3.14")
def test_record__event_that_cannot_be_stored__its_write_does_not_happen(committed_world: World) -> None:
    world, actor = committed_world, committed_world.actor(committed_world.lee)

    def write(organization: Organization) -> None:
        with tenant(world.practice):
            Patient.objects.create(organization=world.practice)
            audit.record(actor=actor, action="patient.created", organization_id=organization.pk)

    write(world.practice)
    with pytest.raises(Error, match="an event of another organization is refused"):
        write(world.strange_practice)
    with tenant(world.practice):
        assert Patient.objects.count() == 1
    assert [event.action for event in trail(world)] == ["patient.created"]


# --- one statement just before COMMIT --------------------------------------------------------------------------------
def statements(captured: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in captured]


@pytest.mark.seed("S0.23")
def test_store__all_events_of_a_door__one_statement_that_is_the_last_before_commit(committed_world: World) -> None:
    world, actor = committed_world, committed_world.actor(committed_world.lee)
    with CaptureQueriesContext(connection) as captured, tenant(world.practice):
        for number in range(5):
            audit.record(actor=actor, action=f"test.act{number}")
        Patient.objects.create(organization=world.practice)
    sent = statements(captured)
    assert sum("audit_append" in sql for sql in sent) == 1
    assert "audit_append" in sent[-2]
    assert sent[-1] == "COMMIT"
    assert [event.action for event in trail(world)] == [f"test.act{number}" for number in range(5)]


def test_store__a_request_that_acts__one_statement_that_is_the_last_before_commit(
    committed_world: World, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(committed_world.lee)
    body = {"invitation_type": "office_admin", "email": "nora@example.org"}
    with CaptureQueriesContext(connection) as captured:
        response = client.post(API, json.dumps(body), content_type="application/json")
    assert response.status_code == 201
    sent = statements(captured)
    (place,) = [number for number, sql in enumerate(sent) if "audit_append" in sql]
    assert sent[place + 1] == "COMMIT"
    (event,) = trail(committed_world)
    assert event.action == "invitation.created"
    assert event.request_id == response["X-Request-ID"]


def test_store__a_door_without_events__asks_nothing(committed_world: World) -> None:
    with CaptureQueriesContext(connection) as captured, tenant(committed_world.practice):
        Patient.objects.count()
    assert not any("audit_append" in sql for sql in statements(captured))


def test_store__doors_inside_each_other__every_event_once(world: World) -> None:
    actor = world.actor(world.lee)
    with tenant(world.practice):
        audit.record(actor=actor, action="outer.before")
        with platform("test"):
            audit.record(actor=actor, action="inner")
        audit.record(actor=actor, action="outer.after")
    assert sorted(event.action for event in trail(world)) == ["inner", "outer.after", "outer.before"]


def test_store__doors_to_two_organizations_inside_each_other__each_event_in_its_own_trail(world: World) -> None:
    with tenant(world.practice):
        audit.record(actor=world.actor(world.lee), action="at.home")
        with tenant(world.strange_practice):
            audit.record(actor=world.actor(world.stone), action="elsewhere")
    assert [event.action for event in trail(world)] == ["at.home"]
    with tenant(world.strange_practice):
        assert [event.action for event in AuditEvent.objects.all()] == ["elsewhere"]


# --- refused attempts ------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.23")
def test_refused_request__leaves_one_event_although_its_transaction_was_rolled_back(
    committed_world: World, sign_in: Callable[[User], Client]
) -> None:
    assert sign_in(committed_world.lee).get(API).status_code == 200
    response = sign_in(committed_world.mia).get(API)
    assert response.status_code == 403
    (event,) = trail(committed_world)
    assert (event.action, event.outcome, event.actor_id) == ("access.refused", "4", committed_world.mia.pk)
    assert event.detail == {"method": "GET", "route": "invitations_api:list", "code": "not_permitted"}
    assert event.request_id == response["X-Request-ID"]


def test_request_for_another_organizations_row__404_and_no_event_in_either_trail(
    committed_world: World, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(committed_world.lee)
    assert client.get(f"{API}{committed_world.invitation.pk}/").status_code == 200
    assert client.get(f"{API}{committed_world.strange_invitation.pk}/").status_code == 404
    assert trail(committed_world) == []
    with tenant(committed_world.strange_practice):
        assert not AuditEvent.objects.exists()


# --- the log line ----------------------------------------------------------------------------------------------------
@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines of the trail's logger."""
    caplog.set_level(logging.INFO, logger="healthivr.audit")

    def read() -> list[dict[str, Any]]:
        return [record.msg for record in caplog.records if record.name == "healthivr.audit"]  # type: ignore[misc]

    return read


@pytest.mark.seed("S0.37")
def test_log__an_act__one_line_after_its_commit_and_none_if_it_was_undone(
    committed_world: World, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    world, actor = committed_world, committed_world.actor(committed_world.lee)
    with tenant(world.practice):
        audit.record(actor=actor, action="invitation.cancelled", target=world.invitation, reason="she said no")
        assert lines() == []
    (line,) = lines()
    assert line["event"] == "invitation.cancelled"
    assert line["invitation_id"] == str(world.invitation.pk)
    assert (line["organization"], line["user"]) == (str(world.practice.pk), str(world.lee.pk))
    assert "she said no" not in str(line)

    def fail() -> None:
        with tenant(world.practice):
            audit.record(actor=actor, action="undone")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert len(lines()) == 1
