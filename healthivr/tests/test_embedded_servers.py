"""The embedded servers as everyone meets them: real processes on a state folder of their own, killed and restarted."""

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from healthivr.embedded.processes import command_line
from healthivr.embedded.testing import Start, embedded, remove_state

WRITE = """
import os, psycopg, redis
database = psycopg.connect(os.environ["DATABASE_SUPERUSER_URL"], autocommit=True)
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
database.execute("CREATE TABLE rows (number int)")
for number in range(1, 100_000):
    database.execute("INSERT INTO rows VALUES (%s)", [number])
    cache.rpush("rows", number)
    print("acknowledged", number, flush=True)
"""
COUNT = """
import os, psycopg, redis
database = psycopg.connect(os.environ["DATABASE_SUPERUSER_URL"])
print(database.execute("SELECT count(*) FROM rows").fetchone()[0])
print(redis.Redis.from_url(os.environ["REDIS_URL"]).llen("rows"))
"""
#: What the product's rows meet in ordinary operation, sent as Django sends it: the values within the statement.
REFUSED_ROWS = """
import os, psycopg
database = psycopg.connect(
    os.environ["DATABASE_SUPERUSER_URL"], autocommit=True, cursor_factory=psycopg.ClientCursor
)
database.execute("CREATE TABLE guests (email text UNIQUE, name text NOT NULL CHECK (length(name) < 20))")
for email, name in (
    ("canary@example.org", "canary"), ("canary@example.org", "canary"), ("x", None), ("y", "canary" * 9)
):
    try:
        database.execute("INSERT INTO guests VALUES (%s, %s)", [email, name])
    except psycopg.IntegrityError as error:
        print(type(error).__name__)
"""
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
SHOW = "import os; print(os.environ['{}'])"


class WithServers(Protocol):
    def __call__(self, code: str, **variables: str) -> Start: ...


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def with_servers(state: Path) -> Iterator[WithServers]:
    """Run Python code with the servers of this test up; what is left of it ends with the test."""
    started: list[Start] = []
    states: set[str] = set()

    def begin(code: str, **variables: str) -> Start:
        variables = {"HEALTHIVR_STATE": str(state)} | variables
        states.add(variables["HEALTHIVR_STATE"])
        command = embedded("with-servers", "--", sys.executable, "-c", code)
        started.append(Start(command, variables))
        return started[-1]

    yield begin
    for start in started:
        start.kill_everything()
    for folder in states:
        remove_state(Path(folder))


def refusal(start: Start) -> str:
    """Return the one sentence with which a start gave up."""
    code, said, complaint = start.finish()
    assert (code, said) == (1, "")
    assert len(complaint.splitlines()) == 1, complaint
    return complaint


def test_servers__stopped__no_process_is_left_and_the_rows_are_there(with_servers: WithServers) -> None:
    first = with_servers(WRITE.replace("100_000", "50"))
    assert first.finish()[0] == 0
    assert first.pids() == []

    assert with_servers(COUNT).finish() == (0, "49\n49\n", "")


def test_servers__terminated__end_with_the_command(with_servers: WithServers) -> None:
    start = with_servers(SLEEP)
    start.until("up")
    assert any("postgres" in line for line in map(command_line, start.pids()))

    start.process.terminate()

    assert start.finish()[0] == 143
    assert start.pids() == []


def test_servers__everything_killed_while_writing__nothing_acknowledged_is_lost(with_servers: WithServers) -> None:
    start = with_servers(WRITE)
    start.until("acknowledged 300\n")
    start.pids()  # known from now on, whatever titles they take
    start.kill_everything()
    acknowledged = int(re.findall(r"acknowledged (\d+)\n", start.said)[-1])

    code, counts, complaint = with_servers(COUNT).finish()

    assert (code, complaint) == (0, "")
    assert all(int(count) >= acknowledged for count in counts.split())


def test_servers__starter_killed__they_end_too(with_servers: WithServers) -> None:
    start = with_servers(SLEEP)
    start.until("up")
    assert len(start.pids()) > 5

    start.process.kill()

    assert start.ended(patience=10)
    assert with_servers("print('again')").finish()[:2] == (0, "again\n")


@pytest.mark.parametrize("kind", ["of another program", "of a zombie", "cut short"])
def test_servers__stale_pid_file__is_healed(with_servers: WithServers, state: Path, kind: str) -> None:
    assert with_servers("pass").finish()[0] == 0
    with subprocess.Popen(["sleep", "0" if kind == "of a zombie" else "60"]) as other:
        lines = {"cut short": ""}.get(kind, f"{other.pid}\n{state}/postgres\n0\n5432\n\n\n\nready\n")
        (state / "postgres" / "postmaster.pid").write_text(lines)
        (state / "redis" / "redis.pid").write_text(lines)

        assert with_servers("print('up')").finish() == (0, "up\n", "")
        if kind == "of another program":
            assert other.poll() is None
        other.kill()


