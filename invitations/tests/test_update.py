"""Changing an open invitation: what keeps the link, what kills it, and who answers for it afterwards."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.kernel.errors import Malformed, NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory, OrganizationFactory
from healthivr.testing.world import World
from invitations.acceptance import find_invitation
from invitations.errors import (
    AddressBounced,
    LinkReplaced,
    NotYourInvitation,
    RoleNotAllowed,
    SendLimitReached,
)
from invitations.models import UserInvitation
from invitations.services import update_invitation
from invitations.states import IllegalTransition
from organizations.actor import Actor
from organizations.models import Membership, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.seats import NoSeatLeft
from organizations.services import AlreadyMember
from organizations.tenancy import platform

from . import acts


def update(actor: Actor, invitation: UserInvitation, **values: object) -> UserInvitation:
    return acts.act(update_invitation, actor=actor, invitation_id=invitation.pk, **values)


def omar_runs_the_office(world: World) -> Actor:
    """Let Omar manage every invitation of the practice, while he may invite nobody."""
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
    return Actor(world.omar, world.practice, frozenset({Role.OFFICE_ADMIN}), True)


def put(invitation: UserInvitation, **values: object) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(**values)


# --- what the mail said ----------------------------------------------------------------------------------------------
def test_update__names_note_and_language__link_lives_and_no_mail_leaves(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, first_name="Nra", message="Hello")
    token = acts.token_of(invitation)
    update(lee, invitation, first_name=" Nora ", last_name="Quist", message="Welcome", language="es")
    row = acts.fresh(invitation)
    assert (row.first_name, row.last_name, row.message, row.language) == ("Nora", "Quist", "Welcome", "es")
    assert find_invitation(token) == row
    assert row.expires_at == invitation.expires_at
    assert acts.deliveries(row) == ["queued"]
    assert acts.history(row) == ["update"]
    assert acts.seats_used(world.practice) == 5


@pytest.mark.seed("S0.23")
def test_update__each__one_event_that_names_the_fields_and_masks_the_person(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, first_name="Nra")
    update(lee, invitation, first_name="Nora", language="es")
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.actor_id) == ("invitation.updated", world.lee.pk)
    assert event.changes == {"first_name": ["•••", "•••"], "language": ["en", "es"]}
    with platform("test"):
        assert invitation.history.get().reason == "first_name, language"


def test_update__nothing_that_differs__nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, first_name="Nora")
    with acts.nothing_written():
        update(lee, invitation, first_name="Nora", invitation_type="medical_staff", language="en")
        update(lee, invitation)


def test_update__empty_name__removes_it(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, first_name="Nora", message="Hello")
    update(lee, invitation, first_name="", message="")
    assert (acts.fresh(invitation).first_name, acts.fresh(invitation).message) == ("", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", "https://evil.example"),
        ("last_name", "x" * 101),
        ("message", "x" * 1001),
        ("language", "xx"),
        ("expires_in_hours", 0),
        ("expires_in_hours", 721),
        ("invitation_type", "root"),
        ("invitation_type", "patient"),
        ("invitation_type", ""),
    ],
)
def test_update__malformed_value__says_so_at_its_field_and_writes_nothing(
    world: World, field: str, value: object
) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    update(lee, invitation, first_name="Allowed")
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        update(lee, invitation, **{field: value})
    assert refusal.value.field == field


# --- what the link was for -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "values", [{"invitation_type": "office_admin"}, {"expires_in_hours": 24}, {"expires_in_hours": 720}]
)
def test_update__role_or_expiry__link_dies_and_a_new_one_is_mailed(world: World, values: dict[str, object]) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, at=at)
    old = acts.token_of(invitation)
    later = at + timedelta(hours=5)
    update(lee, invitation, at=later, **values)
    row = acts.fresh(invitation)
    new = acts.token_of(row)
    assert row.expires_at == later + timedelta(hours=values.get("expires_in_hours", 7 * 24))  # type: ignore[arg-type]
    assert new != old
    assert find_invitation(new) == row
    with pytest.raises(LinkReplaced):
        find_invitation(old)
    assert acts.deliveries(row) == ["cancelled", "queued"]
    assert row.delivery_status == "queued"
    with platform("test"):
        assert row.history.get().token_hash == invitation.token_hash
    assert acts.accept(row, at=later + timedelta(hours=1)).membership_role == row.invitation_type


def test_update__role__keeps_the_period_that_was_chosen(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, expires_in_hours=72, at=at)
    later = at + timedelta(hours=20)
    update(lee, invitation, invitation_type="office_admin", at=later)
    assert acts.fresh(invitation).expires_at == later + timedelta(hours=72)


def test_update__to_a_role_that_runs_things__48_hours_unless_chosen(world: World) -> None:
    ana = world.actor(world.ana, world.platform)
    at = timezone.now()
    invitation = acts.invite(ana, "master_distributor", at=at)
    update(ana, invitation, invitation_type="chp_admin", at=at)
    assert acts.fresh(invitation).expires_at == at + timedelta(hours=48)
    update(ana, invitation, invitation_type="admin", expires_in_hours=100, at=at)
    assert acts.fresh(invitation).expires_at == at + timedelta(hours=100)


def test_update__same_expiry_at_the_very_moment_of_creation__still_mails_the_link_that_works(world: World) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, at=at)
    update(lee, invitation, expires_in_hours=7 * 24, at=at)
    assert acts.deliveries(invitation) == ["cancelled", "queued"]


def test_update__mail_that_left__stays_as_it_is(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    with platform("test"):
        invitation.deliveries.update(status=DeliveryStatus.SENT)
    update(lee, invitation, expires_in_hours=24)
    assert acts.deliveries(invitation) == ["sent", "queued"]


def test_update__role_that_the_actor_may_not_invite__refused_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    update(lee, invitation, invitation_type="office_admin")
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        update(lee, invitation, invitation_type="doctor")
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        update(lee, invitation, invitation_type="admin", first_name="Nora")


def test_update__role_that_the_invitee_has_already__already_member_and_nothing_written(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, "office_admin", email="mia@example.org")
    with acts.nothing_written(), pytest.raises(AlreadyMember):
        update(lee, invitation, invitation_type="medical_staff")


def test_update__ten_times_sent__no_new_link_but_a_name_may_change(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    put(invitation, send_count=9)
    update(lee, invitation, expires_in_hours=24)
    put(invitation, send_count=10)
    with acts.nothing_written(), pytest.raises(SendLimitReached):
        update(lee, invitation, expires_in_hours=24)
    update(lee, invitation, first_name="Nora")


def test_update__address_bounced__no_new_link_but_a_name_may_change(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    put(invitation, delivery_status=DeliveryStatus.BOUNCED)
    with acts.nothing_written(), pytest.raises(AddressBounced):
        update(lee, invitation, expires_in_hours=24)
    update(lee, invitation, first_name="Nora")


# --- seats -----------------------------------------------------------------------------------------------------------
def ana_in_a_distributor(world: World) -> Actor:
    with platform("test"):
        return world.actor(world.ana, OrganizationFactory(kind=OrganizationKind.DISTRIBUTOR))


@pytest.mark.seed("S4.11")
def test_update__from_founding_to_joining_and_back__the_seat_moves_along(world: World) -> None:
    ana = ana_in_a_distributor(world)
    invitation = acts.invite(ana, "doctor")
    assert acts.seats_used(ana.organization) == 0
    update(ana, invitation, invitation_type="sales")
    assert acts.seats_used(ana.organization) == 1
    update(ana, invitation, invitation_type="doctor")
    assert acts.seats_used(ana.organization) == 0


@pytest.mark.seed("S4.11")
def test_update__to_joining_without_a_seat_left__refused_and_nothing_written(world: World) -> None:
    ana = ana_in_a_distributor(world)
    invitation = acts.invite(ana, "doctor")
    other = acts.invite(ana, "doctor", "other@example.org")
    acts.set_seat_limit(ana.organization, 1)
    update(ana, other, invitation_type="sales")
    with acts.nothing_written(), pytest.raises(NoSeatLeft):
        update(ana, invitation, invitation_type="sales")


@pytest.mark.seed("S4.11")
def test_update__to_joining_while_an_overdue_invitation_holds_the_seat__takes_it(world: World) -> None:
    ana = ana_in_a_distributor(world)
    at = timezone.now()
    overdue = acts.invite(ana, "sales", "late@example.org", at=at - timedelta(days=8))
    acts.set_seat_limit(ana.organization, 1)
    invitation = acts.invite(ana, "doctor", at=at)
    update(ana, invitation, invitation_type="sales", at=at)
    assert acts.fresh(overdue).status == "expired"
    assert acts.seats_used(ana.organization) == 1


@pytest.mark.seed("S4.11")
def test_update__between_joining_roles_on_a_full_plan__keeps_its_seat(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    used = acts.seats_used(world.practice)
    acts.set_seat_limit(world.practice, used)
    update(world.actor(world.lee), invitation, invitation_type="office_admin")
    assert acts.seats_used(world.practice) == used


# --- whose it is -----------------------------------------------------------------------------------------------------
def test_update__a_colleague_s__only_by_who_manages_all(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    colleague = Actor(doctor.user, world.practice, frozenset({Role.DOCTOR}))
    own = acts.invite(colleague, email="own@example.org")
    update(colleague, own, first_name="Own")
    with acts.nothing_written(), pytest.raises(NotYourInvitation):
        update(colleague, invitation, first_name="Stolen")
    update(world.actor(world.lee), own, first_name="Managed")
    with acts.nothing_written(), pytest.raises(NotPermitted):
        update(world.actor(world.mia), own, first_name="Stolen")


@pytest.mark.parametrize(
    "values", [{"message": "See you on Monday"}, {"invitation_type": "medical_staff"}, {"expires_in_hours": 720}]
)
def test_update__manager_who_may_not_invite__refused_and_nothing_written(world: World, values: dict[str, Any]) -> None:
    omar = omar_runs_the_office(world)
    invitation = acts.invite(world.actor(world.lee))
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        update(omar, invitation, **values)
    update(world.actor(world.lee), invitation, **values)


def test_update__role_beyond_the_inviter_s_right__adopted_so_that_the_new_link_can_be_accepted(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    invitation = acts.invite(world.actor(world.omar))  # who may invite medical staff, and nobody else
    update(world.actor(world.lee), invitation, invitation_type="office_admin")
    assert acts.fresh(invitation).invited_by == world.lee
    assert acts.accept(invitation).membership_role == Role.OFFICE_ADMIN


def test_update__expiry_of_somebody_who_lost_the_right__adopted(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    invitation = acts.invite(world.actor(world.omar))
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(role=Role.MEDICAL_STAFF)
    update(world.actor(world.lee), invitation, first_name="Nora")
    assert acts.fresh(invitation).invited_by == world.omar
    assert "invitation.adopted" not in acts.actions(world.practice)
    update(world.actor(world.lee), invitation, expires_in_hours=24)
    row = acts.fresh(invitation)
    assert (row.invited_by, row.upline_id) == (world.lee, world.lee.pk)
    assert acts.actions(world.practice).count("invitation.adopted") == 1


def test_update__inviter_still_entitled__stays_the_inviter(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    invitation = acts.invite(world.actor(world.omar))
    update(world.actor(world.lee), invitation, expires_in_hours=24)
    assert acts.fresh(invitation).invited_by == world.omar


# --- closed ----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.7")
@pytest.mark.parametrize("state", ["cancelled", "declined", "expired", "overdue"])
def test_update__closed__refused_and_nothing_written(world: World, state: str) -> None:
    with platform("test"):
        invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
    if state == "overdue":
        acts.count_seats_anew()
    update(world.actor(world.lee), world.invitation, first_name="Allowed")
    for values in ({"first_name": "Late"}, {"expires_in_hours": 24}, {"invitation_type": "office_admin"}):
        with acts.nothing_written(), pytest.raises(IllegalTransition) as refusal:
            update(world.actor(world.lee), invitation, **values)
        assert refusal.value.extra == {"invitation_status": "expired" if state == "overdue" else state}


@pytest.mark.seed("S0.7")
def test_update__accepted__refused_and_nothing_written(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    update(world.actor(world.lee), invitation, first_name="Allowed")
    acts.accept(invitation)
    with acts.nothing_written(), pytest.raises(IllegalTransition) as refusal:
        update(world.actor(world.lee), invitation, first_name="Late")
    assert refusal.value.extra == {"invitation_status": "accepted"}


@pytest.mark.parametrize("values", [{"message": "Hello"}, {"first_name": "Nora"}, {"expires_in_hours": 24}])
def test_update__own_while_the_right_is_lost__refused_and_nothing_written(world: World, values: dict[str, Any]) -> None:
    acts.allow_staff_to_invite(world.practice)
    omar = world.actor(world.omar)
    invitation = acts.invite(omar)
    acts.act(update_invitation, actor=omar, invitation_id=invitation.pk, message="Before")
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=False)
    with acts.nothing_written(), pytest.raises(NotPermitted):
        acts.act(update_invitation, actor=omar, invitation_id=invitation.pk, **values)
