"""Limits on how often somebody may try (checklist C5). The counts stand in settings.LIMITS."""

from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import _split_rate, get_usage

from .errors import TooManyRequests


def count_attempt(request: HttpRequest, scope: str, *, key: str = "") -> None:
    """Count one attempt in `scope`, a name of settings.LIMITS.

    `key` is what is counted, such as a normalised address; without it the client's address is (of IPv6, its /64). The
    key is stored as a digest only. Raises TooManyRequests with the seconds to wait, and leaves what a `RateLimit-*`
    header says on `request.rate_limit`.
    """
    value = key or _network(client_address(request))
    usage = get_usage(
        request, group=scope, key=lambda group, request: value, rate=settings.LIMITS[scope], increment=True
    )
    if usage is None:  # RATELIMIT_ENABLE is off
        return
    window = usage["time_left"] + 1  # the limiter counts whole seconds, and the last one still belongs to the window
    request.rate_limit = (usage["limit"], max(0, usage["limit"] - usage["count"]), window)  # type: ignore[attr-defined]
    if usage["should_limit"]:
        raise TooManyRequests(retry_after=window, limit=usage["limit"], window=window)


def count_and_period(scope: str) -> tuple[int, timedelta]:
    """Return how often, in which time: a name of settings.LIMITS, for what is not counted in Redis."""
    count, seconds = _split_rate(settings.LIMITS[scope])
    return count, timedelta(seconds=seconds)


def client_address(request: HttpRequest) -> str:
    """Return the address of the client: the peer's, or, behind N trusted proxies, the N-th from the right of
    X-Forwarded-For. What stands further left was written by the client and proves nothing."""
    peer = str(request.META.get("REMOTE_ADDR") or "")
    if not settings.TRUSTED_PROXIES:
        return peer
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    if len(hops) < settings.TRUSTED_PROXIES:
        return peer
    return _without_port(hops[-settings.TRUSTED_PROXIES]) or peer


def _network(address: str) -> str:
    """Return what is counted as one client: an IPv4 address, or the /64 that a customer of IPv6 is given whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address  # a socket without an address: everybody behind it counts as one
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address


def _without_port(hop: str) -> str:
    """Return the address in one entry of X-Forwarded-For (`192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]:4711`), or
    nothing when there is none: what is no address belongs in no limit and in no trail."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return ""
