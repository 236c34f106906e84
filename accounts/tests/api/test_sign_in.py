"""POST /api/v1/auth/token/: who gets tokens, what it costs, and what strangers learn."""

import json
from typing import Any

import jwt
import pytest
from django.db import connection
from django.utils import timezone

from accounts.hashers import Argon2idHasher
from accounts.models import RefreshToken, SignInLock, User, UserSession
from audit.models import AuditEvent
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import phone_of
from healthivr.testing.races import race
from healthivr.testing.world import World
from invitations.tests.api.calls import problem
from organizations.models import OrganizationSettings
from organizations.tenancy import tenant

from .calls import ask, post, sign_in, tokens_of

WRONG = "not the right one at all"


@pytest.mark.seed("S0.18")
def test_sign_in__right__a_family_of_tokens_that_opens_the_api(world: World) -> None:
    response = sign_in(world.omar)
    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"access", "expires_in", "refresh", "session_expires_at", "second_factor_enrolment_required"}
    assert body["expires_in"] == 30 * 60
    assert body["second_factor_enrolment_required"] is False
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies
    session = UserSession.objects.get()
    assert (session.user, session.kind, session.ended_at) == (world.omar, "token", None)
    assert ask(body["access"]).status_code == 200
    with tenant(PLATFORM_ORGANIZATION_ID):
        event = AuditEvent.objects.get(action="session.started")
    assert (event.actor_id, event.target_id) == (world.omar.pk, str(session.pk))


