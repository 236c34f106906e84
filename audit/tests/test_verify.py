"""Verification: whatever somebody with all rights does to the trail, the first event that does not fit is named."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from audit import services as audit
from audit.chain import BODY_FIELDS
from audit.verification import verify_chain
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.database import as_owner
from healthivr.testing.processes import process_environment
from organizations.actor import Actor
from organizations.models import Organization
from organizations.selectors import system_actor
from organizations.tenancy import tenant

Execute = Callable[..., None]


@contextmanager
def tampering() -> Iterator[Execute]:
    """Be the owner with the triggers switched off: somebody who has taken over the database, short of its superuser."""
    with as_owner(), connection.cursor() as cursor:
        for table in ("audit_event", "audit_head"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        try:
            yield cursor.execute
        finally:
            for table in ("audit_event", "audit_head"):
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def chain(transactional_db: None) -> Iterator[UUID]:
    """An organization of its own with six events; gone afterwards, so that what a test broke is no other test's."""
    organization = Organization(pk=uuid4())
    for number in range(1, 7):
        with tenant(organization):
            audit.record(
                actor=Actor(None, organization, ip="192.0.2.1", request_id="test-request", system="test"),
                action=f"test.act{number}",
                target=organization,
                changes={"name": ["před", "ñach"], "count": ["1", "2"]},
                detail={"z": "last", "a": 'first "quoted" \\ \u2028 <b>'},
                reason="a reason\nof two lines",
            )
    yield organization.pk
    with tampering() as execute:
        execute("DELETE FROM audit_event WHERE organization_id = %s", [organization.pk])
        execute("DELETE FROM audit_head WHERE organization_id = %s", [organization.pk])


def finding(chain: UUID) -> tuple[int, str]:
    """The one finding of a chain: which event, and why."""
    _events, chains, findings = verify_chain(organization_id=chain)
    assert chains == 1
    (found,) = findings
    assert found.organization_id == chain
    return found.sequence, found.problem


def test_verify__untouched__clean(chain: UUID) -> None:
    assert verify_chain(organization_id=chain) == (6, 1, [])


# --- edit ------------------------------------------------------------------------------------------------------------
EDITS: dict[str, str] = {
    "id": "gen_random_uuid()",
    "action": "'test.other'",
    "outcome": "'4'",
    "actor_name": "'other'",
    "role": "'admin'",
    "on_behalf_of_id": "gen_random_uuid()",
    "target_type": "'accounts.user'",
    "target_id": "'other'",
    "patient_id": "gen_random_uuid()",
    "changes": """'{"name": ["před", "nach"], "count": ["1", "2"]}'""",
    "detail": "'{}'",
    "reason": "'a reason of two lines'",
    "purpose_of_use": "'TREAT'",
    "address": "'192.0.2.2'",
    "request_id": "''",
    "recorded": "recorded + interval '1 microsecond'",
    "hash": "repeat('a', 64)",
}


@pytest.mark.seed("S3.14")
@pytest.mark.parametrize("column", EDITS)
def test_verify__one_column_of_one_event_edited__that_event_is_named(chain: UUID, column: str) -> None:
    with tampering() as execute:
        execute(
            f"UPDATE audit_event SET {column} = {EDITS[column]} WHERE organization_id = %s AND sequence = 3", [chain]
        )
    assert finding(chain) == (3, "it was edited")


def test_verify__who_acted_edited__that_event_is_named(chain: UUID) -> None:
    with tampering() as execute:
        execute(
            "UPDATE audit_event SET actor_kind = 'person', actor_id = gen_random_uuid(), actor_name = ''"
            " WHERE organization_id = %s AND sequence = 3",
            [chain],
        )
    assert finding(chain) == (3, "it was edited")


def test_every_column__is_edited_somewhere_above_or_holds_the_chain() -> None:
    covered = {*EDITS, "actor_id", "actor_kind", "organization_id"}
    assert set(BODY_FIELDS) <= covered


def test_verify__edited_and_hashed_anew__the_next_event_is_named(chain: UUID) -> None:
    with tampering() as execute:
        execute("UPDATE audit_event SET reason = 'better' WHERE organization_id = %s AND sequence = 3", [chain])
    forged = stored(chain)[2]
    with tampering() as execute:
        execute(
            "UPDATE audit_event SET hash = %s WHERE organization_id = %s AND sequence = 3",
            [hash_by_the_documentation(forged), chain],
        )
    assert finding(chain) == (4, "it does not follow from the event before it")


