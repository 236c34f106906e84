"""What holds on every route of the API: both forms of an address, who acts where, CSRF, the shape of every refusal, no
link for staff, and nothing that a client can send brings it down. (Limits: healthivr/tests/test_limits.py. Rights of
everybody on every route: healthivr/tests/test_routes.py.)"""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import User
from healthivr.testing.factories import PASSWORD, MembershipFactory, UserFactory
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tests.api.calls import ROOT, assert_no_link, call, problem
from organizations.models import Membership, Organization
from organizations.tenancy import platform

from .test_detail import close, path

SignIn = Callable[[User], Client]
NORA = {"invitation_type": "medical_staff", "email": "nora@example.org"}
SOMEBODY = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}
#: Every operation: method, path below the root ({id}, {token}), a body that it takes, and what it answers then.
STAFF: list[tuple[str, str, Any, int]] = [
    ("GET", "", None, 200),
    ("POST", "", NORA, 201),
    ("GET", "{id}/", None, 200),
    ("PUT", "{id}/", {"invitation_type": "medical_staff"}, 200),
    ("PATCH", "{id}/", {"first_name": "Nora"}, 200),
    ("POST", "{id}/resend/", None, 200),
    ("POST", "{id}/renew/", None, 409),
    ("DELETE", "{id}/", None, 200),
]
PUBLIC: list[tuple[str, str, Any, int]] = [
    ("GET", "validate/{token}/", None, 200),
    ("POST", "accept/{token}/", SOMEBODY, 201),
    ("POST", "decline/{token}/", {"reason": "other"}, 200),
]
FIELDS = [
    *[("POST", "", name) for name in ("invitation_type", "email", "first_name", "last_name", "message", "language")],
    ("POST", "", "expires_in_hours"),
    *[("PATCH", "{id}/", name) for name in ("invitation_type", "first_name", "last_name", "message", "language")],
    ("PATCH", "{id}/", "expires_in_hours"),
    ("DELETE", "{id}/", "reason"),
    *[("POST", "accept/{token}/", name) for name in ("password", "first_name", "last_name", "organization_name")],
    ("POST", "accept/{token}/", "practice_id"),
    ("POST", "decline/{token}/", "reason"),
]
#: What stands beside the field in question: all that is needed, or a mistake that leaves the invitation open.
BESIDE = {("POST", ""): NORA, ("DELETE", "{id}/"): {"why": 1}, ("POST", "accept/{token}/"): {"last_name": " "}}


def fill(template: str, world: World) -> str:
    """Return the path of an operation on the open invitation of the practice."""
    return template.format(id=world.invitation.pk, token=acts.token_of(world.invitation))


# --- both forms ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.4")
@pytest.mark.parametrize(("method", "template", "body", "status"), [*STAFF, *PUBLIC])
@pytest.mark.parametrize("slash", ["/", ""])
def test_route__with_and_without_the_slash__answers_without_redirecting(
    world: World, sign_in: SignIn, method: str, template: str, body: Any, status: int, slash: str
) -> None:
    client = Client() if "{token}" in template else sign_in(world.lee)
    data = "" if body is None else json.dumps(body)
    address = (ROOT + fill(template, world)).removesuffix("/") + slash
    response = client.generic(method, address, data, "application/json")
    assert response.status_code == status, response.content


# --- who acts where --------------------------------------------------------------------------------------------------
def join(user: User, organization: Organization, role: str = "doctor") -> None:
    """Make somebody a member of another organization."""
    with platform("test"):
        MembershipFactory(organization=organization, user=user, role=role)
    acts.count_seats_anew()


def test_organization__only_membership__may_be_left_out(world: World, sign_in: SignIn) -> None:
    response = call(sign_in(world.lee), "GET")
    assert [row["id"] for row in response.json()["results"]] == [str(world.invitation.pk)]


@pytest.mark.parametrize(("method", "template", "body", "_status"), STAFF)
def test_organization__several_memberships_and_none_named__400(
    world: World, sign_in: SignIn, method: str, template: str, body: Any, _status: int
) -> None:
    client, address = sign_in(world.lee), fill(template, world)
    assert call(client, "GET").status_code == 200
    join(world.lee, world.strange_practice)
    answer = problem(call(client, method, address, body), 400, "organization_required", "X-Organization")
    assert world.practice.slug not in json.dumps(answer)
    assert acts.history(world.invitation) == []


def test_organization__several_memberships__named_by_slug_or_id(world: World, sign_in: SignIn) -> None:
    join(world.lee, world.strange_practice)
    client = sign_in(world.lee)
    for here, theirs in ((world.practice, world.invitation), (world.strange_practice, None)):
        for name in (here.slug, str(here.pk), str(here.pk).upper(), here.pk.hex):
            response = call(client, "GET", **{"X-Organization": name})
            assert [row["id"] for row in response.json()["results"]] == ([str(theirs.pk)] if theirs else [])


