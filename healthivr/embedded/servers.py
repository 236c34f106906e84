"""The embedded servers of one state folder together: started by one process, used by as many as like."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator

from healthivr.embedded import process_environment as environment
from healthivr.embedded.errors import CannotStart
from healthivr.embedded.postgres import Postgres
from healthivr.embedded.processes import wait_until
from healthivr.embedded.redis_server import Redis
from healthivr.embedded.state import State

PATIENCE = 120  # seconds: recovery after a crash takes its time


class Servers:
    """PostgreSQL and Redis, each only where the environment names no other."""

    def __init__(self, state: State, *, durable: bool = True) -> None:
        self.all: list[Postgres | Redis] = []
        if environment.uses_embedded_redis():
            self.all.append(Redis(state, durable=durable))
        if environment.uses_embedded_postgres():
            self.all.append(Postgres(state, durable=durable))

    def start(self) -> None:
        """Start them side by side and wait until both answer. Raises CannotStart when one cannot."""
        for server in self.all:
            server.start()
        wait_for(self.all)

    def stop(self) -> None:
        """Stop those that we started."""
        for server in self.all:
            server.stop()

    def discard(self) -> None:
        """Throw the data of the embedded servers away. Only the holder of the state folder's lock may."""
        for server in self.all:
            server.discard()


def wait_for(servers: list[Postgres | Redis]) -> None:
    """Wait until all answer. Raises CannotStart when one has ended or takes too long."""
    for server in servers:
        if not wait_until(server.is_ready, PATIENCE):
            raise CannotStart(f"{server.name} does not answer after {PATIENCE} seconds: see {server.log}.")


@contextlib.contextmanager
def owned(state: State, *, durable: bool) -> Iterator[Servers]:
    """Start the servers of a state folder whose lock we hold, and stop them at the end, whatever happens."""
    environment.make_secrets(state)
    if not environment.mail_port(state):
        environment.choose_mail_port(state)
    check_given_servers()
    state.make_sockets()
    servers = Servers(state, durable=durable)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(state.sockets, ignore_errors=True)


@contextlib.contextmanager
def attached_or_owned(state: State) -> Iterator[None]:
    """Use the servers of a state folder: those that run, else our own for as long as this lasts.

    Who owns them waits at the end for those who came to use them.
    """
    while True:
        if state.claim():
            with owned(state, durable=True):
                yield
                if not state.no_more_guests(wait=False):
                    print("Waiting for other commands that use these servers", file=sys.stderr, flush=True)
                    state.no_more_guests(wait=True)
            state.release()
            return
        with state.guest():
            if state.claim():  # its holder has just stopped: start anew
                state.release()
                continue
            wait_for(Servers(state).all)
            yield
            return


def check_given_servers() -> None:
    """Ask the servers that the environment names whether they are there. Raises CannotStart when one is not."""
    if not environment.uses_embedded_postgres():
        _check_postgres(os.environ["DATABASE_URL"])
    if os.environ.get("REDIS_URL"):
        _check_redis(os.environ["REDIS_URL"])


def _check_postgres(url: str) -> None:
    import psycopg.pq  # noqa: PLC0415 - a tenth of a second that only those pay who bring their own server

    # A ping needs no right to sign in: the role may be one that prepare_database is about to make.
    conninfo = f"{url}{'&' if '?' in url else '?'}connect_timeout=5"
    answer = psycopg.pq.PGconn.ping(conninfo.encode())
    if answer == psycopg.pq.Ping.NO_ATTEMPT:
        raise CannotStart(
            "DATABASE_URL is not an address of PostgreSQL: write postgres://user:password@host:5432/name."
        )
    if answer != psycopg.pq.Ping.OK:
        raise CannotStart(
            f"No PostgreSQL answers at {environment.host_of(url)}: start it, correct DATABASE_URL, "
            "or unset DATABASE_URL and DATABASE_OWNER_URL for an embedded one."
        )


def _check_redis(url: str) -> None:
    import redis  # noqa: PLC0415 - likewise

    try:
        redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5).ping()
    except ValueError as error:
        raise CannotStart("REDIS_URL is not an address of Redis: write redis://host:6379 or unix:///path.") from error
    except redis.RedisError as error:
        raise CannotStart(
            f"No Redis answers at {environment.host_of(url)} ({type(error).__name__}): start it, correct REDIS_URL, "
            "or unset it for an embedded one."
        ) from error
