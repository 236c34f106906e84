"""Renewing an expired invitation: everything that creating asks is asked again."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.kernel.errors import NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory, UserFactory
from healthivr.testing.world import World
from invitations.acceptance import find_invitation
from invitations.errors import (
    AddressBounced,
    DuplicateInvitation,
    LinkReplaced,
    NotYourInvitation,
    RoleNotAllowed,
    SendLimitReached,
)
from invitations.expiry import expire_overdue
from invitations.models import UserInvitation
from invitations.services import renew_invitation
from invitations.states import IllegalTransition
from organizations.actor import Actor
from organizations.models import Membership
from organizations.roles import OrganizationKind, Role
from organizations.seats import NoSeatLeft
from organizations.services import AlreadyMember
from organizations.tenancy import platform

from . import acts


def renew(actor: Actor, invitation: UserInvitation, **values: object) -> UserInvitation:
    return acts.act(renew_invitation, actor=actor, invitation_id=invitation.pk, **values)


def put(invitation: UserInvitation, **values: object) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(**values)


def sweep(at: datetime) -> None:
    with platform("test"):
        expire_overdue(at=at)


def expired(actor: Actor, at: datetime, *, swept: bool = True, **values: object) -> UserInvitation:
    """Make an invitation that was sent 31 days ago and has run out."""
    invitation = acts.invite(actor, at=at - timedelta(days=31), **values)
    if swept:
        sweep(at)
    return invitation


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("hours", [None, 1, 720])
def test_renew__expired__open_again_with_a_new_link_a_full_period_and_a_seat(
    world: World, hours: int | None, swept: bool
) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    used = acts.seats_used(world.practice)
    invitation = expired(lee, at, swept=swept, expires_in_hours=hours)
    old = acts.token_of(invitation)
    renew(lee, invitation, at=at)
    row = acts.fresh(invitation)
    assert (row.status, row.closed_at, row.closed_by) == ("pending", None, None)
    assert row.expires_at == at + timedelta(hours=hours or 7 * 24)
    assert row.created_at == at - timedelta(days=31)
    assert acts.seats_used(world.practice) == used + 1
    with pytest.raises(LinkReplaced):
        find_invitation(old)
    assert acts.deliveries(row) == ["cancelled", "queued"]
    assert (row.delivery_status, acts.history(row)) == ("queued", ["expire", "renew"])
    acts.accept(row, at=row.expires_at - timedelta(seconds=1))


@pytest.mark.seed("S0.23")
def test_renew__each__one_event_beside_the_one_of_the_expiry(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = expired(lee, timezone.now(), swept=False)
    renew(lee, invitation)
    created, expiry, renewal = acts.trail(world.practice)
    assert [created.action, expiry.action, renewal.action] == [
        "invitation.created",
        "invitation.expired",
        "invitation.renewed",
    ]
    assert (expiry.actor_kind, expiry.actor_name) == ("system", "expiry")
    assert renewal.actor_id == world.lee.pk


def test_renew__still_open__refused_and_nothing_written(world: World) -> None:
    with acts.nothing_written(), pytest.raises(IllegalTransition) as refusal:
        renew(world.actor(world.lee), world.invitation)
    assert refusal.value.extra == {"invitation_status": "pending"}


@pytest.mark.parametrize("state", ["cancelled", "declined", "accepted"])
def test_renew__ended__refused_and_nothing_written(world: World, state: str) -> None:
    lee = world.actor(world.lee)
    renew(lee, expired(lee, timezone.now(), email="allowed@example.org"))
    if state == "accepted":
        invitation = acts.invite(lee)
        acts.accept(invitation)
    else:
        with platform("test"):
            invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
    with acts.nothing_written(), pytest.raises(IllegalTransition) as refusal:
        renew(lee, invitation)
    assert refusal.value.extra == {"invitation_status": state}


# --- what may have changed meanwhile ---------------------------------------------------------------------------------
@pytest.mark.seed("S4.11")
@pytest.mark.parametrize("swept", [True, False])
def test_renew__no_seat_left__refused_and_nothing_written(world: World, swept: bool) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = expired(lee, at, swept=False)
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    if swept:
        sweep(at)
        acts.invite(lee, email="took.it@example.org", at=at)
        with acts.nothing_written(), pytest.raises(NoSeatLeft):
            renew(lee, invitation, at=at)
    else:
        renew(lee, invitation, at=at)  # its own seat was never given away


@pytest.mark.seed("S4.11")
def test_renew__seat_held_by_another_overdue_invitation__takes_it(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = expired(lee, at)
    overdue = acts.invite(lee, email="late@example.org", at=at - timedelta(days=8))
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    renew(lee, invitation, at=at)
    assert (acts.fresh(invitation).status, acts.fresh(overdue).status) == ("pending", "expired")


@pytest.mark.seed("S4.13")
def test_renew__address_has_another_open_invitation__names_it_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = expired(lee, timezone.now())
    other = acts.invite(lee, "office_admin")
    with acts.nothing_written(), pytest.raises(DuplicateInvitation) as refusal:
        renew(lee, invitation)
    assert refusal.value.extra == {"existing": str(other.pk)}


@pytest.mark.seed("S4.11")
def test_renew__address_has_another_overdue_invitation__expired_first(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = expired(lee, at)
    overdue = acts.invite(lee, at=at - timedelta(days=8))
    renew(lee, invitation, at=at)
    assert (acts.fresh(invitation).status, acts.fresh(overdue).status) == ("pending", "expired")


def test_renew__became_a_member_meanwhile__refused_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = expired(lee, timezone.now())
    with platform("test"):
        MembershipFactory(
            organization=world.practice, role=Role.MEDICAL_STAFF, user=UserFactory(email="nora@example.org")
        )
    with acts.nothing_written(), pytest.raises(AlreadyMember):
        renew(lee, invitation)


def test_renew__became_a_member_with_another_role__open_again_without_a_seat(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = expired(lee, timezone.now())
    with platform("test"):
        MembershipFactory(organization=world.practice, role=Role.DOCTOR, user=UserFactory(email="nora@example.org"))
    used = acts.seats_used(world.practice)
    renew(lee, invitation)
    assert acts.seats_used(world.practice) == used


def test_renew__right_lost_meanwhile__refused_and_nothing_written(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    omar = world.actor(world.omar)
    invitation = expired(omar, timezone.now())
    renew(omar, expired(omar, timezone.now(), email="allowed@example.org"))
    changed = Actor(world.omar, world.practice, frozenset({Role.MEDICAL_STAFF}))
    with acts.nothing_written(), pytest.raises(NotPermitted):
        renew(changed, invitation)
    administrator = Actor(world.omar, world.practice, frozenset({Role.MEDICAL_STAFF}), True)
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        renew(administrator, invitation)


def test_renew__inviter_lost_the_right__adopted(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    invitation = expired(world.actor(world.omar), timezone.now())
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(role=Role.MEDICAL_STAFF)
    renew(world.actor(world.lee), invitation)
    row = acts.fresh(invitation)
    assert (row.invited_by, row.upline_id) == (world.lee, world.lee.pk)
    assert acts.actions(world.practice)[-2:] == ["invitation.adopted", "invitation.renewed"]
    acts.accept(invitation)


def test_renew__a_colleague_s__refused_and_nothing_written(world: World) -> None:
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    colleague = Actor(doctor.user, world.practice, frozenset({Role.DOCTOR}))
    renew(colleague, expired(colleague, timezone.now(), email="own@example.org"))
    invitation = expired(world.actor(world.lee), timezone.now())
    with acts.nothing_written(), pytest.raises(NotYourInvitation):
        renew(colleague, invitation)


def test_renew__ten_times_sent_or_bounced__refused_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = expired(lee, timezone.now())
    put(invitation, send_count=10)
    with acts.nothing_written(), pytest.raises(SendLimitReached):
        renew(lee, invitation)
    put(invitation, send_count=9, delivery_status=DeliveryStatus.BOUNCED)
    with acts.nothing_written(), pytest.raises(AddressBounced):
        renew(lee, invitation)
    put(invitation, delivery_status=DeliveryStatus.QUEUED)
    renew(lee, invitation)


def test_renew__founding__takes_no_seat(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    invitation = expired(sales, timezone.now(), invitation_type="doctor")
    acts.set_seat_limit(sales.organization, 1)
    renew(sales, invitation)
    assert acts.seats_used(sales.organization) == 1
