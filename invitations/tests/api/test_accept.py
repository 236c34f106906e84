"""POST /api/v1/invitations/accept/{token}/."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.factories import (
    PASSWORD,
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
)
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.services import resend_invitation
from invitations.tests import acts
from invitations.tests.api.calls import call, problem
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role, can_work_in
from organizations.tenancy import platform

from .test_detail import close

SignIn = Callable[[User], Client]
NORA = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}


def accept(invitation: UserInvitation | str, body: Any = None, client: Client | None = None, **headers: str) -> Any:
    """Accept an invitation, or a token of one."""
    token = invitation if isinstance(invitation, str) else acts.token_of(invitation)
    response = call(client or Client(), "POST", f"accept/{token}/", NORA if body is None else body, **headers)
    acts.assert_seats_are_counted()
    return response


def invite_somebody_with_an_account(world: World) -> tuple[UserInvitation, User]:
    """Return an invitation of Dr. Lee's practice to somebody who works elsewhere already."""
    nora = UserFactory(email="nora@example.org")
    return acts.invite(world.actor(world.lee)), nora


# --- a new person ----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.11", "S4.21")
def test_accept__new_person__account_and_membership_and_nobody_is_signed_in(world: World) -> None:
    response = accept(world.invitation)
    assert response.status_code == 201
    user = User.objects.get(email="new.nurse@example.org")
    assert response.json() == {
        "user_id": str(user.pk),
        "organization": "lee-family-practice",
        "role": "medical_staff",
        "is_new_user": True,
    }
    assert user.get_full_name() == "Nora Quist"
    assert user.check_password(PASSWORD)
    (membership,) = acts.memberships(user)
    assert (membership.organization, membership.role, membership.is_org_admin) == (
        world.practice,
        "medical_staff",
        False,
    )
    assert not response.cookies


@pytest.mark.seed("S0.11")
def test_accept__role_and_rights_in_the_body__ignored(world: World) -> None:
    body = {
        **NORA,
        "role": "admin",
        "membership_role": "doctor",
        "invitation_type": "admin",
        "is_org_admin": True,
        "is_active": False,
        "email": "evil@example.org",
        "organization": world.strange_practice.slug,
        "organization_id": str(world.strange_practice.pk),
        "organization_name": "Empire",
        "upline": str(world.stone.pk),
        "user_id": str(world.lee.pk),
    }
    assert accept(world.invitation, body).status_code == 201
    user = User.objects.get(email="new.nurse@example.org")
    (membership,) = acts.memberships(user)
    assert (membership.organization, membership.role) == (world.practice, "medical_staff")
    assert (membership.is_org_admin, membership.upline, user.is_active) == (False, world.lee, True)
    assert not Organization.objects.filter(name="Empire").exists()
    assert not User.objects.filter(email="evil@example.org").exists()


def test_accept__header_of_another_organization__ignored(world: World) -> None:
    response = accept(world.invitation, **{"X-Organization": world.strange_practice.slug})
    assert response.json()["organization"] == world.practice.slug


@pytest.mark.seed("S0.13", "S0.15")
@pytest.mark.parametrize(
    ("invitation_type", "kind", "home"),
    [
        ("admin", "platform", None),
        ("chp_admin", "platform", "chp"),
        ("master_distributor", "chp", "master_distributor"),
        ("distributor", "master_distributor", "distributor"),
        ("sales", "distributor", None),
        ("doctor", "distributor", "practice"),
        ("doctor", "practice", None),
        ("office_admin", "practice", None),
        ("medical_staff", "practice", None),
        ("ivr_company", "chp", "ivr_company"),
        ("ivr_company", "ivr_company", None),
        ("shipping_logistics", "chp", "logistics"),
    ],
)
def test_accept__each_type__joins_or_founds_as_the_invitation_says(
    world: World, invitation_type: str, kind: str, home: str | None
) -> None:
    with platform("test"):
        sender = world.platform if kind == "platform" else OrganizationFactory(kind=kind)
        if kind != "platform":  # somebody runs it: who comes first to one that nobody runs would
            role = next(role for role in Role if can_work_in(role, OrganizationKind(kind)))
            MembershipFactory(organization=sender, role=role, is_org_admin=True)
    invitation = acts.invite(world.actor(world.ana, sender), invitation_type)
    response = accept(invitation, {**NORA, "organization_name": "Nora’s own"})
    assert response.status_code == 201, response.content
    (membership,) = acts.memberships(User.objects.get(email="nora@example.org"))
    assert response.json()["role"] == membership.role == invitation_type
    assert response.json()["organization"] == membership.organization.slug
    if home is None:
        assert membership.organization == sender
        assert membership.is_org_admin is (invitation_type == "admin")
    else:
        assert (membership.organization.kind, membership.organization.name) == (home, "Nora’s own")
        assert membership.organization.parent == sender
        assert membership.is_org_admin


