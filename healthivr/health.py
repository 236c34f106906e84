"""Whether this process runs (/healthz), and whether the system can do its work (/readyz)."""

import time
from typing import Any

from celery import shared_task
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis import Redis
from redis.exceptions import RedisError

from accounts.delivery import account_mail_age
from healthivr import environment
from invitations.delivery import outbox_age

HEARTBEAT_KEY = "worker-heartbeat"
HEARTBEAT_LATE = 45  # seconds without a beat
OUTBOX_LATE = 120  # seconds that a due mail may wait


@shared_task(name="healthivr.health.beat")
def beat() -> None:
    """Say that beat and a worker are alive; every ten seconds."""
    cache.set(HEARTBEAT_KEY, time.time(), timeout=3600)


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process runs."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer for each dependency. 503 only when PostgreSQL is away or a migration is pending; trouble with Redis, the
    worker or the outbox is 200 and `degraded`, for people can still sign in and invite."""
    database = _database()
    checks = {"database": database, "redis": _redis(), "worker": _worker(), "outbox": _outbox(database)}
    is_down = database["state"] == "down"
    is_degraded = any(check["state"] != "ok" for check in checks.values())
    state = "down" if is_down else "degraded" if is_degraded else "ok"
    return JsonResponse({"status": state, "checks": checks}, status=503 if is_down else 200)


def _database() -> dict[str, Any]:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return {"state": "down", "reason": "PostgreSQL does not answer"}
    if pending:
        return {"state": "down", "reason": f"{len(pending)} migrations are pending"}
    return {"state": "ok"}


def _redis() -> dict[str, Any]:
    try:
        url = environment.redis_database(settings.REDIS_URL, 1)
        with Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
            client.ping()
    except RedisError:
        return {"state": "degraded", "reason": "Redis does not answer; limits count per process, mail waits"}
    return {"state": "ok"}


def _worker() -> dict[str, Any]:
    last = cache.get(HEARTBEAT_KEY)
    if last is None:
        return {"state": "degraded", "reason": "no worker has reported yet"}
    age = round(time.time() - last, 1)
    if age > HEARTBEAT_LATE:
        return {"state": "degraded", "reason": f"the last worker reported {age:.0f} seconds ago", "age_seconds": age}
    return {"state": "ok", "age_seconds": age}


def _outbox(database: dict[str, Any]) -> dict[str, Any]:
    if database["state"] == "down":
        return {"state": "degraded", "reason": "unknown without PostgreSQL"}
    at = timezone.now()
    age = max(outbox_age(at=at), account_mail_age(at=at)).total_seconds()
    if age > OUTBOX_LATE:
        return {"state": "degraded", "reason": f"a mail has been waiting for {age:.0f} seconds", "age_seconds": age}
    return {"state": "ok", "age_seconds": age}
