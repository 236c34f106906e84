"""The canonical form of an event and the link between two events. Pure: a stranger can recompute it (docs/audit.md).

hash = SHA-256( previous hash in hex ‖ LF ‖ sequence ‖ LF ‖ time recorded ‖ LF ‖ canonical JSON )
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

GENESIS = "0" * 64

#: Every fact of an event, in the order of the table. sequence, recorded, previous_hash and hash are the database's.
BODY_FIELDS = (
    "id",
    "organization_id",
    "action",
    "outcome",
    "actor_id",
    "actor_kind",
    "actor_name",
    "role",
    "on_behalf_of_id",
    "target_type",
    "target_id",
    "patient_id",
    "changes",
    "detail",
    "reason",
    "purpose_of_use",
    "address",
    "request_id",
)


def canonical_body(facts: dict[str, Any]) -> str:
    """Return the facts as canonical JSON: keys sorted, no white space, UTF-8, every value a string, null, or an object
    or list of those (so that no number can be spelled in two ways; compare RFC 8785)."""
    return json.dumps(
        {field: facts[field] for field in BODY_FIELDS}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def event_hash(*, previous_hash: str, sequence: int, recorded: datetime, body: str) -> str:
    """Return the hex digest that links an event to the one before it in its organization."""
    at = recorded.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return hashlib.sha256(f"{previous_hash}\n{sequence}\n{at}\n{body}".encode()).hexdigest()
