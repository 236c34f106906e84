"""Keeps the processes of the Procfile running, and shows what they say, each line with its name in front."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from healthivr.embedded.errors import CannotStart
from healthivr.embedded.postgres import Postgres
from healthivr.embedded.processes import end_orphan, spawn
from healthivr.embedded.redis_server import Redis
from healthivr.embedded.servers import wait_for

STEADY = 30.0  # seconds after which a process that ends again counts as having run well
LONGEST_PAUSE = 30.0  # seconds between two starts of one process
DEATHS_OF_WEB = 3
PATIENCE = 10.0  # seconds that a process gets to finish what it does
TICK = 0.1  # seconds between two looks at the processes


class Child:
    """One process that is started again when it ends."""

    def __init__(self, name: str, command: str, environment: dict[str, str], pid_file: Path) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.pid_file = pid_file
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths_in_a_row = 0
        self.start_at = 0.0
        self._started_at = 0.0
        self._half_line = b""

    def start(self) -> IO[bytes]:
        """Start the process. Returns the pipe that its output comes through."""
        self.process = spawn(
            ["sh", "-c", f"exec {self.command}"],
            signal.SIGTERM,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who stop things in order
        )
        self.pid_file.write_text(str(self.process.pid))
        self._started_at = time.monotonic()
        assert self.process.stdout is not None
        return self.process.stdout

    def read(self, pipe: IO[bytes]) -> list[str] | None:
        """Return the whole lines that have come, or None when nothing comes any more."""
        said = os.read(pipe.fileno(), 65536)
        if not said:
            return None
        *lines, self._half_line = (self._half_line + said).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def note_death(self) -> float:
        """Take note that the process has ended. Returns how many seconds to wait before it is started again."""
        self.kill()
        steady = time.monotonic() - self._started_at > STEADY
        self.deaths_in_a_row = 1 if steady else self.deaths_in_a_row + 1
        self.process = None
        pause = min(2.0 ** (self.deaths_in_a_row - 1), LONGEST_PAUSE)
        self.start_at = time.monotonic() + pause
        return pause

    def kill(self) -> None:
        """Kill whatever is left of the process and of those that it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.pid_file.unlink(missing_ok=True)


class Supervisor:
    """Starts children, restarts them and the servers when they die, and stops the children in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[Postgres | Redis] = []
        self.children: list[Child] = []
        self.selector = selectors.DefaultSelector()

    def heal(self, names: list[str]) -> None:
        """End the processes that an earlier start of the same names left behind."""
        for name in names:
            end_orphan(self.folder / f"{name}.pid", "healthivr", signal.SIGTERM, PATIENCE)

    def add(self, name: str, command: str, environment: dict[str, str]) -> None:
        """Start a process and keep it running from now on."""
        child = Child(name, command, environment, self.folder / f"{name}.pid")
        self.children.append(child)
        self._start(child)

    def say(self, name: str, line: str) -> None:
        """Show a line with a name in front."""
        print(f"{name:<8}| {line}", flush=True)

    def watch(self) -> None:
        """Keep everything running for ever.

        Raises CannotStart when the web process ends three times in a row or a server cannot be started again.
        """
        while True:
            self._show_output(TICK)
            for child in self.children:
                if child.process is None:
                    if time.monotonic() >= child.start_at:
                        self._start(child)
                elif child.process.poll() is not None:
                    self._bury(child)
            self._look_after_servers()

    def stop(self) -> None:
        """Ask all children to finish, show what they still say, and kill those that take too long."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            self._show_output(TICK)
        self._show_output(0)
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                self.say(child.name, f"has not ended after {PATIENCE:.0f} s and is killed")
            child.kill()
        self.selector.close()

    def _start(self, child: Child) -> None:
        self.selector.register(child.start(), selectors.EVENT_READ, child)

    def _show_output(self, seconds: float) -> None:
        """Show what the children say, waiting up to `seconds` for the first of it."""
        if not self.selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self.selector.select(seconds):
            lines = key.data.read(key.fileobj)
            if lines is None:
                self.selector.unregister(key.fileobj)
                continue
            for line in lines:
                self.say(key.data.name, line)

    def _bury(self, child: Child) -> None:
        assert child.process is not None
        code = child.process.returncode
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        pause = child.note_death()
        self._show_output(TICK)  # its last words, before the sentence about its end
        if child.name == "web" and child.deaths_in_a_row >= DEATHS_OF_WEB:
            raise CannotStart(
                f"web ended {DEATHS_OF_WEB} times in a row ({how}): mend what its last lines say, and start again."
            )
        self.say(child.name, f"ended ({how}), starts again in {pause:.0f} s")

    def _look_after_servers(self) -> None:
        for server in self.servers:
            if server.process is not None and server.process.poll() is not None:
                self.say(server.name, "ended, starts again")
                server.start()
                wait_for(self.servers)


def read_procfile(path: Path) -> dict[str, str]:
    """Return the processes of a Procfile: name -> command."""
    return dict(re.findall(r"^([a-z0-9_-]+):\s*(\S.*)$", path.read_text(), re.MULTILINE))
