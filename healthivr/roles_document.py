"""docs/roles.md: who may do what, written from the tables that the code asks (organizations/roles.py) and from what each
view declares (organizations/rights.py). Written in English, whatever language the process has."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import translation
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from organizations.api import OrganizationAPIMixin
from organizations.rights import Right, right_of
from organizations.roles import (
    GRANTABLE_BY,
    GRANTABLE_BY_ADMINISTRATORS,
    INVITABLE_BY,
    INVITATION_TYPES,
    LICENSED_ROLES,
    PATIENT_DATA_ROLES,
    SECOND_FACTOR_ROLES,
    Capability,
    OrganizationKind,
    Role,
    can_be_sent_from,
    can_work_in,
    capabilities,
    founds_organization,
    may_invite,
    may_stand_below,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
YES, NO = "yes", "–"
ANYBODY, SIGNED_IN, PLATFORM_ADMINISTRATORS = "anybody", "whoever is signed in", "platform administrators"
WHERE = "docs/roles.md"

INTRODUCTION = """# Roles

Written by `manage.py roles --write` from `organizations/roles.py` and from what each view declares; a test fails when it
is not current. Do not edit it by hand. What a role may do to which row (one's own invitation, a colleague's) is the
service's and stands in its docstring.

A right is held in one organization, by the role in it. The administrator of an organization (a flag of a membership) has
the rights of the last column beside those of the role. A platform administrator acts as administrator in each of them.
"""


def written() -> str:
    """Return the whole document."""
    with translation.override("en"):
        parts = [INTRODUCTION, _roles(), _rights(), _invitations(), _grants(), _places(), _routes(), _routes_outside()]
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _roles() -> str:
    rows = [
        (
            f"`{role.value}`",
            str(role.label),
            ", ".join(str(kind.label) for kind in OrganizationKind if can_work_in(role, kind))
            if not all(can_work_in(role, kind) for kind in OrganizationKind)
            else "everywhere",
            "always" if role in SECOND_FACTOR_ROLES else "by policy",
            YES if role in PATIENT_DATA_ROLES else NO,
        )
        for role in Role
    ]
    head = ("Role", "Name", "Works in", "Second factor", "Needs an agreement: sees patient data")
    return (
        f"## The roles\n\n{_table(head, rows)}"
        "\nWho runs an organization signs in with a second factor too, whatever their role is.\n"
    )


def _rights() -> str:
    administrator = capabilities(roles=frozenset(), is_org_admin=True)
    rows = []
    for capability in Capability:
        holders = [role for role in Role if capability in capabilities(roles=frozenset({role}), is_org_admin=False)]
        rows.append(
            (
                f"`{capability.value}`",
                ", ".join(f"`{role.value}`" for role in holders) or "nobody by role",
                YES if capability in administrator else NO,
            )
        )
    return f"## Rights\n\n{_table(('Right', 'Roles', 'Administrator of the organization'), rows)}"


def _invitations() -> str:
    rows = []
    for role in Role:
        if role not in INVITABLE_BY:
            continue
        types = [kind for kind in INVITATION_TYPES if kind in INVITABLE_BY[role]]
        condition = NO
        if not any(may_invite(role, kind) for kind in types):
            if any(may_invite(role, kind, is_org_admin=True) for kind in types):
                condition = "as administrator of the organization"
            elif any(may_invite(role, kind, staff_may_invite=True) for kind in types):
                condition = "where the organization allows it (`staff_may_invite`)"
        rows.append((f"`{role.value}`", ", ".join(f"`{kind.value}`" for kind in types), condition))
    nobody = ", ".join(f"`{role.value}`" for role in Role if role not in INVITATION_TYPES)
    return (
        f"## Who invites whom\n\n{_table(('Role', 'May invite', 'Only'), rows)}\n"
        f"Nobody else invites. Not by invitation (C23): {nobody}. Where an invitation may be sent from, and what becomes"
        f" of who accepts it:\n\n{_sending()}"
    )


def _sending() -> str:
    rows = []
    for kind in INVITATION_TYPES:
        senders = [sender for sender in OrganizationKind if can_be_sent_from(kind, sender)]
        joins = [str(sender.label) for sender in senders if not founds_organization(kind, sender)]
        founds = [str(sender.label) for sender in senders if founds_organization(kind, sender)]
        rows.append((f"`{kind.value}`", ", ".join(joins) or NO, ", ".join(founds) or NO))
    return _table(("Invited as", "Joins, sent from", "Founds one below, sent from"), rows)


def _grants() -> str:
    rows = [
        (f"`{role.value}`", ", ".join(f"`{given.value}`" for given in Role if given in GRANTABLE_BY[role]))
        for role in Role
        if role in GRANTABLE_BY
    ]
    everybody = ", ".join(f"`{role.value}`" for role in Role if role in GRANTABLE_BY_ADMINISTRATORS)
    return (
        "## Who gives which role to a member\n\nOnly who runs the organization's people (`people.manage`), never to"
        " themselves, with a proof of who they are that is fresh, and only a role that works in an organization of that"
        f" kind. Taking a role away by changing it needs the same right. Every administrator of an organization gives:"
        f" {everybody}. Beside that:\n\n{_table(('Administrator with the role', 'Gives'), rows)}"
    )


def _places() -> str:
    rows = [
        (str(kind.label), ", ".join(str(p.label) for p in OrganizationKind if may_stand_below(kind, p)) or NO)
        for kind in OrganizationKind
    ]
    return (
        "## Which organization stands below which\n\nPlatform administrators create organizations of every kind; all"
        f" others come into being when somebody accepts.\n\n{_table(('Kind', 'Below'), rows)}"
    )


# --- routes ----------------------------------------------------------------------------------------------------------
def views_inside(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each pattern inside an organization with its view: the function, or the class of an API's view."""
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from views_inside(entry, pattern)
        elif isinstance(entry, URLPattern):
            view = getattr(entry.callback, "cls", None)
            if isinstance(view, type) and issubclass(view, OrganizationAPIMixin):
                yield pattern, view
            elif "<slug:organization>" in pattern:
                yield pattern, entry.callback