@pytest.mark.seed("S0.38", "S0.20")
@pytest.mark.parametrize(
    ("password", "reasons"),
    [
        ("", ["too short"]),
        ("short", ["too short"]),
        ("fourteen chars", ["too short"]),
        ("password", ["too short", "tried first"]),
        ("new.nurse@example.org", ["made of your name"]),
        ("horse battery staple correct " * 5, ["too long"]),
    ],
)
def test_accept__password_that_is_refused__422_with_every_reason(
    world: World, password: str, reasons: list[str]
) -> None:
    with acts.nothing_written():
        response = accept(world.invitation, {**NORA, "password": password})
    answer = problem(response, 422, "password_refused", "password")
    for reason in reasons:
        assert [told for told in answer["reasons"] if reason in told]
    assert answer["errors"]["password"] == answer["reasons"]
    assert len(password) < 10 or password not in response.content.decode()
    assert accept(world.invitation).status_code == 201


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize(
    "password",
    [
        "fifteen chars ok",
        " leading and trailing ",
        "密码是一匹正确的马和一块电池订书钉",
        "horse battery staple correct " * 4,
    ],
)
def test_accept__password_of_fifteen_to_128_characters_of_any_kind__taken_as_it_is(world: World, password: str) -> None:
    assert accept(world.invitation, {**NORA, "password": password}).status_code == 201
    assert User.objects.get(email="new.nurse@example.org").check_password(password)


@pytest.mark.parametrize("field", ["first_name", "last_name"])
@pytest.mark.parametrize("value", ["", "   ", "x" * 101])
def test_accept__no_name_or_too_long_a_one__400_at_it(world: World, field: str, value: str) -> None:
    with acts.nothing_written():
        response = accept(world.invitation, {**NORA, field: value})
    problem(response, 400, "name", field)


def test_accept__empty_body__400_and_nothing_consumed(world: World) -> None:
    with acts.nothing_written():
        response = call(Client(), "POST", f"accept/{acts.token_of(world.invitation)}/")
    problem(response, 400, "name", "first_name")
    assert accept(world.invitation).status_code == 201


# --- founding --------------------------------------------------------------------------------------------------------
def test_accept__founder_without_a_name_for_the_organization__400(world: World) -> None:
    invitation = acts.invite(world.member("sales", "distributor"), "doctor", "doc@example.org")
    for name in ("", " ", "x", "x" * 121):
        with acts.nothing_written():
            response = accept(invitation, {**NORA, "organization_name": name})
        problem(response, 400, "organization_name", "organization_name")
    response = accept(invitation, {**NORA, "organization_name": "Hill  Street"})
    assert response.status_code == 201
    assert Organization.objects.get(slug=response.json()["organization"]).name == "Hill Street"


def test_accept__doctor_who_runs_a_practice__may_bring_it_and_no_other(world: World, sign_in: SignIn) -> None:
    sales = world.member("sales", "distributor")
    invitation = acts.invite(sales, "doctor", "stone@example.org")
    client = sign_in(world.stone)
    for foreign in (world.practice.pk, uuid4(), sales.organization.pk):
        with acts.nothing_written():
            response = accept(invitation, {"practice_id": str(foreign)}, client)
        problem(response, 422, "practice_not_yours", "practice_id")
    problem(accept(invitation, {"practice_id": "mine"}, client), 400, "malformed_field", "practice_id")
    response = accept(invitation, {"practice_id": str(world.strange_practice.pk)}, client)
    assert (response.status_code, response.json()["organization"]) == (201, "stone-clinic")
    (membership,) = acts.memberships(world.stone)
    assert membership.upline == sales.user


# --- somebody with an account ----------------------------------------------------------------------------------------
@pytest.mark.seed("S0.11")
def test_accept__existing_person__signs_in_first_and_keeps_the_account(world: World, sign_in: SignIn) -> None:
    invitation, nora = invite_somebody_with_an_account(world)
    with acts.nothing_written():
        problem(accept(invitation, {}), 401, "sign_in_required")  # before anything is asked
        response = accept(invitation)
    problem(response, 401, "sign_in_required")
    assert response["WWW-Authenticate"] == "Bearer, Session"
    assert nora.email not in response.content.decode()
    response = accept(invitation, {"password": "something else altogether", "first_name": "Eve"}, sign_in(nora))
    assert response.status_code == 201
    assert response.json()["is_new_user"] is False
    same = User.objects.get(email="nora@example.org")
    assert (same.pk, same.get_full_name(), same.password) == (nora.pk, nora.get_full_name(), nora.password)
    (membership,) = acts.memberships(nora)
    assert (membership.organization, membership.role) == (world.practice, "medical_staff")


