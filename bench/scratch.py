"""The scratch database, the processes and the rows of a benchmark."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from psycopg import sql

import healthivr.testing.sessions  # noqa: F401  # who is signed in by force_login has a session in the registry
from accounts.models import User
from bench import SCRATCH
from healthivr.celery import app
from healthivr.embedded.processes import end, spawn, wait_until
from healthivr.embedded.state import ROOT
from healthivr.embedded.supervisor import read_procfile
from healthivr.health import HEARTBEAT_KEY
from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from organizations.models import Membership, Organization
from organizations.tenancy import platform

PATIENCE = 60  # seconds
SETTLE = 10  # seconds


@contextmanager
def scratch_database() -> Iterator[None]:
    """Make and migrate the database that the environment names already; drop it at the end."""
    owner = urlsplit(os.environ["DATABASE_OWNER_URL"])._replace(path="/postgres").geturl()
    name = sql.Identifier(SCRATCH)
    with psycopg.connect(owner, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            subprocess.run([sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"], cwd=ROOT, check=True)
            yield
        finally:
            connection.close()
            server.execute(sql.SQL("DROP DATABASE {}").format(name))


@contextmanager
def running(command: list[str], *, until: Callable[[], bool], **environment: str) -> Iterator[None]:
    """Run a process for as long as this lasts, and wait until it is ready. What it logs is thrown away, but written."""
    with open(os.devnull, "w") as nowhere:
        process = spawn(
            command,
            signal.SIGTERM,
            cwd=ROOT,
            env=os.environ | {"LOG_LEVEL": "INFO"} | environment,
            stdout=nowhere,
            stderr=nowhere,
        )
    try:
        if not wait_until(until, PATIENCE):
            sys.exit(f"{command[0]} is not ready after {PATIENCE} seconds")
        yield
    finally:
        end(process, signal.SIGTERM, PATIENCE)


@contextmanager
def mail_sink(*, delay: float = 0) -> Iterator[int]:
    """Run the mail server of `make run`, which answers for a message when it is a file, `delay` seconds later. Gives its
    port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "healthivr.embedded.mail_sink", "--port", str(port), "--folder", folder]
        with running([*command, "--delay", str(delay)], until=lambda: _listens(port)):
            yield port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def worker(**environment: str) -> Iterator[None]:
    """Run the Procfile's worker."""
    command = shlex.split(read_procfile(ROOT / "Procfile")["worker"])
    with running(command, until=_worker_answers, **environment):
        yield


def _worker_answers() -> bool:
    app.send_task("healthivr.health.beat", expires=1)
    time.sleep(0.3)
    return cache.get(HEARTBEAT_KEY) is not None


def make_practice(*, seats: int = 2_000_000) -> Membership:
    """Make a practice and its doctor, who runs it."""
    with platform("bench"):
        organization = OrganizationFactory(seats=seats)
        return MembershipFactory(organization=organization, is_org_admin=True)


def make_invitations(organization: Organization, inviter: User, count: int, *, mark: str) -> None:
    """Make open invitations with one statement, a second apart, the newest last; their links cannot be guessed."""
    with platform("bench"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_invitations (id, organization_id, invitation_type, status, email, first_name, last_name,"
            " message, language, token_hash, token_nonce, expires_at, invited_by_id, upline_id, delivery_channel,"
            " delivery_status, send_count, created_at, updated_at)"
            " SELECT uuidv7(), %(organization)s, 'medical_staff', 'pending', %(mark)s || n || '@example.org', 'Nora',"
            " 'Quist', 'Welcome to the practice.', 'en', encode(sha256(convert_to(%(mark)s || n, 'UTF8')), 'hex'),"
            " %(key)s || ':' || encode(sha256(convert_to('nonce' || %(mark)s || n, 'UTF8')), 'hex'),"
            " now() + interval '7 days', %(inviter)s, %(inviter)s, 'email', 'queued', 0,"
            " now() - (%(count)s - n) * interval '1 second', now()"
            " FROM generate_series(1, %(count)s) n",
            {
                "organization": organization.pk,
                "inviter": inviter.pk,
                "count": count,
                "mark": mark,
                "key": next(iter(settings.INVITATION_TOKEN_KEYS)),
            },
        )


def queue_deliveries(organization_id: UUID, *, mark: str) -> None:
    """Queue a mail for each invitation that `mark` made, with one statement."""
    with platform("bench"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO invitation_deliveries (id, organization_id, invitation_id, purpose, channel, status, attempt,"
            " next_try_at, reason, created_at)"
            " SELECT uuidv7(), organization_id, id, 'invitation', 'email', 'queued', 1, %(at)s, '', %(at)s"
            " FROM user_invitations WHERE organization_id = %(organization)s AND email LIKE %(mark)s || '%%'",
            {"organization": organization_id, "mark": mark, "at": timezone.now()},
        )


def analyze() -> None:
    """Let the planner know what was made, and let PostgreSQL write it down now and not beside what is measured next."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")
    with psycopg.connect(os.environ["DATABASE_SUPERUSER_URL"], autocommit=True) as superuser:
        superuser.execute("CHECKPOINT")
    time.sleep(SETTLE)
