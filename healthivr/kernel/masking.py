"""How personal data is shown where it must not be shown in full: audit trail, public pages, lists."""

import hashlib
import hmac

from django.conf import settings


def mask_email(address: str) -> str:
    """Return an address that its owner recognises and nobody else can use: `j•••@c•••.org`."""
    local, _, domain = address.partition("@")
    name, dot, suffix = domain.rpartition(".")
    if not local or not domain:
        return "•••"
    return f"{local[0]}•••@{name[:1]}•••{dot}{suffix}"


def address_digest(address: str) -> str:
    """Return a keyed digest (HMAC-SHA-256, 16 hex digits shown) under which one address can be followed through
    the trail without being read there."""
    key = settings.SECRET_KEY.encode()
    return hmac.digest(key, b"audit-address:" + address.encode(), hashlib.sha256).hex()[:16]