@pytest.mark.seed("S3.8")
def test_accept__by_who_owes_a_second_factor__403_and_nothing_consumed(world: World) -> None:
    invitation, nora = invite_somebody_with_an_account(world)
    credentials = {"email": nora.email, "password": PASSWORD}
    bearer = Client().post("/api/v1/auth/token/", credentials, content_type="application/json").json()["access"]
    with_cookie = Client()
    with_cookie.post("/sign-in/", credentials)
    asking = [(Client(), {"Authorization": f"Bearer {bearer}"}), (with_cookie, {})]
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.strange_practice).update(requires_second_factor=True)
        elsewhere = MembershipFactory(organization=world.strange_practice, user=nora, role=Role.MEDICAL_STAFF)
    path = f"/api/v1/invitations/accept/{acts.token_of(invitation)}/"
    for client, headers in asking:
        with acts.nothing_written():
            refusal = client.post(path, {}, content_type="application/json", headers=headers)
            problem(refusal, 403, "second_factor_enrolment_required")
    with platform("test"):
        elsewhere.delete()
    client, headers = asking[0]
    assert client.post(path, {}, content_type="application/json", headers=headers).status_code == 201


@pytest.mark.parametrize("has_account", [True, False])
def test_accept__signed_in_with_another_address__403_and_nothing_consumed(
    world: World, sign_in: SignIn, has_account: bool
) -> None:
    if has_account:
        UserFactory(email="new.nurse@example.org")
    client = sign_in(world.stone)
    with acts.nothing_written():
        response = accept(world.invitation, NORA, client)
    problem(response, 403, "wrong_account")
    assert "new.nurse" not in response.content.decode()
    owner = sign_in(User.objects.get(email="new.nurse@example.org")) if has_account else Client()
    assert accept(world.invitation, NORA, owner).status_code == 201


def test_accept__account_switched_off__422_and_the_link_works_when_it_is_on_again(
    world: World, sign_in: SignIn
) -> None:
    invitation, nora = invite_somebody_with_an_account(world)
    User.objects.filter(pk=nora.pk).update(is_active=False)
    with acts.nothing_written():
        response = accept(invitation)
    problem(response, 422, "account_switched_off")
    assert nora.email not in response.content.decode()
    problem(accept(invitation, {}, sign_in(world.stone)), 403, "wrong_account")
    User.objects.filter(pk=nora.pk).update(is_active=True)
    problem(accept(invitation), 401, "sign_in_required")
    assert accept(invitation, {}, sign_in(nora)).status_code == 201


def test_accept__person_who_got_the_role_otherwise__409(world: World, sign_in: SignIn) -> None:
    invitation, nora = invite_somebody_with_an_account(world)
    with platform("test"):
        MembershipFactory(organization=world.practice, user=nora, role="medical_staff")
    acts.count_seats_anew()
    problem(accept(invitation, {}, sign_in(nora)), 409, "already_member")
    assert acts.fresh(invitation).status == "pending"


# --- a link that opens nothing ---------------------------------------------------------------------------------------
@pytest.mark.seed("S0.10", "S0.11")
@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("accepted", 409, "invitation_accepted"),
        ("declined", 410, "invitation_declined"),
        ("cancelled", 410, "invitation_cancelled"),
        ("expired", 410, "invitation_expired"),
        ("overdue", 410, "invitation_expired"),
    ],
)
def test_accept__closed_invitation__says_how_and_makes_nobody(world: World, how: str, status: int, code: str) -> None:
    token = acts.token_of(world.invitation)
    close(world.invitation, how)
    people = User.objects.count()
    with acts.nothing_written():
        response = accept(token)
    problem(response, status, code)
    assert User.objects.count() == people


@pytest.mark.seed("S0.8")
def test_accept__replaced_link__410_and_the_new_one_works(world: World) -> None:
    old = acts.token_of(world.invitation)
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=world.invitation.pk)
    with acts.nothing_written():
        response = accept(old)
    problem(response, 410, "link_replaced")
    assert accept(world.invitation).status_code == 201


