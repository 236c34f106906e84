"""The embedded Redis: one binary out of a wheel, started by us."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from healthivr.embedded import install
from healthivr.embedded.errors import CannotStart, explain
from healthivr.embedded.processes import end, end_orphan, spawn
from healthivr.embedded.state import State, open_log


class Redis:
    """Redis on the data of one state folder, reached by a socket alone."""

    name = "Redis"

    def __init__(self, state: State, *, durable: bool = True) -> None:
        self.state = state
        self.socket = state.sockets / "redis.sock"
        self.pid_file = state.redis / "redis.pid"
        self.log = state.folder / "redis.log"
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self._log_before = 0

    @property
    def url(self) -> str:
        """The address, as redis-py reads it."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start the server without waiting for it. Raises CannotStart where there is no binary for the machine."""
        binary = install.redis_server(Path(sys.prefix))
        # Two servers would append to one file and garble it, so the old one must be gone.
        self._end_orphan()
        self.socket.unlink(missing_ok=True)
        options = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        options += ["--pidfile", str(self.pid_file), "--daemonize", "no", "--loglevel", "notice"]
        # The append-only file is all that is kept: a server that cannot write a snapshot as well refuses to stop.
        options += ["--save", "", "--appendonly", "yes" if self.durable else "no", "--appendfsync", "everysec"]
        log = open_log(self.log)
        self._log_before = os.fstat(log).st_size
        self.process = spawn(
            [binary, *options],
            signal.SIGTERM,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.state.redis,
            start_new_session=True,
        )
        os.close(log)

    def is_ready(self) -> bool:
        """Tell whether it answers; not while it still loads its data. Raises CannotStart when it has ended instead."""
        if self.process is not None and self.process.poll() is not None:
            raise self._explain()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Stop the server after it has written what it holds."""
        if self.process is not None:
            end(self.process, signal.SIGTERM, patience=20)
            self.process = None

    def discard(self) -> None:
        """Throw the data away, and end a server that an earlier start left behind on it."""
        self._end_orphan()
        shutil.rmtree(self.state.redis, ignore_errors=True)
        self.state.redis.mkdir(mode=0o700)

    def _end_orphan(self) -> None:
        end_orphan(self.pid_file, str(self.socket), signal.SIGTERM)

    def _explain(self) -> CannotStart:
        with self.log.open("rb") as file:
            file.seek(self._log_before)
            said = file.read().decode(errors="replace")
        reason = (said.splitlines() or ["it does not say why"])[-1].strip()
        sentence = f"Redis does not start ({reason}): see {self.log}, or set REDIS_URL to a server."
        return explain(said, self.state.folder, sentence)