def test_sign_in__what_the_tokens_hold_and_what_is_stored__ids_and_a_digest(world: World) -> None:
    body = tokens_of(world.omar)
    header = jwt.get_unverified_header(body["access"])
    claims = jwt.decode(body["access"], options={"verify_signature": False})
    assert header == {"alg": "HS256", "typ": "at+jwt"}
    assert set(claims) == {"iss", "aud", "purpose", "sub", "sid", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 1800
    for personal in ("omar", "Haddad", "example.org", "office"):
        assert personal not in json.dumps(claims)
    assert len(body["refresh"]) == 43
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM accounts_refreshtoken row")
        (row,) = cursor.fetchone()
    assert body["refresh"] not in row
    assert RefreshToken.objects.get().digest in row


@pytest.mark.parametrize("email", ["lee@example.org", "nobody@example.org", "new.nurse@example.org", "no address"])
def test_sign_in__wrong__says_the_same_of_known_unknown_and_invited(world: World, email: str) -> None:
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    first = sign_in("mia@example.org")
    response = sign_in(email, WRONG)
    expected, got = problem(first, 401, "invalid_credentials"), problem(response, 401, "invalid_credentials")
    assert {**got, "request_id": ""} == {**expected, "request_id": ""}
    assert response["WWW-Authenticate"].startswith("Bearer")
    names = [{name for name in answer.headers if name != "X-Request-ID"} for answer in (first, response)]
    assert names[0] == names[1]
    assert not UserSession.objects.exists()
    assert sign_in("omar@example.org").status_code == 200


@pytest.mark.seed("S3.3")
@pytest.mark.parametrize("email", ["lee@example.org", "nobody@example.org"])
def test_sign_in__sixth_guess__429_locked_with_headers_even_with_the_right_password(world: World, email: str) -> None:
    for _number in range(5):
        problem(sign_in(email, WRONG), 401, "invalid_credentials")
    refused = sign_in(email, PASSWORD)
    problem(refused, 429, "locked")
    assert 0 < int(refused["Retry-After"]) <= 901
    assert (refused["RateLimit-Limit"], refused["RateLimit-Remaining"]) == ("5", "0")
    assert 0 < int(refused["RateLimit-Reset"]) <= 901
    assert sign_in("omar@example.org").status_code == 200


@pytest.mark.seed("S4.9")
def test_sign_in__twenty_first_from_one_address__429(world: World, standing_clock: None) -> None:
    for number in range(20):
        assert sign_in(f"person{number}@example.org", WRONG).status_code == 401
    refused = sign_in("omar@example.org")
    problem(refused, 429, "too_many_requests")
    assert refused["RateLimit-Limit"] == "20"


def test_sign_in__a_cookie_and_a_dead_token_beside_it__ignored(world: World) -> None:
    body = {"email": "omar@example.org", "password": PASSWORD}
    assert post("token/", body, Authorization="Bearer x.y.z").status_code == 200


@pytest.mark.parametrize("more", [{"role": "admin"}, {"is_active": "yes"}])
def test_sign_in__names_it_does_not_know__400(world: World, more: dict[str, str]) -> None:
    problem(sign_in(world.omar, PASSWORD, **more), 400, "malformed_field", *more)
    assert sign_in(world.omar).status_code == 200


def test_sign_in__password_with_spaces_around_it__is_compared_as_it_is(world: World) -> None:
    problem(sign_in(world.omar, f" {PASSWORD} "), 401, "invalid_credentials")


def test_sign_in__who_needs_a_second_factor_and_has_none__tokens_that_open_its_enrolment_only(world: World) -> None:
    body = tokens_of(world.lee)
    assert body["second_factor_enrolment_required"] is True
    problem(ask(body["access"]), 403, "second_factor_enrolment_required")
    UserSession.objects.filter(user=world.lee).update(second_factor_at=timezone.now())
    assert ask(body["access"]).status_code == 200


def test_sign_in__an_organization_starts_to_ask_for_a_second_factor__tokens_close_at_the_next_request(
    world: World,
) -> None:
    body = tokens_of(world.omar)
    assert ask(body["access"]).status_code == 200
    with tenant(world.practice):
        OrganizationSettings.objects.filter(organization=world.practice).update(requires_second_factor=True)
    problem(ask(body["access"]), 403, "second_factor_enrolment_required")


# --- the second factor -----------------------------------------------------------------------------------------------
def test_sign_in__with_a_second_factor__the_code_is_asked_for_and_taken_once(world: World) -> None:
    phone = phone_of(world.lee)
    response = sign_in(world.lee)
    problem(response, 401, "second_factor_required")
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert not UserSession.objects.exists()
    code = phone.code()
    body = sign_in(world.lee, otp=code).json()
    assert body["second_factor_enrolment_required"] is False
    assert ask(body["access"]).status_code == 200
    assert UserSession.objects.get().second_factor_at is not None
    problem(sign_in(world.lee, otp=code), 422, "second_factor_invalid", "otp")
    assert sign_in(world.lee, otp=phone.code()).status_code == 200


def test_sign_in__wrong_password_with_a_right_code__says_nothing_of_the_factor_and_takes_no_code(world: World) -> None:
    phone = phone_of(world.lee)
    code = phone.code()
    problem(sign_in(world.lee, WRONG, otp=code), 401, "invalid_credentials")
    assert sign_in(world.lee, otp=code).status_code == 200


@pytest.mark.seed("S3.2")
def test_sign_in__wrong_codes__count_with_wrong_passwords_and_a_right_password_does_not_forget_them(
    world: World,
) -> None:
    phone = phone_of(world.lee)
    for _number in range(4):
        problem(sign_in(world.lee, otp="000000"), 422, "second_factor_invalid", "otp")
        problem(sign_in(world.lee), 401, "second_factor_required")
    problem(sign_in(world.lee, otp="000000"), 422, "second_factor_invalid", "otp")
    problem(sign_in(world.lee, otp=phone.code()), 429, "locked")


def test_sign_in__right_with_the_factor__forgets_the_failures(world: World) -> None:
    phone = phone_of(world.lee)
    problem(sign_in(world.lee, otp="000000"), 422, "second_factor_invalid", "otp")
    assert sign_in(world.lee, otp=phone.code()).status_code == 200
    assert not SignInLock.objects.exists()


@pytest.mark.seed("S3.3", "S4.9")
def test_sign_in__a_hundred_guesses_at_once__at_most_five_hashes(
    committed_world: World, roomy_limits: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIMITS = {**settings.LIMITS, "sign_in_account": "5/15m"}
    hashes: list[int] = []
    verify, encode = Argon2idHasher.verify, Argon2idHasher.encode

    def counted(original: Any) -> Any:
        def hashed(self: Any, *args: Any) -> Any:
            hashes.append(1)
            return original(self, *args)

        return hashed

    monkeypatch.setattr(Argon2idHasher, "verify", counted(verify))
    monkeypatch.setattr(Argon2idHasher, "encode", counted(encode))
    waves = [race(*[lambda: sign_in("lee@example.org", WRONG).status_code] * 25) for _wave in range(4)]
    answers = [status for wave in waves for status in wave]
    assert sorted(set(answers)) == [401, 429]
    assert (answers.count(401), answers.count(429)) == (5, 95)
    assert len(hashes) == 5
    assert SignInLock.objects.get().locked_until is not None
