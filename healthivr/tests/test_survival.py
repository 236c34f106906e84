"""What is left when things die: real workers, killed; a real broker, emptied or away (architecture.md 5)."""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from celery import Celery
from django.conf import LazySettings, settings
from django.db import connection
from django.utils import timezone
from redis import Redis

from accounts.models import User
from healthivr import environment
from healthivr.embedded.mail_sink import MailSink
from healthivr.embedded.processes import wait_until
from healthivr.embedded.state import ROOT
from healthivr.embedded.supervisor import read_procfile
from healthivr.testing.database import as_owner
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import phone_of
from healthivr.testing.world import World
from invitations import delivery
from invitations.models import Delivery, UserInvitation
from invitations.services import create_invitation
from invitations.tests.acts import parsed, set_seat_limit
from invitations.tokens import derive_token
from organizations.tenancy import platform, tenant

MAILS = 200
PATIENCE = 30  # seconds that a process gets to start, or to do what it shall
PROCFILE = read_procfile(ROOT / "Procfile")


class LateSink(MailSink):
    """Keeps a mail at once and says so later: who is killed meanwhile does not know that it left."""

    pause = 0.0
    kept = unanswered = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = await super().handle_DATA(server, session, envelope)
        self.kept += 1
        self.unanswered += 1
        await asyncio.sleep(self.pause)
        self.unanswered -= 1
        return reply


@pytest.fixture
def mail_sink(tmp_path: Path) -> Iterator[LateSink]:
    """A mail server for the processes below."""
    with LateSink(tmp_path / "mail") as sink:
        yield sink


class Process:
    """A process of the Procfile in a group of its own, and what it says."""

    def __init__(self, name: str, log: Path, **variables: str) -> None:
        self.log = log
        with log.open("a") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", f"exec {PROCFILE[name]}"],
                cwd=ROOT,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until(self, words: str) -> None:
        """Wait until it has said `words`."""
        assert wait_until(lambda: words in self.log.read_text(), PATIENCE), self.log.read_text()[-3000:]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the whole group, and wait for the end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        self._process.wait(PATIENCE)


class Installation:
    """Processes on the database of the test, with a broker to themselves."""

    def __init__(self, folder: Path, sink: MailSink, broker: str) -> None:
        self.prefix = f"survival-{uuid4().hex[:12]}"
        self.logs = folder
        self.redis = Redis.from_url(environment.redis_database(broker, 2))
        self._variables = {
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])
            ._replace(path=f"/{connection.settings_dict['NAME']}")
            .geturl(),
            "CACHE_PREFIX": self.prefix,
            "EMAIL_URL": sink.url,
            "HEALTHIVR_STATE": str(folder),
        }
        self._started: list[Process] = []

    def start(self, name: str, **variables: str) -> Process:
        """Start a process of the Procfile."""
        log = self.logs / f"{name}-{len(self._started)}.log"
        self._started.append(Process(name, log, **self._variables | variables))
        return self._started[-1]

    def start_worker(self) -> Process:
        """Start a worker and wait until it takes tasks."""
        worker = self.start("worker")
        worker.until(" ready.")
        return worker

    def keys(self) -> list[bytes]:
        """Return the names of what the broker holds for us."""
        return list(self.redis.scan_iter(f"{self.prefix}*"))

    def said(self) -> str:
        """Return everything that was logged."""
        return "".join(path.read_text() for path in self.logs.glob("*.log"))

    def end(self) -> None:
        """End what still runs, and leave nothing in Redis."""
        for process in self._started:
            process.kill()
        if keys := self.keys():
            self.redis.delete(*keys)
        self.redis.close()


