"""Acts that show a secret once: sending the same form again (F5) must not do them again.

Each form holds a random name of its own, and the session remembers those that were used. What was shown is kept
nowhere, so a repeated form shows nothing; it says what to do instead.
"""

import secrets

from django.core.cache import cache
from django.http import HttpRequest

from organizations.views import PersonalRequest

FIELD = "once"
DONE = "done_once"
#: How many used names a session remembers: more than pages that anybody goes back to.
MOST = 20


def new_name() -> str:
    """Return a name for one showing of a form."""
    return secrets.token_urlsafe(12)


def was_done(request: HttpRequest) -> bool:
    """Say whether this very form was sent before, and did what it does."""
    return request.POST.get(FIELD) in request.session.get(DONE, [])


def is_first(request: PersonalRequest) -> bool:
    """Say whether no equal request is being answered at this very moment: the session of each was read before the other
    wrote it. What is sent again by itself after a fresh proof is no equal one, nor is a form that is shown with its
    mistakes, which has another name."""
    name, session = request.POST.get(FIELD, "")[:40], request.user_session
    return not name or cache.add(f"once:{session.pk}:{session.verified_at.timestamp()}:{name}", True, timeout=60)


def note_done(request: HttpRequest) -> None:
    """Remember that a form did what it does."""
    if name := request.POST.get(FIELD, "")[:40]:
        request.session[DONE] = [*request.session.get(DONE, []), name][-MOST:]
