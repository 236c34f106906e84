"""The nightly comparison of the seat counters with what they count."""

import pytest
from django.utils import timezone

from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.world import World
from invitations.seats import count_seats, reconcile_seats, seat_takers
from invitations.tasks import reconcile_seats as reconcile_seats_task
from organizations.models import Membership, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

from . import acts


def set_counter(world: World, used: int) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(seats_used=used)


@pytest.mark.seed("S4.11")
def test_reconcile__all_right__nothing_written(world: World) -> None:
    acts.invite(world.actor(world.lee))
    with acts.nothing_written():
        assert reconcile_seats(at=timezone.now()) == 0


@pytest.mark.seed("S4.11")
@pytest.mark.parametrize("wrong", [0, 9])
def test_reconcile__counter_off__put_right_with_one_event(world: World, wrong: int) -> None:
    set_counter(world, wrong)
    at = timezone.now()
    assert reconcile_seats(at=at) == 1
    acts.assert_seats_are_counted()
    (event,) = acts.trail(world.practice)
    assert (event.action, event.actor_name) == ("organization.seats_corrected", "reconcile-seats")
    assert event.changes == {"seats_used": [str(wrong), "4"]}
    assert acts.trail(world.strange_practice) == []
    assert reconcile_seats_task() == 0


def test_reconcile__more_in_use_than_the_plan_has__full_and_no_more(world: World) -> None:
    set_counter(world, 1)
    acts.set_seat_limit(world.practice, 2)
    assert reconcile_seats(at=timezone.now()) == 1
    assert acts.seats_used(world.practice) == 2


@pytest.mark.seed("S4.11")
def test_count__people_once_and_open_invitations_of_others(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.OFFICE_ADMIN)  # a second role
        Membership.objects.filter(user=world.omar).update(status="ended", ended_at=timezone.now())
        for trait in ("cancelled", "declined", "expired"):
            InvitationFactory(organization=world.practice, **{trait: True})
        InvitationFactory(organization=world.practice, overdue=True)  # nobody has swept
        InvitationFactory(organization=world.practice, email="mia@example.org", invitation_type=Role.DOCTOR)
        InvitationFactory(organization=world.practice, email="omar@example.org")
        InvitationFactory(organization=world.practice, invitation_type=Role.DISTRIBUTOR)  # founds one of its own
        # Dr. Lee and Mia; the world's invitation, the overdue one, and Omar's
        assert count_seats(world.practice) == 5
    acts.count_seats_anew()


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("platform", {"admin"}),
        ("chp", {"chp_admin"}),
        ("distributor", {"distributor", "sales"}),
        ("practice", {"doctor", "office_admin", "medical_staff"}),
        ("ivr_company", {"ivr_company"}),
        ("logistics", {"shipping_logistics"}),
    ],
)
def test_seat_takers__those_who_join_a_sender_of_the_kind(kind: str, types: set[str]) -> None:
    joining = {"admin", "sales", "office_admin", "medical_staff"}
    assert set(seat_takers(OrganizationKind(kind))) == types | joining
