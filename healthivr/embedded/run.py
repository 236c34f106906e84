"""`make run`: everything on this machine, until Ctrl-C."""

import errno
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from healthivr.embedded import process_environment
from healthivr.embedded.errors import CannotStart
from healthivr.embedded.processes import call, wait_until
from healthivr.embedded.servers import owned
from healthivr.embedded.state import ROOT, State
from healthivr.embedded.supervisor import Supervisor, read_procfile

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TICKING = ("worker", "beat")
#: They would write several lines every few seconds, and the set-up link would be gone before it is read.
SAYS_LESS = {
    "LOG_LEVEL": os.environ.get("LOG_LEVEL") or "WARNING",
    "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
}
SLOW = 60  # seconds after which a start that is not ready is worth a word


class Stopped(BaseException):
    """Somebody asked us to stop."""


def run(state: State) -> None:
    """Run the servers, the mail sink and the Procfile's processes on `state` until told to stop.

    Raises CannotStart with the sentence for what a person must change.
    """
    state.make()
    if not state.claim():
        raise CannotStart(
            f"healthivr already runs on {state.folder} (process {state.holder()}): "
            "use that one, stop it, or set HEALTHIVR_STATE to another folder."
        )
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        _run(state)
    except Stopped:
        print(f"Stopped; the data stays in {state.folder}", flush=True)


def _run(state: State) -> None:
    procfile = read_procfile(ROOT / "Procfile")
    port = process_environment.web_port()
    with_sink = process_environment.uses_mail_sink()
    address = process_environment.given("BASE_URL") or f"http://localhost:{port}"
    supervisor = Supervisor(state.folder)
    supervisor.heal(["mail", *procfile])
    check_port(port)
    if with_sink:
        process_environment.choose_mail_port(state)
    with owned(state, durable=True) as servers:
        supervisor.servers = servers.all
        environment = process_environment.build(state, "development")
        try:
            if with_sink:
                supervisor.add("mail", mail_sink_command(state), environment)
            first_steps = prepare_database(environment)
            for name, command in procfile.items():
                supervisor.add(name, command, environment | (SAYS_LESS if name in TICKING else {}))
            mails = f"{address}/dev/mail/" if with_sink else ""
            threading.Thread(target=_announce, args=(port, address, mails, first_steps), daemon=True).start()
            supervisor.watch()
        finally:
            supervisor.stop()


def check_port(port: int) -> None:
    """Raise CannotStart when the web process could not listen on `port`, or a browser would find another there."""
    for family, host in ((socket.AF_INET, os.environ.get("HOST") or "127.0.0.1"), (socket.AF_INET6, "::1")):
        problem: list[OSError] = []
        if not wait_until(lambda: _can_listen(family, host, port, problem), patience=1):  # noqa: B023 - called here
            if problem[-1].errno == errno.EACCES:
                raise CannotStart(f"You may not listen on port {port}: choose another with PORT=8080.")
            raise CannotStart(
                f"Port {port} is in use by another program: stop that, or choose another, for example PORT={port + 1}."
            )


def _can_listen(family: socket.AddressFamily, host: str, port: int, problem: list[OSError]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        problem.append(error)
        return error.errno not in (errno.EADDRINUSE, errno.EACCES)  # a machine without IPv6 is no reason
    return True


def mail_sink_command(state: State) -> str:
    """Return the command of the mail sink, for the shell."""
    port = process_environment.mail_port(state)
    module = [sys.executable, "-m", "healthivr.embedded.mail_sink"]
    return shlex.join([*module, "--port", str(port), "--folder", str(state.mail)])


def prepare_database(environment: dict[str, str]) -> list[str]:
    """Make roles, database and tables. Returns what the command tells a person to do first: the set-up link, if any.

    Raises CannotStart when it fails; what it says about it stands above.
    """
    command = [sys.executable, "manage.py", "prepare_database"]
    code, said = call(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    lines = [line for line in said.splitlines() if line.strip()]
    if code:
        print(said, end="", file=sys.stderr)
        raise CannotStart("The database could not be prepared: mend what the lines above say, and start again.")
    return [line.strip() for line in lines if "://" in line]


def _announce(port: int, address: str, mails: str, first_steps: list[str]) -> None:
    """Wait until the pages answer, then say where to go."""
    began = time.monotonic()
    warned = False
    while not _is_ready(port):
        time.sleep(0.05)
        if not warned and time.monotonic() - began > SLOW:
            warned = True
            print(f"{address}/readyz is still not 200 after {SLOW} s: the lines above may say why.", flush=True)
    lines = ["", "healthivr is ready.", f"  Open         {address}/"]
    if mails:
        lines += [f"  Its mails    {mails}"]
    lines += [f"  {step}" for step in first_steps]
    lines += ["  Ctrl-C stops it.", ""]
    print("\n".join(lines), flush=True)


def _is_ready(port: int) -> bool:
    host = os.environ.get("HOST") or "127.0.0.1"
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=5)  # noqa: S104
    try:
        connection.request("GET", "/readyz", headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(number: int, frame: FrameType | None) -> None:
    for other in STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # stopping takes a moment and must not be cut short
    raise Stopped
