"""The numbers behind the overview: whose day a day is, and what they cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from healthivr.testing.database import as_owner
from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from invitations.selectors import Overview, overview
from organizations.tenancy import platform, tenant

#: Nine in the evening of March 1 in New York.
EVENING = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


def seen_by(world: World, user: User, *, at: datetime) -> Overview:
    with tenant(world.practice):
        return overview(actor=world.actor(user), at=at)


def sent(world: World, by: User, at: datetime, **values: Any) -> None:
    with platform("test"):
        InvitationFactory(
            organization=world.practice,
            invited_by=by,
            created_at=at - timedelta(days=1),
            sent_at=at,
            delivery_status="sent",
            **values,
        )


def test_by_day__evening_in_new_york__thirty_days_of_the_reader_s_own(world: World) -> None:
    first_midnight = datetime(2026, 1, 31, 5, 0, tzinfo=UTC)
    for at in (first_midnight - timedelta(minutes=1), first_midnight + timedelta(hours=2), EVENING):
        sent(world, world.lee, at)
    accepted_at = first_midnight + timedelta(hours=3)
    accepted = {"status": "accepted", "accepted_at": accepted_at, "closed_at": accepted_at, "accepted_by": world.mia}
    sent(world, world.lee, first_midnight + timedelta(hours=1), **accepted)
    with timezone.override("America/New_York"):
        by_day = seen_by(world, world.lee, at=EVENING).sent_and_accepted_by_day
    assert len(by_day) == 30
    assert by_day[0] == (date(2026, 1, 31), 2, 1)
    assert by_day[-1] == (date(2026, 3, 1), 1, 0)
    assert sum(count for _day, count, _accepted in by_day) == 3
    with timezone.override("UTC"):
        assert seen_by(world, world.lee, at=EVENING).sent_and_accepted_by_day[-1] == (date(2026, 3, 2), 1, 0)


def test_by_day__not_sent_yet__counts_when_it_leaves(world: World) -> None:
    at = timezone.now()
    assert [sent for _day, sent, _accepted in seen_by(world, world.lee, at=at).sent_and_accepted_by_day] == [0] * 30
    sent(world, world.lee, at)
    assert seen_by(world, world.lee, at=at).sent_and_accepted_by_day[-1][1] == 1


def test_by_day__somebody_with_own_invitations__counts_those_alone(world: World) -> None:
    at = timezone.now()
    sent(world, world.lee, at)
    assert seen_by(world, world.omar, at=at).sent_and_accepted_by_day[-1][1:] == (0, 0)
    sent(world, world.omar, at)
    assert seen_by(world, world.omar, at=at).sent_and_accepted_by_day[-1][1:] == (1, 0)
    assert seen_by(world, world.lee, at=at).sent_and_accepted_by_day[-1][1:] == (2, 0)


# --- what it costs ---------------------------------------------------------------------------------------------------
ROWS = 50_000


@contextmanager
def asked() -> Iterator[list[str]]:
    """Collect what is asked of invitations."""
    found: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield found
    found += [query["sql"] for query in queries if "user_invitations" in query["sql"]]


@pytest.mark.seed("S4.22")
@pytest.mark.parametrize("who", ["lee", "omar"])
def test_overview__many_rows__each_number_from_its_index(committed_world: World, who: str) -> None:
    world = committed_world
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_invitations (id, organization_id, invitation_type, status, email, token_hash, token_nonce,"
            " first_name, last_name, message, language, delivery_channel, expires_at, invited_by_id, delivery_status,"
            " send_count, sent_at, accepted_at, accepted_by_id, closed_at, created_at, updated_at)"
            " SELECT gen_random_uuid(), %(practice)s, 'medical_staff',"
            " CASE WHEN taken THEN 'accepted' ELSE 'pending' END, 'row' || n || '@example.org',"
            " encode(sha256(n::text::bytea), 'hex'), 'k1:' || n, '', '', '', 'en',"
            " 'email', now() + interval '7 days', %(lee)s, 'sent', 1, sent, CASE WHEN taken THEN sent END,"
            " CASE WHEN taken THEN %(mia)s::uuid END, CASE WHEN taken THEN sent END, sent, now()"
            " FROM (SELECT n, n %% 2 = 0 AS taken, now() - n * interval '5 minutes' AS sent"
            " FROM generate_series(1, %(rows)s) n) made",
            {"practice": world.practice.pk, "lee": world.lee.pk, "mia": world.mia.pk, "rows": ROWS},
        )
        cursor.execute("VACUUM ANALYZE user_invitations")
    with asked() as statements:
        numbers = seen_by(world, getattr(world, who), at=timezone.now())
    assert (numbers.open, numbers.accepted) == ((1001, 1001) if who == "lee" else (0, 0))
    assert len(statements) == 7
    read = 0
    with tenant(world.practice), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
            plan = cursor.fetchone()[0][0]["Plan"]
            read += rows_read(plan)
    # A month of what was sent, 8,640, and of what was accepted, half as many; two numbers that stop at 1,001.
    assert read < 16_000


def rows_read(plan: dict[str, Any]) -> float:
    """Return how many rows the scans of a plan looked at."""
    below = sum(rows_read(part) for part in plan.get("Plans", []))
    if plan.get("Relation Name") != "user_invitations":
        return below
    dropped = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return below + (plan["Actual Rows"] + dropped) * plan["Actual Loops"]
