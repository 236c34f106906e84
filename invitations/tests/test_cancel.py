"""Cancelling: the link dies, the seat is free, and mail that has not left does not leave."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.kernel.errors import NotFound, NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.world import World
from invitations.acceptance import find_invitation, open_invitation
from invitations.delivery import claim_batch, relay_due_deliveries
from invitations.errors import InvitationClosed, NotYourInvitation
from invitations.models import UserInvitation
from invitations.services import cancel_invitation, resend_invitation
from invitations.states import IllegalTransition
from organizations.actor import Actor
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

from . import acts


def cancel(actor: Actor, invitation: UserInvitation, **values: object) -> UserInvitation:
    return acts.act(cancel_invitation, actor=actor, invitation_id=invitation.pk, **values)


@pytest.mark.seed("S0.7", "S4.12")
def test_cancel__open__closed_with_who_when_and_why(world: World) -> None:
    lee = world.actor(world.lee)
    used = acts.seats_used(world.practice)
    invitation = acts.invite(lee)
    token, at = acts.token_of(invitation), timezone.now()
    cancel(lee, invitation, reason="Hired \u202esomebody else\x9b ", at=at)
    row = acts.fresh(invitation)
    assert (row.status, row.closed_at, row.closed_by) == ("cancelled", at, world.lee)
    assert row.expires_at == invitation.expires_at  # C3: untouched
    assert acts.seats_used(world.practice) == used
    assert acts.history(row) == ["cancel"]
    with platform("test"):
        assert row.history.get().reason == "Hired somebody else"
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.reason, event.actor_id) == (
        "invitation.cancelled",
        "Hired somebody else",
        world.lee.pk,
    )
    with pytest.raises(InvitationClosed) as refusal:
        open_invitation(token=token, at=at)
    assert refusal.value.code == "invitation_cancelled"


def test_cancel__mail_waiting__does_not_leave_and_what_left_stays(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    for _again in range(2):
        with platform("test"):
            invitation.deliveries.filter(status=DeliveryStatus.QUEUED).update(status=DeliveryStatus.SENT)
        acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    cancel(lee, invitation)
    assert acts.deliveries(invitation) == ["sent", "sent", "cancelled"]


def test_cancel__mail_held_by_a_worker__is_the_worker_s_to_close_and_does_not_leave(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    claim_batch(size=10, at=timezone.now())
    cancel(lee, invitation)
    assert acts.deliveries(invitation) == ["sending"]
    with platform("test"):
        invitation.deliveries.update(next_try_at=timezone.now())
    assert relay_due_deliveries() == 0
    assert acts.deliveries(invitation) == ["cancelled"]


def test_cancel__link_of_an_earlier_issue__says_cancelled_too(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    earlier = acts.token_of(invitation)
    acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    cancel(lee, invitation)
    with pytest.raises(InvitationClosed) as refusal:
        find_invitation(earlier)
    assert refusal.value.code == "invitation_cancelled"


def test_cancel__of_a_member_s_further_role__frees_no_seat(world: World) -> None:
    lee = world.actor(world.lee)
    used = acts.seats_used(world.practice)
    invitation = acts.invite(lee, "office_admin", email="mia@example.org")
    cancel(lee, invitation)
    assert acts.seats_used(world.practice) == used


def test_cancel__founding__frees_no_seat(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    cancel(sales, acts.invite(sales, "doctor"))
    assert acts.seats_used(sales.organization) == 1


@pytest.mark.seed("S4.7")
def test_cancel__another_organization_s__as_if_it_did_not_exist(world: World) -> None:
    cancel(world.actor(world.lee), acts.invite(world.actor(world.lee)))
    with acts.nothing_written(), pytest.raises(NotFound):
        cancel(world.actor(world.stone), world.invitation)


def test_cancel__a_colleague_s__only_by_who_manages_all(world: World) -> None:
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    colleague = Actor(doctor.user, world.practice, frozenset({Role.DOCTOR}))
    cancel(colleague, acts.invite(colleague))
    with acts.nothing_written(), pytest.raises(NotYourInvitation):
        cancel(colleague, world.invitation)
    with acts.nothing_written(), pytest.raises(NotPermitted):
        cancel(world.actor(world.mia), world.invitation)
    invitation = acts.invite(colleague)
    cancel(world.actor(world.lee), invitation)
    assert acts.fresh(invitation).closed_by == world.lee


def test_cancel__own_while_the_right_to_invite_is_lost__may_still_be_taken_back(world: World) -> None:
    with platform("test"):
        manager = Actor(world.omar, world.practice, frozenset({Role.MEDICAL_STAFF}), True)
    acts.allow_staff_to_invite(world.practice)
    invitation = acts.invite(world.actor(world.omar))
    cancel(manager, invitation)
    assert acts.fresh(invitation).status == "cancelled"


@pytest.mark.seed("S0.16")
@pytest.mark.parametrize("state", ["cancelled", "declined", "expired", "accepted", "overdue"])
def test_cancel__closed__refused_and_nothing_written(world: World, state: str) -> None:
    lee = world.actor(world.lee)
    cancel(lee, world.invitation)
    if state == "accepted":
        invitation = acts.invite(lee)
        acts.accept(invitation)
    else:
        with platform("test"):
            invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
        acts.count_seats_anew()
    with acts.nothing_written(), pytest.raises(IllegalTransition) as refusal:
        cancel(lee, invitation)
    assert refusal.value.extra == {"invitation_status": "expired" if state == "overdue" else state}


def test_cancel__long_reason__kept_whole_in_the_trail_and_cut_in_the_history(world: World) -> None:
    cancel(world.actor(world.lee), world.invitation, reason="x" * 600)
    with platform("test"):
        assert world.invitation.history.get().reason == "x" * 500
    assert acts.trail(world.practice)[-1].reason == "x" * 600


def test_cancel__then_invited_again__a_new_row_and_the_old_history(world: World) -> None:
    lee = world.actor(world.lee)
    first = acts.invite(lee)
    cancel(lee, first)
    second = acts.invite(lee, at=timezone.now() + timedelta(seconds=1))
    assert second.pk != first.pk
    assert acts.history(first) == ["cancel"]
