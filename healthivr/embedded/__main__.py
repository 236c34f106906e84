"""`python -m healthivr.embedded <verb>`: what the Makefile calls. `--help` lists the verbs."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from healthivr.embedded import process_environment
from healthivr.embedded.errors import CannotStart, disk_is_full, no_room
from healthivr.embedded.processes import call
from healthivr.embedded.quality import quality
from healthivr.embedded.run import prepare_database, run
from healthivr.embedded.servers import Servers, attached_or_owned, owned
from healthivr.embedded.state import ROOT, State, default_state

MOST_TEST_PROCESSES = 4


def main() -> None:
    """Do what the verb says; a start that is impossible ends in one sentence and exit code 1."""
    options = _parser().parse_args()
    if options.verb in ("test", "quality", "bench"):  # data of their own, beside that of a running healthivr
        options.state /= options.verb
    state = State(options.state)
    try:
        sys.exit(_do(options, state))
    except CannotStart as error:
        sys.exit(str(error))
    except OSError as error:
        if no_room(error):
            sys.exit(str(disk_is_full(state.folder)))
        raise
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m healthivr.embedded")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, does in (
        ("run", "run healthivr until Ctrl-C"),
        ("test", "run pytest with servers of its own"),
        ("quality", "run every check"),
        ("demo", "fill the database with a demonstration"),
        ("bench", "run the benchmarks with servers of their own"),
        ("with-servers", "run a command with the servers up: with-servers -- COMMAND…"),
    ):
        one = verbs.add_parser(verb, help=does)
        one.add_argument("--state", type=Path, default=default_state(), help="the state folder")
        if verb in ("test", "bench", "with-servers"):
            one.add_argument("command", nargs="*", help="arguments, after --")
    return parser


def _do(options: argparse.Namespace, state: State) -> int:
    if options.verb == "run":
        run(state)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves through every finally
    if options.verb == "test":
        return test(state, options.command)
    if options.verb == "quality":
        _claim_fresh(state)
        return quality(state)
    if options.verb == "bench":
        return with_servers(state, [sys.executable, "-m", "bench", *options.command], prepared=True)
    if options.verb == "demo":
        return with_servers(state, [sys.executable, "manage.py", "demo"], prepared=True)
    return with_servers(state, options.command)


def with_servers(state: State, command: list[str], *, prepared: bool = False) -> int:
    """Run `command` with the servers of `state` up, ours or those that run already. Returns its exit code.

    `prepared` makes roles, database and tables first.
    """
    state.make()
    with attached_or_owned(state):
        environment = process_environment.build(state, "development")
        if prepared:
            prepare_database(environment)
        return call(command, env=environment)[0]


def test(state: State, arguments: list[str]) -> int:
    """Run pytest with fresh servers that need not survive a crash. Returns its exit code."""
    _claim_fresh(state)
    code, chromium = call([sys.executable, "e2e/chromium.py"], cwd=ROOT, stdout=subprocess.PIPE)
    if code:
        return code  # it has said why
    with owned(state, durable=False):
        environment = process_environment.build(state, "test") | {"CHROMIUM": chromium.strip()}
        prepare_database(environment)  # the roles: tests run as the application's, on databases of the owner's
        processes = min(os.cpu_count() or 1, MOST_TEST_PROCESSES)
        return call([sys.executable, "-m", "pytest", "-n", str(processes), *arguments], env=environment, cwd=ROOT)[0]


def _claim_fresh(state: State) -> None:
    """Take the state folder for ourselves and empty its databases."""
    state.make()
    if not state.claim():
        raise CannotStart(
            f"The servers in {state.folder} are in use (process {state.holder()}): "
            "wait for that to end, or set HEALTHIVR_STATE to another folder."
        )
    Servers(state).discard()


if __name__ == "__main__":
    main()
