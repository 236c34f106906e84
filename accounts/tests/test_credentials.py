"""Checking an address and a password: who gets in, what it costs, and what the trail keeps."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.hashers import Argon2idHasher
from accounts.lockout import forget_failures
from accounts.models import User
from accounts.services import InvalidCredentials, check_credentials
from audit.models import AuditEvent
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.masking import address_digest
from healthivr.testing.factories import PASSWORD
from healthivr.testing.world import World
from organizations.tenancy import tenant

ORIGIN = {"ip": "192.0.2.1", "request_id": "test-request"}


def check(email: str, password: str = PASSWORD) -> User:
    """Check, as somebody who then signs in: whose failures are forgotten."""
    user, guess = check_credentials(email=email, password=password, at=timezone.now(), **ORIGIN)
    forget_failures(guess)
    return user


def last_event() -> AuditEvent:
    with tenant(PLATFORM_ORGANIZATION_ID):
        event = AuditEvent.objects.order_by("-sequence").first()
    assert event
    return event


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every computation of a hash, as it happens."""
    computed: list[str] = []
    for name in ("encode", "verify"):
        original = getattr(Argon2idHasher, name)

        def counted(self: Any, *args: Any, _original: Any = original, _name: str = name, **kwargs: Any) -> Any:
            computed.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(Argon2idHasher, name, counted)
    return computed


@pytest.mark.seed("S4.13")
@pytest.mark.parametrize("typed", ["lee@example.org", "Lee@Example.ORG", "  lee@example.org "])
def test_sign_in__address_in_any_case__the_person(world: World, typed: str) -> None:
    assert check(typed) == world.lee


def refused(email: str, password: str) -> InvalidCredentials:
    with pytest.raises(InvalidCredentials) as error:
        check(email, password)
    return error.value


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("lee@example.org", "not the right one"),
        ("lee@example.org", PASSWORD.upper()),
        ("lee@example.org", ""),
        ("lee@example.org", PASSWORD + "\0"),
        ("nobody@example.org", PASSWORD),
        ("not an address", PASSWORD),
        ("l\u200bee@example.org", PASSWORD),
        ("", ""),
    ],
)
def test_sign_in__wrong_or_unknown__same_refusal_same_work_and_an_event_without_the_address(
    world: World, hashes: list[str], email: str, password: str
) -> None:
    assert check("lee@example.org")
    hashes.clear()
    error = refused(email, password)
    assert len(hashes) == 1
    known = refused("lee@example.org", "another wrong one")
    assert (error.code, str(error.message), error.extra) == (known.code, str(known.message), known.extra)
    event = last_event()
    assert (event.action, event.outcome, event.actor_id, event.actor_kind) == (
        "session.refused",
        "4",
        None,
        "anonymous",
    )
    assert (event.target_type, event.target_id) == ("", "")
    assert event.detail == {"address": address_digest("lee@example.org"), "proof": "password"}
    assert "lee" not in str(event.detail)


def test_sign_in__person_who_may_no_longer__refused_like_a_wrong_password(world: World, hashes: list[str]) -> None:
    assert check("omar@example.org")
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    hashes.clear()
    refused("omar@example.org", PASSWORD)
    assert len(hashes) == 1
    assert last_event().action == "session.refused"


def test_sign_in__statements__the_same_for_an_unknown_address(world: World) -> None:
    """Time tells nothing: a known and an unknown address take the same way through the database."""

    def statements(email: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            refused(email, "wrong")
        return [query["sql"].partition(" ")[0] for query in captured]

    assert statements("nobody@example.org") == statements("lee@example.org") == statements("not an address")


@pytest.mark.seed("S2.13")
def test_session__of_somebody_deactivated__ends_with_the_next_request(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(world.omar)
    assert client.get("/api/v1/invitations/").status_code == 200
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    assert client.get("/api/v1/invitations/").status_code == 401
