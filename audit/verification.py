"""Walking the chain: recompute every link from the stored columns, streamed, memory flat."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from .chain import BODY_FIELDS, GENESIS, canonical_body, event_hash

#: The role that sees every chain; the name is organizations/tenancy.py's, which this room may not import.
PLATFORM_ROLE = "healthivr_platform"


@dataclass(frozen=True)
class Finding:
    """The first event of a chain that does not fit, and why."""

    organization_id: UUID
    sequence: int
    problem: str


def verify_chain(*, organization_id: UUID | None = None) -> tuple[int, int, list[Finding]]:
    """Verify one organization's chain, or all. Returns how many events and chains were read, and at most one finding a
    chain: the first event that was edited, removed, inserted or moved, or a tail that was cut."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not connection.savepoint_ids:  # one snapshot for heads and events, while others go on writing
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(f"SET LOCAL ROLE {PLATFORM_ROLE}")
        only = "WHERE organization_id = %s" if organization_id else ""
        parameters = [organization_id] if organization_id else []
        cursor.execute(f"SELECT organization_id, sequence, hash FROM audit_head {only}", parameters)
        heads: dict[UUID, tuple[int, str]] = {row[0]: (row[1], row[2]) for row in cursor.fetchall()}
        return _walk(_rows(only, parameters), heads)


def _rows(only: str, parameters: list[Any]) -> Iterator[tuple[Any, ...]]:
    columns = ", ".join(("sequence", "recorded", "previous_hash", "hash", *BODY_FIELDS))
    with closing(connection.chunked_cursor()) as stream:
        stream.execute(
            f"SELECT {columns} FROM audit_event {only} ORDER BY organization_id, sequence, recorded", parameters
        )
        while rows := stream.fetchmany(2000):
            yield from rows


def _walk(rows: Iterator[tuple[Any, ...]], heads: dict[UUID, tuple[int, str]]) -> tuple[int, int, list[Finding]]:
    findings: dict[UUID, Finding] = {}
    ends: dict[UUID, tuple[int, str]] = {}
    events = 0
    for sequence, recorded, previous_hash, stored, *body in rows:
        events += 1
        facts = dict(zip(BODY_FIELDS, body, strict=True))
        chain: UUID = facts["organization_id"]
        if chain in findings:
            continue
        last, link = ends.get(chain, (0, GENESIS))
        problem = _problem(sequence, recorded, previous_hash, stored, facts, last=last, link=link)
        if problem:
            findings[chain] = Finding(chain, last + 1 if sequence > last + 1 else sequence, problem)
        ends[chain] = (sequence, stored)
    for chain in heads.keys() | ends.keys():
        if chain not in findings and heads.get(chain) != ends.get(chain, (0, GENESIS)):
            findings[chain] = Finding(chain, ends.get(chain, (0, ""))[0] + 1, "the tail of the chain was cut")
    return events, len(heads.keys() | ends.keys()), list(findings.values())


def _problem(
    sequence: int, recorded: Any, previous_hash: str, stored: str, facts: dict[str, Any], *, last: int, link: str
) -> str:
    if sequence > last + 1:
        return "an event was removed here"
    if sequence <= last:
        return "an event was inserted or stands twice"
    if previous_hash != link:
        return "it does not follow from the event before it"
    plain = {field: str(value) if isinstance(value, UUID) else value for field, value in facts.items()}
    plain |= {field: json.loads(facts[field]) for field in ("changes", "detail")}  # jsonb arrives as text here
    expected = event_hash(previous_hash=previous_hash, sequence=sequence, recorded=recorded, body=canonical_body(plain))
    return "" if expected == stored else "it was edited"
