"""What every process asks itself before it serves, and how it says no: in one sentence that says what to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

log = structlog.get_logger(__name__)


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the process when its settings do not hold: the sentence on stderr and exit code 1 instead of a traceback."""
    try:
        yield
    except ImproperlyConfigured as error:
        raise SystemExit(f"healthivr cannot start: {error}") from None


def refuse_unsafe_role() -> None:
    """Raise ImproperlyConfigured when the database role could see other tenants. An unreachable database refuses
    nothing: the process starts, /readyz says what is missing, and the first connection is asked instead."""
    try:
        sentence = _what_is_unsafe()
    except OperationalError:
        log.warning("database_unreachable_at_start")
        connection_created.connect(refuse_unsafe_connection)
        return
    if sentence:
        raise ImproperlyConfigured(sentence)


def refuse_unsafe_connection(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Close a new connection whose role could see other tenants, and raise OperationalError, as if PostgreSQL were
    away: /readyz answers 503 and no page can read a row. Asks each connection until one is safe."""
    try:
        sentence = _what_is_unsafe()
        if sentence:
            log.critical("unsafe_database_role", reason=sentence)
            raise OperationalError(sentence)
    except DatabaseError:
        connection.close()
        raise
    connection_created.disconnect(refuse_unsafe_connection)


def _what_is_unsafe() -> str:
    """Return the first sentence about the connected role, or "" for a safe one."""
    from healthivr.checks import role_problems  # noqa: PLC0415  needs the applications; one_sentence comes before them

    return next((f"{problem.msg} {problem.hint}" for problem in role_problems()), "")
