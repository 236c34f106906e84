"""What every process asks itself before it serves, and how it says no: in one sentence that says what to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

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
    nothing: the process starts, and /readyz says what is missing."""
    from healthivr.checks import role_problems  # noqa: PLC0415  needs the applications; one_sentence comes before them

    try:
        problems = list(role_problems())
    except OperationalError:
        log.warning("database_unreachable_at_start")
        return
    if problems:
        raise ImproperlyConfigured(f"{problems[0].msg} {problems[0].hint}")
