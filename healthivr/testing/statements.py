"""What a request asks of PostgreSQL, sorted by why it is asked, so that a budget counts what an act itself needs and the
rest stands apart."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

#: Kinds of statement and how one is told, the first that fits. What fits none is the act's own: "domain".
KINDS = (
    ("transaction", r"^(BEGIN|COMMIT|ROLLBACK$)"),
    ("savepoint", r"^(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) "),
    ("door", r"^SELECT (current_setting\('role'\)|set_config\('role'), .*set_config\('healthivr\.organization'"),
    ("audit", r"^SELECT audit_append\("),
    ("session", r'^(SELECT|INSERT|UPDATE|DELETE) .*"django_session"'),
    # Whose session it is and, by the same statement, where they stand; `standing` where that was asked by itself.
    ("registry", r'^SELECT .* FROM "?accounts_(usersession|apikey)"? '),
    ("standing", r"^SELECT standing_in\("),
    ("look-up", r'^SELECT .* FROM "user_invitations" .*"token_hash" IN \('),
    # Where somebody is and what they may do there: asked of every request before it does anything.
    ("directory", r'^SELECT "organizations_organization"\."id", .* FROM "organizations_organization" WHERE '),
    (
        "membership",
        r'^SELECT ("organizations_membership"\."organization_id", "organizations_membership"\."id", '
        r'|1 AS "a" FROM "accounts_user" WHERE \(is_platform_administrator\()',
    ),
    (
        "person",
        r'^SELECT .* FROM "accounts_user" WHERE \(?("accounts_user"\."is_active" AND )?"accounts_user"\."id" = ',
    ),
)


@dataclass
class Statements:
    """The statements of one request."""

    by_kind: dict[str, list[str]] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """Return how many statements of a kind there were."""
        return len(self.by_kind.get(kind, []))

    def counts(self, *but: str) -> dict[str, int]:
        """Return how many there were of each kind that occurred, save some."""
        return {kind: len(found) for kind, found in self.by_kind.items() if kind not in but}

    @property
    def domain(self) -> list[str]:
        """The act's own statements."""
        return self.by_kind.get("domain", [])


def kind_of(sql: str) -> str:
    """Say why a statement is asked."""
    flat = " ".join(sql.split())
    return next((kind for kind, pattern in KINDS if re.search(pattern, flat)), "domain")


@contextmanager
def captured_statements() -> Iterator[Statements]:
    """Collect and sort the statements of what happens inside."""
    found = Statements()
    with CaptureQueriesContext(connection) as captured:
        yield found
    for query in captured.captured_queries:
        found.by_kind.setdefault(kind_of(query["sql"]), []).append(query["sql"])


@pytest.fixture
def statements() -> Callable[[], AbstractContextManager[Statements]]:
    """Return what collects and sorts statements: `with statements() as asked: …`."""
    return captured_statements
