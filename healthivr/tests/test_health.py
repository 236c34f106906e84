"""Whether the process runs, and whether the system can do its work: what each failure looks like from outside."""

import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import AccountMail, User
from healthivr.health import HEARTBEAT_KEY, beat
from healthivr.testing.database import as_owner, connected_as
from healthivr.testing.world import World
from invitations.models import Delivery
from organizations.tenancy import platform

SignIn = Callable[[User], Client]


def ready() -> tuple[int, dict[str, Any]]:
    response = Client().get("/readyz/")
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    return response.status_code, response.json()


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {name: check["state"] for name, check in answer["checks"].items()}


ALL_WELL = {"database": "ok", "redis": "ok", "worker": "ok", "outbox": "ok"}


@pytest.mark.seed("S0.34")
@pytest.mark.django_db
def test_healthz__asks_nobody(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = Client().get("/healthz/")
    assert (response.status_code, response.text) == (200, "ok\n")


@pytest.mark.seed("S0.34", "S1.18")
@pytest.mark.django_db
def test_readyz__all_well__200_ok_with_a_state_for_each_dependency() -> None:
    beat()
    code, answer = ready()
    assert (code, answer["status"], states(answer)) == (200, "ok", ALL_WELL)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.34")
@pytest.mark.django_db(transaction=True)
def test_readyz__postgresql_away__503_and_healthz_goes_on(tmp_path: Any) -> None:
    beat()
    with connected_as(HOST=str(tmp_path)):
        code, answer = ready()
        assert (code, answer["status"]) == (503, "down")
        assert answer["checks"]["database"] == {"state": "down", "reason": "PostgreSQL does not answer"}
        assert Client().get("/healthz/").status_code == 200
    assert ready()[0] == 200


@pytest.mark.seed("S0.34")
@pytest.mark.django_db(transaction=True)
def test_readyz__postgresql_takes_the_connection_and_never_answers__503_within_five_seconds() -> None:
    assert ready()[0] == 200
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with connected_as(HOST="127.0.0.1", PORT=str(silent.getsockname()[1])):
            code, answer = ready()
            assert (code, answer["checks"]["database"]["state"]) == (503, "down")
        assert time.monotonic() - began < 5


def test_health__postgresql_away_and_a_browser_that_is_signed_in__the_same(
    committed_world: World, sign_in: SignIn, tmp_path: Any
) -> None:
    """The session stands in PostgreSQL: who asks must not need it."""
    client = sign_in(committed_world.lee)
    assert [client.get(path).status_code for path in ("/healthz/", "/readyz/")] == [200, 200]
    with connected_as(HOST=str(tmp_path)):
        assert [client.get(path).status_code for path in ("/healthz/", "/readyz/")] == [200, 503]


@pytest.mark.django_db(transaction=True)
def test_readyz__a_migration_is_pending__503_and_how_many() -> None:
    beat()
    assert ready()[0] == 200
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'patients' RETURNING name, applied")
        removed = cursor.fetchall()
    try:
        code, answer = ready()
        assert (code, answer["status"]) == (503, "down")
        assert answer["checks"]["database"]["reason"] == f"{len(removed)} migrations are pending"
    finally:
        with as_owner(), connection.cursor() as cursor:
            for name, applied in removed:
                cursor.execute(
                    "INSERT INTO django_migrations (app, name, applied) VALUES ('patients', %s, %s)", [name, applied]
                )
    assert ready()[0] == 200


# --- Redis, worker, outbox: trouble that stops nobody ----------------------------------------------------------------
@pytest.mark.seed("S0.34")
@pytest.mark.django_db
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///nonexistent/redis.sock"])
def test_readyz__redis_away__200_degraded(settings: Any, url: str) -> None:
    beat()
    assert ready()[1]["status"] == "ok"
    settings.REDIS_URL = url
    code, answer = ready()
    assert (code, answer["status"]) == (200, "degraded")
    assert states(answer) == {**ALL_WELL, "redis": "degraded"}


@pytest.mark.django_db
def test_readyz__redis_away_for_everything__200_degraded(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/1"}}
    code, answer = ready()
    assert (code, answer["status"]) == (200, "degraded")
    assert states(answer) == {**ALL_WELL, "redis": "degraded", "worker": "degraded"}


@pytest.mark.django_db
def test_readyz__no_worker_or_a_silent_one__200_degraded() -> None:
    code, answer = ready()
    assert (code, answer["status"], answer["checks"]["worker"]["reason"]) == (
        *(200, "degraded", "no worker has reported yet"),
    )
    beat()
    assert ready()[1]["status"] == "ok"
    cache.set(HEARTBEAT_KEY, time.time() - 46)
    code, answer = ready()
    assert (code, answer["status"]) == (200, "degraded")
    assert states(answer) == {**ALL_WELL, "worker": "degraded"}
    cache.set(HEARTBEAT_KEY, time.time() - 40)
    assert ready()[1]["status"] == "ok"


@pytest.mark.seed("S0.34")
@pytest.mark.parametrize("kind", ["invitation", "account"])
def test_readyz__a_mail_waits_for_too_long__200_degraded(world: World, kind: str) -> None:
    beat()
    now = timezone.now()

    def wait(minutes: int, status: str = "queued") -> None:
        at = now - timedelta(minutes=minutes)
        if kind == "account":
            AccountMail.objects.create(
                kind="password_reset", user=world.lee, status=status, next_try_at=at, created_at=at
            )
        else:
            with platform("test"):
                Delivery.objects.create(
                    organization=world.practice,
                    invitation=world.invitation,
                    status=status,
                    next_try_at=at,
                    created_at=at,
                )

    wait(1)
    wait(60, "sent")
    wait(-30)  # a later attempt is not late
    assert ready()[1]["status"] == "ok"
    wait(10, "sending")
    code, answer = ready()
    assert (code, answer["status"]) == (200, "degraded")
    assert states(answer) == {**ALL_WELL, "outbox": "degraded"}
    assert 600 <= answer["checks"]["outbox"]["age_seconds"] < 700


@pytest.mark.seed("S2.9")
def test_readyz__names_no_person_and_no_server(world: World, settings: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1"
    _code, answer = ready()
    for secret in ("hunter2", "127.0.0.1", "example.org", "healthivr@", "sock"):
        assert secret not in str(answer)
