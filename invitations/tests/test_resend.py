"""Sending again: a new link, a full new period, and the earlier links dead."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.kernel.errors import NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.world import World
from invitations.acceptance import find_invitation
from invitations.errors import (
    AddressBounced,
    InviterNotEntitled,
    LinkReplaced,
    NotYourInvitation,
    RoleNotAllowed,
    SendLimitReached,
)
from invitations.expiry import expire_overdue
from invitations.models import UserInvitation
from invitations.services import resend_invitation, update_invitation
from invitations.states import IllegalTransition
from organizations.actor import Actor
from organizations.models import Membership, OrganizationSettings
from organizations.roles import Role
from organizations.tenancy import platform, tenant

from . import acts


def resend(actor: Actor, invitation: UserInvitation, **values: object) -> UserInvitation:
    return acts.act(resend_invitation, actor=actor, invitation_id=invitation.pk, **values)


def put(invitation: UserInvitation, **values: object) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(**values)


@pytest.mark.seed("S0.8")
@pytest.mark.parametrize("hours", [None, 1, 72, 720])
def test_resend__open__new_link_full_chosen_period_and_the_old_link_replaced(world: World, hours: int | None) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, expires_in_hours=hours, at=at)
    old = acts.token_of(invitation)
    later = at + timedelta(minutes=50)
    resend(lee, invitation, at=later)
    row = acts.fresh(invitation)
    assert row.expires_at == later + timedelta(hours=hours or 7 * 24)
    assert find_invitation(acts.token_of(row)) == row
    with pytest.raises(LinkReplaced):
        find_invitation(old)
    with acts.nothing_written(), pytest.raises(LinkReplaced):
        acts.accept(old, at=later)
    assert acts.deliveries(row) == ["cancelled", "queued"]
    assert (row.status, row.delivery_status, row.updated_at) == ("pending", "queued", later)
    assert acts.history(row) == ["resend"]
    acts.accept(row, at=row.expires_at - timedelta(seconds=1))


@pytest.mark.seed("S0.8")
def test_resend__again_and_again__the_period_stays_and_every_earlier_link_is_replaced(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, expires_in_hours=30, at=at)
    dead = []
    for day in (1, 2, 3):
        dead.append(acts.token_of(invitation))
        resend(lee, invitation, at=at + timedelta(days=day))
        assert acts.fresh(invitation).expires_at == at + timedelta(days=day, hours=30)
    assert len({*dead, acts.token_of(invitation)}) == 4
    for token in dead:
        with pytest.raises(LinkReplaced):
            find_invitation(token)


def test_resend__after_another_expiry_was_chosen__that_period_counts(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, at=at)
    acts.act(
        update_invitation,
        actor=lee,
        invitation_id=invitation.pk,
        expires_in_hours=100,
        at=at + timedelta(days=1),
    )
    acts.act(update_invitation, actor=lee, invitation_id=invitation.pk, first_name="Nora", at=at + timedelta(days=2))
    resend(lee, invitation, at=at + timedelta(days=3))
    assert acts.fresh(invitation).expires_at == at + timedelta(days=3, hours=100)


@pytest.mark.seed("S0.23")
def test_resend__each__one_event(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    resend(lee, invitation)
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.actor_id, event.target_id) == (
        "invitation.resent",
        world.lee.pk,
        str(invitation.pk),
    )
    assert event.detail == {"expires_at": acts.fresh(invitation).expires_at.isoformat()}


def test_resend__ten_times_sent__refused_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    put(invitation, send_count=9)
    resend(lee, invitation)
    put(invitation, send_count=10)
    with acts.nothing_written(), pytest.raises(SendLimitReached):
        resend(lee, invitation)


def test_resend__address_bounced__refused_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    put(invitation, delivery_status=DeliveryStatus.FAILED)
    resend(lee, invitation)
    put(invitation, delivery_status=DeliveryStatus.BOUNCED)
    with acts.nothing_written(), pytest.raises(AddressBounced):
        resend(lee, invitation)


@pytest.mark.parametrize("swept", [True, False])
def test_resend__expired__is_a_renewal(world: World, swept: bool) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, at=at - timedelta(days=8))
    if swept:
        with platform("test"):
            expire_overdue(at=at)
    resend(lee, invitation, at=at)
    assert acts.fresh(invitation).expires_at == at + timedelta(days=7)
    assert acts.history(invitation) == ["expire", "renew"]


@pytest.mark.seed("S0.8")
@pytest.mark.parametrize("state", ["cancelled", "declined", "accepted"])
def test_resend__ended__refused_and_nothing_written(world: World, state: str) -> None:
    lee = world.actor(world.lee)
    resend(lee, world.invitation)
    if state == "accepted":
        invitation = acts.invite(lee)
        acts.accept(invitation)
    else:
        with platform("test"):
            invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
    with acts.nothing_written(), pytest.raises(IllegalTransition) as refusal:
        resend(lee, invitation)
    assert refusal.value.extra == {"invitation_status": state}


# --- whose it is -----------------------------------------------------------------------------------------------------
def test_resend__a_colleague_s__only_by_who_manages_all_and_may_invite(world: World) -> None:
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
    colleague = Actor(doctor.user, world.practice, frozenset({Role.DOCTOR}))
    invitation = acts.invite(colleague)
    resend(colleague, invitation)
    resend(world.actor(world.lee), invitation)
    manager = Actor(world.omar, world.practice, frozenset({Role.OFFICE_ADMIN}), True)
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        resend(manager, invitation)
    with acts.nothing_written(), pytest.raises(NotPermitted):
        resend(world.actor(world.mia), invitation)
    with acts.nothing_written(), pytest.raises(NotYourInvitation):
        resend(colleague, world.invitation)


def test_resend__own_while_the_right_is_lost__refused_and_nothing_written(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    omar = world.actor(world.omar)
    invitation = acts.invite(omar)
    resend(omar, invitation)
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=False)
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        resend(omar, invitation)


def test_resend__inviter_lost_the_right__adopted_by_who_sends_it_again(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    invitation = acts.invite(world.actor(world.omar))
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(role=Role.MEDICAL_STAFF)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.accept(invitation)
    resend(world.actor(world.lee), invitation)
    row = acts.fresh(invitation)
    assert (row.invited_by, row.upline_id) == (world.lee, world.lee.pk)
    adopted, resent = acts.trail(world.practice)[-2:]
    assert (adopted.action, resent.action) == ("invitation.adopted", "invitation.resent")
    assert (adopted.target_id, adopted.actor_id) == (str(invitation.pk), world.lee.pk)
    assert adopted.changes == {"invited_by": [str(world.omar.pk), str(world.lee.pk)]}
    accepted = acts.accept(row)
    assert acts.memberships(accepted.user)[0].invited_by == world.lee
    assert accepted.user.invited_by == world.lee


def test_resend__inviter_deactivated__adopted_by_who_sends_it_again(world: World) -> None:
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    invitation = acts.invite(Actor(doctor.user, world.practice, frozenset({Role.DOCTOR})))
    doctor.user.is_active = False
    doctor.user.save(update_fields=["is_active"])
    resend(world.actor(world.lee), invitation)
    assert acts.fresh(invitation).invited_by == world.lee


def test_resend__inviter_still_entitled__stays_the_inviter(world: World) -> None:
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    invitation = acts.invite(Actor(doctor.user, world.practice, frozenset({Role.DOCTOR})))
    resend(world.actor(world.lee), invitation)
    row = acts.fresh(invitation)
    assert (row.invited_by, row.upline_id) == (doctor.user, doctor.user.pk)
    assert "invitation.adopted" not in acts.actions(world.practice)


@pytest.mark.seed("S4.20")
def test_resend__two_at_once__one_link_works_and_the_loser_is_told(committed_world: World) -> None:
    world = committed_world
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)

    def once_more() -> UserInvitation:
        with tenant(world.practice):
            return resend_invitation(actor=lee, invitation_id=invitation.pk, at=timezone.now())

    results = acts.at_once(*[once_more] * 6)
    assert all(isinstance(result, UserInvitation | IllegalTransition) for result in results)
    won = sum(isinstance(result, UserInvitation) for result in results)
    assert won >= 1
    assert acts.history(invitation) == ["resend"] * won
    assert acts.deliveries(invitation) == ["cancelled"] * won + ["queued"]
    acts.assert_seats_are_counted()
