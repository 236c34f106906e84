"""System checks: mistakes in a deployment that would show as a leak or a lost mail later. They run at each start."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection

from organizations.tenancy import PLATFORM_ROLE


@register(Tags.database)
def database_role_sees_one_tenant(databases: Any = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """The application's role must be one that row-level security holds (architecture.md 3)."""
    if settings.CONNECTED_AS_OWNER or not databases:
        return
    yield from role_problems()


def role_problems() -> Iterator[CheckMessage]:
    """Ask PostgreSQL what the connected role could see."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR (EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
            " AND pg_has_role(session_user, (SELECT oid FROM pg_roles WHERE rolname = %s), 'USAGE')),"
            " EXISTS (SELECT FROM pg_class WHERE relrowsecurity AND pg_has_role(session_user, relowner, 'MEMBER'))"
            " FROM pg_roles WHERE rolname = session_user",
            [PLATFORM_ROLE, PLATFORM_ROLE],
        )
        sees_all, owns = cursor.fetchone()
    if sees_all:
        yield Error(
            "The database role in DATABASE_URL sees every organization (superuser, BYPASSRLS, or it inherits the"
            " platform role).",
            hint="Run `manage.py prepare_database` and use the role `healthivr`.",
            id="healthivr.E001",
        )
    elif owns:
        yield Error(
            "The database role in DATABASE_URL owns tenant tables and could switch row-level security off.",
            hint="Use the role `healthivr` in DATABASE_URL and the owner in DATABASE_OWNER_URL.",
            id="healthivr.E002",
        )


@register(deploy=True)
def links_are_https(app_configs: Any = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """An invitation link over plain HTTP gives the account to whoever listens."""
    if settings.PRODUCTION and not settings.HTTPS:
        yield Error("BASE_URL is not https: invitation links would travel in clear.", id="healthivr.E003")