def test_verify__moved_to_another_chain__both_are_named(chain: UUID) -> None:
    other = uuid4()
    with tampering() as execute:
        execute(
            "UPDATE audit_event SET organization_id = %s WHERE organization_id = %s AND sequence = 3", [other, chain]
        )
    try:
        assert finding(chain) == (3, "an event was removed here")
        assert finding(other) == (1, "an event was removed here")
    finally:
        with tampering() as execute:
            execute("DELETE FROM audit_event WHERE organization_id = %s", [other])


# --- delete, reorder, insert, cut ------------------------------------------------------------------------------------
@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_verify__one_deleted__its_place_is_named(chain: UUID, sequence: int) -> None:
    with tampering() as execute:
        execute("DELETE FROM audit_event WHERE organization_id = %s AND sequence = %s", [chain, sequence])
    assert finding(chain) == (sequence, "an event was removed here")


def test_verify__one_deleted_and_the_rest_moved_up__the_first_that_moved_is_named(chain: UUID) -> None:
    with tampering() as execute:
        execute("DELETE FROM audit_event WHERE organization_id = %s AND sequence = 3", [chain])
        execute("UPDATE audit_event SET sequence = sequence - 1 WHERE organization_id = %s AND sequence > 3", [chain])
        execute("UPDATE audit_head SET sequence = 5 WHERE organization_id = %s", [chain])
    assert finding(chain) == (3, "it does not follow from the event before it")


def test_verify__two_swapped__the_first_of_them_is_named(chain: UUID) -> None:
    with tampering() as execute:
        execute(
            "UPDATE audit_event SET sequence = 7 - sequence WHERE organization_id = %s AND sequence IN (3, 4)", [chain]
        )
    assert finding(chain) == (3, "it does not follow from the event before it")


def test_verify__times_of_two_swapped__the_first_of_them_is_named(chain: UUID) -> None:
    with tampering() as execute:
        execute(
            "UPDATE audit_event e SET recorded = o.recorded FROM audit_event o WHERE e.organization_id = %s"
            " AND o.organization_id = e.organization_id AND (e.sequence, o.sequence) IN ((3, 4), (4, 3))",
            [chain],
        )
    assert finding(chain) == (3, "it was edited")


COPY = (
    "INSERT INTO audit_event SELECT gen_random_uuid(), organization_id, {sequence}, recorded + interval '1 second',"
    " action, outcome, actor_id, actor_kind, actor_name, role, on_behalf_of_id, target_type, target_id, patient_id,"
    " changes, detail, reason, purpose_of_use, address, request_id, {previous}, {hash} FROM audit_event"
    " WHERE organization_id = %s AND sequence = 3"
)


def test_verify__one_inserted_under_a_number_in_use__named(chain: UUID) -> None:
    with tampering() as execute:
        execute(COPY.format(sequence=3, previous="previous_hash", hash="hash"), [chain])
    assert finding(chain) == (3, "an event was inserted or stands twice")


def test_verify__one_inserted_between__named(chain: UUID) -> None:
    with tampering() as execute:
        execute("UPDATE audit_event SET sequence = sequence + 1 WHERE organization_id = %s AND sequence > 3", [chain])
        execute(COPY.format(sequence=4, previous="hash", hash="repeat('b', 64)"), [chain])
    assert finding(chain) == (4, "it was edited")


def test_verify__one_appended_without_the_function__named(chain: UUID) -> None:
    with tampering() as execute:
        execute(COPY.format(sequence=7, previous="hash", hash="repeat('b', 64)"), [chain])
    assert finding(chain)[0] == 7


@pytest.mark.parametrize("left", [5, 3, 0])
def test_verify__tail_cut__the_first_that_is_missing_is_named(chain: UUID, left: int) -> None:
    with tampering() as execute:
        execute("DELETE FROM audit_event WHERE organization_id = %s AND sequence > %s", [chain, left])
    assert finding(chain) == (left + 1, "the tail of the chain was cut")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_head SET sequence = 5 WHERE organization_id = %s",
        "UPDATE audit_head SET hash = repeat('c', 64) WHERE organization_id = %s",
        "DELETE FROM audit_head WHERE organization_id = %s",
    ],
)
def test_verify__head_changed__found(chain: UUID, statement: str) -> None:
    with tampering() as execute:
        execute(statement, [chain])
    assert len(verify_chain(organization_id=chain)[2]) == 1


