"""Addresses: with and without the trailing slash, and what stock Django would answer with 500 or somebody else's row."""

import json
from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from healthivr.testing.world import World
from invitations.tokens import derive_token

API = "/api/v1/invitations"
SignIn = Callable[[User], Client]


# --- both forms ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.4")
@pytest.mark.parametrize(
    "address",
    [
        "/healthz",
        "/readyz",
        "/profile",
        "/o/lee-family-practice",
        "/o/lee-family-practice/invitations",
        "/o/lee-family-practice/people",
        API,
        f"{API}/{{invitation}}",
        f"{API}/validate/{{token}}",
        "/api/v1/schema",
        "/api/v1/docs",
        "/admin",
        "/admin/invitations/userinvitation",
    ],
)
def test_address__with_and_without_the_slash__the_same_answer_and_no_redirect(
    world: World, sign_in: SignIn, address: str
) -> None:
    path = address.format(invitation=world.invitation.pk, token=derive_token(world.invitation.token_nonce))
    client = sign_in(world.ana if "admin" in path else world.lee)
    answers = [client.get(form).status_code for form in (path, f"{path}/")]
    assert answers == [200, 200]


@pytest.mark.seed("S0.4")
def test_post__without_the_slash__keeps_its_body(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    for number, form in enumerate((API, f"{API}/")):
        body = {"invitation_type": "office_admin", "email": f"nora{number}@example.org"}
        response = client.post(form, json.dumps(body), content_type="application/json")
        assert response.status_code == 201
        assert response.json()["email"] == f"nora{number}@example.org"


def test_put_and_delete__without_the_slash__work(world: World, sign_in: SignIn) -> None:
    client, url = sign_in(world.lee), f"{API}/{world.invitation.pk}"
    body = json.dumps({"invitation_type": "medical_staff"})
    assert client.put(url, body, content_type="application/json").status_code == 200
    assert client.delete(url).json()["status"] == "cancelled"


def test_query__of_an_address_without_the_slash__is_kept(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    assert len(client.get(f"{API}?status=pending").json()["results"]) == 1
    assert client.get(f"{API}?status=accepted").json()["results"] == []


@pytest.mark.parametrize("path", ["/nothing", "/nothing/", f"{API}//", "/profile//", "/PROFILE/"])
def test_address__that_does_not_exist__404_in_both_forms(world: World, sign_in: SignIn, path: str) -> None:
    client = sign_in(world.lee)
    assert client.get("/profile/").status_code == 200
    assert client.get(path).status_code == 404


# --- what is no address ----------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "hidden",
    ["%00", "%01", "%1f", "%7f", "%C2%85", "%D9%A1", "%E0%A5%A7", "%EF%BC%91", "%C2%B2"],
    ids=["NUL", "SOH", "US", "DEL", "NEL", "arabic one", "devanagari one", "full-width one", "superscript two"],
)
def test_path__control_characters_and_digits_of_other_scripts__400_everywhere(
    world: World, sign_in: SignIn, hidden: str
) -> None:
    client = sign_in(world.lee)
    for path in (f"{API}/{world.invitation.pk}", "/o/lee-family-practice/invitations", "/i/token", "/admin/accounts"):
        assert client.get(f"{path}/").status_code in (200, 302, 404)
        assert client.get(f"{path}{hidden}/").status_code == 400


def test_path__digits_of_another_script_in_an_id__never_somebodys_row(world: World, sign_in: SignIn) -> None:
    client, pk = sign_in(world.lee), str(world.invitation.pk)
    assert client.get(f"{API}/{pk}/").status_code == 200
    arabic = pk.translate({ord(str(digit)): 0x0660 + digit for digit in range(10)})
    assert client.get(f"{API}/{arabic}/").status_code == 400


@pytest.mark.parametrize(
    "path", ["/caf%C3%A9/", "/%ff/", "/a%0ab/", "/a%0d%0aSet-Cookie:x/", "/%2e%2e/%2e%2e/etc/passwd"]
)
def test_path__odd_but_possible__404_and_never_500(world: World, path: str) -> None:
    response = Client().get(path)
    assert response.status_code in (302, 404)
    assert "Set-Cookie" not in response.headers


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("query", ["email=%00", "%00=x", "status=sent&cursor=a%00b", "a=1&a=2%00"])
def test_query__with_nul__400(world: World, sign_in: SignIn, query: str) -> None:
    client = sign_in(world.lee)
    for path in (f"{API}/", "/o/lee-family-practice/invitations/", "/sign-in/", "/"):
        assert client.get(f"{path}").status_code in (200, 302)
        assert client.get(f"{path}?{query}").status_code == 400


def test_query__with_thousands_of_parameters__400(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    many = "&".join(f"p{number}=1" for number in range(2000))
    assert client.get(f"{API}/?email=n").status_code == 200
    assert client.get(f"{API}/?{many}").status_code == 400


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "body",
    [
        '{"invitation_type": "office_admin", "email": "n@example.org", "first_name": "\\u0000"}',
        '{"invitation_type": "office_admin", "email": "n@example.org", "message": "\\ud800"}',
        '{"invitation_type": "office_admin", "email": "a@example.org", "email": "b@example.org"}',
        '{"invitation_type": "office_admin", "email": "n@example.org", "expires_in_hours": NaN}',
        '{"invitation_type": "office_admin", "email": "n@example.org", "expires_in_hours": 1e400}',
        '{"invitation_type": "office_admin", "email": "n@example.org", "expires_in_hours": 12.5}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "[]",
        "null",
        '"x"',
        "{",
        "",
        "\xff",
    ],
    ids=lambda body: body[:70],
)
def test_body__that_parsers_disagree_about__400_as_a_problem(world: World, sign_in: SignIn, body: str) -> None:
    client = sign_in(world.lee)
    good = '{"invitation_type": "office_admin", "email": "fine@example.org"}'
    assert client.post(f"{API}/", good, content_type="application/json").status_code == 201
    response = client.post(f"{API}/", body.encode("latin-1"), content_type="application/json")
    assert response.status_code == 400
    assert response.json()["code"] in ("malformed_body", "malformed_field")


def test_form__with_nul__refused_as_a_mistake_and_never_500(world: World) -> None:
    for url, field in (("/sign-in/", "email"), ("/password-reset/", "email")):
        assert Client().post(url, {field: "a\0b@example.org", "password": "x"}).status_code in (400, 422)


@pytest.mark.parametrize("key", [r'"\000aaaaaaaaaaaa"', "x", "Ä" * 32, "a" * 5000])
@pytest.mark.parametrize("address", ["/sign-in/", "/", "/i/abc/", f"{API}/", "/api/v1/schema/"])
def test_session_cookie__that_cannot_be_ours__is_none(db: None, key: str, address: str) -> None:
    response = Client().get(address, headers={"cookie": f"{settings.SESSION_COOKIE_NAME}={key}"})
    assert response.status_code < 500


def test_body__longer_than_a_megabyte__refused_though_valid(world: World, sign_in: SignIn) -> None:
    good = '{"invitation_type": "office_admin", "email": "fine@example.org"}'
    response = sign_in(world.lee).post(f"{API}/", " " * 1_100_000 + good, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")
    assert "too large" in response.json()["detail"]
