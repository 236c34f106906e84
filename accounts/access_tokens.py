"""Access tokens: JWTs that say which session of the registry asks, and nothing about its person (checklist S0.18, C4).

Everything that a token could choose is pinned here: the algorithm, the issuer, the audience, the purpose, its type. What
it says is not believed for long, and only while the registry agrees: accounts/api/authentication.py.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import NotSignedIn

from .models import UserSession

ALGORITHM = "HS256"
AUDIENCE = "healthivr-api"
PURPOSE = "access"
#: Media type of the token in its header (RFC 9068): no other JWT of ours is taken for one.
TYPE = "at+jwt"
CLAIMS = frozenset({"iss", "aud", "sub", "sid", "iat", "exp", "purpose"})


class TokenRefused(NotSignedIn):
    """What a program sent to say who asks does not say it (any more)."""

    code = "token_invalid"
    message = _("The token is not valid here. Sign in again to get one.")


class TokenExpired(TokenRefused):
    """An access token whose half hour is over."""

    code = "token_expired"
    message = _("The access token has expired. Get a new one with the refresh token.")


@dataclass(frozen=True)
class Claims:
    """Which session a token speaks of, and whose it says it is."""

    session_id: UUID
    user_id: UUID


def access_token_life() -> timedelta:
    """Return how long an access token lives."""
    return timedelta(minutes=settings.JWT_ACCESS_TOKEN_EXPIRE_MINUTES)


def make_access_token(session: UserSession, *, at: datetime) -> str:
    """Return an access token of a session. Ids only: whoever finds it learns no name, address or role."""
    issued = int(at.timestamp())
    claims = {
        "iss": settings.BASE_URL,
        "aud": AUDIENCE,
        "purpose": PURPOSE,
        "sub": str(session.user_id),
        "sid": str(session.pk),
        "iat": issued,
        "exp": issued + int(access_token_life().total_seconds()),
    }
    return jwt.encode(claims, settings.JWT_SECRET_KEY, algorithm=ALGORITHM, headers={"typ": TYPE})


def read_access_token(token: str, *, at: datetime) -> Claims:
    """Return what a token says. Raises TokenExpired, and TokenRefused for everything else that is not as we make it."""
    try:
        # Times are compared below, with the clock of the request.
        decoded = jwt.decode_complete(
            token,
            settings.JWT_SECRET_KEY,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=settings.BASE_URL,
            options={"require": [*CLAIMS], "strict_aud": True, "verify_exp": False, "verify_iat": False},
        )
    except (jwt.InvalidTokenError, ValueError):
        raise TokenRefused from None
    return _checked(decoded["header"], decoded["payload"], at=at)


def _checked(header: dict[str, Any], payload: dict[str, Any], *, at: datetime) -> Claims:
    now, issued, expires = at.timestamp(), payload["iat"], payload["exp"]
    are_times = all(isinstance(moment, int) and not isinstance(moment, bool) for moment in (issued, expires))
    if header.get("typ") != TYPE or payload["purpose"] != PURPOSE or not are_times or issued > now:
        raise TokenRefused
    # Of a token that a longer setting once made, no more holds than what is set now.
    if now >= min(expires, issued + access_token_life().total_seconds()):
        raise TokenExpired
    try:
        return Claims(UUID(payload["sid"]), UUID(payload["sub"]))
    except (ValueError, AttributeError, TypeError):
        raise TokenRefused from None
