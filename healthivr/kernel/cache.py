"""The cache: Redis, and a count in this process while Redis is away."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

#: Django asks whether the key is there, then counts: two round trips, and between them the key may end and be made anew
#: without an end.
COUNT = "if redis.call('exists', KEYS[1]) == 1 then return redis.call('incrby', KEYS[1], ARGV[1]) end"
RETRY_AFTER = 5.0  # seconds during which Redis is not asked again, so that an outage does not slow each request


class CountingClient(RedisCacheClient):
    """Django's client, which counts in one step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._count = self.get_client(write=True).register_script(COUNT)

    def incr(self, key: Any, delta: int) -> int:
        count = self._count(keys=[key], args=[delta], client=self.get_client(key, write=True))
        if count is None:
            raise ValueError(f"Key {key!r} not found.")
        return int(count)


class FallbackCache(RedisCache):
    """Django's Redis cache that falls back to a cache in the process: limits then count per process, which is logged,
    instead of failing open or failing every request (security.md 0.8)."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = CountingClient
        self._local = LocMemCache(f"fallback-of-{server}", {"KEY_PREFIX": params.get("KEY_PREFIX", "")})
        self._away_until = 0.0

    def _ask(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self._away_until:
            try:
                return getattr(super(), operation)(*args, **kwargs)
            except RedisError as error:
                self._away_until = time.monotonic() + RETRY_AFTER
                log.warning("cache_fallback", operation=operation, reason=type(error).__name__)
        answer: Callable[..., Any] = getattr(self._local, operation)
        return answer(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._ask("add", *args, **kwargs))

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._ask("get", *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._ask("set", *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> int:
        return int(self._ask("incr", *args, **kwargs))

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._ask("delete", *args, **kwargs))

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._ask("touch", *args, **kwargs))