def test_accept__never_issued__404(world: World) -> None:
    problem(accept("A" * 43), 404, "invitation_not_found")


def test_accept__inviter_who_lost_the_right__422_and_the_link_is_not_used_up(world: World) -> None:
    with platform("test"):
        of_lee = Membership.objects.filter(user=world.lee)
        of_lee.update(role="marketer")
        response = accept(world.invitation)
        problem(response, 422, "inviter_not_entitled")
        assert not User.objects.filter(email="new.nurse@example.org").exists()
        of_lee.update(role="doctor")
    assert accept(world.invitation).status_code == 201


def test_accept__organization_switched_off__422(world: World) -> None:
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    problem(accept(world.invitation), 422, "inviter_not_entitled")


# --- refused attempts in the trail -----------------------------------------------------------------------------------
@pytest.mark.seed("S0.23")
def test_accept__refused__one_event_with_its_code_in_the_organizations_trail(world: World, sign_in: SignIn) -> None:
    invitation, nora = invite_somebody_with_an_account(world)
    problem(accept(invitation), 401, "sign_in_required")
    response = accept(invitation, {}, sign_in(world.stone))
    problem(response, 403, "wrong_account")
    event = acts.trail(world.practice)[-1]
    assert (event.address, event.request_id) == ("127.0.0.1", response["X-Request-ID"])
    assert (event.actor_kind, event.detail) == ("person", {"code": "wrong_account"})
    close(invitation, "cancelled")
    problem(accept(invitation, {}, sign_in(nora)), 410, "invitation_cancelled")
    one = str(invitation.pk)
    assert acts.refusals(world.practice) == [
        (one, None, "sign_in_required"),
        (one, world.stone.pk, "wrong_account"),
        (one, nora.pk, "invitation_cancelled"),
    ]
    assert acts.actions(world.strange_practice) == []


def test_accept__replaced_link_or_lost_right__in_the_trail(world: World) -> None:
    old = acts.token_of(world.invitation)
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=world.invitation.pk)
    problem(accept(old), 410, "link_replaced")
    with platform("test"):
        Membership.objects.filter(user=world.lee).update(role="marketer")
    problem(accept(world.invitation), 422, "inviter_not_entitled")
    assert [code for _one, _who, code in acts.refusals(world.practice)] == ["link_replaced", "inviter_not_entitled"]


@pytest.mark.parametrize("typed", [{"first_name": ""}, {"password": "short"}, {"practice_id": "mine"}])
def test_accept__mistyped_never_issued_or_only_looked_at__nothing_in_the_trail(
    world: World, typed: dict[str, str]
) -> None:
    assert accept(world.invitation, {**NORA, **typed}).status_code in (400, 422)
    problem(accept("A" * 43), 404, "invitation_not_found")
    close(world.invitation, "cancelled")
    assert call(Client(), "GET", f"validate/{acts.token_of(world.invitation)}/").status_code == 410
    assert acts.refusals(world.practice) == acts.refusals(world.platform) == []


# --- many at once ----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.11")
def test_accept__fifty_at_once__one_person_one_membership_and_49_times_409(
    committed_world: World, roomy_limits: None
) -> None:
    world = committed_world
    address = f"/api/v1/invitations/accept/{acts.token_of(world.invitation)}/"

    def one() -> Any:
        return Client().post(address, NORA, content_type="application/json")

    answers = acts.at_once(*[one] * 50)
    assert all(not isinstance(answer, Exception) for answer in answers), answers
    codes = sorted(answer.status_code for answer in answers)  # type: ignore[union-attr]
    assert codes == [201] + [409] * 49
    user = User.objects.get(email="new.nurse@example.org")
    assert len(acts.memberships(user)) == 1
    assert acts.history(world.invitation) == ["accept"]
    assert acts.actions(world.practice).count("invitation.accepted") == 1
    acts.assert_seats_are_counted()


def test_accept__two_invitations_of_one_new_address_one_after_the_other__second_asks_to_sign_in(
    world: World, sign_in: SignIn
) -> None:
    with platform("test"):
        second = InvitationFactory(
            organization=world.strange_practice, invited_by=world.stone, email="new.nurse@example.org"
        )
    acts.count_seats_anew()
    assert accept(world.invitation).status_code == 201
    problem(accept(second), 401, "sign_in_required")
    user = User.objects.get(email="new.nurse@example.org")
    assert accept(second, {}, sign_in(user)).status_code == 201
    assert {m.organization for m in acts.memberships(user)} == {world.practice, world.strange_practice}
