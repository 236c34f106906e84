"""Another address is another invitation: the old one is cancelled, a new one sent, or neither."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.kernel.errors import DomainError, Malformed, Refused
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.world import World
from invitations.acceptance import open_invitation
from invitations.errors import DuplicateInvitation, InvitationClosed, NotYourInvitation, RoleNotAllowed, SameAddress
from invitations.models import UserInvitation
from invitations.services import correct_address, resend_invitation
from invitations.states import IllegalTransition
from organizations.actor import Actor
from organizations.models import Membership
from organizations.roles import Role
from organizations.services import AlreadyMember
from organizations.tenancy import platform

from . import acts


def correct(actor: Actor, invitation: UserInvitation, email: str, **values: object) -> UserInvitation:
    return acts.act(correct_address, actor=actor, invitation_id=invitation.pk, email=email, **values)


def test_correct_address__open__old_cancelled_and_the_same_sent_anew(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    old = acts.invite(
        lee,
        "office_admin",
        email="nroa@example.org",
        first_name="Nora",
        last_name="Quist",
        message="Welcome",
        language="es",
        expires_in_hours=72,
        at=at - timedelta(hours=10),
    )
    token = acts.token_of(old)
    used = acts.seats_used(world.practice)
    new = acts.fresh(correct(lee, old, "Nora@Example.org", at=at))
    assert new.pk != old.pk
    for field in ("organization", "invitation_type", "first_name", "last_name", "message", "language"):
        assert getattr(new, field) == getattr(old, field)
    assert (new.email, new.status, new.send_count) == ("nora@example.org", "pending", 0)
    assert new.expires_at == at + timedelta(hours=72)
    assert acts.fresh(old).status == "cancelled"
    assert acts.seats_used(world.practice) == used
    assert (acts.deliveries(old), acts.deliveries(new)) == (["cancelled"], ["queued"])
    assert acts.actions(world.practice) == ["invitation.created", "invitation.cancelled", "invitation.created"]
    with pytest.raises(InvitationClosed):
        open_invitation(token=token, at=at)
    assert open_invitation(token=acts.token_of(new), at=at) == new


def test_correct_address__bounced__is_the_way_out(world: World) -> None:
    lee = world.actor(world.lee)
    old = acts.invite(lee)
    with platform("test"):
        UserInvitation.objects.filter(pk=old.pk).update(delivery_status=DeliveryStatus.BOUNCED, send_count=10)
    assert correct(lee, old, "right@example.org").delivery_status == "queued"


def test_correct_address__plan_full__the_seat_goes_along(world: World) -> None:
    lee = world.actor(world.lee)
    old = acts.invite(lee)
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    correct(lee, old, "right@example.org")


def test_correct_address__after_a_resend__the_chosen_period_counts(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    old = acts.invite(lee, expires_in_hours=100, at=at)
    acts.act(resend_invitation, actor=lee, invitation_id=old.pk, at=at + timedelta(days=2))
    new = correct(lee, old, "right@example.org", at=at + timedelta(days=3))
    assert new.expires_at == at + timedelta(days=3, hours=100)


def test_correct_address__same_address__refused_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    old = acts.invite(lee)
    with acts.nothing_written(), pytest.raises(SameAddress):
        correct(lee, old, "NORA@example.org")
    assert correct(lee, old, "norah@example.org").email == "norah@example.org"


def test_correct_address__refused_address__neither_cancelled_nor_sent(world: World) -> None:
    lee = world.actor(world.lee)
    old = acts.invite(lee)
    acts.invite(lee, email="taken@example.org")
    refusals: dict[str, type[DomainError]] = {
        "taken@example.org": DuplicateInvitation,
        "not an address": Malformed,
        "nor\u0430@example.org": Refused,
    }
    for email, error in refusals.items():
        with acts.nothing_written(), pytest.raises(error):
            correct(lee, old, email)
    staff = acts.invite(lee, "medical_staff", email="staff@example.org")
    with acts.nothing_written(), pytest.raises(AlreadyMember):
        correct(lee, staff, "mia@example.org")
    correct(lee, old, "right@example.org")


@pytest.mark.parametrize("state", ["cancelled", "declined", "expired", "accepted"])
def test_correct_address__closed__refused_and_nothing_written(world: World, state: str) -> None:
    lee = world.actor(world.lee)
    correct(lee, world.invitation, "right@example.org")
    if state == "accepted":
        invitation = acts.invite(lee)
        acts.accept(invitation)
    else:
        with platform("test"):
            invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
    with acts.nothing_written(), pytest.raises(IllegalTransition):
        correct(lee, invitation, "right2@example.org")


def test_correct_address__manager_who_may_not_invite__refused_and_nothing_written(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    invitation = acts.invite(world.actor(world.lee))
    manager = Actor(world.omar, world.practice, frozenset({Role.OFFICE_ADMIN}), True)
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        correct(manager, invitation, "right@example.org")
    colleague = Actor(doctor.user, world.practice, frozenset({Role.DOCTOR}))
    with acts.nothing_written(), pytest.raises(NotYourInvitation):
        correct(colleague, invitation, "right@example.org")
    assert correct(world.actor(world.lee), invitation, "right@example.org").invited_by_id == world.lee.pk
