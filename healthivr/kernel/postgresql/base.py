"""The database backend: Django's own, but for one question."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Django asks `SELECT 1` before each request, a round trip as long as any other. A server that ended a connection has
    said so on it: an idle one that has something to read is over (a message, or its end). One that vanished without a
    word is found by `tcp_user_timeout`, as `SELECT 1` would find it."""

    def is_usable(self) -> bool:
        """Say whether the connection, idle just now, can be used."""
        if self.connection is None or self.connection.closed:
            return False
        waiting = select.poll()
        waiting.register(self.connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
        return not waiting.poll(0)
