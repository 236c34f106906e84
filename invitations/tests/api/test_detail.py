"""GET, PUT, PATCH and DELETE /api/v1/invitations/{id}/."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tests.api.calls import assert_no_link, call, problem
from organizations.roles import Role
from organizations.tenancy import platform

SignIn = Callable[[User], Client]
EVERY_ACT = [
    ("GET", "", None),
    ("PUT", "", {"invitation_type": "medical_staff", "first_name": "Nora"}),
    ("PATCH", "", {"first_name": "Nora"}),
    ("POST", "resend/", None),
    ("POST", "renew/", None),
    ("DELETE", "", None),
]


def path(invitation: UserInvitation | UUID, act: str = "") -> str:
    """Return where an invitation stands."""
    return f"{getattr(invitation, 'pk', invitation)}/{act}"


def close(invitation: UserInvitation, how: str) -> None:
    """End an invitation as somebody would."""
    if how == "accepted":
        acts.accept(invitation)
    elif how == "declined":
        acts.decline(invitation)
    else:
        now = timezone.now()
        overdue = {"created_at": now - timedelta(days=8), "expires_at": now - timedelta(minutes=1)}
        with platform("test"):
            UserInvitation.objects.filter(pk=invitation.pk).update(
                **(overdue if how == "overdue" else {"status": how, "closed_at": now})
            )
        acts.count_seats_anew()


# --- how times are written -------------------------------------------------------------------------------------------
def test_read__by_somebody_in_new_york__times_are_utc(world: World, sign_in: SignIn) -> None:
    User.objects.filter(pk=world.lee.pk).update(time_zone="America/New_York")
    body = call(sign_in(world.lee), "GET", path(world.invitation)).json()
    times = [value for name, value in body.items() if value and name.endswith("_at")]
    assert len(times) >= 2
    assert all(value.endswith("Z") for value in times), times


# --- whose it is -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.7", "S0.24", "S4.7")
@pytest.mark.parametrize(("method", "act", "body"), EVERY_ACT)
def test_any_act__invitation_of_another_organization__404_as_if_it_did_not_exist(
    world: World, sign_in: SignIn, method: str, act: str, body: Any
) -> None:
    client = sign_in(world.stone)
    with acts.nothing_written():
        foreign = call(client, method, path(world.invitation, act), body, at=world.strange_practice)
        unknown = call(client, method, path(uuid4(), act), body, at=world.strange_practice)
    answers = [problem(response, 404, "not_found") for response in (foreign, unknown)]
    for answer in answers:
        del answer["request_id"]
    assert answers[0] == answers[1]
    if act == "renew/":
        close(world.strange_invitation, "overdue")
    allowed = call(client, method, path(world.strange_invitation, act), body, at=world.strange_practice)
    assert allowed.status_code == 200, allowed.content


@pytest.mark.parametrize(("method", "act", "body"), EVERY_ACT)
def test_any_act__colleague_s_invitation__403_saying_so(
    world: World, sign_in: SignIn, method: str, act: str, body: Any
) -> None:
    acts.allow_staff_to_invite(world.practice)
    with platform("test"):
        own = InvitationFactory(organization=world.practice, invited_by=world.omar, upline=world.omar)
    acts.count_seats_anew()
    if act == "renew/":
        close(own, "overdue")
    client = sign_in(world.omar)
    assert call(client, method, path(own, act), body, at=world.practice).status_code == 200
    before = acts.fresh(world.invitation)
    problem(call(client, method, path(world.invitation, act), body, at=world.practice), 403, "not_your_invitation")
    assert acts.fresh(world.invitation).updated_at == before.updated_at
    assert acts.history(world.invitation) == []


@pytest.mark.parametrize(("method", "act", "body"), EVERY_ACT)
def test_any_act__role_without_the_right__403(world: World, sign_in: SignIn, method: str, act: str, body: Any) -> None:
    problem(
        call(sign_in(world.mia), method, path(world.invitation, act), body, at=world.practice), 403, "not_permitted"
    )
    assert acts.history(world.invitation) == []


@pytest.mark.parametrize(("method", "act", "body"), EVERY_ACT)
def test_any_act__administrator__a_colleague_s_as_well(
    world: World, sign_in: SignIn, method: str, act: str, body: Any
) -> None:
    with platform("test"):
        of_omar = InvitationFactory(organization=world.practice, invited_by=world.omar, upline=world.omar)
    acts.count_seats_anew()
    if act == "renew/":
        close(of_omar, "overdue")
    for person in (world.lee, world.ana)[: 1 if method == "DELETE" or act == "renew/" else 2]:
        assert call(sign_in(person), method, path(of_omar, act), body, at=world.practice).status_code == 200


# --- GET -------------------------------------------------------------------------------------------------------------
def test_get__one_s_own__as_in_the_list_and_without_the_link(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "GET", path(world.invitation), at=world.practice)
    assert response.status_code == 200
    assert response.json() == call(client, "GET", at=world.practice).json()["results"][0]
    assert_no_link(response, world.invitation)
    assert "no-store" in response["Cache-Control"]


@pytest.mark.seed("S4.6")
def test_get__overdue_and_unswept__expired(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    assert call(client, "GET", path(world.invitation), at=world.practice).json()["status"] == "pending"
    close(world.invitation, "overdue")
    assert call(client, "GET", path(world.invitation), at=world.practice).json()["status"] == "expired"


# --- PUT and PATCH ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_change__what_it_says__same_link_and_no_mail(world: World, sign_in: SignIn, method: str) -> None:
    token = acts.token_of(world.invitation)
    body = {"first_name": "Nora", "last_name": "<b>Quist</b>", "message": "Hello\nNora", "language": "es"}
    sent = {**body, "invitation_type": "medical_staff", "email": " New.Nurse@example.org"}  # as they are
    response = call(sign_in(world.lee), method, path(world.invitation), sent, at=world.practice)
    assert response.status_code == 200
    assert {name: response.json()[name] for name in body} == body
    row = acts.fresh(world.invitation)
    assert (row.first_name, row.last_name, row.message, row.language) == tuple(body.values())
    assert acts.token_of(row) == token
    assert acts.deliveries(row) == []
    assert acts.actions(world.practice) == ["invitation.updated"]


def test_change__one_name__the_rest_stays(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    call(client, "PATCH", path(world.invitation), {"first_name": "Nora", "message": "Hello"}, at=world.practice)
    call(client, "PATCH", path(world.invitation), {"last_name": "Quist"}, at=world.practice)
    row = acts.fresh(world.invitation)
    assert (row.first_name, row.last_name, row.message) == ("Nora", "Quist", "Hello")


@pytest.mark.seed("S0.8")
@pytest.mark.parametrize("body", [{"invitation_type": "office_admin"}, {"expires_in_hours": 48}])
def test_change__role_or_end__new_link_mailed_and_the_old_one_replaced(
    world: World, sign_in: SignIn, body: dict[str, Any]
) -> None:
    old = acts.token_of(world.invitation)
    response = call(sign_in(world.lee), "PATCH", path(world.invitation), body, at=world.practice)
    assert response.status_code == 200
    row = acts.fresh(world.invitation)
    if "expires_in_hours" in body:
        assert row.expires_at == row.updated_at + timedelta(hours=48)
    else:
        assert row.invitation_type == "office_admin"
    problem(call(Client(), "GET", f"validate/{old}/"), 410, "link_replaced")
    assert call(Client(), "GET", f"validate/{acts.token_of(row)}/").status_code == 200
    assert acts.deliveries(row) == ["queued"]
    for invitation in (world.invitation, row):
        assert_no_link(response, invitation)


def test_change__role_that_one_may_not_invite__403(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    response = call(client, "PATCH", path(world.invitation), {"invitation_type": "admin"}, at=world.practice)
    problem(response, 403, "role_not_allowed", "invitation_type")
    assert acts.history(world.invitation) == []


@pytest.mark.parametrize(
    "body",
    [
        {"status": "accepted"},
        {"organization": "stone-clinic"},
        {"invited_by": "somebody"},
        {"expires_at": "2030-01-01T00:00:00Z"},
        {"send_count": 0},
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_change__what_cannot_be_changed__400_naming_it(
    world: World, sign_in: SignIn, method: str, body: dict[str, Any]
) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        sent = {"invitation_type": "medical_staff", **body}
        response = call(client, method, path(world.invitation), sent, at=world.practice)
    problem(response, 400, "malformed_field", *body)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_change__another_address_beside_something_else__400_at_it(world: World, sign_in: SignIn, method: str) -> None:
    client = sign_in(world.lee)
    sent = {"invitation_type": "office_admin", "email": "other@example.org"}
    with acts.nothing_written():
        response = call(client, method, path(world.invitation), sent, at=world.practice)
    answer = problem(response, 400, "malformed_field", "email")
    assert "Correct the address by itself" in answer["detail"]


@pytest.mark.seed("S0.7")
def test_patch__another_address_alone__201_with_a_new_invitation_and_the_old_one_cancelled(
    world: World, sign_in: SignIn
) -> None:
    client, old = sign_in(world.lee), acts.token_of(world.invitation)
    response = call(client, "PATCH", path(world.invitation), {"email": "Right@example.org"}, at=world.practice)
    assert response.status_code == 201
    assert response.json()["id"] != str(world.invitation.pk)
    assert (response.json()["email"], response.json()["status"]) == ("right@example.org", "pending")
    assert acts.fresh(world.invitation).status == "cancelled"
    problem(call(Client(), "GET", f"validate/{old}/"), 410, "invitation_cancelled")
    with platform("test"):
        new = UserInvitation.objects.get(pk=response.json()["id"])
    assert call(Client(), "GET", f"validate/{acts.token_of(new)}/").status_code == 200
    assert acts.deliveries(new) == ["queued"]
    for body, status, code in (
        ({"email": "right@example.org"}, 422, "same_address"),
        ({"email": "lee@example.org"}, 422, "own_address"),
        ({"email": "nonsense"}, 400, "email_malformed"),
        ({"email": "mia@example.org"}, 409, "already_member"),
    ):
        with acts.nothing_written():
            problem(call(client, "PATCH", path(new), body, at=world.practice), status, code, "email")
    problem(
        call(client, "PATCH", path(world.invitation), {"email": "x@example.org"}, at=world.practice),
        409,
        "illegal_transition",
    )


def test_put__left_out__goes_back_to_its_default_and_the_role_is_needed(world: World, sign_in: SignIn) -> None:
    client, token = sign_in(world.lee), acts.token_of(world.invitation)
    call(client, "PATCH", path(world.invitation), {"first_name": "Nora", "language": "es"}, at=world.practice)
    for body in ({}, {"first_name": "Nora"}):
        with acts.nothing_written():
            response = call(client, "PUT", path(world.invitation), body, at=world.practice)
        problem(response, 400, "malformed_field", "invitation_type")
    ends = acts.fresh(world.invitation).expires_at
    body = {"invitation_type": "medical_staff", "last_name": "Quist"}
    assert call(client, "PUT", path(world.invitation), body, at=world.practice).status_code == 200
    row = acts.fresh(world.invitation)
    assert (row.first_name, row.last_name, row.language, row.expires_at) == ("", "Quist", "en", ends)
    assert acts.token_of(row) == token


@pytest.mark.seed("S0.7")
@pytest.mark.parametrize("how", ["accepted", "declined", "cancelled", "expired", "overdue"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_change_or_cancel__closed_invitation__409_saying_where_it_stands(
    world: World, sign_in: SignIn, method: str, how: str
) -> None:
    client = sign_in(world.lee)
    body = None if method == "DELETE" else {"invitation_type": "medical_staff", "first_name": "Nora"}
    with platform("test"):
        other = InvitationFactory(organization=world.practice, invited_by=world.lee, upline=world.lee)
    acts.count_seats_anew()
    assert call(client, method, path(other), body, at=world.practice).status_code == 200
    close(world.invitation, how)
    with acts.nothing_written():
        response = call(client, method, path(world.invitation), body, at=world.practice)
    answer = problem(response, 409, "illegal_transition")
    assert answer["invitation_status"] == ("expired" if how == "overdue" else how)
    assert acts.fresh(world.invitation).first_name == ""


# --- DELETE ----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.7", "S4.12", "C3")
def test_delete__open_invitation__cancelled_row_kept_seat_free_link_dead(world: World, sign_in: SignIn) -> None:
    token, ends = acts.token_of(world.invitation), acts.fresh(world.invitation).expires_at
    client = sign_in(world.lee)
    body = {"reason": "Hired somebody else"}
    response = call(client, "DELETE", path(world.invitation), body, at=world.practice)
    assert response.status_code == 200
    assert response.json()["status"] == "cancelled"
    row = acts.fresh(world.invitation)
    assert (row.status, row.closed_by_id, row.expires_at) == ("cancelled", world.lee.pk, ends)
    assert acts.seats_used(world.practice) == 3
    (event,) = acts.trail(world.practice)
    assert (event.action, event.reason) == ("invitation.cancelled", "Hired somebody else")
    problem(call(Client(), "GET", f"validate/{token}/"), 410, "invitation_cancelled")
    assert_no_link(response, world.invitation)
    problem(call(client, "DELETE", path(world.invitation), at=world.practice), 409, "illegal_transition")
    assert call(client, "GET", path(world.invitation), at=world.practice).json()["status"] == "cancelled"


def test_delete__without_a_reason__cancelled(world: World, sign_in: SignIn) -> None:
    assert call(sign_in(world.lee), "DELETE", path(world.invitation), at=world.practice).status_code == 200
    assert acts.history(world.invitation) == ["cancel"]


@pytest.mark.parametrize("body", [{"why": "x"}, {"reason": "x" * 501}, {"reason": ["x"]}])
def test_delete__malformed_reason__400_and_nothing_cancelled(world: World, sign_in: SignIn, body: Any) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "DELETE", path(world.invitation), body, at=world.practice)
    problem(response, 400, "malformed_field", *body)


def test_delete__organization_administrator_who_may_not_invite__cancels_and_cannot_send(
    world: World, sign_in: SignIn
) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.MARKETER, is_org_admin=True).user
    acts.count_seats_anew()
    client = sign_in(boss)
    problem(call(client, "POST", path(world.invitation, "resend/"), at=world.practice), 403, "role_not_allowed")
    assert call(client, "DELETE", path(world.invitation), at=world.practice).status_code == 200
