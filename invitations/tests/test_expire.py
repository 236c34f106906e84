"""The sweep: records what time has decided already, as often as it likes."""

import time
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.utils import timezone

from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from invitations.expiry import expire_overdue
from invitations.models import UserInvitation
from invitations.services import cancel_invitation
from invitations.states import IllegalTransition
from invitations.tasks import expire_overdue as expire_overdue_task
from organizations.roles import OrganizationKind, Role
from organizations.seats import lock_seats
from organizations.tenancy import platform, tenant

from . import acts

EIGHT_DAYS = timedelta(days=8)


def sweep(at: datetime, **values: object) -> int:
    with platform("test"):
        count = expire_overdue(at=at, **values)  # type: ignore[arg-type]
    acts.assert_seats_are_counted()
    return count


@pytest.mark.seed("S0.16", "S4.6", "S0.23")
def test_sweep__overdue__expired_seat_freed_mail_dropped_and_one_event(world: World) -> None:
    at = timezone.now()
    used = acts.seats_used(world.practice)
    invitation = acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    assert sweep(at) == 1
    row = acts.fresh(invitation)
    assert (row.status, row.closed_at, row.closed_by, row.updated_at) == ("expired", at, None, at)
    assert acts.seats_used(world.practice) == used
    assert acts.deliveries(row) == ["cancelled"]
    assert acts.history(row) == ["expire"]
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.actor_kind, event.actor_name) == ("invitation.expired", "system", "expiry")


def test_sweep__again__nothing_left_to_do(world: World) -> None:
    at = timezone.now()
    acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    assert sweep(at) == 1
    with acts.nothing_written():
        assert sweep(at) == 0
        assert sweep(at + timedelta(seconds=5)) == 0


@pytest.mark.parametrize(("seconds", "count"), [(-1, 0), (0, 1), (1, 1)])
def test_sweep__at_the_boundary__when_the_time_has_come(world: World, seconds: int, count: int) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    assert sweep(invitation.expires_at + timedelta(seconds=seconds)) == count


def test_sweep__every_organization__each_counter_and_each_trail(world: World) -> None:
    at = timezone.now()
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    acts.invite(world.actor(world.stone), at=at - EIGHT_DAYS)
    acts.invite(sales, "doctor", at=at - EIGHT_DAYS)
    assert sweep(at) == 3
    for organization in (world.practice, world.strange_practice, sales.organization):
        assert acts.actions(organization)[-1] == "invitation.expired"
    assert acts.seats_used(sales.organization) == 1  # founding took none


def test_sweep__one_organization__leaves_the_others(world: World) -> None:
    at = timezone.now()
    mine = acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    other = acts.invite(world.actor(world.stone), at=at - EIGHT_DAYS)
    assert sweep(at, organization_id=world.practice.pk) == 1
    assert (acts.fresh(mine).status, acts.fresh(other).status) == ("expired", "pending")


@pytest.mark.parametrize("state", ["expired", "cancelled", "declined"])
def test_sweep__closed_long_ago__left_alone(world: World, state: str) -> None:
    at = timezone.now()
    acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    with platform("test"):
        InvitationFactory(organization=world.practice, **{"overdue": True, state: True})
    assert sweep(at) == 1


def test_task__more_than_a_batch__all_of_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = timezone.now()
    for number in range(7):
        acts.invite(world.actor(world.lee), email=f"late{number}@example.org", at=at - EIGHT_DAYS)
    monkeypatch.setattr("invitations.tasks.expiry.expire_overdue", partial(expire_overdue, limit=3))
    assert expire_overdue_task() == 7
    assert expire_overdue_task() == 0
    acts.assert_seats_are_counted()


def test_sweep__beside_itself_and_beside_cancels__each_row_once(committed_world: World) -> None:
    world = committed_world
    lee = world.actor(world.lee)
    at = timezone.now()
    rows = [acts.invite(lee, email=f"late{number}@example.org", at=at - EIGHT_DAYS) for number in range(12)]

    def run() -> int:
        with platform("test"):
            return expire_overdue(at=at)

    def cancel(row: UserInvitation) -> UserInvitation:
        with tenant(world.practice):  # somebody whose clock is a little behind
            return cancel_invitation(actor=lee, invitation_id=row.pk, at=row.expires_at - timedelta(seconds=1))

    results = acts.at_once(run, *(partial(cancel, row) for row in rows[:3]), run, run)
    unexpected = [r for r in results if isinstance(r, Exception) and not isinstance(r, IllegalTransition)]
    assert unexpected == []
    cancelled = sum(isinstance(result, UserInvitation) for result in results)
    swept = sum(result for result in results if isinstance(result, int))
    assert cancelled + swept + sweep(at) == 12  # a sweep leaves to the next what somebody holds
    assert [len(acts.history(row)) for row in rows] == [1] * 12
    acts.assert_seats_are_counted()


# --- busy organizations, and many overdue rows -----------------------------------------------------------------------
def test_sweep__one_organization_held__the_others_are_swept_at_once_and_it_next_time(committed_world: World) -> None:
    world = committed_world
    at = timezone.now()
    held = acts.invite(world.actor(world.lee), at=at - EIGHT_DAYS)
    other = acts.invite(world.actor(world.stone), at=at - EIGHT_DAYS)

    def sweep_beside() -> int:
        with platform("test"):
            return expire_overdue(at=at)

    with platform("test"):
        lock_seats(organization_id=world.practice.pk)
        started = time.monotonic()
        assert acts.at_once(sweep_beside) == [1]
        assert time.monotonic() - started < 5  # a held lock is waited for ten seconds
    assert (acts.fresh(held).status, acts.fresh(other).status) == ("pending", "expired")
    assert sweep(at) == 1
    assert acts.fresh(held).status == "expired"


def make_overdue(world: World, count: int, *, at: datetime) -> None:
    """Fill the practice with overdue invitations that nobody has swept."""
    with platform("test"):
        for number in range(count):
            InvitationFactory(
                organization=world.practice,
                email=f"late{number}@example.org",
                created_at=at - EIGHT_DAYS,
                expires_at=at - timedelta(days=1),
            )
    acts.set_seat_limit(world.practice, 1000)
    acts.count_seats_anew()


@pytest.mark.seed("S4.6")
def test_create__more_than_200_overdue__blocks_neither_its_address_nor_its_seat(world: World) -> None:
    at = timezone.now()
    make_overdue(world, 205, at=at)
    lee = world.actor(world.lee)
    again = acts.invite(lee, email="late204@example.org", at=at)
    assert acts.fresh(again).status == "pending"
    with platform("test"):
        assert UserInvitation.objects.overdue(at=at).count() == 204  # the one that was in the way, and no other
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    acts.invite(lee, email="nora@example.org", at=at)


def test_create__the_first_200_overdue_are_members_and_free_no_seat__goes_on_until_one_does(world: World) -> None:
    at = timezone.now()
    make_overdue(world, 203, at=at)
    with platform("test"):
        first = list(UserInvitation.objects.overdue(at=at).order_by("pk").values_list("pk", flat=True)[:200])
        UserInvitation.objects.filter(pk__in=first).update(invitation_type=Role.DISTRIBUTOR)  # founds: takes no seat
    acts.count_seats_anew()
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    acts.invite(world.actor(world.lee), email="nora@example.org", at=at)
