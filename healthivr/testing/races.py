"""Several people at once, for real: threads with connections of their own, released together."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

from django.db import connection


def race(*calls: Callable[[], Any]) -> list[Any]:
    """Run every call in a thread of its own, all of them at the same moment. Returns what each returned or raised, in
    their order. Needs committed data: a test's own transaction is nobody else's to see."""
    outcomes: list[Any] = [None] * len(calls)
    start = Barrier(len(calls))

    def run(number: int, call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            outcomes[number] = call()
        except Exception as error:  # noqa: BLE001  the test looks at what was raised
            outcomes[number] = error
        finally:
            connection.close()

    threads = [Thread(target=run, args=(number, call)) for number, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return outcomes
