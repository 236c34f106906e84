"""Invitation links: 256 bits, derived so that a worker can make them again, stored as a keyed digest only (ADR 0005).

token = base64url( HMAC-SHA-256( key, nonce ) ), nonce = 32 random bytes of one issue. A dump of the database holds the
nonce and the digest, and neither opens anything without the key, which is in the environment.
"""

import base64
import hashlib
import hmac
import secrets

from django.conf import settings

LINK_PATH = "/i/"
TOKEN_LENGTH = 43


def new_nonce() -> str:
    """Return the nonce of a new issue, `<key id>:<64 hex digits>`."""
    key_id = next(iter(settings.INVITATION_TOKEN_KEYS))
    return f"{key_id}:{secrets.token_hex(32)}"


def derive_token(nonce: str) -> str:
    """Return the token that belongs to a nonce. Raises KeyError when its key is no longer in the environment."""
    key_id, _, random = nonce.partition(":")
    mac = hmac.digest(settings.INVITATION_TOKEN_KEYS[key_id], b"invitation-link:" + random.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def digest_of(nonce: str) -> str:
    """Return what is stored of the token of a nonce."""
    return _digest(nonce.partition(":")[0], derive_token(nonce))


def possible_digests(token: str) -> list[str]:
    """Return the digests under which a presented token may be stored: one for each key in use."""
    if len(token) != TOKEN_LENGTH or not token.isascii():
        return []
    return [_digest(key_id, token) for key_id in settings.INVITATION_TOKEN_KEYS]


def _digest(key_id: str, token: str) -> str:
    key = hmac.digest(settings.INVITATION_TOKEN_KEYS[key_id], b"invitation-digest", hashlib.sha256)
    return hmac.digest(key, token.encode(), hashlib.sha256).hex()


def invitation_url(nonce: str) -> str:
    """Return the absolute link to mail. Built from BASE_URL and from nothing else."""
    return f"{settings.BASE_URL}{LINK_PATH}{derive_token(nonce)}/"