def test_verify__several_places_broken__the_first_is_named(chain: UUID) -> None:
    with tampering() as execute:
        execute("UPDATE audit_event SET reason = '' WHERE organization_id = %s AND sequence IN (2, 5)", [chain])
        execute("DELETE FROM audit_event WHERE organization_id = %s AND sequence = 4", [chain])
    assert finding(chain) == (2, "it was edited")


# --- the canonical form, by somebody else ----------------------------------------------------------------------------
def stored(chain: UUID) -> list[dict[str, Any]]:
    """The rows as any PostgreSQL client gets them: text."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(e) - 'recorded' || jsonb_build_object('recorded',"
            " to_char(recorded AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))"
            " FROM audit_event e WHERE organization_id = %s ORDER BY sequence",
            [chain],
        )
        return [json.loads(row) if isinstance(row, str) else row for (row,) in cursor.fetchall()]


def hash_by_the_documentation(row: dict[str, Any]) -> str:
    """Ten lines from docs/audit.md and none of ours: how a stranger recomputes a link."""
    facts = {name: value for name, value in row.items() if name not in OF_THE_DATABASE}
    body = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    lines = [row["previous_hash"], str(row["sequence"]), row["recorded"], body]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


OF_THE_DATABASE = {"sequence", "recorded", "previous_hash", "hash"}


@pytest.mark.seed("S3.14")
def test_canonical_form__recomputed_by_a_stranger__every_link_fits(chain: UUID) -> None:
    rows, link = stored(chain), "0" * 64
    assert len(rows) == 6
    for row in rows:
        assert row["previous_hash"] == link
        link = hash_by_the_documentation(row)
        assert row["hash"] == link


# --- the command -----------------------------------------------------------------------------------------------------
def test_command__clean__says_what_was_read(chain: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_audit", organization=chain)
    assert capsys.readouterr().out == "Verified 6 events in 1 chains: nothing was edited, removed or reordered.\n"
    call_command("verify_audit")
    assert "nothing was edited" in capsys.readouterr().out


def test_command__broken__names_the_chain_the_event_and_the_reason(
    chain: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    with tampering() as execute:
        execute("UPDATE audit_event SET reason = '' WHERE organization_id = %s AND sequence = 2", [chain])
    with pytest.raises(CommandError, match="1 of 1 chains do not verify"):
        call_command("verify_audit", organization=chain)
    assert capsys.readouterr().err == f"Chain {chain}, event 2: it was edited\n"


def test_command__as_a_process__exit_code_0_when_clean_and_1_when_broken(chain: UUID) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", "verify_audit", "--organization", str(chain)],
            env=process_environment(),
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run().returncode == 0
    with tampering() as execute:
        execute("DELETE FROM audit_event WHERE organization_id = %s AND sequence = 6", [chain])
    broken = run()
    assert broken.returncode == 1
    assert f"Chain {chain}, event 6: the tail of the chain was cut" in broken.stderr
    assert "Traceback" not in broken.stderr


@pytest.mark.django_db(transaction=True)
def test_command__the_platforms_own_chain__is_called_platform(capsys: pytest.CaptureFixture[str]) -> None:
    with tenant(PLATFORM_ORGANIZATION_ID):
        audit.record(actor=system_actor("test"), action="test.act")
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SELECT sequence, hash FROM audit_head WHERE organization_id = %s", [PLATFORM_ORGANIZATION_ID])
        sequence, link = cursor.fetchone()
    change = "UPDATE audit_head SET hash = %s WHERE organization_id = %s"
    with tampering() as execute:
        execute(change, ["d" * 64, PLATFORM_ORGANIZATION_ID])
    try:
        with pytest.raises(CommandError):
            call_command("verify_audit", organization=PLATFORM_ORGANIZATION_ID)
        assert capsys.readouterr().err.startswith(f"Chain platform, event {sequence + 1}: ")
    finally:
        with tampering() as execute:
            execute(change, [link, PLATFORM_ORGANIZATION_ID])
