"""Recording events. A write whose event cannot be stored does not happen.

Events are collected while a door (organizations/tenancy.py) is open and inserted with one statement just before its
transaction commits, so that the organization's chain is locked for a moment only. What a savepoint rolls back takes its
events along.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Model

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID, new_id

from .chain import canonical_body
from .models import Outcome

log = structlog.get_logger("healthivr.audit")


class Acting(Protocol):
    """Who acts: what the trail reads of organizations.actor.Actor."""

    @property
    def user_id(self) -> UUID | None: ...
    @property
    def organization_id(self) -> UUID: ...
    @property
    def role(self) -> str: ...
    @property
    def system(self) -> str: ...
    @property
    def key_id(self) -> UUID | None: ...
    @property
    def session_id(self) -> UUID | None: ...
    @property
    def ip(self) -> str: ...
    @property
    def request_id(self) -> str: ...


@dataclass(eq=False)
class _Event:
    """One collected event. It waits among the transaction's on_commit calls, which Django drops with the savepoint that
    it belongs to; called after the commit, it writes the log line."""

    facts: dict[str, Any]
    scope: object
    is_logged: bool

    def __call__(self) -> None:
        if not self.is_logged:
            return
        log.info(
            self.facts["action"],
            event_id=self.facts["id"],
            organization=self.facts["organization_id"],
            user=self.facts["actor_id"],
            outcome=self.facts["outcome"],
            **({_log_name(self.facts["target_type"]): self.facts["target_id"]} if self.facts["target_id"] else {}),
        )


def record(
    *,
    actor: Acting,
    action: str,
    target: Model | None = None,
    organization_id: UUID | None = None,
    changes: dict[str, list[str]] | None = None,
    detail: dict[str, str] | None = None,
    reason: str = "",
    outcome: Outcome = Outcome.SUCCESS,
    is_logged: bool = True,
) -> None:
    """Add one event to the trail of an organization.

    `action` is the semantic act (`invitation.cancelled`); `changes` maps a field to `[before, after]`, masked by the
    caller; `detail` holds further facts as strings, beside the API key or the session in which somebody acts. The
    organization is `organization_id`, else the target's, else the actor's. `is_logged=False` is for an act that its
    caller has logged in words of its own. Raises RuntimeError outside a door, where nothing would store it.
    """
    if not connection.in_atomic_block or not _open_scopes():
        raise RuntimeError("audit.record() needs an open door: use tenant() or platform().")
    owner = organization_id or getattr(target, "organization_id", None) or actor.organization_id
    by = {name: str(pk) for name, pk in (("api_key", actor.key_id), ("session", actor.session_id)) if pk}
    facts: dict[str, Any] = {
        "id": str(new_id()),
        "organization_id": str(owner or PLATFORM_ORGANIZATION_ID),
        "action": action,
        "outcome": str(outcome.value),
        "actor_id": str(actor.user_id) if actor.user_id else None,
        "actor_kind": "person" if actor.user_id else "system" if actor.system else "anonymous",
        "actor_name": actor.system,
        "role": str(actor.role),
        "on_behalf_of_id": None,
        "target_type": target._meta.label_lower if target else "",
        "target_id": str(target.pk) if target else "",
        "patient_id": None,
        "changes": {name: [_plain(before), _plain(after)] for name, (before, after) in (changes or {}).items()},
        "detail": {name: _plain(value) for name, value in (by | (detail or {})).items()},
        "reason": _plain(reason),
        "purpose_of_use": "",
        "address": actor.ip,
        "request_id": actor.request_id,
    }
    transaction.on_commit(_Event(facts, _open_scopes()[-1], is_logged))


def _plain(value: Any) -> str:
    """PostgreSQL's jsonb cannot hold NUL or lone surrogates; everything else is kept as it is."""
    return str(value).replace("\0", "").encode("utf-8", "replace").decode()


def _log_name(target_type: str) -> str:
    """`invitations.userinvitation` is `invitation_id` in a log line, so that operators can grep for it (S0.37)."""
    return f"{target_type.partition('.')[2].removeprefix('user') or 'user'}_id"


def _open_scopes() -> list[object]:
    scopes: list[object] | None = getattr(connection, "audit_scopes", None)
    if scopes is None:
        scopes = []
        connection.audit_scopes = scopes  # type: ignore[attr-defined]
    return scopes


@contextmanager
def collected_events() -> Iterator[None]:
    """Collect the events recorded inside, and store them at the end with one statement. Opened by the doors."""
    scope = object()
    _open_scopes().append(scope)
    try:
        yield
        _store([event for event in _waiting() if event.scope is scope])
    finally:
        _open_scopes().remove(scope)


def _waiting() -> list[_Event]:
    return [entry[1] for entry in connection.run_on_commit if isinstance(entry[1], _Event)]


def _store(events: list[_Event]) -> None:
    if not events:
        return
    bodies = [canonical_body(event.facts) for event in events]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT audit_append(ARRAY[{', '.join(['%s'] * len(bodies))}])", bodies)
