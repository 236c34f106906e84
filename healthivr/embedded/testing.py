"""What the tests of this package share: a small checkout to start, and eyes for what a start leaves behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from healthivr.embedded.processes import command_line, wait_until
from healthivr.embedded.state import ROOT, State

#: Set where `make test` runs us; a start in a test must not see them.
GIVEN_BY_OUR_OWN_RUN = (
    *("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_SUPERUSER_URL", "REDIS_URL", "EMAIL_URL", "BASE_URL", "PORT"),
    *("REDIS_HOST", "SMTP_HOST", "INVITATION_BASE_URL", "APP_BASE_URL", "HOST", "LOG_LEVEL"),
    *("HEALTHIVR_STATE", "MAIL_FOLDER", "ENVIRONMENT", "SECRET_KEY", "JWT_SECRET_KEY", "INVITATION_TOKEN_KEYS"),
    *("ENCRYPTION_KEY", "DJANGO_SETTINGS_MODULE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"),
)

MANAGE = """
import os, sys, psycopg
sys.stderr.write("preparing\\n")
with psycopg.connect(os.environ["DATABASE_SUPERUSER_URL"], autocommit=True) as server:
    if not server.execute("SELECT 1 FROM pg_database WHERE datname = 'healthivr'").fetchone():
        server.execute("CREATE ROLE healthivr LOGIN")
        server.execute("CREATE DATABASE healthivr OWNER healthivr")
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            database.execute("CREATE TABLE visits (at timestamptz DEFAULT now())")
        print("Make the first account: " + os.environ.get("BASE_URL", "http://other") + "/setup/abc/")
"""

WEB = """
import os, psycopg
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            if self.path != "/readyz":
                database.execute("INSERT INTO visits DEFAULT VALUES")
            visits = database.execute("SELECT count(*) FROM visits").fetchone()[0]
        self.send_response(200)
        self.send_header("X-Visits", str(visits))
        self.end_headers()

print("healthivr web is up", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""

PROCFILE = """
web: python web.py healthivr
worker: sh -c 'echo working; while true; do sleep 0.1; done' healthivr
"""


class Start:
    """One start of something, marked so that every process that comes of it can be found, whoever its parent is."""

    def __init__(self, command: list[str], variables: dict[str, str], cwd: Path = ROOT) -> None:
        self.mark = f"{uuid.uuid4()}"
        environment = {name: value for name, value in os.environ.items() if name not in GIVEN_BY_OUR_OWN_RUN}
        self.said = ""
        self._seen: dict[int, str] = {}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment | variables | {"STARTED_BY_TEST": self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, words: str) -> str:
        """Read what it prints until `words` come. Returns all of it."""
        assert self.process.stdout is not None
        while words not in self.said:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"No {words!r}: {self.said}\n{self.process.communicate()[1]}")
            self.said += line
        return self.said

    def finish(self, patience: float = 30) -> tuple[int, str, str]:
        """Wait for its end. Returns exit code, output and what it said on stderr."""
        said, complaint = self.process.communicate(timeout=patience)
        return self.process.returncode, said, complaint

    def pids(self) -> list[int]:
        """Return its processes that still run, whoever their parent is by now; a zombie does not."""
        parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
        ours = {pid for pid in parents if self.mark in _environment(pid)}
        # PostgreSQL's processes write their titles over their environment: they are known by their parent.
        ours |= {pid for pid, parent in parents.items() if parent in ours}
        self._seen |= {pid: command_line(pid) for pid in ours}
        return [pid for pid, command in self._seen.items() if command and command_line(pid) == command]

    def ended(self, patience: float) -> bool:
        """Wait up to `patience` seconds for all of its processes to end. Returns whether they have."""
        self.process.poll()
        return wait_until(lambda: not self.pids(), patience)

    def kill_everything(self) -> None:
        """kill -9 all of it at once, as a crash of the machine would."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):  # it ended with the one before it
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.ended(patience=10)
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.said += self.process.stdout.read()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def make_checkout(folder: Path, *, procfile: str = PROCFILE) -> Path:
    """Make a checkout that holds this package and, in place of Django, a page that counts its visits."""
    shutil.copytree(ROOT / "healthivr" / "embedded", folder / "healthivr" / "embedded")
    (folder / "healthivr" / "__init__.py").touch()
    for name in ("Makefile", "package.json", "package-lock.json", "requirements.txt", "requirements-node.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "manage.py").write_text(MANAGE)
    (folder / "web.py").write_text(WEB)
    (folder / "Procfile").write_text(procfile)
    return folder


def remove_state(folder: Path) -> None:
    """Remove a state folder: forty megabytes that nobody looks at after the test."""
    shutil.rmtree(State(folder).sockets, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def embedded(*arguments: str) -> list[str]:
    """Return the command for a verb of this package."""
    return [sys.executable, "-m", "healthivr.embedded", *arguments]