@pytest.fixture
def installation(
    committed_world: World,
    mail_sink: MailSink,
    tmp_path: Path,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    """The Procfile's processes on this test's database; hints of this process go to their broker."""
    own = Installation(tmp_path, mail_sink, settings.REDIS_URL)
    app = Celery("survival", broker=settings.CELERY_BROKER_URL)
    app.conf.broker_transport_options = {"global_keyprefix": f"{own.prefix}:"}
    monkeypatch.setattr(delivery, "current_app", app)
    set_seat_limit(committed_world.practice, 10 * MAILS)
    yield own
    own.end()
    app.close()


def invite_many(world: World, count: int) -> list[UserInvitation]:
    """Invite, each invitation acknowledged by its own commit."""
    made = []
    for number in range(count):
        with tenant(world.practice):
            made.append(
                create_invitation(
                    actor=world.actor(world.lee),
                    invitation_type="medical_staff",
                    email=f"guest{number}@example.org",
                    first_name="Noralind",
                    at=timezone.now(),
                )
            )
    return made


def states() -> Counter[str]:
    """Count the deliveries in each state."""
    with platform("test"):
        return Counter(Delivery.objects.values_list("status", flat=True))


def all_sent(count: int) -> Callable[[], bool]:
    """Return the question whether `count` mails are sent and none waits."""
    return lambda: states() == {"sent": count}


def arrived(sink: MailSink) -> dict[str, list[tuple[str, str]]]:
    """Return who got which mails, each as its Message-ID and its link."""
    mails: dict[str, list[tuple[str, str]]] = {}
    for message in map(parsed, sink.messages()):
        body = message.get_body(("plain",))
        assert body is not None
        link = re.search(r"https?://\S+/i/\S+", body.get_content())
        assert link is not None
        mails.setdefault(message["To"], []).append((message["Message-ID"], link.group()))
    return mails


@pytest.mark.seed("S0.30", "S4.3")
def test_worker__killed_while_200_mails_leave__every_one_arrives_and_a_second_copy_is_the_same(
    committed_world: World, installation: Installation, mail_sink: LateSink
) -> None:
    invite_many(committed_world, MAILS)
    mail_sink.pause = 0.01
    worker = installation.start_worker()
    assert wait_until(lambda: mail_sink.kept >= MAILS // 4, PATIENCE)
    mail_sink.pause = 5
    time.sleep(0.1)  # what began at the old pace is answered
    assert wait_until(lambda: mail_sink.unanswered > 0, PATIENCE)

    worker.kill(signal.SIGKILL)

    with platform("test"):
        in_flight = set(Delivery.objects.filter(status="sending").values_list("invitation__email", flat=True))
        assert in_flight, "the worker was faster than the kill"
        assert len(in_flight) + states()["queued"] < MAILS
        Delivery.objects.filter(status="sending").update(next_try_at=timezone.now())  # the lease ends
    mail_sink.pause = 0
    installation.start_worker()
    delivery.hint_relay()
    assert wait_until(all_sent(MAILS), PATIENCE), states()

    mails = arrived(mail_sink)
    assert set(mails) == {f"guest{number}@example.org" for number in range(MAILS)}
    twice = {address: copies for address, copies in mails.items() if len(copies) > 1}
    assert twice
    assert set(twice) <= in_flight
    assert len(twice) <= 2  # one for each process of the pool
    for copies in twice.values():
        assert len(copies) == 2
        assert len(set(copies)) == 1


@pytest.mark.seed("S0.30")
def test_broker__emptied_with_mail_queued__all_leaves_by_the_sweep(
    committed_world: World, installation: Installation, mail_sink: LateSink
) -> None:
    installation.start_worker()
    beat = installation.start("beat")
    beat.until("beat: Starting")
    assert wait_until(lambda: bool(installation.keys()), PATIENCE)

    installation.redis.delete(*installation.keys())
    make_without_hints(committed_world, 20)

    assert wait_until(all_sent(20), PATIENCE), (states(), installation.said()[-3000:])
    assert len(mail_sink.messages()) == 20


def make_without_hints(world: World, count: int) -> None:
    """Invite while every hint is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invitations.mailing.hint_relay", lambda: None)
        invite_many(world, count)
    assert sum(states().values()) == count  # beat's sweep may have begun with them


def test_beat__started__asks_for_everything_at_once_and_keeps_nothing_on_disk(installation: Installation) -> None:
    files = {path.name for path in ROOT.iterdir()}
    wanted = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    def asked() -> set[str]:
        queued = installation.redis.lrange(f"{installation.prefix}:celery", 0, -1)
        return {json.loads(task)["headers"]["task"] for task in queued}

    installation.start("beat")

    assert wait_until(lambda: asked() == wanted, PATIENCE), asked()
    assert {path.name for path in ROOT.iterdir()} == files
    assert [path for path in installation.logs.iterdir() if path.suffix != ".log" and path.is_file()] == []


@pytest.mark.seed("S0.17", "S4.8")
def test_token__looked_for_while_its_mail_is_queued_and_after__in_no_table_key_argument_or_line(
    committed_world: World, installation: Installation, mail_sink: LateSink
) -> None:
    (invitation,) = invite_many(committed_world, 1)
    token = derive_token(invitation.token_nonce)
    personal = ["guest0@example.org", "Noralind", "guest0"]

    held = dump(installation.redis, installation.keys())
    assert "invitations.tasks.relay_deliveries" in held  # a task waits there
    assert [word for word in [token, *personal] if word in held] == []
    (task,) = tasks(installation)
    assert (task["args"], task["kwargs"]) == ([], {})

    installation.start_worker()
    assert wait_until(all_sent(1), PATIENCE)

    assert token in arrived(mail_sink)["guest0@example.org"][0][1]
    said = installation.said()
    assert str(invitation.pk) in said
    assert [word for word in [token, *personal] if word in said] == []
    assert tables_with(str(invitation.pk)) >= {"user_invitations", "invitation_deliveries"}
    assert tables_with(token) == set()


def dump(redis: Redis, keys: list[bytes]) -> str:
    """Return everything that these keys hold, base64 undone."""
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"hash": redis.hgetall,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"string": redis.get,
    }
    text = " ".join(f"{key!r} {readers[redis.type(key)](key)!r}" for key in keys)
    return text + " ".join(decoded(word) for word in re.findall(r"[A-Za-z0-9+/]{8,}={0,2}", text))


def decoded(word: str) -> str:
    """Return what base64 hides, or nothing."""
    try:
        return base64.b64decode(word, validate=True).decode(errors="replace")
    except ValueError:
        return ""


def tasks(installation: Installation) -> list[dict[str, Any]]:
    """Return the arguments of the tasks that wait."""
    waiting = installation.redis.lrange(f"{installation.prefix}:celery", 0, -1)
    bodies = [json.loads(base64.b64decode(json.loads(message)["body"])) for message in waiting]
    return [{"args": body[0], "kwargs": body[1]} for body in bodies]


def tables_with(word: str) -> set[str]:
    """Return the tables in which a word stands, in any column."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = set()
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}" row WHERE strpos(row::text, %s) > 0)', [word])
            if cursor.fetchone()[0]:
                found.add(table)
        return found


# --- Redis away ------------------------------------------------------------------------------------------------------
class Browser:
    """Somebody at the real server, with cookies."""

    def __init__(self, port: int) -> None:
        self.address = f"http://localhost:{port}"
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Send a request; follow redirects. Returns status and text."""
        token = next((cookie.value for cookie in self._cookies if cookie.name.endswith("csrftoken")), "")
        headers |= {"X-CSRFToken": token or ""}
        request = urllib.request.Request(self.address + path, body, headers)  # noqa: S310  an address of ours
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    def sign_in(self, user: User) -> str:
        """Sign somebody in by password and second factor. Returns the page that this leads to."""
        phone = phone_of(user)
        self.ask("/sign-in/")
        self.ask("/sign-in/", urlencode({"email": user.email, "password": PASSWORD}).encode())
        status, page = self.ask("/sign-in/verify/", urlencode({"code": phone.code()}).encode())
        assert status == 200, page
        return page


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.seed("S0.29", "S0.34", "S4.3")
def test_redis__away__sign_in_works_creating_answers_at_once_and_limits_count_in_the_process(
    committed_world: World, installation: Installation, port: int
) -> None:
    web = installation.start(
        "web",
        REDIS_URL="redis://127.0.0.1:1",  # nobody listens there
        PORT=str(port),
        BASE_URL=f"http://localhost:{port}",
        WEB_CONCURRENCY="1",
    )
    browser = Browser(port)
    assert wait_until(lambda: is_up(port), PATIENCE), web.log.read_text()[-3000:]

    assert "Lee Family Practice" in browser.sign_in(committed_world.lee)

    times = []
    for number in range(5):
        body = json.dumps({"invitation_type": "medical_staff", "email": f"guest{number}@example.org"}).encode()
        began = time.monotonic()
        status, text = browser.ask("/api/v1/invitations/", body, **{"Content-Type": "application/json"})
        times.append(time.monotonic() - began)
        assert status == 201, text
    assert max(times) < 1, times
    assert states() == {"queued": 5}

    statuses = [Browser(port).ask(f"/api/v1/invitations/validate/{'x' * 43}/")[0] for _ in range(11)]
    assert statuses == [404] * 10 + [429]
    said = web.log.read_text()
    assert '"cache_fallback"' in said
    assert '"relay_hint_lost"' in said

    installation.start_worker()  # Redis is back
    delivery.hint_relay()
    assert wait_until(all_sent(5), PATIENCE)


def test_redis__takes_connections_and_never_answers__creating_answers_within_seconds(
    committed_world: World, installation: Installation, port: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        installation.start(
            "web",
            REDIS_URL=f"redis://127.0.0.1:{frozen.getsockname()[1]}",
            PORT=str(port),
            BASE_URL=f"http://localhost:{port}",
            WEB_CONCURRENCY="1",
        )
        browser = Browser(port)
        assert wait_until(lambda: is_up(port), PATIENCE)
        browser.sign_in(committed_world.lee)
        body = json.dumps({"invitation_type": "medical_staff", "email": "guest@example.org"}).encode()
        began = time.monotonic()
        status, text = browser.ask("/api/v1/invitations/", body, **{"Content-Type": "application/json"})
        assert status == 201, text
        assert time.monotonic() - began < 8
    assert states() == {"queued": 1}


# --- a request that Django cannot read ------------------------------------------------------------------------------
@pytest.mark.parametrize("charset", ["rot13", "undefined", "utf-16"])
def test_request__told_a_charset_that_is_not_ours__read_as_utf_8(
    committed_world: World, installation: Installation, port: int, charset: str
) -> None:
    web = installation.start("web", PORT=str(port), BASE_URL=f"http://localhost:{port}", WEB_CONCURRENCY="1")
    assert wait_until(lambda: is_up(port), PATIENCE)
    kind = f"application/json; charset={charset}"
    status, text = Browser(port).ask("/api/v1/invitations/?email=nora.quist", **{"Content-Type": kind})
    assert (status, json.loads(text)["code"]) == (401, "sign_in_required")
    assert "nora.quist" not in web.log.read_text()


# --- a process that froze --------------------------------------------------------------------------------------------
def test_database_connection__waits_for_nobody_for_ever_and_lets_nobody_wait(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')")
        assert cursor.fetchone() == ("10s", "1min")


def is_up(port: int) -> bool:
    """Say whether the server answers."""
    try:
        return Browser(port).ask("/healthz/")[0] == 200
    except urllib.error.URLError:
        return False
