"""What can go wrong in the domain, in the domain's words. No HTTP here: healthivr/api.py maps each to a status."""

from typing import Any

import psycopg
from django.db import OperationalError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


class DomainError(Exception):
    """A request that the domain refuses.

    `code` is stable and documented (docs/errors.md); `message` is for people; `field` names the form field it
    belongs to, if any; `extra` holds further facts for an API client, never personal data of somebody else.
    """

    code = "refused"
    message: Text = _("This is not possible.")
    #: After how many seconds trying again may help; 0 when time alone changes nothing.
    retry_after = 0

    def __init__(self, message: Text = "", *, code: str = "", field: str = "", **extra: Any) -> None:
        self.message = message or self.message
        self.code = code or self.code
        self.field = field
        self.extra = extra
        super().__init__(str(self.code))


class Malformed(DomainError):
    """A value that cannot be what its field asks for."""

    code = "malformed_field"
    message = _("This value is not valid.")


class NotSignedIn(DomainError):
    """The act needs a signed-in person."""

    code = "sign_in_required"
    message = _("Sign in to continue.")


class NotPermitted(DomainError):
    """The person is known and lacks the right."""

    code = "not_permitted"
    message = _("Your role does not allow this. Ask an administrator of your organization.")


class NotFound(DomainError):
    """It does not exist, or belongs to another organization: the two answer alike."""

    code = "not_found"
    message = _("We could not find this.")


class Conflict(DomainError):
    """The state of things does not allow it now."""

    code = "conflict"
    message = _("Somebody changed this in the meantime. Reload the page and try again.")


class LinkClosed(DomainError):
    """The link was issued once and opens nothing any more. `code` says why, with no names."""

    code = "link_replaced"
    message = _("This link no longer works.")


class Refused(DomainError):
    """Well formed, and refused by a rule."""

    code = "refused"


class TooManyRequests(DomainError):
    """A limit was reached. `retry_after` is in seconds."""

    code = "too_many_requests"
    message = _("Too many attempts. Wait a moment and try again.")

    def __init__(self, *, retry_after: int, limit: int = 0, window: int = 0) -> None:
        super().__init__()
        self.retry_after = retry_after
        self.limit = limit
        self.window = window


class Busy(DomainError):
    """Another request holds what this one must change, for longer than we let a person wait (`lock_timeout`)."""

    code = "busy"
    message = _("Somebody else is changing the same thing. Nothing was saved; try again in a moment.")
    retry_after = 5


def domain_error(error: Exception) -> DomainError | None:
    """Return the domain error that an exception is or stands for, None when it is a failure of ours."""
    if isinstance(error, OperationalError) and isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
        return Busy()
    return error if isinstance(error, DomainError) else None
