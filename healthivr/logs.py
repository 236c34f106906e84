"""JSON log lines with the request's id, and without what must never stand in a log.

Django, gunicorn and Celery all write through this one formatter. The last step masks link tokens in the finished line,
so that no field, message or traceback can carry one out.
"""

import logging
import re
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, WrappedLogger

# Every address of ours that carries a secret: /i/<token>, the API's three, /setup/<secret>, reset links. The token may
# be followed by anything that cannot stand in it; %2F and friends are percent-encoded copies in a query.
SECRET_PATHS = re.compile(
    r"((?:/|%2F)(?:i|setup|validate|accept|decline|unlock|confirm-email|password-reset(?:/|%2F)[A-Za-z0-9_-]+)(?:/|%2F))"
    r"[A-Za-z0-9_=-]{8,}",
    re.IGNORECASE,
)
# A secret by its look, for addresses that are none of ours: a slash twice, a link cut in the wrong place. Invitation
# tokens and set-up secrets have 43 characters, reset tokens are Django's. JSON's escapes are passed over whole, for in
# \n the n is no letter.
SECRETS = re.compile(r"(\\(?:u[0-9a-f]{4}|.))|[A-Za-z0-9_-]{43,}|[0-9a-z]{6,7}-[0-9a-f]{32}")
# Nearly no line has a word as long as the shortest of them, and to see that takes a quarter of the time.
LONG_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{39}")


def mask_secrets(text: str) -> str:
    """Return `text` with every secret that a link of ours could hold replaced by ***."""
    masked = SECRET_PATHS.sub(r"\1***", text)
    return SECRETS.sub(lambda found: found[1] or "***", masked) if LONG_WORD.search(masked) else masked


class MaskedJSONRenderer(structlog.processors.JSONRenderer):
    """Renders the line, then masks tokens in all of it."""

    def __call__(self, logger: WrappedLogger, name: str, event_dict: EventDict) -> str:
        rendered = super().__call__(logger, name, event_dict)
        return mask_secrets(rendered if isinstance(rendered, str) else rendered.decode())


def drop_request_object(logger: WrappedLogger, name: str, event_dict: EventDict) -> EventDict:
    """django.request attaches the request, whose text is its full path with the query."""
    event_dict.pop("request", None)
    return event_dict


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    drop_request_object,
]
_transform = ExceptionDictTransformer(show_locals=False, max_frames=20, use_rich=False)


def exception_without_values(exc_info: Any) -> list[dict[str, Any]]:
    """Return a traceback as types, files and lines. No local variables (structlog prints them unless told not to) and
    no messages: PostgreSQL's quote the row (`Key (email)=(…)`), Python's quote the value."""
    stacks = _transform(exc_info)
    for stack in stacks:
        stack["exc_value"] = ""
        stack["exc_notes"] = []
    return stacks


EXCEPTIONS = structlog.processors.ExceptionRenderer(exception_without_values)


def formatter() -> logging.Formatter:
    """Return the formatter of every handler."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            EXCEPTIONS,
            MaskedJSONRenderer(),
        ],
    )


def logging_config(level: str) -> dict[str, Any]:
    """Return the `logging` configuration for Django, gunicorn and Celery, at `level`."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            # SQL carries values: never, at any level.
            "django.db.backends": {"handlers": [], "level": "ERROR", "propagate": True},
            "gunicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
            "mail.log": {"level": "ERROR"},
            "csp": {"level": "ERROR"},
        },
    }
