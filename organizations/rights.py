"""What each view inside an organization asks of whoever opens it: declared on the view, checked before it runs, and
published in docs/roles.md from the same declarations. Closed by default: a view that declares nothing opens to nobody.

This is the door of a view. What the service behind it asks, of the very invitation or person, stays in the service.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from .actor import Actor
from .roles import Capability

View = TypeVar("View", bound=Callable[..., Any])


class Anybody:
    """Whoever acts in the organization, whatever their role."""

    def __repr__(self) -> str:
        return "anybody"


#: Open to every member, and to platform administrators, who act everywhere.
MEMBERS = Anybody()
Right = Capability | Anybody | None


def needs(right: Right = None, **by_method: Right) -> Callable[[View], View]:
    """Declare what a view needs: `@needs(Capability.VIEW_PEOPLE)`, or by method where they differ:
    `@needs(GET=MEMBERS, POST=Capability.MANAGE_ORGANIZATION)`. On an API's view, the attribute `rights` says the same."""
    declared = by_method or {"": right}

    def declare(view: View) -> View:
        view.rights = declared  # type: ignore[attr-defined]
        return view

    return declare


def right_of(view: Any, method: str) -> Right:
    """Return what a view needs for a method; None where nothing is declared. HEAD is a GET."""
    declared: dict[str, Right] = getattr(view, "rights", None) or {}
    return declared.get("GET" if method == "HEAD" else method, declared.get(""))


def require_right(actor: Actor, view: Any, method: str) -> None:
    """Raise NotPermitted unless the actor has what the view declares, and ImproperlyConfigured where it declares
    nothing. OPTIONS, and methods that the view refuses anyway, tell nothing and need nothing."""
    if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        return
    right = right_of(view, method)
    if right is None:
        if getattr(view, "rights", None):  # it declares others: this method is refused as 405
            return
        raise ImproperlyConfigured(f"{view} does not say what it needs: organizations/rights.py")
    if isinstance(right, Capability):
        actor.require(right)