def test_servers__second_command__uses_those_of_the_first_which_waits_for_it(with_servers: WithServers) -> None:
    first = with_servers("print('up', flush=True); import time; time.sleep(1)")
    first.until("up")
    second = with_servers("print('up', flush=True); import time; time.sleep(2)\n" + SHOW.format("DATABASE_URL"))
    second.until("up")
    assert not any("postgres" in line for line in map(command_line, second.pids()))

    assert second.finish()[0] == 0
    assert first.finish()[::2] == (0, "Waiting for other commands that use these servers\n")


@pytest.mark.seed("S0.37")
def test_postgresql__row_that_a_constraint_refuses__names_the_constraint_and_no_value_in_its_log(
    with_servers: WithServers, state: Path
) -> None:
    refused = "UniqueViolation\nNotNullViolation\nCheckViolation\n"
    assert with_servers(REFUSED_ROWS).finish() == (0, refused, "")
    written = (state / "postgres.log").read_text()
    assert 'violates unique constraint "guests_email_key"' in written
    assert 'violates check constraint "guests_name_check"' in written
    assert "canary" not in written
    assert "INSERT" not in written


def test_servers__awkward_state_folder__works(with_servers: WithServers, tmp_path: Path) -> None:
    folder = tmp_path / "a private home" / ("long " * 40) / "quote's" / "state"
    folder.parent.mkdir(parents=True)
    (tmp_path / "a private home").chmod(0o700)

    assert with_servers(WRITE.replace("100_000", "3"), HEALTHIVR_STATE=str(folder)).finish()[::2] == (0, "")
    assert stat.S_IMODE((tmp_path / "a private home").stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077] == []
    assert [path.name for path in folder.iterdir() if path.is_dir() and path.stat().st_mode & 0o077] == []


def test_servers__two_state_folders__run_side_by_side(with_servers: WithServers, tmp_path: Path) -> None:
    one, two = with_servers(SLEEP), with_servers(SLEEP, HEALTHIVR_STATE=str(tmp_path / "other"))
    one.until("up")
    two.until("up")


def test_secrets__are_made_once_and_are_private(with_servers: WithServers, state: Path) -> None:
    first = with_servers(SHOW.format("ENCRYPTION_KEY")).finish()[1]
    assert with_servers(SHOW.format("ENCRYPTION_KEY")).finish()[1] == first
    assert with_servers(SHOW.format("ENCRYPTION_KEY"), ENCRYPTION_KEY="k2:own").finish()[1] == "k2:own\n"
    assert stat.S_IMODE((state / "secrets.env").stat().st_mode) == 0o600


def test_given_postgres__does_not_answer__one_sentence_without_the_password(with_servers: WithServers) -> None:
    url = "postgres://somebody:hush@127.0.0.1:1/healthivr"
    sentence = refusal(with_servers("print('ran')", DATABASE_URL=url, DATABASE_OWNER_URL=url))
    assert "127.0.0.1:1" in sentence
    assert "DATABASE_URL" in sentence
    assert "hush" not in sentence


def test_given_postgres__only_one_address__names_both(with_servers: WithServers) -> None:
    sentence = refusal(with_servers("print('ran')", DATABASE_URL="postgres://somebody@127.0.0.1:1/healthivr"))
    assert sentence.startswith("Only DATABASE_URL is set")
    assert "DATABASE_OWNER_URL" in sentence


@pytest.mark.parametrize("url", ["redis://:hush@127.0.0.1:1", "ftp://nowhere"])
def test_given_redis__does_not_answer__one_sentence_without_the_password(with_servers: WithServers, url: str) -> None:
    sentence = refusal(with_servers("print('ran')", REDIS_URL=url))
    assert "REDIS_URL" in sentence
    assert "hush" not in sentence


def test_given_servers__answer__none_of_ours_is_started(with_servers: WithServers, tmp_path: Path) -> None:
    theirs = with_servers("import os; print(os.environ['DATABASE_SUPERUSER_URL'], os.environ['REDIS_URL']); " + SLEEP)
    database, redis = theirs.until("up").split()[:2]
    ours = {"DATABASE_URL": database, "DATABASE_OWNER_URL": database, "REDIS_URL": redis}

    start = with_servers(SHOW.format("REDIS_URL"), HEALTHIVR_STATE=str(tmp_path / "other"), **ours)

    assert start.finish() == (0, f"{redis}\n", "")
    assert not (tmp_path / "other" / "postgres").exists()


@pytest.mark.parametrize("megabytes", [1, 20, 64])
def test_disk_full__one_sentence(megabytes: int, tmp_path: Path) -> None:
    """1 MB ends the making of the data early, 20 MB late; 64 MB suffice, and are full before the next start."""
    folder = tmp_path / "small"
    folder.mkdir()
    state = folder / "state"
    run = shlex.join(embedded("with-servers", "--state", str(state), "--", "true"))
    fill = f"{run} && dd if=/dev/zero of={folder}/rest bs=64k 2>/dev/null;" if megabytes == 64 else ""
    script = f"mount -t tmpfs -o size={megabytes}m tmpfs {folder} && {{ {fill} {run}; }}"
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]

    start = Start([*namespace, "sh", "-c", script], {})

    sentence = refusal(start)
    assert "full" in sentence
    assert "HEALTHIVR_STATE" in sentence
    assert start.pids() == []
