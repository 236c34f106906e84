"""Whom an actor may do things to at all, whatever their right is: an administrator of the platform is touched by their
like alone (docs/adr/0017-running-people.md)."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import NotPermitted

from .actor import Actor
from .selectors import is_platform_administrator

if TYPE_CHECKING:  # a name for the type checker; at run time nothing here knows accounts
    from accounts.models import User


class Outranked(NotPermitted):
    """The account belongs to an administrator of the platform, whom only their like administer; or, in an access review,
    to somebody who runs the organization of who does not."""

    code = "outranked"
    message = _("This account belongs to an administrator of the platform. Only another one can do this.")


def outranks(user: "User", actor: Actor) -> bool:
    """Say whether somebody stands above the actor: a platform administrator does, but above their like, in person."""
    is_their_like = actor.system or (actor.is_platform_staff and actor.scopes is None)
    return not is_their_like and is_platform_administrator(user)


def require_may_administer(actor: Actor, user: "User") -> None:
    """Raise Outranked for the account of a platform administrator, unless the actor is one, in person: the administrator
    of an organization that they joined does not lock them out of the platform (Grafana CVE-2026-22640), and a key is
    nobody's rank (docs/adr/0015-api-tokens.md)."""
    if outranks(user, actor):
        raise Outranked
