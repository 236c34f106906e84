"""Who is signed in by `force_login` has proved all that anybody could ask for, this very moment. Tests of signing in take
the front door."""

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.utils import timezone

from accounts.middleware import SESSION_ID
from accounts.models import User, UserSession
from accounts.registry import ABSOLUTE_LIFE


def session_of(user: User, **facts: Any) -> UserSession:
    """Make a session that began this moment."""
    at = timezone.now()
    made = {
        "created_at": at,
        "last_seen_at": at,
        "verified_at": at,
        "second_factor_at": at,
        "expires_at": at + ABSOLUTE_LIFE,
    }
    return UserSession.objects.create(user=user, address="192.0.2.1", **{**made, **facts})


def _register(sender: Any, request: Any, user: User, **kwargs: Any) -> None:
    if getattr(request, "user_session", None) is None:
        request.session[SESSION_ID] = str(session_of(user).pk)


user_logged_in.connect(_register, dispatch_uid="healthivr.testing.sessions", weak=False)
