"""Starting processes that cannot outlive us, and finding the ones that did."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
HAS_PROC = Path("/proc/self/stat").exists()  # Linux; elsewhere `ps` is asked
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(command: Sequence[str | Path], death_signal: signal.Signals, **options: Any) -> subprocess.Popen[Any]:
    """Start `command` with the options of Popen, so that it cannot outlive us.

    Linux sends it `death_signal` when the thread that started it ends, however it ends; call this from the main thread.
    Elsewhere nothing does, and the next start finds the orphan by its pid file.
    """
    parent = os.getpid()

    def arrange_death() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # we died before the call: nobody is left to send the signal
                os._exit(1)

    # The warning is about locks that another thread may hold: arrange_death takes none.
    return subprocess.Popen(command, preexec_fn=arrange_death, **options)  # noqa: PLW1509


def call(command: Sequence[str | Path], **options: Any) -> tuple[int, str]:
    """Run `command` to its end. Returns its exit code and what it wrote into the pipe in `options`, if there is one.

    When we are told to stop, the command is too.
    """
    process = spawn(command, signal.SIGTERM, text=True, **options)
    try:
        said, _ = process.communicate()
    except KeyboardInterrupt:  # from the terminal, so the command got it too and ends in its own way
        process.wait()
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return process.returncode, said or ""


def command_line(pid: int) -> str:
    """Return the command line of the process `pid`, or "" when it does not run.

    A zombie counts as not running, and Linux says so by giving it none: in a container whose first process reaps
    nobody it stays for ever, and both PostgreSQL and psutil take it for alive.
    """
    if HAS_PROC:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listed = subprocess.run(["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "" if listed.stdout.startswith("Z") else listed.stdout


def end_orphan(pid_file: Path, mark: str, stop_signal: signal.Signals, patience: float = 30) -> None:
    """End the process that an earlier start left behind, and remove its pid file.

    `mark` must occur in its command line, since its number may belong to somebody else by now. Waits `patience`
    seconds before it kills. Only the holder of the state folder's lock may call this.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except FileNotFoundError:
        return
    except (ValueError, IndexError):  # cut short by a full disk
        pid = 0
    if pid > 0 and mark in command_line(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
            if not wait_until(lambda: mark not in command_line(pid), patience):
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda: mark not in command_line(pid), patience)
    pid_file.unlink(missing_ok=True)


def end(process: subprocess.Popen[bytes], stop_signal: signal.Signals, patience: float) -> None:
    """Send `stop_signal`, wait up to `patience` seconds, then kill. Returns when the process is gone."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def wait_until(condition: Callable[[], bool], patience: float, pause: float = 0.02) -> bool:
    """Ask `condition` every `pause` seconds for `patience` seconds. Returns whether it came true."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
