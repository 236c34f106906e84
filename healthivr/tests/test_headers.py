"""What every answer tells a browser, and what a deployment under https adds."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from accounts.models import User
from healthivr.testing.factories import PASSWORD
from healthivr.testing.processes import process_environment
from healthivr.testing.world import World
from invitations.tokens import derive_token

SignIn = Callable[[User], Client]
API = "/api/v1/invitations/"
DOCS = "/api/v1/docs/"
#: Every page that a person can open, by who opens it.
STRANGERS = ["/sign-in/", "/password-reset/", "/password-reset/sent/", "/password-reset/done/"]
MEMBERS = [
    "/profile/",
    "/profile/password/",
    "/o/lee-family-practice/",
    "/o/lee-family-practice/invitations/",
    "/o/lee-family-practice/invitations/new/",
    "/o/lee-family-practice/people/",
    "/o/lee-family-practice/settings/",
]
SAME_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def policy_of(response: Any) -> dict[str, list[str]]:
    directives = response["Content-Security-Policy"].split(";")
    return {name: values for name, *values in (directive.split() for directive in directives if directive.strip())}


def assert_safe(response: Any, where: str) -> None:
    for header, value in SAME_EVERYWHERE.items():
        assert response[header] == value, f"{where} {header}"
    assert re.fullmatch(r"[0-9a-f-]{36}", response["X-Request-ID"]), where
    assert "geolocation=()" in response["Permissions-Policy"], where
    assert not response.has_header("Server"), where
    assert not response.has_header("Access-Control-Allow-Origin"), where


# --- the policy ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.25")
@pytest.mark.django_db
def test_policy__of_pages__nothing_inline_nothing_from_elsewhere_no_frames() -> None:
    policy = policy_of(Client().get("/sign-in/"))
    nonces = {value for values in policy.values() for value in values if value.startswith("'nonce-")}
    assert len(nonces) <= 1
    allowed = {name: sorted(set(values) - nonces) for name, values in policy.items()}
    assert allowed == {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "frame-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }


@pytest.mark.seed("S2.25")
def test_policy__on_every_page_and_answer__strict_but_on_the_api_docs_alone(world: World, sign_in: SignIn) -> None:
    ana, lee = sign_in(world.ana), sign_in(world.lee)
    token = derive_token(world.invitation.token_nonce)
    responses = [
        *((path, Client().get(path)) for path in [*STRANGERS, f"/i/{token}/", "/healthz/", "/readyz/", "/nothing/"]),
        *((path, lee.get(path)) for path in [*MEMBERS, API, "/nothing/"]),
        ("400", lee.get(f"{API}?email=%00")),
        ("page 400", lee.get("/profile/%01/")),
        ("403", sign_in(world.mia).get(API)),
        ("admin", ana.get("/admin/")),
        ("schema", Client().get("/api/v1/schema/")),
        ("redirect", Client().get("/profile/")),
    ]
    for where, response in responses:
        assert response.status_code < 500, where
        assert_safe(response, where)
        policy = policy_of(response)
        assert policy["object-src"] == ["'none'"], where
        for values in policy.values():
            assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:"} & set(values), where
    docs = Client().get(DOCS)
    assert not docs.has_header("Content-Security-Policy")
    assert_safe(docs, "docs")
    assert not Client().get("/api/v1/docs").has_header("Content-Security-Policy")  # the same page without its slash
    for where in (f"{DOCS}x/", "/api/v1/docsx/"):  # what only looks like it
        assert Client().get(where).has_header("Content-Security-Policy"), where


def test_policy__after_a_bug__strict_all_the_same(
    world: World, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> None:
        raise ZeroDivisionError

    client = sign_in(world.lee)
    client.raise_request_exception = False
    monkeypatch.setattr("organizations.selectors.people", broken)
    response = client.get("/o/lee-family-practice/people/")
    assert response.status_code == 500
    assert_safe(response, "500")
    assert policy_of(response)["object-src"] == ["'none'"]
    assert response["X-Request-ID"] in response.text


# --- caches and ids --------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.29", "S2.25")
def test_no_store__on_everything_with_data__and_not_on_static_files(world: World, sign_in: SignIn) -> None:
    lee = sign_in(world.lee)
    answers = [lee.get(path) for path in [*MEMBERS, API, f"{API}{world.invitation.pk}/"]]
    answers += [Client().get(path) for path in [*STRANGERS, f"/i/{derive_token(world.invitation.token_nonce)}/"]]
    answers.append(sign_in(world.ana).get("/admin/accounts/user/"))
    for response in answers:
        assert {"no-store", "private"} <= {part.strip() for part in response["Cache-Control"].split(",")}
    with closing(Client().get("/static/css/theme.css")) as static:
        assert static.status_code == 200
        assert "no-store" not in static.get("Cache-Control", "")


@pytest.mark.seed("S3.26")
def test_request_id__new_for_each_request_and_never_the_clients(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    ids = {client.get(API, HTTP_X_REQUEST_ID="chosen-by-the-client")["X-Request-ID"] for _number in range(5)}
    assert len(ids) == 5
    assert "chosen-by-the-client" not in ids


# --- other origins ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.21")
def test_cors__listed_origin_may_read_the_api_and_nobody_else_anything(
    world: World, sign_in: SignIn, settings: Any
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    settings.CORS_ALLOW_CREDENTIALS = True
    client = sign_in(world.lee)
    listed = client.get(API, HTTP_ORIGIN="https://app.example.org")
    assert listed["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert listed["Access-Control-Allow-Credentials"] == "true"
    for origin in (
        "https://evil.example",
        "https://app.example.org.evil.example",
        "http://app.example.org",
        "https://app.example.org:8443",
        "null",
    ):
        assert not client.get(API, HTTP_ORIGIN=origin).has_header("Access-Control-Allow-Origin"), origin
    page = client.get("/o/lee-family-practice/", HTTP_ORIGIN="https://app.example.org")
    assert not page.has_header("Access-Control-Allow-Origin")
    assert not getattr(django_settings, "CORS_ALLOW_ALL_ORIGINS", False)


@pytest.mark.seed("S0.20")
def test_csrf__cookie_post_without_the_token__403_page_and_problem(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.lee)
    body = json.dumps({"invitation_type": "office_admin", "email": "n@example.org"})
    client.get("/profile/")
    cookie = client.cookies[django_settings.CSRF_COOKIE_NAME].value
    allowed = client.post(API, body, content_type="application/json", HTTP_X_CSRFTOKEN=cookie)
    assert allowed.status_code == 201
    refused = client.post(API, body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    page = client.post("/profile/", {"first_name": "X"})
    assert page.status_code == 403
    sign_in = Client(enforce_csrf_checks=True).post("/sign-in/", {"email": world.lee.email, "password": PASSWORD})
    assert sign_in.status_code == 403


@pytest.mark.seed("S0.20")
def test_host__another_one__400_and_in_no_page(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    assert client.get("/profile/", HTTP_HOST="localhost").status_code == 200
    response = client.get("/profile/", HTTP_HOST="evil.example")
    assert response.status_code == 400
    assert "evil.example" not in response.text
    forwarded = client.get("/profile/", HTTP_X_FORWARDED_HOST="evil.example")
    assert (forwarded.status_code, "evil.example" in forwarded.text) == (200, False)


# --- cookies, and https ----------------------------------------------------------------------------------------------
def test_cookies__of_the_session_and_against_forgery__kept_from_scripts_and_other_sites(world: World) -> None:
    client = Client()
    client.get(reverse("accounts:sign_in"))
    client.post("/sign-in/", {"email": "lee@example.org", "password": PASSWORD})
    for name in (django_settings.SESSION_COOKIE_NAME, django_settings.CSRF_COOKIE_NAME):
        cookie = client.cookies[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")


UNDER_HTTPS = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "healthivr.settings"
import django
django.setup()
from django.conf import settings
from django.test import Client

secure, plain = Client(), Client()
page = secure.get("/sign-in/", secure=True, HTTP_HOST="invite.example.org")
signed_in = secure.post("/sign-in/", {"email": "lee@example.org", "password": os.environ["PASSWORD"]}, secure=True,
    HTTP_HOST="invite.example.org")
redirect = plain.get("/sign-in/", HTTP_HOST="invite.example.org")
behind_proxy = plain.get("/sign-in/", HTTP_HOST="invite.example.org", HTTP_X_FORWARDED_PROTO="https")
health = plain.get("/healthz", HTTP_HOST="invite.example.org")
print(json.dumps({
    "hsts": page["Strict-Transport-Security"],
    "status": [page.status_code, signed_in.status_code, redirect.status_code, health.status_code],
    "location": redirect["Location"],
    "behind_proxy": behind_proxy.status_code,
    "cookies": {name: dict(morsel) for name, morsel in secure.cookies.items()},
}))
"""


@pytest.mark.seed("S0.22", "S2.25")
def test_https__base_url_says_so__hsts_redirect_and_cookies_that_no_subdomain_can_set(committed_world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_HTTPS],
        env=process_environment(BASE_URL="https://invite.example.org", TRUSTED_PROXIES="1", PASSWORD=PASSWORD),
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["hsts"] == "max-age=31536000; includeSubDomains; preload"
    assert seen["status"] == [200, 302, 301, 200]
    assert seen["location"] == "https://invite.example.org/sign-in/"
    assert seen["behind_proxy"] == 200
    assert set(seen["cookies"]) == {"__Host-session", "__Host-csrf", "__Host-known_browser"}
    for cookie in seen["cookies"].values():
        assert cookie["secure"]
        assert (cookie["path"], cookie["domain"]) == ("/", "")