@pytest.mark.seed("S0.24")
@pytest.mark.parametrize(("method", "template", "body", "status"), STAFF)
def test_organization__where_one_is_no_member__404_as_if_it_did_not_exist(
    world: World, sign_in: SignIn, method: str, template: str, body: Any, status: int
) -> None:
    client, address = sign_in(world.lee), fill(template, world)
    answers = []
    strange = world.strange_practice
    for name in (strange.slug, str(strange.pk), "no-such-practice", str(UUID(int=7))):
        answer = problem(call(client, method, address, body, **{"X-Organization": name}), 404, "not_found")
        del answer["request_id"]
        answers.append(answer)
    assert answers == [answers[0]] * 4
    assert call(client, method, address, body, at=world.practice).status_code == status


@pytest.mark.parametrize("name", ["LEE-FAMILY-PRACTICE", " ", "x" * 5000, "lee-family-practice' OR 1=1 --", "é", "*"])
def test_organization__odd_name__404(world: World, sign_in: SignIn, name: str) -> None:
    response = call(sign_in(world.lee), "GET", **{"X-Organization": name})
    assert response.status_code in (200, 404)
    if response.status_code == 404:
        problem(response, 404, "not_found")
    else:
        assert not name.strip(), "an empty header is none"


def test_organization__nul_in_the_name__404(world: World, sign_in: SignIn) -> None:
    problem(call(sign_in(world.lee), "GET", **{"X-Organization": "lee\0"}), 404, "not_found")


def test_organization__no_membership_at_all__403(world: World, sign_in: SignIn) -> None:
    nobody = UserFactory()
    problem(call(sign_in(nobody), "GET"), 403, "no_membership")
    problem(call(sign_in(nobody), "GET", at=world.practice), 404, "not_found")


def test_organization__ended_membership__gone_with_the_next_request(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.omar)
    assert call(client, "GET", at=world.practice).status_code == 200
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(status="ended", ended_at=world.invitation.created_at)
    problem(call(client, "GET", at=world.practice), 404, "not_found")
    problem(call(client, "GET"), 403, "no_membership")


def test_organization__platform_administrator__enters_any_by_name_and_never_by_default(
    world: World, sign_in: SignIn
) -> None:
    client = sign_in(world.ana)
    assert call(client, "GET").json()["results"] == []
    named = call(client, "GET", at=world.strange_practice).json()["results"]
    assert [row["id"] for row in named] == [str(world.strange_invitation.pk)]


# --- not signed in ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("method", "template", "body", "status"), STAFF)
def test_staff_s_routes__nobody_signed_in__401(
    world: World, sign_in: SignIn, method: str, template: str, body: Any, status: int
) -> None:
    with acts.nothing_written():
        response = call(Client(), method, fill(template, world), body, at=world.practice)
    problem(response, 401, "sign_in_required")
    assert response["WWW-Authenticate"] == "Bearer, Session"
    assert call(sign_in(world.lee), method, fill(template, world), body, at=world.practice).status_code == status


def test_staff_s_routes__deactivated_meanwhile__401(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.omar)
    assert call(client, "GET").status_code == 200
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    problem(call(client, "GET"), 401, "sign_in_required")


# --- CSRF ------------------------------------------------------------------------------------------------------------
def browser(user: User | None = None) -> Client:
    """Return a client that is checked for CSRF like a browser."""
    client = Client(enforce_csrf_checks=True)
    if user:
        client.force_login(user)
    return client


@pytest.mark.seed("S0.20", "S4.24")
@pytest.mark.parametrize(("method", "template", "body", "status"), [row for row in STAFF if row[0] != "GET"])
def test_csrf__staff_without_the_token__403_and_with_it_done(
    world: World, method: str, template: str, body: Any, status: int
) -> None:
    client, address = browser(world.lee), fill(template, world)
    with acts.nothing_written():
        problem(call(client, method, address, body, at=world.practice), 403, "csrf_failed")
        forged = {"X-CSRFToken": "x" * 32}
        problem(call(client, method, address, body, at=world.practice, **forged), 403, "csrf_failed")
    proven = {"X-CSRFToken": token_for(client)}
    assert call(client, method, address, body, at=world.practice, **proven).status_code == status


def token_for(client: Client) -> str:
    """Return the CSRF token that a page of ours gives this browser."""
    client.get("/sign-in/", headers={"accept": "text/html"})
    client.get("/profile/")
    return client.cookies[django_settings.CSRF_COOKIE_NAME].value


