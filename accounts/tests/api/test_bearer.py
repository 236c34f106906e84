"""`Authorization: Bearer`: which tokens are taken, until when, and where."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from accounts import access_tokens, administration, services
from accounts.models import User, UserSession
from healthivr.testing.factories import PASSWORD
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.tests.api.calls import problem
from organizations.actor import Actor
from organizations.models import Membership
from organizations.services import end_membership
from organizations.standing import Standing
from organizations.tenancy import tenant

from .calls import INVITATIONS, ask, tokens_of

SignIn = Callable[[User], Client]
INVALID = 'Bearer error="invalid_token"'


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def forged(token: str, *, key: str = "", algorithm: str = "HS256", typ: str = "at+jwt", **claims: Any) -> str:
    """Make a token like another one, save in what is named; a claim that is None is left out."""
    made = {name: value for name, value in {**claims_of(token), **claims}.items() if value is not None}
    secret = "" if algorithm == "none" else key or django_settings.JWT_SECRET_KEY
    return jwt.encode(made, secret, algorithm=algorithm, headers={"typ": typ})


def move(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Move the clock by which requests are judged."""
    monkeypatch.setattr("accounts.api.authentication.timezone.now", lambda: real_now() + by)


real_now = timezone.now


# --- what a token must be --------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.18")
@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "none"},
        {"algorithm": "HS384"},
        {"algorithm": "HS512"},
        {"key": "another key that is long enough for all that we know of it"},
        {"typ": "JWT"},
        {"purpose": "refresh"},
        {"purpose": None},
        {"aud": "another-api"},
        {"aud": ["healthivr-api", "another-api"]},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": "01a1ffa0-5448-7a8a-aaef-adc874293425"},
        {"sub": None},
        {"sub": "omar@example.org"},
        {"sid": None},
        {"sid": "not-an-id"},
        {"iat": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": 9_999_999_999},
    ],
    ids=str,
)
def test_token__changed_in_one_thing__401_and_a_challenge(world: World, change: dict[str, Any]) -> None:
    token = tokens_of(world.omar)["access"]
    assert ask(forged(token)).status_code == 200
    response = ask(forged(token, **change))
    problem(response, 401, "token_invalid")
    assert response["WWW-Authenticate"] == INVALID


@pytest.mark.seed("S0.18")
@pytest.mark.parametrize("damage", ["", "x", "a.b.c", "..", "é", "null", "{}", " "], ids=repr)
def test_token__that_is_none__401(world: World, damage: str) -> None:
    token = tokens_of(world.omar)["access"]
    assert ask(token).status_code == 200
    problem(Client().get(INVITATIONS, HTTP_AUTHORIZATION=f"Bearer {damage}"), 401, "token_invalid")
    problem(ask(token[:-4] + "AAAA"), 401, "token_invalid")
    head, body, _signature = token.split(".")
    problem(ask(f"{head}.{body}."), 401, "token_invalid")


def test_token__of_the_future__401(world: World) -> None:
    token = tokens_of(world.omar)["access"]
    later = int(timezone.now().timestamp()) + 120
    problem(ask(forged(token, iat=later, exp=later + 1800)), 401, "token_invalid")


def test_token__of_somebody_elses_session__401(world: World) -> None:
    mine, theirs = tokens_of(world.omar)["access"], tokens_of(world.mia)["access"]
    problem(ask(forged(mine, sid=claims_of(theirs)["sid"])), 401, "token_invalid")


def test_token__of_a_browsers_session__401(world: World) -> None:
    token = access_tokens.make_access_token(session_of(world.omar), at=timezone.now())
    problem(ask(token), 401, "token_invalid")
    token = access_tokens.make_access_token(session_of(world.omar, kind="token"), at=timezone.now())
    assert ask(token).status_code == 200


@pytest.mark.seed("C4")
def test_token__of_a_session_that_never_was__401(world: World) -> None:
    token = tokens_of(world.omar)["access"]
    problem(ask(forged(token, sid=str(uuid4()))), 401, "session_ended")


# --- until when ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.18", "C4")
def test_token__thirty_minutes_later__expired(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens_of(world.omar)["access"]
    move(monkeypatch, timedelta(minutes=29, seconds=58))
    assert ask(token).status_code == 200
    move(monkeypatch, timedelta(minutes=30, seconds=1))
    response = ask(token)
    problem(response, 401, "token_expired")
    assert response["WWW-Authenticate"] == INVALID


@pytest.mark.seed("S0.18")
def test_token__that_says_it_lives_longer__does_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens_of(world.omar)["access"]
    long = forged(token, exp=claims_of(token)["exp"] + 86_400)
    assert ask(long).status_code == 200
    move(monkeypatch, timedelta(minutes=31))
    problem(ask(long), 401, "token_expired")


def test_token__family_of_24_hours__ended_and_written_down(world: World) -> None:
    token = tokens_of(world.omar)["access"]
    assert ask(token).status_code == 200
    UserSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    problem(ask(token), 401, "session_ended")
    assert UserSession.objects.get().end_reason == "expired"


def test_token__not_used_for_hours__is_no_browser(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens_of(world.omar)["access"]
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=5))
    assert ask(token).status_code == 200


