"""The test database: made by its owner, used by the application's role, so that row-level security holds in every
test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.backends.base.creation import BaseDatabaseCreation
from django.test import TransactionTestCase

from healthivr import environment
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID

#: The trail outlives what it describes, and migrations made the rest.
KEPT = (
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "audit_head",
    "organizations_organization",
    "organizations_organizationclosure",
    "organizations_organizationsettings",
)


@contextmanager
def as_owner() -> Iterator[None]:
    """Be the owner of the tables for a moment: migrations, and what tests may do and the application may not."""
    owner: Any = settings.DATABASE_OWNER
    with connected_as(**{key: owner[key] for key in ("USER", "PASSWORD", "HOST", "PORT")}):
        yield


@contextmanager
def connected_as(**account: str) -> Iterator[None]:
    """Connect as somebody else for a moment: USER and PASSWORD, and HOST and PORT where they differ."""
    mine = {key: connection.settings_dict[key] for key in account}
    connection.close()
    connection.settings_dict.update(account)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(mine)


@contextmanager
def superuser() -> Iterator[psycopg.Connection]:
    """Connect to the test database as PostgreSQL's superuser, beside the application and in autocommit."""
    given = environment.database("DATABASE_SUPERUSER_URL")
    here = connection.settings_dict
    with psycopg.connect(
        host=given["HOST"],
        port=given["PORT"] or None,
        user=given["USER"],
        password=given["PASSWORD"] or None,
        dbname=here["NAME"],
        autocommit=True,
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each worker of pytest-xdist has a database of its own; TEST_DATABASE names one for a second run beside."""
    if "TEST_DATABASE" in os.environ:
        connection.settings_dict["TEST"]["NAME"] = os.environ["TEST_DATABASE"]


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_modify_db_settings: None,
) -> Iterator[None]:
    """Create the database as its owner, migrate it, and hand it to the application's role."""
    creation: BaseDatabaseCreation = connection.creation
    name = connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        with as_owner():
            creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        yield
        with as_owner():
            creation.destroy_test_db(name, verbosity=0)


def _empty_tables(self: TransactionTestCase) -> None:
    """Empty the tables after a test that commits. Django's own flush would need TRUNCATE, which the application's role
    has not, and would take the platform's organization and the trail along."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> ALL(%s) AND tablename NOT LIKE 'audit_event%%'",
            [list(KEPT)],
        )
        cursor.execute(f"TRUNCATE {cursor.fetchone()[0]}")
        cursor.execute("DELETE FROM organizations_organizationsettings WHERE plan <> 'platform'")
        cursor.execute(
            "UPDATE organizations_organizationsettings SET seats_used = 0, staff_may_invite = false, idle_minutes = 15,"
            " invitation_hours = NULL, requires_second_factor = false, email_domains = '{}'"
        )
        cursor.execute(
            "DELETE FROM organizations_organizationclosure WHERE depth > 0 OR ancestor_id <> %s",
            [PLATFORM_ORGANIZATION_ID],
        )
        cursor.execute("DELETE FROM organizations_organization WHERE kind <> 'platform'")
        cursor.execute("UPDATE organizations_organization SET state = 'active', name = 'healthivr platform'")


TransactionTestCase._fixture_teardown = _empty_tables  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def fresh_counts() -> None:
    """No test inherits another's limits, and pytest's workers, which share one Redis, do not share them."""
    prefix = f"test-{uuid4().hex[:12]}"
    settings.CACHES["default"]["KEY_PREFIX"] = prefix
    cache.key_prefix = prefix