@pytest.mark.parametrize(("method", "template", "body", "status"), [row for row in PUBLIC if row[0] != "GET"])
def test_csrf__holder_of_a_link__needs_none_unless_signed_in(
    world: World, method: str, template: str, body: Any, status: int
) -> None:
    address = fill(template, world)
    problem(call(browser(world.mia), method, address, body), 403, "csrf_failed")
    assert acts.history(world.invitation) == []
    assert call(browser(), method, address, body).status_code == status


# --- no link for staff -----------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.8", "S0.17")
@pytest.mark.parametrize(("method", "template", "body", "status"), STAFF)
def test_answer_to_staff__done_or_refused__never_a_token_or_link(
    world: World, sign_in: SignIn, method: str, template: str, body: Any, status: int
) -> None:
    client, address = sign_in(world.lee), fill(template, world)
    if "renew" in template:
        close(world.invitation, "overdue")
    answers = [call(client, method, address, body, at=world.practice)]
    assert answers[0].status_code in (status, 200)
    again = {**NORA, "email": str(world.invitation.email)} if body is NORA else body
    answers += [call(client, method, address, again, at=world.practice)]
    answers += [call(client, method, address, {"token": "x"} if body else None, at=world.practice)][: 1 if body else 0]
    for response in answers[:2]:
        assert_no_link(response, world.invitation)
    assert acts.token_of(world.invitation) not in answers[-1].content.decode()


# --- hosts -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "forged",
    [
        {"host": "evil.example"},
        {"host": "localhost"},
        {"x-forwarded-host": "evil.example"},
        {"forwarded": "host=evil.example;proto=http"},
        {"x-forwarded-proto": "http", "x-forwarded-port": "81"},
        {"host": "evil.example", "origin": "http://evil.example", "referer": "http://evil.example/"},
    ],
)
def test_host__changed_by_the_client__never_in_a_mailed_link_or_an_answer(
    world: World, sign_in: SignIn, settings: Any, forged: dict[str, str]
) -> None:
    settings.ALLOWED_HOSTS = ["*"]  # a door that is wide open must not matter
    client = sign_in(world.lee)
    created = call(client, "POST", "", NORA, at=world.practice, **forged)
    assert created.status_code == 201
    assert "evil.example" not in created.content.decode()
    with platform("test"):
        invitation = UserInvitation.objects.get(email="nora@example.org")
    message, recipient = acts.composed(acts.waiting_mail(invitation))
    written = acts.plain_text(message) + acts.html_text(message) + str(message["Message-ID"])
    assert recipient == "nora@example.org"
    assert f"{django_settings.BASE_URL}/i/{acts.token_of(invitation)}/" in written
    assert "evil.example" not in written
    refused = call(client, "POST", "", NORA, at=world.practice, **forged)
    assert problem(refused, 409, "duplicate_invitation", "email")
    assert "evil.example" not in refused.content.decode()


def test_host__that_is_not_ours__400(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", NORA, at=world.practice, host="evil.example")
    assert response.status_code == 400
    assert "evil.example" not in response.content.decode()
    assert call(client, "POST", "", NORA, at=world.practice).status_code == 201


# --- what HTTP itself refuses ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "template"),
    [("DELETE", ""), ("PUT", ""), ("POST", "{id}/"), ("GET", "{id}/resend/"), ("GET", "accept/{token}/")],
)
def test_method__that_a_route_does_not_have__405(world: World, sign_in: SignIn, method: str, template: str) -> None:
    response = call(sign_in(world.lee), method, fill(template, world), at=world.practice)
    problem(response, 405, "method_not_allowed")
    assert response["Allow"]


def test_accept_header__something_else_than_json__406(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    assert call(client, "GET", accept="application/json, text/html;q=0.5").status_code == 200
    problem(call(client, "GET", accept="text/html"), 406, "not_acceptable")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json-patch+json",
        "nonsense",
        ";;;",
    ],
)
def test_content_type__that_is_not_json__415(world: World, sign_in: SignIn, content_type: str) -> None:
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", "", json.dumps(NORA), at=world.practice, content_type=content_type)
    problem(response, 415, "unsupported_media_type")
    charset = "application/json; charset=utf-8"
    assert call(client, "POST", "", NORA, at=world.practice, content_type=charset).status_code == 201