def _path(pattern: str) -> str:
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern)


def _routes() -> str:
    rows = []
    for pattern, view in views_inside():
        path = _path(pattern)
        for methods, right in _rights_of(view):
            rows.append(
                (f"`{path}`", ", ".join(methods), f"`{right.value}`" if isinstance(right, Capability) else "any role")
            )
    return f"## Routes inside an organization\n\n{_table(('Route', 'Method', 'Right'), rows)}"


def views_outside(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield each pattern outside of any organization with its view and who gets in, as the view is marked for what asks:
    Django's middleware of signed-in people, REST framework, and Django admin. The development server's pages apart."""
    inside = {pattern for pattern, _view in views_inside()} if not prefix and resolver is None else set()
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found = views_outside(entry, pattern)
        else:
            found = iter([(pattern, entry.callback, _who(entry.callback))])
        yield from (row for row in found if row[0] not in inside and not row[0].startswith("dev/"))


def _who(callback: Any) -> str:
    if hasattr(callback, "admin_site") or hasattr(callback, "model_admin"):
        return PLATFORM_ADMINISTRATORS
    view = getattr(callback, "cls", None)
    if isinstance(view, type) and issubclass(view, APIView):
        is_open = all(permission is AllowAny for permission in view.permission_classes)
    else:
        is_open = not getattr(callback, "login_required", True)
    return ANYBODY if is_open else SIGNED_IN


def _routes_outside() -> str:
    rows: dict[tuple[str, str], None] = {}
    for pattern, _view, who in views_outside():
        shown = _path(pattern) if who != PLATFORM_ADMINISTRATORS else "/admin/…"
        rows[f"`{shown}`", who] = None
    return (
        "## Routes outside an organization\n\nThey are about nobody but who asks, or about what a link names: the link is"
        f" the right of who holds it.\n\n{_table(('Route', 'Who'), rows)}\n{_licensed()}"
    )


def _licensed() -> str:
    """What no mark says, for it hangs on more than the role: accounts/practitioners/services.py asks."""
    roles = ", ".join(f"`{role.value}`" for role in Role if role in LICENSED_ROLES)
    return (
        f"A license is submitted by whoever is {roles} in any organization (`not_a_practitioner` for everybody else); who"
        " was one goes on seeing their own.\n"
    )


def _rights_of(view: Any) -> list[tuple[list[str], Right]]:
    """What a view needs, methods that need the same together. A page declared once needs it however it is asked."""
    if not isinstance(view, type) and "" in view.rights:
        return [(["any"], view.rights[""])]
    known = [m for m in METHODS if not isinstance(view, type) or hasattr(view, m.lower())]
    found: list[tuple[list[str], Right]] = []
    for method in known:
        right = right_of(view, method)
        if right is None:
            continue
        if found and found[-1][1] == right:
            found[-1][0].append(method)
        else:
            found.append(([method], right))
    return found
