"""Sessions in PostgreSQL, for which a key that cannot be one of ours is no key."""

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore


class SessionStore(DatabaseSessionStore):
    """A cookie may carry anything: with a NUL in it Django's own look-up ends in an error of PostgreSQL, a 500 that any
    stranger can cause on every page."""

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key and re.fullmatch(r"[a-z0-9]{32}", key))