# --- junk ------------------------------------------------------------------------------------------------------------
JUNK: list[bytes] = [
    b"",
    b" ",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"\xef\xbb\xbf" + json.dumps(NORA).encode(),
    b'{"email": "\xff@example.org"}',
    b'{"email": "\\ud800@example.org", "first_name": "\\udfff"}',
    b'{"first_name": "\\u0000", "reason": "\\u0000", "password": "\\u0000"}',
    b"{" * 2000,
    b"[" * 100_000,
    b'{"a":' * 100 + b"1" + b"}" * 100,
    b'{"email": "a@example.org", "email": "b@example.org"}',
    b'{"expires_in_hours": 1e400}',
    b'{"expires_in_hours": -1e400}',
    b'{"expires_in_hours": NaN}',
    b'{"expires_in_hours": Infinity}',
    b'{"expires_in_hours": ' + b"9" * 4000 + b"}",
    b'{"expires_in_hours": ' + b"9" * 100_000 + b"}",
    b'{"expires_in_hours": 0x10}',
    '{"expires_in_hours": "١٢"}'.encode(),
    b"[]",
    b"null",
    b"true",
    b"1",
    b'"{}"',
    b"{'email': 'a@example.org'}",
    b'{"email": "a@example.org",}',
    b'{"email": "a@example.org"} {"email": "b@example.org"}',
    b'{"": ""}',
    b'{"__class__": "os.system", "$where": "1", "constructor": {"prototype": {}}}',
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    b"email=a@example.org",
    b"x" * 1_100_000,
]
WRONG: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    0.5,
    1e308,
    10**400,
    "",
    " ",
    "\u0000",
    "\ud800",
    "\u202e",
    "x" * 20_000,
    "١٢٣",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "' OR 1=1 --",
    [],
    ["x"],
    [[[]]],
    {},
    {"a": {"b": []}},
]
TAKES_BODY = [row for row in (*STAFF, *PUBLIC) if row[0] != "GET"]


def assert_is_an_answer(response: Any, sent: object) -> None:
    """Demand no failure of ours, a proper problem if refused, and nothing of what was sent as markup."""
    assert response.status_code < 500, sent
    if response.status_code >= 400:
        problem(response, response.status_code, response.json()["code"], *response.json().get("errors", {}))
    assert response["Content-Type"] in ("application/json", "application/problem+json")
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(("method", "template", "_body", "_status"), TAKES_BODY)
def test_junk__as_the_whole_body__never_a_failure_of_ours(
    world: World, sign_in: SignIn, roomy_limits: None, method: str, template: str, _body: Any, _status: int
) -> None:
    client = Client() if "{token}" in template else sign_in(world.lee)
    for junk in JUNK:
        response = call(client, method, fill(template, world), junk, at=world.practice)
        assert_is_an_answer(response, junk[:80])


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(("method", "template", "field"), FIELDS)
def test_junk__in_a_field__never_a_failure_of_ours(
    world: World, sign_in: SignIn, roomy_limits: None, method: str, template: str, field: str
) -> None:
    client = Client() if "{token}" in template else sign_in(world.lee)
    address, beside = fill(template, world), BESIDE.get((method, template), {})
    for wrong in WRONG:
        response = call(client, method, address, {**beside, field: wrong}, at=world.practice)
        assert_is_an_answer(response, (field, str(wrong)[:80]))


@pytest.mark.seed("S0.20")
def test_junk__in_every_parameter_of_the_list__never_a_failure_of_ours(
    world: World, sign_in: SignIn, roomy_limits: None
) -> None:
    client = sign_in(world.lee)
    values = [str(value).encode("utf-8", "replace").decode() for value in WRONG if value != "\u0000"]
    values += [
        "%",
        "%zz",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
    ]
    for name in ("status", "type", "email", "since", "until", "cursor", "limit", "unknown"):
        for value in values:
            response = call(client, "GET", at=world.practice, query={name: value[:8000]})
            assert_is_an_answer(response, (name, value[:80]))
        assert_is_an_answer(call(client, "GET", at=world.practice, query={name: ["a", "b"]}), name)


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "identifier",
    [
        "0",
        "-1",
        "9" * 40,
        "00000000-0000-0000-0000-00000000000g",
        "٠" * 32,
        "%D9%A1%D9%A2",
        "%00",
        "..",
        "null",
        "x" * 5000,
        "%F0%9F%92%A9",
        "{0}",
        "%7B%7B7%7D%7D",
    ],
)
def test_junk__as_an_id__400_or_404_as_a_problem(world: World, sign_in: SignIn, identifier: str) -> None:
    client = sign_in(world.lee)
    assert call(client, "GET", path(world.invitation), at=world.practice).status_code == 200
    for method, act in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "resend/"), ("POST", "renew/")):
        response = call(client, method, f"{identifier}/{act}", at=world.practice)
        assert response.status_code in (400, 404)
        assert_is_an_answer(response, identifier)


def test_bug__in_a_service__500_without_what_was_inside(
    world: World, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> None:
        raise RuntimeError("secret of the house")

    client = sign_in(world.lee)
    client.raise_request_exception = False
    assert call(client, "POST", "", NORA, at=world.practice).status_code == 201
    monkeypatch.setattr("invitations.api.views.services.create_invitation", broken)
    response = call(client, "POST", "", {**NORA, "email": "second@example.org"}, at=world.practice)
    problem(response, 500, "server_error")
    assert "secret" not in response.content.decode()
