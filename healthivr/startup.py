"""What every process asks itself before it serves: is its database role held by row-level security?"""

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from healthivr.checks import role_problems

log = structlog.get_logger(__name__)


def refuse_unsafe_role() -> None:
    """Raise ImproperlyConfigured when the database role could see other tenants. An unreachable database refuses
    nothing: the process starts, and /readyz says what is missing."""
    try:
        problems = list(role_problems())
    except OperationalError:
        log.warning("database_unreachable_at_start")
        return
    if problems:
        raise ImproperlyConfigured(f"{problems[0].msg} {problems[0].hint}")
