"""What is closed while no agreement is in force, and what is not (docs/adr/0011-agreements.md)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.testing.factories import PASSWORD, MembershipFactory, OrganizationFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tests.api.calls import call, problem
from organizations.agreements.gate import (
    AgreementMissing,
    BaaRequired,
    agreement_in_force,
    require_agreement,
    require_patient_data_open,
)
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.models import Membership, Organization
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform, tenant

from .acts import ROOT, agreement, agreements, signature, without_agreement

SignIn = Callable[[User], Client]
NURSE = {"invitation_type": "medical_staff", "email": "nora@example.org"}
NORA = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}


@pytest.mark.seed("S2.18")
def test_invite__for_patient_data_without_agreement__403_with_the_reason_until_it_is_signed(
    world: World, sign_in: SignIn
) -> None:
    without_agreement(world.practice)
    client = sign_in(world.lee)
    seats = acts.seats_used(world.practice)
    body = problem(call(client, "POST", "", NURSE, at=world.practice), 403, "baa_required", "invitation_type")
    assert "business associate agreement" in body["detail"]
    assert acts.seats_used(world.practice) == seats
    signed = client.patch(
        f"{ROOT}{world.practice.pk}/sign-baa/", signature(world.practice), content_type="application/json"
    )
    assert signed.status_code == 200
    assert call(client, "POST", "", NURSE, at=world.practice).status_code == 201


@pytest.mark.parametrize("state", [{"draft": True}, {"sent": True}, {"ended": "expired"}, {"ended": "terminated"}])
def test_invite__with_an_agreement_that_is_not_in_force__403(
    world: World, sign_in: SignIn, state: dict[str, Any]
) -> None:
    client = sign_in(world.lee)
    assert call(client, "POST", "", NURSE | {"email": "a@example.org"}, at=world.practice).status_code == 201
    without_agreement(world.practice)
    if ended := state.get("ended"):
        state = {"status": ended, "ended_at": timezone.now(), "end_reason": "We part."}
    agreement(world.practice, **state)
    problem(call(client, "POST", "", NURSE, at=world.practice), 403, "baa_required", "invitation_type")


def test_invite__role_without_patient_data__needs_no_agreement(world: World, sign_in: SignIn) -> None:
    seller = world.member(Role.DISTRIBUTOR, OrganizationKind.DISTRIBUTOR)
    assert agreements(seller.organization) == []
    client = sign_in(seller.user)  # type: ignore[arg-type]
    body = {"invitation_type": "sales", "email": "nora@example.org"}
    assert call(client, "POST", "", body, at=seller.organization).status_code == 201


@pytest.mark.seed("S2.18")
def test_accept__for_patient_data_without_agreement__422_and_the_link_still_works_once_it_is_signed(
    world: World, sign_in: SignIn
) -> None:
    token = acts.token_of(world.invitation)
    without_agreement(world.practice)
    with acts.nothing_written():
        problem(call(Client(), "POST", f"accept/{token}/", NORA), 422, "baa_required")
    assert acts.refusals(world.practice)[-1][2] == "baa_required"
    agreement(world.practice)
    assert call(Client(), "POST", f"accept/{token}/", NORA).status_code == 201


def test_accept_page__without_agreement__says_who_has_to_sign(world: World) -> None:
    without_agreement(world.practice)
    client = Client()
    client.post("/i/start/", {"token": acts.token_of(world.invitation), "act": "accept"})
    page = read(client.post("/i/accept/", NORA), 422)
    assert page.heading == "The organization has to sign first"
    assert "not used up" in page.main


@pytest.mark.parametrize(("seconds", "is_open"), [(-1, True), (0, False), (1, False)])
def test_accept__around_the_end_of_the_agreement__closed_from_that_very_moment(
    world: World, seconds: int, is_open: bool
) -> None:
    """Whatever the sweep has recorded: no sweep runs here."""
    ends = timezone.now() + timedelta(hours=1)
    with platform("test"):
        BusinessAssociateAgreement.objects.filter(organization=world.practice).update(expires=ends)
    at = ends + timedelta(seconds=seconds)
    with tenant(world.practice):
        assert agreement_in_force(organization=world.practice, at=at) is is_open
    (row,) = agreements(world.practice)
    assert row.is_in_force(at=at) is is_open
    assert (row.current_status(at=at) == "signed") is is_open
    if is_open:
        acts.accept(world.invitation, at=at)
    else:
        with pytest.raises(AgreementMissing):
            acts.accept(world.invitation, at=at)


@pytest.mark.parametrize("act", ["resend", "renew", "role"])
def test_new_link__for_patient_data_without_agreement__refused_and_nothing_mailed(
    world: World, sign_in: SignIn, act: str
) -> None:
    client = sign_in(world.lee)
    invitation = world.invitation
    if act == "renew":
        with platform("test"):
            now = timezone.now()
            type(invitation).objects.filter(pk=invitation.pk).update(
                created_at=now - timedelta(days=8), expires_at=now - timedelta(days=1)
            )
    ask = {
        "resend": ("POST", f"{invitation.pk}/resend/", None),
        "renew": ("POST", f"{invitation.pk}/renew/", None),
        "role": ("PATCH", f"{invitation.pk}/", {"invitation_type": "office_admin"}),
    }[act]
    without_agreement(world.practice)
    mails = acts.deliveries(invitation)
    answer = call(client, *ask, at=world.practice)
    assert (answer.status_code, answer.json()["code"]) == (403, "baa_required")
    assert acts.deliveries(invitation) == mails
    agreement(world.practice)
    assert call(client, *ask, at=world.practice).status_code == 200


@pytest.mark.seed("S2.18")
def test_founding__without_any_agreement__accepted_and_closed_until_it_is_signed(world: World, sign_in: SignIn) -> None:
    seller = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    accepted = acts.accept(acts.invite(seller, "doctor", "nora@example.org"), organization_name="Hill Street")
    practice = accepted.organization
    client = sign_in(accepted.user)
    problem(
        call(client, "POST", "", NURSE | {"email": "b@example.org"}, at=practice),
        403,
        "baa_required",
        "invitation_type",
    )
    with tenant(practice), pytest.raises(BaaRequired):
        require_patient_data_open(organization=practice, at=timezone.now())
    address = f"{ROOT}{practice.pk}/sign-baa/"
    assert client.patch(address, signature(practice), content_type="application/json").status_code == 200
    with tenant(practice):
        require_patient_data_open(organization=practice, at=timezone.now())
    assert call(client, "POST", "", NURSE | {"email": "b@example.org"}, at=practice).status_code == 201


def empty(world: World, **values: Any) -> Organization:
    """An organization that nobody founded and nobody belongs to."""
    with platform("test"):
        return OrganizationFactory(name="Hill Street", slug="hill-street", agreement=False, **values)


@pytest.mark.seed("S2.18")
def test_first_person__invited_by_the_platform__runs_it_and_signs_right_after_joining(world: World) -> None:
    made, here = empty(world), "/o/hill-street/invitations/new/"
    response = submit(browser(world.ana), here, invitation_type="doctor", email="nora@example.org")
    assert response.status_code == 302
    with platform("test"):
        token = acts.token_of(UserInvitation.objects.get(organization=made))
    nora = Client()
    nora.post("/i/start/", {"token": token, "act": "accept"})
    joined = nora.post("/i/accept/", NORA)
    assert (joined.status_code, joined["Location"]) == (302, "/o/hill-street/agreements/sign/")
    with platform("test"):
        member = Membership.objects.get(organization=made)
    assert (member.role, member.is_org_admin) == ("doctor", True)
    with tenant(made), pytest.raises(BaaRequired):
        require_patient_data_open(organization=made, at=timezone.now())


@pytest.mark.seed("S2.18")
def test_first_person__two_invited__the_second_waits_for_the_signature_and_runs_nothing(
    world: World, sign_in: SignIn
) -> None:
    made = empty(world)
    first, second = (
        acts.invite(world.actor(world.ana, made), "doctor", email) for email in ("a@example.org", "b@example.org")
    )
    joined = acts.accept(first)
    assert joined.has_to_sign
    with pytest.raises(AgreementMissing):
        acts.accept(second)
    body = {"invitation_type": "doctor", "email": "c@example.org"}  # somebody runs it now: nobody is exempt any more
    problem(call(sign_in(world.ana), "POST", "", body, at=made), 403, "baa_required", "invitation_type")
    agreement(made)
    later = acts.accept(second)
    assert not later.has_to_sign
    with platform("test"):
        assert list(Membership.objects.filter(organization=made, is_org_admin=True).values_list("user", flat=True)) == [
            joined.user.pk
        ]


@pytest.mark.seed("S2.18")
@pytest.mark.parametrize("act", ["resend", "renew", "new link"])
def test_first_person__sent_again_before_the_agreement__goes_out(world: World, sign_in: SignIn, act: str) -> None:
    made = empty(world)
    invitation = acts.invite(world.actor(world.ana, made), "doctor")
    if act in ("renew", "new link"):
        with platform("test"):
            now = timezone.now()
            UserInvitation.objects.filter(pk=invitation.pk).update(
                created_at=now - timedelta(days=8), expires_at=now - timedelta(days=1)
            )
    if act == "new link":
        acts.ask_for_new_link(acts.token_of(invitation))
    else:
        ask = {
            "resend": ("POST", f"{invitation.pk}/resend/", None),
            "renew": ("POST", f"{invitation.pk}/renew/", None),
        }[act]
        assert call(sign_in(world.ana), *ask, at=made).status_code == 200
    assert acts.accept(invitation).has_to_sign


def test_first_person__invited_by_a_member_who_does_not_run_it__nobody_is_exempt(world: World) -> None:
    made = empty(world)
    with platform("test"):
        doctor = MembershipFactory(organization=made, role="doctor", is_org_admin=False)
    actor = replace(world.actor(world.lee, made), user=doctor.user, is_org_admin=False)
    with pytest.raises(BaaRequired):
        acts.invite(actor, "medical_staff")
    acts.invite(world.actor(world.ana, made), "doctor")


@pytest.mark.seed("S2.18")
@pytest.mark.parametrize("role", ["office_admin", "medical_staff"])
def test_first_person__of_a_role_that_joins_what_somebody_runs__waits_for_an_agreement_and_runs_nothing(
    world: World, sign_in: SignIn, role: str
) -> None:
    made, client = empty(world), sign_in(world.ana)
    body = {"invitation_type": role, "email": "nora@example.org"}
    problem(call(client, "POST", "", body, at=made), 403, "baa_required", "invitation_type")
    head = {"invitation_type": "doctor", "email": "head@example.org"}
    created = call(client, "POST", "", head, at=made)
    assert created.status_code == 201
    refused = call(client, "PATCH", f"{created.json()['id']}/", {"invitation_type": role}, at=made)
    assert (refused.status_code, refused.json()["code"]) == (403, "baa_required")
    agreement(made)
    assert call(client, "POST", "", body, at=made).status_code == 201
    with platform("test"):
        joined = acts.accept(UserInvitation.objects.get(organization=made, email="nora@example.org"))
    assert not joined.has_to_sign
    with platform("test"):
        assert not Membership.objects.get(organization=made).is_org_admin
        first = acts.accept(UserInvitation.objects.get(organization=made, email="head@example.org"))
        assert Membership.objects.get(organization=made, user=first.user).is_org_admin, "whoever was there before"


def test_first_person__where_no_agreement_is_needed__runs_it_and_has_nothing_to_sign(world: World) -> None:
    made = empty(world, kind="distributor")
    seller = acts.accept(acts.invite(world.actor(world.ana, made), "sales", "rep@example.org"))
    owner = acts.accept(acts.invite(world.actor(world.ana, made), "distributor"))
    with platform("test"):
        assert not Membership.objects.get(user=seller.user).is_org_admin
        assert Membership.objects.get(user=owner.user).is_org_admin
    assert not (seller.has_to_sign or owner.has_to_sign)


@pytest.mark.seed("S2.18")
def test_logistics__colleague_without_agreement__refused_and_who_founds_is_exempt(
    world: World, sign_in: SignIn
) -> None:
    chp = world.member(Role.CHP_ADMIN, OrganizationKind.CHP, is_org_admin=True)
    founding = acts.invite(chp, "shipping_logistics", "first@example.org")
    founder = acts.accept(founding, organization_name="Swift Home Delivery")
    company = founder.organization
    assert founder.has_to_sign
    body = {"invitation_type": "shipping_logistics", "email": "nora@example.org"}
    client = sign_in(world.ana)  # somebody runs it: nobody is exempt any more
    problem(call(client, "POST", "", body, at=company), 403, "baa_required", "invitation_type")
    address = f"{ROOT}{company.pk}/sign-baa/"
    signed = sign_in(founder.user).patch(address, signature(company), content_type="application/json")
    assert signed.status_code == 200
    assert call(client, "POST", "", body, at=company).status_code == 201
    without_agreement(company)
    with platform("test"):
        waiting = UserInvitation.objects.get(organization=company, email="nora@example.org")
    with pytest.raises(AgreementMissing):
        acts.accept(waiting)


@pytest.mark.seed("S2.18")
def test_patient_data__after_expiry__nothing_new_and_care_goes_on__after_termination__closed(world: World) -> None:
    now = timezone.now()

    def opens(check: Callable[..., None]) -> bool:
        with tenant(world.practice):
            try:
                check(organization=world.practice, at=now)
            except BaaRequired:
                return False
            return True

    def both() -> tuple[bool, bool]:
        return opens(require_agreement), opens(require_patient_data_open)

    assert both() == (True, True)
    rows = BusinessAssociateAgreement.objects.filter(organization=world.practice)
    with platform("test"):
        rows.update(expires=now)
    assert both() == (False, True)
    with platform("test"):
        rows.update(status="expired", ended_at=now)
    assert both() == (False, True)
    with platform("test"):
        rows.update(status="terminated", end_reason="We part.")
    assert both() == (False, False)
    without_agreement(world.practice)
    assert both() == (False, False)


def test_invite_page__without_agreement__the_reason_stands_at_the_role_and_nothing_typed_is_lost(world: World) -> None:
    without_agreement(world.practice)
    client = browser(world.lee)
    here = "/o/lee-family-practice/invitations/new/"
    page = read(submit(client, here, invitation_type="medical_staff", email="nora@example.org"), 422)
    assert "business associate agreement" in page.errors["invitation_type"][0]
    assert page.values["email"] == "nora@example.org"
