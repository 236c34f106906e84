"""POST /api/v1/invitations/: inviting somebody."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from audit.models import Outcome
from healthivr.testing.factories import OrganizationFactory
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tests.api.calls import assert_no_link, call, problem
from organizations.models import Organization
from organizations.tenancy import platform

SignIn = Callable[[User], Client]
NORA = {"invitation_type": "medical_staff", "email": "nora@example.org"}


def created(response: Any) -> UserInvitation:
    """Return the row that a request made."""
    assert response.status_code == 201, response.content
    with platform("test"):
        return UserInvitation.objects.get(pk=response.json()["id"])


# --- what it makes ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.7", "S4.8", "S4.10")
def test_create__everything_given__row_mail_seat_and_trail_and_no_link(world: World, sign_in: SignIn) -> None:
    before = timezone.now()
    body = {
        "invitation_type": "office_admin",
        "email": " Nora.Quist@Example.ORG ",
        "first_name": " Nora ",
        "last_name": "Quist",
        "message": "Welcome.\r\nSee you on Monday.",
        "language": "es",
        "expires_in_hours": 24,
    }
    response = call(sign_in(world.lee), "POST", "", body, at=world.practice)
    row, answer = created(response), response.json()
    assert answer == {
        "id": str(row.pk),
        "invitation_type": "office_admin",
        "status": "pending",
        "email": "nora.quist@example.org",
        "first_name": "Nora",
        "last_name": "Quist",
        "message": "Welcome.\nSee you on Monday.",
        "language": "es",
        "delivery_channel": "email",
        "delivery_status": "queued",
        "invited_by": "Jun Lee",
        "created_at": answer["created_at"],
        "sent_at": None,
        "send_count": 0,
        "expires_at": answer["expires_at"],
        "accepted_at": None,
        "closed_at": None,
    }
    assert datetime.fromisoformat(answer["created_at"]) == row.created_at >= before
    assert row.expires_at == row.created_at + timedelta(hours=24)
    assert (row.organization_id, row.invited_by_id) == (world.practice.pk, world.lee.pk)
    assert acts.deliveries(row) == ["queued"]
    assert acts.seats_used(world.practice) == 5
    (event,) = acts.trail(world.practice)
    assert (event.action, event.actor_id, event.target_id) == ("invitation.created", world.lee.pk, str(row.pk))
    assert event.request_id == response["X-Request-ID"]
    assert "nora" not in str([event.detail, event.changes, event.reason])
    assert_no_link(response, row)


def test_create__only_what_is_required__the_defaults(world: World, sign_in: SignIn) -> None:
    row = created(call(sign_in(world.lee), "POST", "", NORA, at=world.practice))
    assert (row.first_name, row.last_name, row.message, row.language) == ("", "", "", "en")
    assert row.expires_at == row.created_at + timedelta(days=7)


@pytest.mark.seed("S0.13")
@pytest.mark.parametrize(
    ("invitation_type", "kind"),
    [
        ("admin", "platform"),
        ("chp_admin", "platform"),
        ("master_distributor", "chp"),
        ("distributor", "master_distributor"),
        ("sales", "distributor"),
        ("doctor", "distributor"),
        ("office_admin", "practice"),
        ("medical_staff", "practice"),
        ("ivr_company", "chp"),
        ("shipping_logistics", "chp"),
    ],
)
def test_create__each_of_the_ten_types__by_a_platform_administrator_where_it_belongs(
    world: World, sign_in: SignIn, invitation_type: str, kind: str
) -> None:
    with platform("test"):
        where = world.platform if kind == "platform" else OrganizationFactory(kind=kind)
    body = {"invitation_type": invitation_type, "email": "nora@example.org"}
    row = created(call(sign_in(world.ana), "POST", "", body, at=where))
    assert (row.invitation_type, row.organization_id) == (invitation_type, where.pk)


@pytest.mark.seed("S4.5")
@pytest.mark.parametrize("hours", [1, 720])
def test_create__shortest_and_longest_life__as_asked(world: World, sign_in: SignIn, hours: int) -> None:
    row = created(call(sign_in(world.lee), "POST", "", {**NORA, "expires_in_hours": hours}, at=world.practice))
    assert row.expires_at == row.created_at + timedelta(hours=hours)


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "{{ settings.SECRET_KEY }}",
        "{% include 'admin/base.html' %}",
        "'; DROP TABLE user_invitations; --",
        "%(organization)s %s {0}",
        "O’Neil-Güneş 李",
    ],
)
def test_create__markup_template_syntax_or_sql_in_names__kept_as_plain_text(
    world: World, sign_in: SignIn, text: str
) -> None:
    body = {**NORA, "first_name": text, "last_name": text, "message": text}
    response = call(sign_in(world.lee), "POST", "", body, at=world.practice)
    row = created(response)
    assert (row.first_name, row.last_name, row.message) == (text, text, text)
    assert response["Content-Type"] == "application/json"
    assert response.json()["first_name"] == text


def test_create__line_breaks_in_a_name__one_line(world: World, sign_in: SignIn) -> None:
    body = {**NORA, "first_name": "Nora\r\nBcc: all@example.org"}
    row = created(call(sign_in(world.lee), "POST", "", body, at=world.practice))
    assert row.first_name == "Nora Bcc: all@example.org"


# --- what it refuses -------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.13", "S0.20", "S4.5")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("invitation_type", "patient"),
        ("invitation_type", "owner"),
        ("invitation_type", ""),
        ("invitation_type", "Medical_Staff"),
        ("email", ""),
        ("email", "x" * 321),
        ("first_name", "x" * 101),
        ("last_name", "x" * 101),
        ("message", "x" * 1001),
        ("language", "xx"),
        ("expires_in_hours", 0),
        ("expires_in_hours", 721),
        ("expires_in_hours", -1),
        ("expires_in_hours", 1.5),
        ("expires_in_hours", "soon"),
        ("expires_in_hours", 10**300),
    ],
)
def test_create__malformed_field__400_at_that_field(world: World, sign_in: SignIn, field: str, value: Any) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", {**NORA, field: value}, at=world.practice)
    problem(response, 400, "malformed_field", field)
    assert call(client, "POST", "", NORA, at=world.practice).status_code == 201


@pytest.mark.parametrize("email", ["nora", "nora@", "@example.org", "a b@example.org", "nora@example", "a@b@c.org"])
def test_create__no_address__400_at_the_address(world: World, sign_in: SignIn, email: str) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", {**NORA, "email": email}, at=world.practice)
    problem(response, 400, "email_malformed", "email")


@pytest.mark.parametrize(
    "email", ["nоra@example.org", "nora@exаmple.org", "no\u200bra@example.org", "nora@example.o\u202erg"]
)
def test_create__address_that_looks_like_another__422(world: World, sign_in: SignIn, email: str) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", {**NORA, "email": email}, at=world.practice)
    problem(response, 422, "email_look_alike", "email")


@pytest.mark.parametrize("name", ["https://example.org", "www.example.org", "see http://a.b"])
def test_create__web_address_as_a_name__400(world: World, sign_in: SignIn, name: str) -> None:
    response = call(sign_in(world.lee), "POST", "", {**NORA, "last_name": name}, at=world.practice)
    problem(response, 400, "name", "last_name")


def test_create__several_mistakes__all_of_them_at_once(world: World, sign_in: SignIn) -> None:
    body = {"invitation_type": "owner", "language": "xx", "expires_in_hours": 0}
    response = call(sign_in(world.lee), "POST", "", body, at=world.practice)
    problem(response, 400, "malformed_field", "email", "expires_in_hours", "invitation_type", "language")


@pytest.mark.seed("S0.11")
@pytest.mark.parametrize(
    "unknown", ["role", "organization", "organization_id", "status", "token", "invited_by", "id", "Email", "__proto__"]
)
def test_create__name_that_is_not_known__400_naming_it(world: World, sign_in: SignIn, unknown: str) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", {**NORA, unknown: "x"}, at=world.practice)
    problem(response, 400, "malformed_field", unknown)


@pytest.mark.seed("S0.14", "S0.15")
def test_create__role_that_one_may_not_invite__403(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    assert call(client, "POST", "", NORA, at=world.practice).status_code == 201
    body = {"invitation_type": "doctor", "email": "doc@example.org"}
    problem(call(client, "POST", "", body, at=world.practice), 403, "role_not_allowed", "invitation_type")


@pytest.mark.seed("S0.15")
def test_create__medical_staff__403_and_in_the_trail(world: World, sign_in: SignIn) -> None:
    assert call(sign_in(world.lee), "POST", "", NORA, at=world.practice).status_code == 201
    body = {**NORA, "email": "other@example.org"}
    problem(call(sign_in(world.mia), "POST", "", body, at=world.practice), 403, "not_permitted")
    refused = acts.trail(world.practice)[-1]
    assert (refused.action, refused.actor_id) == ("access.refused", world.mia.pk)
    assert refused.outcome == Outcome.REFUSED


def test_create__office_administrator__once_the_organization_allows_it(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.omar)
    problem(call(client, "POST", "", NORA, at=world.practice), 403, "role_not_allowed", "invitation_type")
    acts.allow_staff_to_invite(world.practice)
    row = created(call(client, "POST", "", NORA, at=world.practice))
    assert row.invited_by_id == world.omar.pk
    body = {"invitation_type": "office_admin", "email": "second@example.org"}
    problem(call(client, "POST", "", body, at=world.practice), 403, "role_not_allowed", "invitation_type")


def test_create__address_with_an_open_invitation__409_naming_it(world: World, sign_in: SignIn) -> None:
    body = {"invitation_type": "office_admin", "email": "New.Nurse@example.org"}
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", body, at=world.practice)
    answer = problem(response, 409, "duplicate_invitation", "email")
    assert answer["existing"] == str(world.invitation.pk)
    assert call(sign_in(world.lee), "GET", f"{answer['existing']}/", at=world.practice).status_code == 200


def test_create__address_invited_by_another_organization__allowed_and_untold(world: World, sign_in: SignIn) -> None:
    body = {**NORA, "email": world.strange_invitation.email}
    response = call(sign_in(world.lee), "POST", "", body, at=world.practice)
    assert created(response).organization_id == world.practice.pk
    assert str(world.strange_invitation.pk) not in response.content.decode()


def test_create__somebody_with_that_role__409(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", {**NORA, "email": "mia@example.org"}, at=world.practice)
    problem(response, 409, "already_member", "email")
    body = {"invitation_type": "office_admin", "email": "mia@example.org"}
    created(call(sign_in(world.lee), "POST", "", body, at=world.practice))


def test_create__no_seat_left__409_and_another_organization_is_not_hindered(world: World, sign_in: SignIn) -> None:
    acts.set_seat_limit(world.practice, 5)
    created(call(sign_in(world.lee), "POST", "", NORA, at=world.practice))
    body = {**NORA, "email": "second@example.org"}
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", body, at=world.practice)
    problem(response, 409, "no_seat_left")
    created(call(sign_in(world.stone), "POST", "", body, at=world.strange_practice))


def test_create__switched_off_organization__403_for_members(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    created(call(client, "POST", "", NORA, at=world.practice))
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    response = call(client, "POST", "", {**NORA, "email": "second@example.org"}, at=world.practice)
    problem(response, 403, "organization_inactive")


@pytest.mark.parametrize("act", ["create", "resend", "page", "resend on its page"])
def test_send__by_the_platform_in_a_switched_off_organization__refused_and_nothing_sent(
    world: World, sign_in: SignIn, act: str
) -> None:
    client, here = sign_in(world.ana), f"/o/{world.practice.slug}/invitations/"
    typed = {**NORA, "email": "a@example.org"}
    assert call(client, "POST", "", typed, at=world.practice).status_code == 201
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    typed["email"] = "b@example.org"
    mails = acts.deliveries(world.invitation)
    if act == "create":
        problem(call(client, "POST", "", typed, at=world.practice), 403, "organization_inactive")
    elif act == "resend":
        asked = call(client, "POST", f"{world.invitation.pk}/resend/", at=world.practice)
        problem(asked, 403, "organization_inactive")
    elif act == "page":
        page = client.get(f"{here}new/").content.decode()
        assert "Nobody could accept an invitation now" in page
        assert 'name="email"' not in page
    else:
        answer = client.post(f"{here}{world.invitation.pk}/resend/", follow=True)
        assert "nobody could accept an invitation to it" in answer.content.decode()
    assert acts.deliveries(world.invitation) == mails
    with platform("test"):
        assert not UserInvitation.objects.filter(email="b@example.org").exists()
