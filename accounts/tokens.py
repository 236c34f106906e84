"""Signing in by API: a family of tokens is a session of the registry, of which a refresh token is the next link.

A refresh token is 256 random bits, stored as a keyed digest and used once. Used again, it is in two hands, and nobody can
tell which is the owner's: the family ends (RFC 9700, 4.14.2). That holds for a client that lost the answer as well; it
signs in again. Only of requests that were on their way at the same moment one wins, and the others are told so (409) and
end nothing: neither could have known of the other.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict

from . import registry
from .access_tokens import TokenRefused, access_token_life, make_access_token
from .models import RefreshToken, SessionKind, User, UserSession

SECRET_BYTES = 32


class SessionEnded(TokenRefused):
    """The session behind a token is over: signed out, ended, 24 hours old, or its person was switched off."""

    code = "session_ended"
    message = _("This session has ended. Sign in again.")


class RefreshReused(TokenRefused):
    """A refresh token came a second time: its family has been ended."""

    code = "refresh_reused"
    message = _("This refresh token has been used before, so its session was ended. Sign in again.")


class RefreshConflict(Conflict):
    """Another request used the same refresh token at this very moment."""

    code = "refresh_conflict"
    message = _("Another request refreshed this session at the same moment. Go on with the tokens that it got.")


@dataclass(frozen=True)
class Tokens:
    """What a client keeps. Nothing of it can be read from the database."""

    access: str
    refresh: str
    expires_in: int
    session: UserSession


def secret_digest(purpose: str, secret: str) -> str:
    """Return what is stored of a secret: without our key, a stolen table cannot be searched for it."""
    return hmac.digest(settings.JWT_SECRET_KEY.encode(), f"{purpose}:{secret}".encode(), hashlib.sha256).hex()


def _digest(refresh: str) -> str:
    return secret_digest("refresh", refresh)


def start_token_session(
    *, user: User, second_factor_at: datetime | None, ip: str, user_agent: str, request_id: str, at: datetime
) -> Tokens:
    """Begin a family for somebody who has just proved who they are, with all that was asked."""
    with transaction.atomic():
        session = registry.start_session(
            user=user,
            kind=SessionKind.TOKEN,
            ip=ip,
            user_agent=user_agent,
            request_id=request_id,
            second_factor_at=second_factor_at,
            at=at,
        )
        return _next_tokens(session, at=at)


def refresh_tokens(*, refresh: str, ip: str, request_id: str, at: datetime) -> Tokens:
    """Exchange a refresh token for the next pair. Raises TokenRefused for what is none, SessionEnded, RefreshReused after
    ending the family, RefreshConflict for who came second of two at once."""
    found = RefreshToken.objects.select_related("session__user").filter(digest=_digest(refresh)).first()
    if found is None:
        raise TokenRefused
    session = found.session
    if session.ended_at or not session.user.is_active or at >= min(session.expires_at, found.expires_at):
        raise SessionEnded
    if found.used_at and at < found.used_at:
        raise RefreshConflict
    if found.used_at:
        registry.end_reused_family(session=session, ip=ip, request_id=request_id, at=at)
        raise RefreshReused
    used_at = timezone.now()  # not `at`, when we were asked: who was asked before this moment cannot know our answer
    with transaction.atomic():
        # Conditional, so that of two that read it unused one wins.
        if not RefreshToken.objects.filter(pk=found.pk, used_at=None).update(used_at=used_at):
            raise RefreshConflict
        tokens = _next_tokens(session, at=at)
    registry.see_session(session, at=at)
    return tokens


def revoke_tokens(*, refresh: str, ip: str, request_id: str, at: datetime) -> None:
    """End the family of a refresh token, also of a used one. What is none of ours is as good as revoked (RFC 7009)."""
    found = RefreshToken.objects.select_related("session__user").filter(digest=_digest(refresh)).first()
    if found:
        registry.sign_out(session=found.session, ip=ip, request_id=request_id, at=at)


def _next_tokens(session: UserSession, *, at: datetime) -> Tokens:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    RefreshToken.objects.create(session=session, digest=_digest(secret), created_at=at, expires_at=session.expires_at)
    return Tokens(make_access_token(session, at=at), secret, int(access_token_life().total_seconds()), session)
