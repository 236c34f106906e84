"""Plan limits count members and open invitations, and hold at creation and at acceptance: the four ways in which others
got it wrong (checklist S4.11), each by the number of its report."""

from datetime import datetime, timedelta
from functools import partial

import pytest

from healthivr.testing.world import World
from invitations.models import UserInvitation
from organizations.models import Membership, OrganizationSettings
from organizations.roles import Role
from organizations.seats import NoSeatLeft
from organizations.tenancy import platform

from . import acts


@pytest.mark.seed("S4.11")
def test_dust_27364__two_invitations_at_once_for_the_last_seat__one_gets_it(committed_world: World) -> None:
    lee = committed_world.actor(committed_world.lee)
    acts.set_seat_limit(committed_world.practice, 5)  # four are taken
    results = acts.at_once(
        *(partial(acts.invite, lee, email=f"person{number}@example.org") for number in range(4)),
    )
    assert sum(isinstance(result, UserInvitation) for result in results) == 1
    assert sum(isinstance(result, NoSeatLeft) for result in results) == 3
    assert acts.seats_used(committed_world.practice) == 5


@pytest.mark.seed("S4.11")
def test_dust_30522__expired_invitation__its_seat_is_free_even_before_the_sweep(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    acts.set_seat_limit(world.practice, 5)
    old = acts.invite(lee, email="old@example.org", expires_in_hours=1, at=now - timedelta(hours=2))
    assert acts.fresh(old).status == "pending"  # nobody has swept
    acts.invite(lee, email="new@example.org", at=now)
    assert acts.fresh(old).status == "expired"
    with pytest.raises(NoSeatLeft):
        acts.invite(lee, email="one.more@example.org", at=now)
    assert acts.seats_used(world.practice) == 5


@pytest.mark.seed("S4.11")
def test_langwatch_528__acceptance__cannot_bring_more_people_than_the_plan_has(world: World) -> None:
    lee = world.actor(world.lee)
    acts.set_seat_limit(world.practice, 5)
    last = acts.invite(lee, email="last@example.org")
    acts.accept(last)
    assert acts.seats_used(world.practice) == 5
    with platform("test"):
        people = Membership.objects.active().filter(organization=world.practice).values("user").distinct().count()
        limit = OrganizationSettings.objects.get(organization=world.practice).seat_limit
    assert people == 4
    acts.accept(world.invitation)  # holds the fifth seat since it was sent
    with platform("test"):
        people = Membership.objects.active().filter(organization=world.practice).values("user").distinct().count()
    assert people == limit == 5
    with pytest.raises(NoSeatLeft):
        acts.invite(lee, email="too.late@example.org")


@pytest.mark.seed("S4.11")
def test_sbomify_1622__invitee__is_not_refused_the_seat_that_their_own_invitation_holds(world: World) -> None:
    lee = world.actor(world.lee)
    acts.set_seat_limit(world.practice, 5)
    invitation = acts.invite(lee, email="nora@example.org")
    with pytest.raises(NoSeatLeft):
        acts.invite(lee, email="somebody.else@example.org")
    assert acts.accept(invitation).organization == world.practice
    assert acts.seats_used(world.practice) == 5


@pytest.mark.seed("S4.11")
def test_full_plan__member_invited_to_a_further_role__takes_no_second_seat(world: World) -> None:
    acts.set_seat_limit(world.practice, 4)
    lee = world.actor(world.lee)
    with pytest.raises(NoSeatLeft):
        acts.invite(lee, email="nora@example.org")
    invitation = acts.invite(lee, "office_admin", email="mia@example.org")
    acts.accept(invitation, user=world.mia)
    assert acts.seats_used(world.practice) == 4
    with platform("test"):
        assert {m.role for m in Membership.objects.active().filter(user=world.mia)} == {
            Role.MEDICAL_STAFF,
            Role.OFFICE_ADMIN,
        }


@pytest.mark.seed("S4.11")
def test_full_plan__expired_invitation__renewed_only_when_a_seat_is_free(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    acts.set_seat_limit(world.practice, 5)
    old = acts.invite(lee, email="old@example.org", expires_in_hours=1, at=now - timedelta(hours=2))
    token = acts.token_of(old)
    acts.invite(lee, email="new@example.org", at=now)
    with pytest.raises(NoSeatLeft):
        acts.ask_for_new_link(token, at=now)
    acts.set_seat_limit(world.practice, 6)
    acts.ask_for_new_link(token, at=now)
    assert acts.accept(old).organization == world.practice
    assert acts.seats_used(world.practice) == 6