def test_token__last_seen__written_every_twenty_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens_of(world.omar)["access"]
    began = UserSession.objects.get().last_seen_at

    def seen_after(seconds: int) -> datetime:
        move(monkeypatch, timedelta(seconds=seconds))
        assert ask(token).status_code == 200
        return UserSession.objects.get().last_seen_at

    assert seen_after(15) == began
    assert seen_after(25) > began + timedelta(seconds=20)


@pytest.mark.parametrize("act", ["deactivated", "password", "membership"])
def test_token__person_deactivated_password_changed_membership_ended__401_at_the_next_request(
    world: World, act: str
) -> None:
    token, at = tokens_of(world.omar)["access"], timezone.now()
    assert ask(token).status_code == 200
    if act == "deactivated":
        administration.deactivate_user(
            actor=world.actor(world.ana, world.platform), user_id=world.omar.pk, reason="left", at=at
        )
    elif act == "password":
        origin = {"ip": "192.0.2.1", "request_id": "test"}
        services.change_password(
            user=world.omar, session=None, current=PASSWORD, password="an entirely different horse", at=at, **origin
        )
    else:
        with tenant(world.practice):
            membership = Membership.objects.get(user=world.omar)
            end_membership(actor=world.actor(world.lee), membership_id=membership.pk, reason="left", at=at)
    problem(ask(token), 401, "session_ended")


# --- where -----------------------------------------------------------------------------------------------------------
def test_token__on_pages_and_in_django_admin__is_nobody(world: World) -> None:
    token = tokens_of(world.omar)["access"]
    assert ask(token).status_code == 200
    for page in ("/", "/profile/", "/o/lee-family-practice/", "/admin/"):
        response = ask(token, page)
        assert response.status_code == 302, page
        assert "login" in response["Location"] or "sign-in" in response["Location"]


def test_token__beside_a_cookie__the_token_counts_and_the_cookie_does_not(world: World, sign_in: SignIn) -> None:
    client, token = sign_in(world.stone), tokens_of(world.omar)["access"]
    cookie = UserSession.objects.get(user=world.stone)
    UserSession.objects.filter(pk=cookie.pk).update(last_seen_at=timezone.now() - timedelta(minutes=5))
    before = UserSession.objects.get(pk=cookie.pk).last_seen_at
    assert ask(token, client=client).json()["results"] == []  # Omar sees what he sent; Stone would see an invitation
    assert UserSession.objects.get(pk=cookie.pk).last_seen_at == before
    problem(ask("x", client=client), 401, "token_invalid")
    assert len(client.get(INVITATIONS).json()["results"]) == 1


@pytest.mark.seed("C4")
def test_token__needs_no_csrf__and_a_cookie_does(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.lee)
    body = {"invitation_type": "medical_staff", "email": "nora@example.org"}
    problem(client.post(INVITATIONS, body, content_type="application/json"), 403, "csrf_failed")
    session = session_of(world.lee, kind="token")
    token = access_tokens.make_access_token(session, at=timezone.now())
    headers = {"Authorization": f"bearer {token}"}
    assert client.post(INVITATIONS, body, content_type="application/json", headers=headers).status_code == 201


def test_token__step_up__counts_from_the_sign_in_of_its_family(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens_of(world.omar)["access"]
    seen: list[Actor] = []
    original = Standing.actor

    def watched(self: Standing, **kwargs: Any) -> Actor:
        seen.append(original(self, **kwargs))
        return seen[-1]

    monkeypatch.setattr(Standing, "actor", watched)
    assert ask(token).status_code == 200
    assert [actor.verified_at for actor in seen] == [UserSession.objects.get().verified_at]


@pytest.mark.parametrize("scheme", ["Basic", "Token", "JWT"])
def test_other_schemes__are_nobody(world: World, scheme: str) -> None:
    token = tokens_of(world.omar)["access"]
    response = Client().get(INVITATIONS, headers={"Authorization": f"{scheme} {token}"})
    problem(response, 401, "sign_in_required")
    assert response["WWW-Authenticate"] == "Bearer, Session"


def test_token__another_organizations_name_in_the_header__404(world: World) -> None:
    token = tokens_of(world.omar)["access"]
    assert ask(token, **{"X-Organization": world.practice.slug}).status_code == 200
    problem(ask(token, **{"X-Organization": world.strange_practice.slug}), 404, "not_found")
    problem(ask(token, **{"X-Organization": "no-such"}), 404, "not_found")


# --- other origins ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.21")
@pytest.mark.parametrize("path", [INVITATIONS, "/api/v1/auth/token/", "/api/v1/auth/token/refresh/"])
def test_cors__preflight_with_a_token__for_who_is_listed_only(world: World, settings: Any, path: str) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    settings.CORS_ALLOW_CREDENTIALS = True

    def preflight(origin: str) -> Any:
        return Client().options(
            path,
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, content-type",
            },
        )

    listed = preflight("https://app.example.org")
    assert listed.status_code == 200
    assert listed["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert {"authorization", "content-type"} <= set(listed["Access-Control-Allow-Headers"].split(", "))
    assert "POST" in listed["Access-Control-Allow-Methods"]
    for origin in ("https://evil.example", "null", "https://app.example.org.evil.example"):
        unlisted = preflight(origin)
        assert not unlisted.has_header("Access-Control-Allow-Origin"), origin
        assert not unlisted.has_header("Access-Control-Allow-Credentials"), origin
        sent = Client().post(path, {}, content_type="application/json", headers={"Origin": origin})
        assert not sent.has_header("Access-Control-Allow-Origin"), origin
