"""/api/v1/auth/second-factor/ and /verify/: what pages do, for programs."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User, UserSession
from accounts.second_factor import is_enrolled
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import Phone, phone_of
from healthivr.testing.world import World

from .calls import AUTH, JSON, ask, tokens_of

FACTOR = "second-factor/"


def call(token: str, path: str, method: str = "POST", **body: Any) -> Any:
    """Call something below /api/v1/auth/ with a bearer token."""
    headers = {"Authorization": f"Bearer {token}"}
    return getattr(Client(), method.lower())(AUTH + path, body, content_type=JSON, headers=headers)


def token_without_factor(user: User) -> str:
    token: str = tokens_of(user)["access"]
    return token


def grow_old(user: User) -> None:
    """Let five minutes pass since somebody proved who they are."""
    UserSession.objects.filter(user=user).update(verified_at=timezone.now() - timedelta(minutes=5, seconds=1))


@pytest.mark.seed("S3.1")
def test_enrolment__by_api__from_nothing_open_to_all_open(world: World) -> None:
    token = token_without_factor(world.lee)
    refused = ask(token)
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_enrolment_required")
    assert call(token, FACTOR, "GET").json() == {"enrolled_at": None, "recovery_codes_left": 0, "required": True}
    begun = call(token, FACTOR).json()
    assert begun["uri"].startswith("otpauth://totp/healthivr:lee@example.org?secret=" + begun["key"])
    wrong = call(token, FACTOR + "confirm/", code="000000")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "second_factor_invalid")
    confirmed = call(token, FACTOR + "confirm/", code=Phone(begun["key"]).code())
    assert len(confirmed.json()["recovery_codes"]) == 10
    assert ask(token).status_code == 200
    state = call(token, FACTOR, "GET").json()
    assert (state["recovery_codes_left"], state["required"]) == (10, True)
    assert "key" not in state
    again = call(token, FACTOR + "confirm/", code="000000")
    assert (again.status_code, again.json()["code"]) == (409, "enrolment_closed")


@pytest.mark.seed("S3.1")
@pytest.mark.parametrize(
    ("path", "method"), [(FACTOR, "POST"), (FACTOR + "recovery-codes/", "POST"), (FACTOR, "DELETE")]
)
def test_change__of_a_factor_by_api__asks_for_a_fresh_proof_and_takes_it(world: World, path: str, method: str) -> None:
    token = token_without_factor(world.mia)
    phone = Phone(call(token, FACTOR).json()["key"])
    call(token, FACTOR + "confirm/", code=phone.code())
    grow_old(world.mia)
    refused = call(token, path, method)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    by_password = call(token, "verify/", password=PASSWORD)
    assert (by_password.status_code, by_password.json()["code"]) == (400, "malformed_field")
    wrong = call(token, "verify/", code="000000")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "second_factor_invalid")
    assert call(token, path, method).status_code == 403
    assert call(token, "verify/", code=phone.code()).status_code == 204
    assert call(token, path, method).status_code in (200, 204)
    assert is_enrolled(world.mia) is (method != "DELETE")


def test_verify__of_who_has_no_factor__takes_the_password(world: World) -> None:
    token = token_without_factor(world.mia)
    grow_old(world.mia)
    wrong = call(token, "verify/", password="not the right one")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "current_password")
    assert UserSession.objects.get(user=world.mia).verified_at < timezone.now() - timedelta(minutes=5)
    assert call(token, "verify/", password=PASSWORD).status_code == 204
    session = UserSession.objects.get(user=world.mia)
    assert session.verified_at > timezone.now() - timedelta(minutes=1)
    assert session.second_factor_at is None


def test_removal__where_a_role_asks_for_it__refused(world: World) -> None:
    phone_of(world.lee)
    client = Client()
    client.force_login(world.lee)
    refused = client.delete(AUTH + FACTOR)
    assert (refused.status_code, refused.json()["code"]) == (422, "second_factor_needed")


def test_calls__of_nobody__sign_in_first(world: World) -> None:
    for path in (FACTOR, FACTOR + "confirm/", FACTOR + "recovery-codes/", "verify/"):
        assert Client().post(AUTH + path, {}, content_type=JSON).status_code == 401
