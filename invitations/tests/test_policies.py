"""An organization's policies at every issue of an invitation, and at its acceptance: how long a link works (C1), and
whose address may join."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from healthivr.kernel.errors import Malformed
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.services import correct_address, renew_invitation, resend_invitation, update_invitation
from organizations.models import Organization, OrganizationSettings
from organizations.policies import EmailDomainNotAllowed
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

from . import acts


def decide(organization: Organization, **policies: Any) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=organization).update(**policies)


def hours(invitation: UserInvitation, *, since: datetime) -> float:
    return (acts.fresh(invitation).expires_at - since).total_seconds() / 3600


# --- how long --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("C1", "S4.5")
@pytest.mark.parametrize(
    ("policy", "chosen", "lives"),
    [(None, None, 168), (24, None, 24), (400, None, 400), (24, 5, 5), (24, 24, 24), (None, 720, 720), (720, 720, 720)],
)
def test_life__of_a_usual_role__by_choice_by_policy_by_type(
    world: World, now: datetime, policy: int | None, chosen: int | None, lives: int
) -> None:
    decide(world.practice, invitation_hours=policy)
    invitation = acts.invite(world.actor(world.lee), expires_in_hours=chosen, at=now)
    assert hours(invitation, since=now) == lives


@pytest.mark.seed("C1")
@pytest.mark.parametrize(("policy", "lives"), [(None, 48), (24, 24), (400, 48)])
def test_life__of_who_runs_things__shortened_by_a_policy_and_never_lengthened(
    world: World, now: datetime, policy: int | None, lives: int
) -> None:
    decide(world.platform, invitation_hours=policy)
    ana = world.actor(world.ana, world.platform)
    for role in ("admin", "chp_admin"):
        invitation = acts.invite(ana, role, f"{role}@example.org".replace("_", "."), at=now)
        assert hours(invitation, since=now) == lives


def test_life__of_a_founder__the_senders_policy(world: World, now: datetime) -> None:
    seller = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    decide(seller.organization, invitation_hours=12)
    assert hours(acts.invite(seller, "doctor", "doc@example.org", at=now), since=now) == 12


@pytest.mark.seed("C1")
def test_life__longer_than_the_policy__refused_at_its_field_and_nothing_written(world: World) -> None:
    decide(world.practice, invitation_hours=24)
    lee = world.actor(world.lee)
    open_one = acts.invite(lee, email="mira@example.org", expires_in_hours=24)
    with acts.nothing_written():
        for attempt in (
            lambda: acts.invite(lee, expires_in_hours=25),
            lambda: acts.act(update_invitation, actor=lee, invitation_id=open_one.pk, expires_in_hours=25),
        ):
            with pytest.raises(Malformed) as refused:
                attempt()
            assert (refused.value.code, refused.value.field) == ("expires_in_hours", "expires_in_hours")
            assert "24" in str(refused.value.message)


@pytest.mark.seed("C1")
@pytest.mark.parametrize(("policy", "lives"), [(None, 100), (200, 100), (30, 30)])
def test_life__at_each_further_issue__the_same_again_cut_to_the_policy(
    world: World, now: datetime, policy: int | None, lives: int
) -> None:
    lee = world.actor(world.lee)
    resent, expired, wrong, changed = (
        acts.invite(lee, email=f"{name}@example.org", expires_in_hours=100, at=now)
        for name in ("resent", "expired", "wrong", "changed")
    )
    decide(world.practice, invitation_hours=policy)
    later = now + timedelta(hours=101)
    acts.act(renew_invitation, actor=lee, invitation_id=expired.pk, at=later)
    assert hours(expired, since=later) == lives
    soon = now + timedelta(hours=1)
    acts.act(resend_invitation, actor=lee, invitation_id=resent.pk, at=soon)
    assert hours(resent, since=soon) == lives
    acts.act(update_invitation, actor=lee, invitation_id=changed.pk, invitation_type="office_admin", at=soon)
    assert hours(changed, since=soon) == lives
    new = acts.act(correct_address, actor=lee, invitation_id=wrong.pk, email="right@example.org", at=soon)
    assert hours(new, since=soon) == lives


def test_life__on_the_page__the_policy_and_only_what_it_leaves(world: World) -> None:
    here = "/o/lee-family-practice/invitations/new/"
    assert "7 days (usual)" in read(browser(world.lee).get(here)).main
    decide(world.practice, invitation_hours=36)
    client = browser(world.lee)
    page = read(client.get(here))
    assert "36 hours (usual)" in page.main
    assert "24 hours" in page.main
    assert "48 hours" not in page.main
    response = submit(client, here, invitation_type="medical_staff", email="nora@example.org", expires_in_hours="48")
    assert response.status_code == 422
    assert submit(client, here, invitation_type="medical_staff", email="nora@example.org").status_code == 302


# --- whose address ---------------------------------------------------------------------------------------------------
Attempt = Callable[[World, UserInvitation], object]


def create(world: World, _invitation: UserInvitation) -> object:
    return acts.invite(world.actor(world.lee), email="nora@elsewhere.example")


def correct(world: World, invitation: UserInvitation) -> object:
    return acts.act(
        correct_address, actor=world.actor(world.lee), invitation_id=invitation.pk, email="nora@elsewhere.example"
    )


def resend(world: World, invitation: UserInvitation) -> object:
    return acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=invitation.pk)


def accept(_world: World, invitation: UserInvitation) -> object:
    return acts.accept(invitation)


@pytest.mark.parametrize("attempt", [create, correct, resend, accept])
def test_domain__not_allowed__refused_at_the_address_with_the_allowed_ones(world: World, attempt: Attempt) -> None:
    invitation = acts.invite(world.actor(world.lee), email="iris@elsewhere.example")
    decide(world.practice, email_domains=["clinic.example", "example.org"])
    with acts.nothing_written(), pytest.raises(EmailDomainNotAllowed) as refused:
        attempt(world, invitation)
    assert (refused.value.code, refused.value.field) == ("email_domain_not_allowed", "email")
    assert "clinic.example, example.org" in str(refused.value.message)
    assert refused.value.extra["email_domains"] == ["clinic.example", "example.org"]
    decide(world.practice, email_domains=["elsewhere.example"])
    attempt(world, invitation)


def test_domain__expired_invitation__not_renewed_for_one_that_is_kept_out(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, email="iris@elsewhere.example", expires_in_hours=1, at=now - timedelta(hours=2))
    decide(world.practice, email_domains=["example.org"])
    with pytest.raises(EmailDomainNotAllowed):
        acts.act(renew_invitation, actor=lee, invitation_id=invitation.pk, at=now)
    token = acts.token_of(invitation)
    with pytest.raises(EmailDomainNotAllowed):
        acts.ask_for_new_link(token, at=now)
    decide(world.practice, email_domains=["elsewhere.example"])
    acts.ask_for_new_link(token, at=now)
    assert acts.fresh(invitation).expires_at == now + timedelta(hours=1)


def test_domain__of_a_founder__the_senders_policy_does_not_ask(world: World) -> None:
    seller = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    decide(seller.organization, email_domains=["sellers.example"])
    doctor = acts.invite(seller, "doctor", "doc@clinic.example")
    assert acts.accept(doctor, organization_name="Hill Street").has_founded
    boss = world.actor(world.ana, world.practice)
    decide(world.practice, email_domains=["sellers.example"])
    with pytest.raises(EmailDomainNotAllowed):
        acts.invite(boss, "doctor", "other@clinic.example")  # who joins


def test_domain__invitee_from_elsewhere__a_page_that_says_what_to_do(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), email="iris@elsewhere.example")
    decide(world.practice, email_domains=["clinic.example"])
    client = browser()
    client.cookies["invitation"] = acts.token_of(invitation)
    response = submit(client, "/i/accept/", first_name="Iris", last_name="Ho", password="correct horse battery staple")
    page = read(response, 422)
    assert "clinic.example" in page.main
    assert "Ask the organization" in page.main
    assert [(code, actor) for _target, actor, code in acts.refusals(world.practice)] == [
        ("email_domain_not_allowed", None)
    ]


def test_domain__on_the_form__at_the_field_and_nothing_typed_is_lost(world: World) -> None:
    decide(world.practice, email_domains=["clinic.example"])
    client = browser(world.lee)
    here = "/o/lee-family-practice/invitations/new/"
    page = read(submit(client, here, invitation_type="medical_staff", email="nora@elsewhere.example"), 422)
    assert "clinic.example" in page.errors["email"][0]
    assert page.values["email"] == "nora@elsewhere.example"
