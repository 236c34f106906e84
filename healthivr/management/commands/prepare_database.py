"""manage.py prepare_database: roles, database, migrations, and the set-up link of an empty installation."""

from argparse import ArgumentParser
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone
from psycopg import sql

from accounts.services import create_setup_link
from healthivr.environment import env

# INHERIT FALSE is vital: with PostgreSQL's default a member inherits the policies TO healthivr_platform, and row-level
# security shows every row to everybody.
ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'healthivr_owner') THEN
        CREATE ROLE healthivr_owner LOGIN CREATEDB BYPASSRLS; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'healthivr') THEN
        CREATE ROLE healthivr LOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'healthivr_platform') THEN
        CREATE ROLE healthivr_platform NOLOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'healthivr_backup') THEN
        CREATE ROLE healthivr_backup LOGIN BYPASSRLS; END IF;
END $$;
GRANT pg_read_all_data TO healthivr_backup;
GRANT healthivr_platform TO healthivr WITH INHERIT FALSE, SET TRUE;
"""
#: Said with the SQL: a role that may sign in and has no password signs in nowhere, or, by `trust`, everybody as it.
PASSWORDS = """
-- Then give each role that signs in a password of its own, in psql (which sends none in clear):
--   \\password healthivr_owner     goes into DATABASE_OWNER_URL
--   \\password healthivr           goes into DATABASE_URL
--   \\password healthivr_backup    for your backups
"""


class Command(BaseCommand):
    help = (
        "Makes the database ready. Creates roles and database when DATABASE_SUPERUSER_URL names a superuser, else"
        " expects them (--print-sql shows what to run); migrates as DATABASE_OWNER_URL; prints the one-time set-up link"
        " while nobody exists."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--print-sql", action="store_true", help="print the SQL for a superuser, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name = settings.DATABASES["default"]["NAME"]
        if options["print_sql"]:
            self.stdout.write(f"{ROLES}CREATE DATABASE {name} OWNER healthivr_owner;{PASSWORDS}", ending="")
            return
        if settings.DATABASE_OWNER is None:
            raise CommandError("DATABASE_OWNER_URL is not set: it names the role that owns the tables and migrates.")
        superuser_url = env.str("DATABASE_SUPERUSER_URL", default="")
        if superuser_url:
            self._create_roles_and_database(superuser_url, name)
        self._migrate()
        secret = create_setup_link(at=timezone.now())
        if secret:
            self.stdout.write(f"Set-up link, once, for 24 hours: {settings.BASE_URL}/setup/{secret}/")

    def _create_roles_and_database(self, superuser_url: str, name: str) -> None:
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute(ROLES)
            exists = superuser.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
            if exists is None:
                superuser.execute(
                    sql.SQL("CREATE DATABASE {} OWNER healthivr_owner ENCODING 'UTF8' TEMPLATE template0").format(
                        sql.Identifier(name)
                    )
                )

    def _migrate(self) -> None:
        """Migrate as the owner of the tables, then be the application again."""
        owner, application = settings.DATABASE_OWNER, connection.settings_dict
        assert owner is not None
        mine = {key: application[key] for key in ("USER", "PASSWORD", "HOST", "PORT")}
        connection.close()
        application.update({key: owner[key] for key in mine})
        try:
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        finally:
            connection.close()
            application.update(mine)
