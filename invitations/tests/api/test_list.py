"""GET /api/v1/invitations/: who sees what, filters, and pages that hold still."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.selectors import _position
from invitations.tests.api.calls import assert_no_link, call, ids, problem
from organizations.models import Organization
from organizations.paging import write_cursor
from organizations.roles import Role
from organizations.tenancy import platform

SignIn = Callable[[User], Client]


def cursor_of(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).rstrip(b"=").decode()


#: What makes an invitation show each word.
SHOWS: dict[str, list[dict[str, Any]]] = {
    "pending": [{}, {"delivery_status": "sending"}],
    "sent": [{"sent": True}, {"sent": True, "delivery_status": "delivered"}, {"delivery_status": "deferred"}],
    "failed": [{"delivery_status": status} for status in ("failed", "bounced", "rejected", "disabled")],
    "accepted": [{"status": "accepted"}, {"status": "accepted", "sent": True}],
    "declined": [{"declined": True}],
    "cancelled": [{"cancelled": True}, {"cancelled": True, "delivery_status": "failed"}],
    "expired": [{"expired": True}, {"overdue": True}, {"overdue": True, "delivery_status": "bounced"}],
}


def make(organization: Organization, sender: User, **values: Any) -> UserInvitation:
    """Make an invitation of an organization."""
    if values.get("status") == "accepted":
        values |= {"accepted_at": timezone.now(), "accepted_by": sender, "closed_at": timezone.now()}
    with platform("test"):
        return InvitationFactory(organization=organization, invited_by=sender, upline=sender, **values)


# --- who sees what ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.5", "S0.24")
def test_list__administrator__all_of_the_organization_and_nothing_of_another(world: World, sign_in: SignIn) -> None:
    of_omar = make(world.practice, world.omar)
    response = call(sign_in(world.lee), "GET", at=world.practice)
    assert ids(response) == [str(of_omar.pk), str(world.invitation.pk)]
    assert response.json()["newer"] is None
    assert response.json()["older"] is None
    assert ids(call(sign_in(world.stone), "GET", at=world.strange_practice)) == [str(world.strange_invitation.pk)]


def test_list__without_the_right_to_see_all__own_ones_only(world: World, sign_in: SignIn) -> None:
    of_omar = make(world.practice, world.omar)
    assert len(ids(call(sign_in(world.lee), "GET", at=world.practice))) == 2
    assert ids(call(sign_in(world.omar), "GET", at=world.practice)) == [str(of_omar.pk)]


def test_list__colleague_s_address_as_a_filter__still_own_ones_only(world: World, sign_in: SignIn) -> None:
    query = {"email": "new.nurse"}
    assert ids(call(sign_in(world.lee), "GET", at=world.practice, query=query)) == [str(world.invitation.pk)]
    assert ids(call(sign_in(world.omar), "GET", at=world.practice, query=query)) == []


def test_list__colleague_s_cursor__still_own_ones_only(world: World, sign_in: SignIn) -> None:
    of_omar = make(world.practice, world.omar, created_at=timezone.now() - timedelta(days=1))
    make(world.practice, world.lee, created_at=timezone.now() - timedelta(days=2))
    cursor = call(sign_in(world.lee), "GET", at=world.practice, query={"limit": 1}).json()["older"]
    assert len(ids(call(sign_in(world.lee), "GET", at=world.practice, query={"cursor": cursor}))) == 2
    assert ids(call(sign_in(world.omar), "GET", at=world.practice, query={"cursor": cursor})) == [str(of_omar.pk)]


def test_list__cursor_of_another_organization__own_rows_only(world: World, sign_in: SignIn) -> None:
    make(world.strange_practice, world.stone)
    foreign = call(sign_in(world.stone), "GET", at=world.strange_practice, query={"limit": 1}).json()["older"]
    response = call(sign_in(world.lee), "GET", at=world.practice, query={"cursor": foreign})
    assert ids(response) == [str(world.invitation.pk)]


@pytest.mark.parametrize("role", ["medical_staff", "marketer", "support", "privacy_officer"])
def test_list__role_without_the_right__403(world: World, sign_in: SignIn, role: str) -> None:
    with platform("test"):
        user = MembershipFactory(organization=world.practice, role=Role(role)).user
    assert call(sign_in(world.lee), "GET", at=world.practice).status_code == 200
    problem(call(sign_in(user), "GET", at=world.practice), 403, "not_permitted")


def test_list__platform_administrator_inside_the_organization__all_of_it(world: World, sign_in: SignIn) -> None:
    assert ids(call(sign_in(world.ana), "GET", at=world.practice)) == [str(world.invitation.pk)]
    assert ids(call(sign_in(world.ana), "GET", at=world.platform)) == []


@pytest.mark.seed("S4.8")
def test_list__shape__an_allow_list_without_the_link(world: World, sign_in: SignIn) -> None:
    response = call(sign_in(world.lee), "GET", at=world.practice)
    assert set(response.json()) == {"results", "newer", "older"}
    (row,) = response.json()["results"]
    assert set(row) == {
        *("id", "invitation_type", "status", "email", "first_name", "last_name", "message", "language"),
        *("delivery_channel", "delivery_status", "invited_by", "created_at", "sent_at", "send_count", "expires_at"),
        *("accepted_at", "closed_at"),
    }
    assert (row["email"], row["status"], row["invited_by"]) == ("new.nurse@example.org", "pending", "Jun Lee")
    assert_no_link(response, world.invitation)


# --- filters ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.5", "S0.16", "C9")
def test_list__status__exactly_those_that_show_the_word(world: World, sign_in: SignIn) -> None:
    with platform("test"):
        UserInvitation.objects.all()._raw_delete("default")  # the database cascades
    made = {
        word: {str(make(world.practice, world.lee, **values).pk) for values in variants}
        for word, variants in SHOWS.items()
    }
    client = sign_in(world.lee)
    for word, expected in made.items():
        response = call(client, "GET", at=world.practice, query={"status": word})
        assert set(ids(response)) == expected, word
        assert {row["status"] for row in response.json()["results"]} == {word}
    everything = call(client, "GET", at=world.practice).json()["results"]
    assert {row["id"]: row["status"] for row in everything} == {pk: word for word, pks in made.items() for pk in pks}


def test_list__type__only_that(world: World, sign_in: SignIn) -> None:
    other = make(world.practice, world.lee, invitation_type=Role.OFFICE_ADMIN)
    client = sign_in(world.lee)
    assert ids(call(client, "GET", at=world.practice, query={"type": "office_admin"})) == [str(other.pk)]
    assert ids(call(client, "GET", at=world.practice, query={"type": "doctor"})) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("new.nurse@example.org", True),
        ("new.n", True),
        ("  NEW.Nurse", True),
        ("nurse", False),
        ("new.nurse@example.orgx", False),
        ("new%", False),
        ("new_nurse", False),
        ("new\\.nurse", False),
        ("'; DROP TABLE user_invitations; --", False),
    ],
)
def test_list__email__the_beginning_taken_literally(world: World, sign_in: SignIn, typed: str, expected: bool) -> None:
    found = ids(call(sign_in(world.lee), "GET", at=world.practice, query={"email": typed}))
    assert found == ([str(world.invitation.pk)] if expected else [])


def test_list__since_and_until__from_the_first_moment_to_before_the_last(world: World, sign_in: SignIn) -> None:
    noon = datetime.fromisoformat("2026-03-08T12:00:00+00:00")
    day = [make(world.practice, world.lee, created_at=noon + timedelta(hours=hours)) for hours in (0, 1, 2)]
    first, second, _third = (str(row.pk) for row in day)
    client = sign_in(world.lee)
    query = {"since": "2026-03-08T12:00:00Z", "until": "2026-03-08T14:00:00Z"}
    assert ids(call(client, "GET", at=world.practice, query=query)) == [second, first]
    query = {"since": "2026-03-08T08:00:00-05:00", "until": "2026-03-08T09:00:00-05:00"}
    assert ids(call(client, "GET", at=world.practice, query=query)) == [second]


def test_list__filters_together__what_fits_all_of_them(world: World, sign_in: SignIn) -> None:
    fits = make(world.practice, world.lee, email="anna@example.org", sent=True)
    make(world.practice, world.lee, email="anna.two@example.org", cancelled=True)
    make(world.practice, world.lee, email="anna.three@example.org", sent=True, invitation_type=Role.OFFICE_ADMIN)
    make(world.practice, world.lee, email="bert@example.org", sent=True)
    make(world.strange_practice, world.stone, email="anna@example.org", sent=True)
    query = {"status": "sent", "type": "medical_staff", "email": "anna", "since": "2020-01-01T00:00:00Z"}
    assert ids(call(sign_in(world.lee), "GET", at=world.practice, query=query)) == [str(fits.pk)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "open"),
        ("status", "PENDING"),
        ("type", "patient"),
        ("type", "owner"),
        ("since", "yesterday"),
        ("since", "2026-02-30T00:00:00Z"),
        ("until", "99999-01-01T00:00:00Z"),
        ("until", "9999-12-31T23:59:59-12:00"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "101"),
        ("limit", "many"),
        ("limit", "1e400"),
        ("limit", "9" * 5000),
        ("cursor", "x"),
        ("cursor", cursor_of("o|0001-01-01T00:00:00+23:59|0192f0c0-0000-7000-8000-000000000001")),
        ("cursor", cursor_of("o|9999-12-31T23:59:59-23:59|0192f0c0-0000-7000-8000-000000000001")),
        ("cursor", cursor_of("o|2026-01-01T00:00:00+00:00:30.5|0192f0c0-0000-7000-8000-000000000001")),
        ("cursor", cursor_of("x|2026-01-01T00:00:00+00:00|0192f0c0-0000-7000-8000-000000000001")),
    ],
)
def test_list__filter_out_of_bounds__400_at_its_name(world: World, sign_in: SignIn, field: str, value: str) -> None:
    client = sign_in(world.lee)
    assert call(client, "GET", at=world.practice).status_code == 200
    problem(call(client, "GET", at=world.practice, query={field: value}), 400, "malformed_field", field)


# --- pages -----------------------------------------------------------------------------------------------------------
def test_list__limit__one_to_a_hundred_and_fifty_unless_said(world: World, sign_in: SignIn) -> None:
    with platform("test"):
        InvitationFactory.create_batch(101, organization=world.practice, invited_by=world.lee)
    client = sign_in(world.lee)
    assert len(ids(call(client, "GET", at=world.practice))) == 50
    assert len(ids(call(client, "GET", at=world.practice, query={"limit": 1}))) == 1
    assert len(ids(call(client, "GET", at=world.practice, query={"limit": 100}))) == 100


@pytest.mark.seed("S0.5", "S4.19")
def test_list__rows_added_while_somebody_pages__none_twice_none_missing(
    world: World, sign_in: SignIn, roomy_limits: None
) -> None:
    now = timezone.now()
    moments = [now - timedelta(seconds=number // 4) for number in range(60)]  # four in each moment
    with platform("test"):
        for moment in moments:
            InvitationFactory(organization=world.practice, invited_by=world.lee, created_at=moment)
    there = ids(call(sign_in(world.lee), "GET", at=world.practice, query={"limit": 100}))
    client, walked, cursor = sign_in(world.lee), list[str](), ""
    while True:
        page = call(client, "GET", at=world.practice, query={"limit": 7, "cursor": cursor})
        walked += ids(page)
        make(world.practice, world.lee)
        make(world.strange_practice, world.stone)
        cursor = page.json()["older"]
        if not cursor:
            break
    assert walked == there
    back, cursor = ids(page), page.json()["newer"]
    while cursor:
        page = call(client, "GET", at=world.practice, query={"limit": 7, "cursor": cursor})
        back, cursor = ids(page) + back, page.json()["newer"]
    everything = ids(call(client, "GET", at=world.practice, query={"limit": 100}))
    assert back == everything
    assert everything[-len(there) :] == there


def test_list__filters__hold_on_every_page(world: World, sign_in: SignIn) -> None:
    wanted = [make(world.practice, world.lee, sent=number % 2 == 0) for number in range(10)][::2]
    client, walked, cursor = sign_in(world.lee), list[str](), ""
    for _page in range(3):
        page = call(client, "GET", at=world.practice, query={"status": "sent", "limit": 2, "cursor": cursor})
        walked += ids(page)
        cursor = page.json()["older"] or ""
    assert walked == [str(row.pk) for row in reversed(wanted)]
    assert cursor == ""


@pytest.mark.parametrize(
    "cursor",
    [
        "%00",
        "!!!!",
        "b3xub3QgYSB0aW1lfG5vdCBhbiBpZA",  # o|not a time|not an id
        "bnwyMDI2LTAxLTAx",  # n|2026-01-01
        "_____w",
        "é" * 20,
        "A" * 4000,
    ],
)
def test_list__damaged_cursor__400(world: World, sign_in: SignIn, cursor: str) -> None:
    client = sign_in(world.lee)
    with platform("test"):
        whole = write_cursor(_position(world.invitation), backwards=False)
    assert call(client, "GET", at=world.practice, query={"cursor": whole}).status_code == 200
    problem(call(client, "GET", at=world.practice, query={"cursor": cursor}), 400, "malformed_field", "cursor")
    problem(call(client, "GET", at=world.practice, query={"cursor": whole[:-9]}), 400, "malformed_field", "cursor")


@pytest.mark.parametrize(
    ("moment", "status"),
    [("2026-01-01", 400), ("2026-01-01T10:00:00", 400), ("0001-01-01T00:00:00+14:00", 400), ("10000-01-01", 400)],
)
def test_list__made_up_cursor__400_or_what_lies_there(world: World, sign_in: SignIn, moment: str, status: int) -> None:
    made_up = UserInvitation(pk=uuid4(), created_at=_Moment(moment))
    cursor = write_cursor(_position(made_up), backwards=False)
    response = call(sign_in(world.lee), "GET", at=world.practice, query={"cursor": cursor})
    if status == 400:
        problem(response, 400, "malformed_field", "cursor")
    else:
        assert ids(response) == []


class _Moment:
    """Writes itself as it was typed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def isoformat(self) -> str:
        return self.text


