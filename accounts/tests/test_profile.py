"""What people decide about themselves, and the end of an account."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.administration import deactivate_user
from accounts.models import User
from accounts.services import update_profile
from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID, new_id
from healthivr.testing.world import World
from organizations.tenancy import tenant

PROFILE = {"first_name": "Jun", "last_name": "Lee", "time_zone": "America/New_York", "language": "en"}


def update(user: User, **changes: str) -> User:
    return update_profile(user=user, **{**PROFILE, **changes}, ip="192.0.2.1", request_id="test-request")


def newest_event(organization_id: Any = PLATFORM_ORGANIZATION_ID) -> AuditEvent | None:
    with tenant(organization_id):
        return AuditEvent.objects.order_by("-sequence").first()


def test_profile__changed__stored_and_one_event_that_masks_names(world: World) -> None:
    update(world.lee, first_name=" June\n", time_zone="America/Chicago", language="es")
    user = User.objects.get(pk=world.lee.pk)
    assert (user.first_name, user.last_name, user.time_zone, user.language) == ("June", "Lee", "America/Chicago", "es")
    event = newest_event()
    assert event
    assert (event.action, event.actor_id, event.target_id) == ("user.updated", world.lee.pk, str(world.lee.pk))
    assert event.changes == {
        "first_name": ["•••", "•••"],
        "time_zone": ["America/New_York", "America/Chicago"],
        "language": ["en", "es"],
    }


def test_profile__saved_without_a_change__no_event(world: World) -> None:
    update(User.objects.get(pk=world.lee.pk))
    assert newest_event() is None
    update(User.objects.get(pk=world.lee.pk), first_name="June")
    first = newest_event()
    assert first
    update(User.objects.get(pk=world.lee.pk), first_name=" June ")
    assert newest_event() == first


def test_profile__nothing_else_of_the_row__is_written(world: World) -> None:
    """A page that was open while somebody else changed the row does not undo that change."""
    stale = User.objects.get(pk=world.lee.pk)
    User.objects.filter(pk=world.lee.pk).update(email="moved@example.org")
    update(stale, first_name="June")
    assert User.objects.get(pk=world.lee.pk).email == "moved@example.org"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"first_name": ""}, "first_name"),
        ({"last_name": "x" * 101}, "last_name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"language": "tlh"}, "language"),
    ],
)
def test_profile__not_a_value__refused_at_its_field_and_nothing_written(
    world: World, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(Malformed) as refused:
        update(User.objects.get(pk=world.lee.pk), **changes)
    assert refused.value.field == field
    user = User.objects.get(pk=world.lee.pk)
    assert (user.first_name, user.time_zone, user.language) == ("Jun", "America/New_York", "en")


def test_page__times__are_shown_in_ones_own_zone(world: World, sign_in: Callable[[User], Client]) -> None:
    """The same moment is another clock time for two people."""
    with tenant(world.practice):
        type(world.invitation).objects.filter(pk=world.invitation.pk).update(
            created_at=datetime(2026, 7, 1, 16, 30, tzinfo=UTC), expires_at=datetime(2099, 7, 1, 16, 30, tzinfo=UTC)
        )
    client, url = sign_in(world.lee), f"/o/lee-family-practice/invitations/{world.invitation.pk}/"
    assert "12:30" in client.get(url).text
    update(User.objects.get(pk=world.lee.pk), time_zone="America/Los_Angeles")
    assert "9:30" in client.get(url).text
    User.objects.filter(pk=world.lee.pk).update(time_zone="No/Where")
    assert client.get(url).status_code == 200


# --- the end of an account -------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13")
def test_deactivate__by_platform_staff__cannot_sign_in_and_one_event(world: World) -> None:
    deactivated = deactivate_user(
        actor=world.actor(world.ana, world.platform), user_id=world.omar.pk, reason="left", at=timezone.now()
    )
    assert not deactivated.is_active
    assert not User.objects.get(pk=world.omar.pk).is_active
    event = newest_event()
    assert event
    assert (event.action, event.target_id, event.reason) == ("user.deactivated", str(world.omar.pk), "left")
    assert event.changes == {"is_active": ["true", "false"]}


def test_deactivate__by_anybody_else_or_nobody_known__refused(world: World) -> None:
    at = timezone.now()
    deactivate_user(actor=world.actor(world.ana, world.platform), user_id=world.mia.pk, reason="", at=at)
    for user in (world.lee, world.omar):
        with pytest.raises(NotPermitted):
            deactivate_user(actor=world.actor(user), user_id=world.omar.pk, reason="", at=at)
    with pytest.raises(NotFound):
        deactivate_user(actor=world.actor(world.ana, world.platform), user_id=new_id(), reason="", at=at)
    assert User.objects.get(pk=world.omar.pk).is_active
