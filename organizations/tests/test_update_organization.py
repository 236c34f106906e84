"""Changing an organization's name and what its administrators decide."""

from datetime import datetime

import pytest

from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotPermitted
from healthivr.testing.world import World
from organizations.models import Organization, OrganizationSettings
from organizations.selectors import settings_of
from organizations.services import update_organization
from organizations.tenancy import platform, tenant


def events(world: World) -> list[AuditEvent]:
    with tenant(world.practice):
        return list(AuditEvent.objects.order_by("sequence"))


@pytest.mark.seed("S2.17", "S2.26")
def test_update__by_the_administrator__both_values_and_one_event_with_before_and_after(
    world: World, now: datetime
) -> None:
    with tenant(world.practice):
        update_organization(actor=world.actor(world.lee), name=" Lee   & Partners ", staff_may_invite=True, at=now)
        settings = settings_of(world.practice)
    assert (settings.staff_may_invite, settings.updated_at) == (True, now)
    organization = Organization.objects.get(pk=world.practice.pk)
    assert (organization.name, organization.slug) == ("Lee & Partners", "lee-family-practice")
    (event,) = events(world)
    assert (event.action, event.target_id) == ("organization.updated", str(world.practice.pk))
    assert event.changes == {
        "name": ["Lee Family Practice", "Lee & Partners"],
        "staff_may_invite": ["false", "true"],
    }
    with platform("test"):
        assert not OrganizationSettings.objects.get(organization=world.strange_practice).staff_may_invite


def test_update__one_of_two_values__the_event_has_that_one(world: World, now: datetime) -> None:
    with tenant(world.practice):
        update_organization(actor=world.actor(world.lee), name="Lee Family Practice", staff_may_invite=True, at=now)
    assert [event.changes for event in events(world)] == [{"staff_may_invite": ["false", "true"]}]


def test_update__nothing_new__no_event(world: World, now: datetime) -> None:
    with tenant(world.practice):
        update_organization(actor=world.actor(world.lee), name="Lee Family Practice", staff_may_invite=False, at=now)
    assert events(world) == []


@pytest.mark.seed("S2.24")
def test_update__without_the_right__refused_and_nothing_written(world: World, now: datetime) -> None:
    with tenant(world.practice):
        update_organization(actor=world.actor(world.lee), name="Renamed once", staff_may_invite=False, at=now)
    for user in (world.omar, world.mia):
        with pytest.raises(NotPermitted), tenant(world.practice):
            update_organization(actor=world.actor(user), name="Mine now", staff_may_invite=True, at=now)
    assert Organization.objects.get(pk=world.practice.pk).name == "Renamed once"
    assert len(events(world)) == 1


@pytest.mark.parametrize("name", ["", " ", "x", "x" * 121])
def test_update__no_name_or_too_long__refused_at_its_field_and_nothing_written(
    world: World, now: datetime, name: str
) -> None:
    with pytest.raises(Malformed) as refused, tenant(world.practice):
        update_organization(actor=world.actor(world.lee), name=name, staff_may_invite=True, at=now)
    assert (refused.value.code, refused.value.field) == ("organization_name", "organization_name")
    with platform("test"):
        assert not settings_of(world.practice).staff_may_invite
    assert events(world) == []
