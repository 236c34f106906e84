"""Accepting, declining and asking for a new link, at the service."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User, hash_password
from accounts.outbox import DeliveryStatus
from accounts.services import PasswordRefused
from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed
from healthivr.testing.factories import (
    PASSWORD,
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
)
from healthivr.testing.world import World
from invitations.acceptance import (
    Accepted,
    Visitor,
    accept_invitation,
    decline_invitation,
    find_invitation,
    open_invitation,
    password_terms,
    practices_to_choose,
)
from invitations.errors import (
    AccountSwitchedOff,
    AddressBounced,
    AlreadyAccepted,
    InvitationClosed,
    InvitationNotFound,
    InviterNotEntitled,
    LinkReplaced,
    PracticeNotYours,
    SendLimitReached,
    SignInRequired,
    WrongAccount,
)
from invitations.expiry import expire_overdue
from invitations.models import Delivery, UserInvitation
from invitations.services import cancel_invitation, create_invitation, resend_invitation
from invitations.tokens import derive_token
from organizations.actor import Actor
from organizations.agreements.gate import AgreementMissing
from organizations.models import Membership, MembershipStatus, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.seats import NoSeatLeft
from organizations.selectors import system_actor
from organizations.services import AlreadyMember
from organizations.tenancy import platform, tenant
from organizations.tests.agreements.acts import agreement, without_agreement

from . import acts

STRANGER = Visitor(None, "192.0.2.7", "test-request")


@pytest.mark.seed("S0.2", "S0.11")
def test_accept__new_person__user_membership_notice_and_trail(world: World) -> None:
    at = timezone.now()
    with tenant(world.practice):
        invitation = create_invitation(
            actor=world.actor(world.lee), invitation_type="office_admin", email="Nora@Example.org ", at=at
        )
    accepted = accept_invitation(
        token=derive_token(invitation.token_nonce),
        visitor=STRANGER,
        password=PASSWORD,
        first_name="Nora",
        last_name="Quist",
        at=at + timedelta(minutes=5),
    )
    user = User.objects.get(email="nora@example.org")
    assert accepted.user == user
    assert (user.invited_by, user.invitation_id) == (world.lee, invitation.pk)
    assert user.invitation_accepted_at == at + timedelta(minutes=5)
    with platform("test"):
        membership = Membership.objects.get(user=user)
        assert (membership.organization, membership.role) == (world.practice, "office_admin")
        assert OrganizationSettings.objects.get(organization=world.practice).seats_used == 5
        assert set(Delivery.objects.filter(invitation=invitation).values_list("purpose", flat=True)) == {
            "invitation",
            "accepted",
        }
        actions = list(
            AuditEvent.objects.filter(organization_id=world.practice.pk)
            .order_by("sequence")
            .values_list("action", flat=True)
        )
    assert actions == ["invitation.created", "invitation.accepted", "user.created", "membership.created"]
    with pytest.raises(AlreadyAccepted):
        accept_invitation(
            token=derive_token(invitation.token_nonce),
            visitor=STRANGER,
            password=PASSWORD,
            first_name="N",
            last_name="Q",
            at=at + timedelta(minutes=6),
        )


def test_accept__founding_doctor__practice_below_the_sender(world: World) -> None:
    at = timezone.now()
    sales = world.member("sales", "distributor")
    with tenant(sales.organization):
        invitation = create_invitation(actor=sales, invitation_type="doctor", email="doc@example.org", at=at)
    accepted = accept_invitation(
        token=derive_token(invitation.token_nonce),
        visitor=STRANGER,
        password=PASSWORD,
        first_name="Dora",
        last_name="Doc",
        organization_name="Hill Street Practice",
        at=at + timedelta(minutes=5),
    )
    assert accepted.has_founded
    assert accepted.organization.parent == sales.organization
    with platform("test"):
        membership = Membership.objects.get(user=accepted.user)
        assert membership.is_org_admin
        assert membership.upline == sales.user
        assert OrganizationSettings.objects.get(organization=accepted.organization).seats_used == 1


# --- the ten types ---------------------------------------------------------------------------------------------------
#: type -> who invites, from what kind, and the kind that is founded ("" for joining the sender).
TEN = [
    ("admin", "admin", "platform", ""),
    ("chp_admin", "admin", "platform", "chp"),
    ("master_distributor", "chp_admin", "chp", "master_distributor"),
    ("distributor", "master_distributor", "master_distributor", "distributor"),
    ("sales", "distributor", "distributor", ""),
    ("doctor", "sales", "distributor", "practice"),
    ("office_admin", "doctor", "practice", ""),
    ("medical_staff", "doctor", "practice", ""),
    ("ivr_company", "chp_admin", "chp", "ivr_company"),
    ("shipping_logistics", "chp_admin", "chp", "logistics"),
]


def put(invitation: UserInvitation, **values: object) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(**values)


@pytest.mark.seed("S0.13", "S0.14", "S0.15")
@pytest.mark.parametrize(("invitation_type", "role", "kind", "founded"), TEN)
def test_accept__each_of_ten__the_role_in_the_right_organization(
    world: World, invitation_type: str, role: str, kind: str, founded: str
) -> None:
    inviter = world.member(Role(role), OrganizationKind(kind))
    invitation = acts.invite(inviter, invitation_type)
    used = acts.seats_used(inviter.organization)
    accepted = acts.accept(invitation, organization_name="North Star" if founded else "")
    (membership,) = acts.memberships(accepted.user)
    assert (membership.role, membership.organization) == (invitation_type, accepted.organization)
    assert (membership.upline, membership.invited_by) == (inviter.user, inviter.user)
    assert membership.is_org_admin is (bool(founded) or invitation_type == "admin")
    assert accepted.has_founded is bool(founded)
    assert acts.seats_used(inviter.organization) == used
    if founded:
        assert accepted.organization.kind == founded
        assert accepted.organization.parent == inviter.organization
        assert accepted.organization.name == "North Star"
        with platform("test"):
            plan = OrganizationSettings.objects.get(organization=accepted.organization)
        assert (plan.plan, plan.seats_used, plan.staff_may_invite) == ("standard", 1, False)
        assert acts.actions(accepted.organization) == ["organization.founded", "membership.created"]
    else:
        assert accepted.organization == inviter.organization
    row = acts.fresh(invitation)
    assert (row.status, row.accepted_by, row.closed_by) == ("accepted", accepted.user, None)
    assert row.accepted_at == row.closed_at is not None


def test_accept__joining__a_name_for_an_organization_is_ignored(world: World) -> None:
    accepted = acts.accept(acts.invite(world.actor(world.lee)), organization_name="Mine")
    assert accepted.organization == world.practice
    assert not Organization.objects.filter(name="Mine").exists()


@pytest.mark.parametrize("name", ["", " ", "x", "x" * 121, "\n"])
def test_accept__founding_without_a_proper_name__malformed_and_nothing_consumed(world: World, name: str) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    invitation = acts.invite(sales, "doctor")
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.accept(invitation, organization_name=name)
    assert refusal.value.field == "organization_name"
    acts.accept(invitation, organization_name="Hill Street")


def test_accept__two_founders_of_one_name__two_addresses(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    slugs = set()
    for number in (1, 2):
        invitation = acts.invite(sales, "doctor", f"doc{number}@example.org")
        slugs.add(acts.accept(invitation, organization_name="Hill <b>Street</b>").organization.slug)
    assert len(slugs) == 2
    assert all(slug.startswith("hill-bstreetb-") for slug in slugs)


# --- people who have an account --------------------------------------------------------------------------------------
@pytest.mark.seed("S0.2")
def test_accept__existing_user__joins_a_second_organization_with_the_same_account(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="stone@example.org")
    before = User.objects.get(pk=world.stone.pk)
    accepted = acts.accept(invitation, user=world.stone)
    assert (accepted.user, accepted.is_new_user) == (world.stone, False)
    assert [(m.organization, m.role) for m in acts.memberships(world.stone)] == [
        (world.strange_practice, "doctor"),
        (world.practice, "office_admin"),
    ]
    after = User.objects.get(pk=world.stone.pk)
    assert (after.password, after.first_name) == (before.password, "Ida")
    assert (before.invitation_id, before.invited_by, before.invitation_accepted_at) == (None, None, None)
    assert (after.invitation_id, after.invited_by) == (invitation.pk, world.lee)
    assert after.invitation_accepted_at == acts.fresh(invitation).accepted_at
    assert "user.created" not in acts.actions(world.practice)


def test_accept__existing_user_who_came_by_an_invitation__the_first_one_stays(world: World) -> None:
    user = acts.accept(acts.invite(world.actor(world.lee))).user
    first = User.objects.get(pk=user.pk)
    acts.accept(acts.invite(world.actor(world.stone), email="nora@example.org"), user=first)
    assert len(acts.memberships(user)) == 2
    now = User.objects.get(pk=user.pk)
    assert (now.invitation_id, now.invited_by, now.invitation_accepted_at) == (
        first.invitation_id,
        world.lee,
        first.invitation_accepted_at,
    )


def test_accept__existing_user_not_signed_in__sign_in_required_and_nothing_consumed(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="stone@example.org")
    for typed in ({}, {"password": "", "first_name": ""}):  # whatever a stranger types, it is not asked for
        with acts.nothing_written(), pytest.raises(SignInRequired):
            acts.accept(invitation, **typed)
    acts.accept(invitation, user=world.stone)


def test_accept__another_account_signed_in__wrong_account_and_nothing_consumed(world: World) -> None:
    known = acts.invite(world.actor(world.lee), "office_admin", email="stone@example.org")
    unknown = acts.invite(world.actor(world.lee))
    for invitation in (known, unknown):
        with acts.nothing_written(), pytest.raises(WrongAccount):
            acts.accept(invitation, user=world.ana)
    acts.accept(known, user=world.stone)
    acts.accept(unknown)


def test_accept__deactivated_account__cannot_be_taken_over_by_the_link(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    with acts.nothing_written(), pytest.raises(AccountSwitchedOff):
        acts.accept(invitation)


def test_accept__role_that_they_got_meanwhile__already_member_and_nothing_consumed(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="stone@example.org")
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.stone, role=Role.OFFICE_ADMIN)
    acts.count_seats_anew()
    with acts.nothing_written(), pytest.raises(AlreadyMember):
        acts.accept(invitation, user=world.stone)


@pytest.mark.seed("S4.11")
def test_accept__member_with_another_role__no_further_seat(world: World) -> None:
    used = acts.seats_used(world.practice)
    acts.accept(acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org"), user=world.mia)
    assert acts.seats_used(world.practice) == used


# --- a doctor with an own practice -----------------------------------------------------------------------------------
def invited_stone(world: World) -> tuple[UserInvitation, Actor]:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    return acts.invite(sales, "doctor", email="stone@example.org"), sales


def test_accept__doctor_with_an_own_practice__brings_it_and_keeps_the_membership(world: World) -> None:
    invitation, sales = invited_stone(world)
    look = acts.fresh(invitation)
    assert practices_to_choose(look, Visitor(world.stone, "", "")) == [world.strange_practice]
    organizations = Organization.objects.count()
    accepted = acts.accept(invitation, user=world.stone, practice_id=world.strange_practice.pk)
    assert (accepted.organization, accepted.has_founded) == (world.strange_practice, False)
    assert Organization.objects.count() == organizations
    (membership,) = acts.memberships(world.stone)
    assert (membership.upline, membership.is_org_admin) == (sales.user, True)
    event = acts.trail(world.strange_practice)[-1]
    assert (event.action, event.target_id, event.actor_id) == (
        "membership.upline_changed",
        str(membership.pk),
        world.stone.pk,
    )
    assert event.changes == {"upline": ["", str(membership.upline_id)]}
    assert acts.actions(sales.organization) == ["invitation.created", "invitation.accepted"]


def test_accept__practice_that_another_seller_brought__keeps_its_upline(world: World) -> None:
    first, first_seller = invited_stone(world)
    acts.accept(first, user=world.stone, practice_id=world.strange_practice.pk)
    second, second_seller = invited_stone(world)
    before = acts.actions(world.strange_practice)
    acts.accept(second, user=world.stone, practice_id=world.strange_practice.pk)
    (membership,) = acts.memberships(world.stone)
    assert membership.upline == first_seller.user != second_seller.user
    assert acts.actions(world.strange_practice) == before
    assert acts.actions(second_seller.organization) == ["invitation.created", "invitation.accepted"]
    assert acts.fresh(second).status == "accepted"


def test_accept__administrator_of_a_practice_who_is_no_doctor_there__becomes_one(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.stone).update(role=Role.OFFICE_ADMIN)
    invitation, sales = invited_stone(world)
    used = acts.seats_used(world.strange_practice)
    acts.accept(invitation, user=world.stone, practice_id=world.strange_practice.pk)
    office, doctor = acts.memberships(world.stone)
    assert (office.role, office.is_org_admin) == ("office_admin", True)
    assert (doctor.role, doctor.is_org_admin, doctor.upline) == ("doctor", False, sales.user)
    assert acts.seats_used(world.strange_practice) == used


@pytest.mark.seed("S2.18")
def test_accept__practice_brought_without_an_agreement__refused_until_it_is_signed(world: World) -> None:
    """Who runs a practice without seeing its patients gets no access to them by way of another organization."""
    without_agreement(world.strange_practice)
    with platform("test"):
        Membership.objects.filter(user=world.stone).update(role=Role.PRIVACY_OFFICER)
    invitation, _sales = invited_stone(world)
    with acts.nothing_written(), pytest.raises(AgreementMissing) as refused:
        acts.accept(invitation, user=world.stone, practice_id=world.strange_practice.pk)
    assert refused.value.extra == {"practice": "stone-clinic"}
    assert acts.trail(invitation.organization)[-1].detail == {"code": "baa_required"}
    agreement(world.strange_practice)
    acts.accept(invitation, user=world.stone, practice_id=world.strange_practice.pk)
    assert {row.role for row in acts.memberships(world.stone)} == {"privacy_officer", "doctor"}


@pytest.mark.parametrize("held", [Role.DOCTOR, Role.OFFICE_ADMIN])
def test_accept__practice_brought_by_who_sees_its_patients_already__asks_for_no_agreement(
    world: World, held: Role
) -> None:
    without_agreement(world.strange_practice)
    with platform("test"):
        Membership.objects.filter(user=world.stone).update(role=held)
    invitation, _sales = invited_stone(world)
    acts.accept(invitation, user=world.stone, practice_id=world.strange_practice.pk)
    assert "doctor" in {row.role for row in acts.memberships(world.stone)}


def test_accept__doctor_with_an_own_practice__may_found_another(world: World) -> None:
    invitation, _sales = invited_stone(world)
    accepted = acts.accept(invitation, user=world.stone, organization_name="Second Street")
    assert accepted.has_founded
    assert accepted.organization != world.strange_practice


def test_accept__practice_of_somebody_else__refused_and_nothing_consumed(world: World) -> None:
    invitation, _sales = invited_stone(world)
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.stone, role=Role.MEDICAL_STAFF)
        closed = OrganizationFactory(state="inactive")
        MembershipFactory(organization=closed, user=world.stone, role=Role.DOCTOR, is_org_admin=True)
        distributor = OrganizationFactory(kind=OrganizationKind.DISTRIBUTOR)
        MembershipFactory(organization=distributor, user=world.stone, role=Role.SALES, is_org_admin=True)
    for practice in (world.practice.pk, closed.pk, distributor.pk, world.platform.pk, uuid4()):
        with acts.nothing_written(), pytest.raises(PracticeNotYours):
            acts.accept(invitation, user=world.stone, practice_id=practice)
    acts.accept(invitation, user=world.stone, practice_id=world.strange_practice.pk)


def test_accept__new_person_or_another_type_with_a_practice__refused_and_nothing_consumed(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    for invitation in (acts.invite(sales, "doctor"), acts.invite(world.actor(world.lee))):
        with acts.nothing_written(), pytest.raises(PracticeNotYours):
            acts.accept(invitation, practice_id=world.strange_practice.pk, organization_name="Mine")


# --- who invited, asked again at the end -----------------------------------------------------------------------------
def _demote(world: World, inviter: Actor) -> None:
    with platform("test"):
        Membership.objects.filter(user=inviter.user).update(role=Role.MARKETER)


def _end(world: World, inviter: Actor) -> None:
    with platform("test"):
        Membership.objects.filter(user=inviter.user).update(
            status=MembershipStatus.ENDED, ended_at=timezone.now(), is_org_admin=False
        )
    acts.count_seats_anew()


def _deactivate(world: World, inviter: Actor) -> None:
    User.objects.filter(pk=inviter.user_id).update(is_active=False)


def _switch_organization_off(world: World, inviter: Actor) -> None:
    Organization.objects.filter(pk=inviter.organization_id).update(state="inactive")


@pytest.mark.parametrize("what_happened", [_demote, _end, _deactivate, _switch_organization_off])
def test_accept__inviter_no_longer_entitled__refused_and_nothing_consumed(
    world: World, what_happened: Callable[[World, Actor], None]
) -> None:
    with platform("test"):
        doctor = MembershipFactory(organization=world.practice, role=Role.DOCTOR)
    inviter = Actor(doctor.user, world.practice, frozenset({Role.DOCTOR}))
    acts.accept(acts.invite(inviter, email="allowed@example.org"))
    invitation = acts.invite(inviter)
    what_happened(world, inviter)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.accept(invitation)
    assert open_invitation(token=acts.token_of(invitation), at=timezone.now()) == invitation


def test_accept__staff_may_no_longer_invite__refused_and_nothing_consumed(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    acts.accept(acts.invite(world.actor(world.omar), email="allowed@example.org"))
    invitation = acts.invite(world.actor(world.omar))
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=False)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.accept(invitation)


def test_accept__colleague_invited_by_an_administrator_who_is_none_any_more__refused(world: World) -> None:
    boss = world.member(Role.IVR_COMPANY, OrganizationKind.IVR_COMPANY, is_org_admin=True)
    acts.accept(acts.invite(boss, "ivr_company", "allowed@example.org"))
    invitation = acts.invite(boss, "ivr_company")
    with platform("test"):
        MembershipFactory(organization=boss.organization, role=Role.IVR_COMPANY, is_org_admin=True)
        Membership.objects.filter(user=boss.user).update(is_org_admin=False)
    acts.count_seats_anew()
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.accept(invitation)


def test_accept__invited_by_a_platform_administrator_inside_the_practice__while_they_are_one(world: World) -> None:
    ana = world.actor(world.ana, world.practice)
    acts.accept(acts.invite(ana, email="allowed@example.org"))
    invitation = acts.invite(ana)
    with platform("test"):
        MembershipFactory(organization=world.platform, role=Role.ADMIN)
        Membership.objects.filter(user=world.ana).update(role=Role.SUPPORT, is_org_admin=False)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.accept(invitation)


def test_accept__entitled_elsewhere_only__refused_and_nothing_consumed(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.stone, role=Role.DOCTOR)
    stone = Actor(world.stone, world.practice, frozenset({Role.DOCTOR}))
    acts.accept(acts.invite(stone, email="allowed@example.org"))
    invitation = acts.invite(stone)
    with platform("test"):
        Membership.objects.filter(user=world.stone, organization=world.practice).update(role=Role.MEDICAL_STAFF)
        MembershipFactory(organization=world.platform, user=world.stone, role=Role.DOCTOR)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.accept(invitation)


def test_accept__administrator_invited_by_the_system__nobody_has_to_be_entitled(world: World) -> None:
    accepted = acts.accept(acts.invite(system_actor("command-line"), "admin"))
    (membership,) = acts.memberships(accepted.user)
    assert (membership.is_org_admin, membership.upline, membership.invited_by) == (True, None, None)
    assert membership.organization == world.platform


# --- what a new person types -----------------------------------------------------------------------------------------
@pytest.mark.seed("S0.38")
@pytest.mark.parametrize(
    ("password", "reasons"),
    [
        ("", 1),
        ("short", 1),
        ("fourteen chars", 1),
        ("password", 2),
        ("nora@example.org", 1),
        ("norAQuist-quistnora", 1),
        ("nora has a quiet boat", 0),
        ("x" * 129, 1),
    ],
)
def test_accept__password__refused_with_every_reason_and_nothing_consumed(
    world: World, password: str, reasons: int
) -> None:
    invitation = acts.invite(world.actor(world.lee))
    if not reasons:
        acts.accept(invitation, password=password)
        return
    with acts.nothing_written(), pytest.raises(PasswordRefused) as refusal:
        acts.accept(invitation, password=password)
    assert refusal.value.field == "password"
    assert len(refusal.value.extra["reasons"]) == reasons
    acts.accept(invitation)


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize(
    ("role", "policy", "least"),
    [(Role.MEDICAL_STAFF, False, 15), (Role.MEDICAL_STAFF, True, 12), (Role.DOCTOR, False, 12)],
)
def test_accept__password__as_long_as_the_invitations_role_or_the_organizations_policy_asks(
    world: World, role: Role, policy: bool, least: int
) -> None:
    with platform("test"):
        invitation = InvitationFactory(
            organization=world.practice, invited_by=world.ana, invitation_type=role, email="vera@example.org"
        )
        OrganizationSettings.objects.filter(organization=world.practice).update(requires_second_factor=policy)
    terms = password_terms(find_invitation(derive_token(invitation.token_nonce)))
    assert terms.least == least
    assert {"vera", "practice"} <= set(terms.words)


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize("password", ["leefamilypractice", "Lee-Family-Practice-2026"])
def test_accept__password_made_of_the_organizations_name__refused(world: World, password: str) -> None:
    invitation = acts.invite(world.actor(world.lee))
    with acts.nothing_written(), pytest.raises(PasswordRefused) as refusal:
        acts.accept(invitation, password=password)
    assert "your organization" in refusal.value.extra["reasons"][0]
    acts.accept(invitation)


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize("password", ["hillstreetfamilyclinic", "Hill-Street-Family-Clinic-2026"])
def test_accept__founders_password_made_of_the_name_typed_beside_it__refused(world: World, password: str) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    founding = acts.invite(sales, "doctor")
    with acts.nothing_written(), pytest.raises(PasswordRefused) as refusal:
        acts.accept(founding, password=password, organization_name="Hill Street Family Clinic")
    assert "your organization" in refusal.value.extra["reasons"][0]
    acts.accept(founding, password=password, organization_name="North Star")


@pytest.mark.parametrize("field", ["first_name", "last_name"])
@pytest.mark.parametrize("typed", ["", "  ", "\n", "x" * 101])
def test_accept__name_missing_or_too_long__malformed_and_nothing_consumed(world: World, field: str, typed: str) -> None:
    invitation = acts.invite(world.actor(world.lee))
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.accept(invitation, **{field: typed})
    assert refusal.value.field == field
    acts.accept(invitation)


def test_accept__password__works_afterwards_as_typed_in_another_normal_form(world: World) -> None:
    typed = "caf\u00e9 au lait s'il vous pla\u00eet"
    user = acts.accept(acts.invite(world.actor(world.lee)), password=typed).user
    assert user.check_password("cafe\u0301 au lait s'il vous plai\u0302t")


def test_accept__address_and_language__come_from_the_invitation(world: World) -> None:
    user = acts.accept(acts.invite(world.actor(world.lee), email="Nora@Example.org", language="es")).user
    assert (user.email, user.language, user.first_name) == ("nora@example.org", "es", "Nora")


# --- links that do not open ------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.10")
@pytest.mark.parametrize(
    "token",
    ["", "x", "A" * 43, "A" * 42, "A" * 44, "\u0663" * 43, "\0" * 43, "../" * 14 + "x", "A" * 100_000],
)
def test_any__token_never_issued__not_found(world: World, token: str) -> None:
    for door in (acts.accept, acts.decline, acts.ask_for_new_link, find_invitation):
        with acts.nothing_written(), pytest.raises(InvitationNotFound):
            door(token)


@pytest.mark.seed("S0.10")
@pytest.mark.parametrize("state", ["cancelled", "declined", "expired"])
def test_accept_and_decline__closed__gone_with_its_code_and_nothing_written(world: World, state: str) -> None:
    with platform("test"):
        invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
    token = derive_token(invitation.token_nonce)
    for door in (acts.accept, acts.decline):
        with acts.nothing_written(), pytest.raises(InvitationClosed) as refusal:
            door(token)
        assert refusal.value.code == f"invitation_{state}"
        assert refusal.value.extra == {}


@pytest.mark.seed("S0.11")
def test_accepted__again_by_anybody__conflict_and_nothing_written(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    user = acts.accept(invitation).user
    for who in (None, user, world.stone):
        with acts.nothing_written(), pytest.raises(AlreadyAccepted):
            acts.accept(invitation, user=who)
    with acts.nothing_written(), pytest.raises(AlreadyAccepted):
        acts.decline(invitation)
    with pytest.raises(InvitationClosed) as refusal:
        open_invitation(token=acts.token_of(invitation), at=timezone.now())
    assert refusal.value.code == "invitation_accepted"


@pytest.mark.seed("S0.10")
def test_look_up__a_hundred_times__changes_nothing(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    token = acts.token_of(invitation)
    with acts.nothing_written():
        for _time in range(100):
            assert open_invitation(token=token, at=timezone.now()) == invitation
    acts.accept(token)


# --- races and bugs --------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.11")
def test_accept__fifty_at_once__one_user_one_membership_and_49_conflicts(committed_world: World) -> None:
    world = committed_world
    invitation = acts.invite(world.actor(world.lee))
    token = acts.token_of(invitation)
    typed = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}
    results = acts.at_once(
        *[partial(accept_invitation, token=token, visitor=STRANGER, at=timezone.now(), **typed)] * 50  # type: ignore[arg-type]
    )
    assert sum(isinstance(result, Accepted) for result in results) == 1
    assert sum(isinstance(result, AlreadyAccepted) for result in results) == 49
    assert User.objects.filter(email="nora@example.org").count() == 1
    assert acts.history(invitation) == ["accept"]
    acts.assert_seats_are_counted()
    assert acts.actions(world.practice).count("invitation.accepted") == 1


def test_accept__two_organizations_invite_one_new_person__second_acceptance_asks_to_sign_in(
    committed_world: World,
) -> None:
    world = committed_world
    tokens = [acts.token_of(acts.invite(world.actor(inviter))) for inviter in (world.lee, world.stone)]
    typed = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}
    results = acts.at_once(
        *[
            partial(accept_invitation, token=token, visitor=STRANGER, at=timezone.now(), **typed)  # type: ignore[arg-type]
            for token in tokens
        ]
    )
    accepted = [result for result in results if isinstance(result, Accepted)]
    assert len(accepted) == 1
    assert [type(result) for result in results if not isinstance(result, Accepted)] == [SignInRequired]
    acts.assert_seats_are_counted()
    loser = tokens[0] if isinstance(results[1], Accepted) else tokens[1]
    acts.accept(loser, user=accepted[0].user)
    assert len(acts.memberships(accepted[0].user)) == 2


def test_accept__new_person__hashed_before_the_transaction_opens(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = committed_world
    invitation = acts.invite(world.actor(world.lee))
    in_transaction = []

    def watched(password: str) -> str:
        in_transaction.append(connection.in_atomic_block)
        return hash_password(password)

    monkeypatch.setattr("invitations.acceptance.hash_password", watched)
    acts.accept(invitation)
    assert in_transaction == [False]


def test_accept__bug_at_the_very_end__nothing_consumed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation = acts.invite(world.actor(world.lee))

    def break_down(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("invitations.acceptance.queue_notice", break_down)
        with acts.nothing_written(), pytest.raises(ZeroDivisionError):
            acts.accept(invitation)
    acts.accept(invitation)


# --- declining -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.23")
def test_decline__open__terminal_seat_free_and_the_inviter_told(world: World) -> None:
    used = acts.seats_used(world.practice)
    invitation = acts.invite(world.actor(world.lee))
    at = timezone.now()
    acts.decline(invitation, reason="not_me", at=at)
    row = acts.fresh(invitation)
    assert (row.status, row.closed_at, row.closed_by) == ("declined", at, None)
    assert acts.seats_used(world.practice) == used
    assert acts.history(row) == ["decline"]
    assert acts.deliveries(row, purpose="declined") == ["queued"]
    with platform("test"):
        assert row.history.get().reason == "not_me"
    message, to = acts.composed(acts.waiting_mail(row, purpose="declined"))
    assert to == "lee@example.org"
    assert "This is not me" in acts.plain_text(message)
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.actor_kind, event.reason) == ("invitation.declined", "anonymous", "not_me")


def test_decline__own_words__are_not_kept(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    acts.decline(invitation, reason="<b>rude</b>")
    with platform("test"):
        assert invitation.history.get().reason == "other"


def test_decline__founding_and_further_role__free_no_seat(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    acts.decline(acts.invite(sales, "doctor"))
    assert acts.seats_used(sales.organization) == 1
    used = acts.seats_used(world.practice)
    acts.decline(acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org"))
    assert acts.seats_used(world.practice) == used


def test_decline__by_somebody_signed_in__the_trail_says_who(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="stone@example.org")
    decline_invitation(
        token=acts.token_of(invitation),
        visitor=Visitor(world.stone, "192.0.2.7", "test-request"),
        reason="not_wanted",
        at=timezone.now(),
    )
    assert acts.trail(world.practice)[-1].actor_id == world.stone.pk


def test_decline__link_replaced__the_newer_one_decides(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    old = acts.token_of(invitation)
    acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    with acts.nothing_written(), pytest.raises(LinkReplaced):
        acts.decline(old)
    acts.decline(invitation)


# --- asking for a new link -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("swept", [True, False])
def test_new_link__expired__renewed_and_mailed_to_the_original_address_only(world: World, swept: bool) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at - timedelta(days=8))
    token = acts.token_of(invitation)
    if swept:
        with platform("test"):
            expire_overdue(at=at)
    acts.ask_for_new_link(token, at=at)
    row = acts.fresh(invitation)
    assert (row.status, row.expires_at, row.invited_by) == ("pending", at + timedelta(days=7), world.lee)
    assert acts.deliveries(row) == ["cancelled", "queued"]
    with pytest.raises(LinkReplaced):
        find_invitation(token)
    assert acts.composed(acts.waiting_mail(row))[1] == "nora@example.org"
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.actor_kind, event.actor_name) == (
        "invitation.renewed",
        "system",
        "invitee-request",
    )
    acts.accept(row, at=at)


def test_new_link__open_with_the_mail_gone__the_present_link_is_mailed_once_more(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    old = acts.token_of(invitation)
    acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    present = acts.token_of(invitation)
    with platform("test"):
        Delivery.objects.filter(invitation=invitation, status=DeliveryStatus.QUEUED).update(status=DeliveryStatus.SENT)
    acts.ask_for_new_link(old)
    assert acts.token_of(invitation) == present
    assert acts.deliveries(invitation) == ["cancelled", "sent", "queued"]
    assert acts.actions(world.practice)[-1] == "invitation.mailed_again"


def test_new_link__mail_still_waiting__nothing_written(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    with acts.nothing_written():
        acts.ask_for_new_link(acts.token_of(invitation))


@pytest.mark.parametrize("state", ["cancelled", "declined"])
def test_new_link__closed_for_good__gone_and_nothing_written(world: World, state: str) -> None:
    with platform("test"):
        invitation = InvitationFactory(organization=world.practice, invited_by=world.lee, **{state: True})
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.ask_for_new_link(derive_token(invitation.token_nonce))


def test_new_link__accepted__conflict_and_nothing_written(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    acts.accept(invitation)
    with acts.nothing_written(), pytest.raises(AlreadyAccepted):
        acts.ask_for_new_link(acts.token_of(invitation))


def test_new_link__thirty_days_after_the_expiry__no_longer(world: World) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at - timedelta(days=37))
    token = acts.token_of(invitation)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.ask_for_new_link(token, at=at + timedelta(seconds=1))
    acts.ask_for_new_link(token, at=at)


def test_new_link__inviter_no_longer_entitled__refused_and_nothing_written(world: World) -> None:
    at = timezone.now()
    acts.allow_staff_to_invite(world.practice)
    omar = world.actor(world.omar)
    invitation = acts.invite(omar, at=at - timedelta(days=8))
    allowed = acts.invite(omar, email="allowed@example.org", at=at - timedelta(days=8))
    acts.ask_for_new_link(acts.token_of(allowed), at=at)
    _demote(world, omar)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.ask_for_new_link(acts.token_of(invitation), at=at)


@pytest.mark.parametrize("days", [1, 8])
def test_new_link__asked_for_again_and_again__half_of_the_sends_stay_for_staff(world: World, days: int) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at - timedelta(days=days))
    put(invitation, send_count=5)
    with acts.nothing_written(), pytest.raises(SendLimitReached) as refusal:
        acts.ask_for_new_link(acts.token_of(invitation), at=at)
    assert "Ask the organization" in str(refusal.value.message)
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=invitation.pk, at=at)
    put(invitation, send_count=4)
    acts.ask_for_new_link(acts.token_of(invitation), at=at)


@pytest.mark.parametrize("days", [1, 8])
def test_new_link__ten_times_sent_or_bounced__refused_and_nothing_written(world: World, days: int) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at - timedelta(days=days))
    with platform("test"):
        Delivery.objects.update(status=DeliveryStatus.FAILED)
    put(invitation, send_count=10)
    with acts.nothing_written(), pytest.raises(SendLimitReached):
        acts.ask_for_new_link(acts.token_of(invitation), at=at)
    put(invitation, send_count=1, delivery_status=DeliveryStatus.BOUNCED)
    with acts.nothing_written(), pytest.raises(AddressBounced):
        acts.ask_for_new_link(acts.token_of(invitation), at=at)
    put(invitation, delivery_status=DeliveryStatus.FAILED)
    acts.ask_for_new_link(acts.token_of(invitation), at=at)


@pytest.mark.seed("S4.11")
def test_new_link__no_seat_left__refused_and_nothing_written(world: World) -> None:
    at = timezone.now()
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, at=at - timedelta(days=8))
    with platform("test"):
        expire_overdue(at=at)
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    with acts.nothing_written(), pytest.raises(NoSeatLeft):
        acts.ask_for_new_link(acts.token_of(invitation), at=at)
    acts.act(cancel_invitation, actor=lee, invitation_id=world.invitation.pk, at=world.invitation.created_at)
    acts.ask_for_new_link(acts.token_of(invitation), at=at)