@pytest.mark.seed("S0.5")
def test_list__ten_thousand_rows__filters_find_and_pages_hold(
    world: World, sign_in: SignIn, roomy_limits: None
) -> None:
    with platform("test"), connection.cursor() as cursor:
        for organization, sender in ((world.practice, world.lee), (world.strange_practice, world.stone)):
            cursor.execute(
                "INSERT INTO user_invitations (id, organization_id, invitation_type, status, email, first_name,"
                " last_name, message, language, token_hash, token_nonce, expires_at, invited_by_id, delivery_channel,"
                " delivery_status, send_count, closed_at, created_at, updated_at)"
                " SELECT gen_random_uuid(), %(organization)s,"
                " CASE WHEN n %% 10 = 0 THEN 'office_admin' ELSE 'medical_staff' END,"
                " CASE WHEN n %% 20 = 0 THEN 'cancelled' ELSE 'pending' END, 'person' || n || '@example.org', '', '',"
                " '', 'en', encode(sha256((%(organization)s || n)::bytea), 'hex'), 'k:' || n, now() + interval '1 day',"
                " %(sender)s, 'email', 'queued', 0, CASE WHEN n %% 20 = 0 THEN now() END,"
                " now() - n * interval '1 minute', now() FROM generate_series(1, 10000) n",
                {"organization": str(organization.pk), "sender": str(sender.pk)},
            )
    client, walked, at = sign_in(world.lee), list[str](), ""
    query = {"status": "cancelled", "type": "office_admin", "limit": 100}
    while True:
        page = call(client, "GET", at=world.practice, query={**query, "cursor": at})
        walked += [row["email"] for row in page.json()["results"]]
        at = page.json()["older"]
        if not at:
            break
    assert walked == [f"person{number}@example.org" for number in range(20, 10001, 20)]
    since = (timezone.now() - timedelta(minutes=5.5)).isoformat()
    recent = call(client, "GET", at=world.practice, query={"since": since, "email": "person"}).json()["results"]
    assert [row["email"] for row in recent] == [f"person{number}@example.org" for number in range(1, 6)]


@pytest.mark.parametrize("name", ["stauts", "Status", "page", "organization"])
def test_list__filter_that_there_is_none_of__400_naming_it(world: World, sign_in: SignIn, name: str) -> None:
    client = sign_in(world.lee)
    assert call(client, "GET", at=world.practice, query={"status": "failed"}).status_code == 200
    problem(call(client, "GET", at=world.practice, query={name: "failed"}), 400, "malformed_field", name)
