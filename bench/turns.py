"""Sides that differ in what their databases hold: each in a process and a database of its own, measured in turns, so that
what else a machine does falls on all of them alike."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bench.measure import milliseconds

READY = "ready"


def serve(acts: dict[str, Callable[[], object]], *, times: int) -> None:
    """Be a side, once its database holds what it should: measure the act that is asked for on standard input, over
    `times` calls, and answer in milliseconds a call."""
    for act in acts.values():
        act()
    print(READY, flush=True)
    for line in sys.stdin:
        print(milliseconds(acts[line.strip()], times=times), flush=True)


@contextmanager
def sides(module: str, *sizes: int) -> Iterator[list[Callable[[str], float]]]:
    """Run `python -m <module> <size>` for each size, one after the other until it is ready. Gives what asks each of them
    for one round of an act."""
    with ExitStack() as running:
        yield [running.enter_context(_side(module, size)) for size in sizes]


@contextmanager
def _side(module: str, size: int) -> Iterator[Callable[[str], float]]:
    command = [sys.executable, "-m", module, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        asking, answering = process.stdin, process.stdout
        if answering.readline().strip() != READY:
            sys.exit(f"{' '.join(command)} has failed")

        def ask(act: str) -> float:
            print(act, file=asking, flush=True)
            return float(answering.readline())

        yield ask
        asking.close()


def in_turns(
    rounds: int, *pairs: tuple[Callable[[], float], Callable[[], float]]
) -> list[tuple[list[float], list[float]]]:
    """Measure both of each pair, round by round. Returns what each pair gave."""
    measured: list[tuple[list[float], list[float]]] = [([], []) for _pair in pairs]
    for _round in range(rounds):
        for (ours, other), (our_values, other_values) in zip(pairs, measured, strict=True):
            our_values.append(ours())
            other_values.append(other())
    return measured
