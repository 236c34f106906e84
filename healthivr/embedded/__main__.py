"""`python -m healthivr.embedded <verb>`: what the Makefile calls. `--help` lists the verbs."""

import argparse
import os
import subprocess
import signal
import sys
from pathlib import Path

from healthivr.embedded import process_environment
from healthivr.embedded.errors import CannotStart, disk_is_full, no_room
from healthivr.embedded.processes import dies_with_us
from healthivr.embedded.servers import attached_or_owned
from healthivr.embedded.state import ROOT, State, default_state


def main() -> None:
    parser = argparse.ArgumentParser(prog="healthivr.embedded")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("with-servers", help="run a command with the servers up")
    verb.add_argument("--state", type=Path, default=default_state())
    verb.add_argument("command", nargs="+")
    options = parser.parse_args()
    state = State(options.state)
    try:
        sys.exit(with_servers(state, options.command))
    except CannotStart as error:
        sys.exit(str(error))
    except OSError as error:
        if no_room(error):
            sys.exit(str(disk_is_full(state.folder)))
        raise
    except KeyboardInterrupt:
        sys.exit(130)


def with_servers(state: State, command: list[str]) -> int:
    """Run `command` with the servers of `state` up. Returns its exit code."""
    state.make()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with attached_or_owned(state):
        process = subprocess.Popen(
            command,
            env=process_environment.build(state, "development"),
            preexec_fn=dies_with_us(signal.SIGTERM),
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
