"""Every route inside an organization × every role: who may open it at all, as docs/roles.md publishes. What a role may do
to which row is each service's own, and test_routes.py asks everybody about real rows."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from healthivr.roles_document import ANYBODY, PLATFORM_ADMINISTRATORS, SIGNED_IN, views_outside
from healthivr.testing.world import World
from organizations.api import OrganizationAPIMixin
from organizations.models import OrganizationSettings
from organizations.rights import Right, right_of
from organizations.roles import (
    LICENSED_ROLES,
    NEVER_ADMINISTRATORS,
    Capability,
    OrganizationKind,
    Role,
    can_work_in,
    capabilities,
)
from organizations.tenancy import platform

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def views(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each pattern inside an organization with its view: the function, or the class of an API's view."""
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from views(entry, pattern)
        elif isinstance(entry, URLPattern):
            cls = getattr(entry.callback, "cls", None)
            if "<slug:organization>" in pattern:
                yield pattern, entry.callback
            elif isinstance(cls, type) and issubclass(cls, OrganizationAPIMixin):
                yield pattern, cls


INSIDE = dict(views())


def answers(view: Any, method: str) -> bool:
    """Whether a view knows a method at all."""
    if isinstance(view, type):
        return hasattr(view, method.lower())
    return right_of(view, method) is not None


@pytest.mark.parametrize("pattern", INSIDE)
def test_view__inside_an_organization__declares_what_it_needs(pattern: str) -> None:
    view = INSIDE[pattern]
    asked = [method for method in METHODS if answers(view, method)]
    assert asked, f"{pattern} declares nothing: organizations/rights.py"
    assert all(right_of(view, method) is not None for method in asked), pattern


PEOPLE = [
    (role, is_org_admin)
    for role in Role
    for is_org_admin in (False, True)
    if not (is_org_admin and role in NEVER_ADMINISTRATORS) and not (role == Role.ADMIN and not is_org_admin)
]


def is_allowed(right: Right, role: Role, *, is_org_admin: bool) -> bool:
    """Say it from the published table, by hand: not by the code that the middleware runs."""
    if not isinstance(right, Capability):
        return True
    return right in capabilities(roles=frozenset({role}), is_org_admin=is_org_admin)


@pytest.mark.seed("S2.24", "S0.18", "C7")
@pytest.mark.parametrize(("role", "is_org_admin"), PEOPLE)
def test_route__asked_by_every_role__403_exactly_for_who_lacks_the_right(
    role: Role, is_org_admin: bool, world: World, settings: Any
) -> None:
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "100000/m")
    kind = next(kind for kind in OrganizationKind if can_work_in(role, kind))
    if kind == OrganizationKind.PLATFORM and role != Role.ADMIN and is_org_admin:
        kind = next((kind for kind in OrganizationKind if can_work_in(role, kind) and kind != "platform"), kind)
        if kind == OrganizationKind.PLATFORM:
            return  # only Admins run the platform: the database holds it
    actor = world.member(role, kind, is_org_admin=is_org_admin)
    with platform("test"):  # what an organization may switch off is not what the table speaks of
        OrganizationSettings.objects.filter(organization=actor.organization).update(staff_may_invite=True)
    client = Client(headers={"X-Organization": actor.organization.slug})
    client.force_login(actor.user)
    wrong = []
    for pattern, view in INSIDE.items():
        path = re.sub(r"<slug:organization>", actor.organization.slug, pattern)
        path = "/" + re.sub(r"<uuid:\w+>", str(uuid4()), path)
        assert "<" not in path, pattern
        for method in METHODS:
            if not answers(view, method):
                continue
            send = getattr(client, method.lower())
            response = send(path, {}, content_type="application/json") if path.startswith("/api/") else send(path)
            if response.status_code == 405:  # a page declared once for all methods, asked by one that it has not
                continue
            right = right_of(view, method)
            refused = response.status_code == 403
            code = response.json().get("code") if path.startswith("/api/") and refused else ""
            if refused != (not is_allowed(right, role, is_org_admin=is_org_admin)) and code != "role_not_allowed":
                wrong.append((method, path, response.status_code, right))
    assert wrong == []


OUTSIDE = [(pattern, view, who) for pattern, view, who in views_outside()]
#: What ends the session that asks.
LEAVES = ("sign-out/", "admin/logout/")


@pytest.mark.seed("S2.24", "S0.18", "C7")
@pytest.mark.parametrize(("role", "is_org_admin"), [(None, False), *PEOPLE])
def test_route__outside__asked_by_nobody_and_every_role__opens_as_published(
    role: Role | None, is_org_admin: bool, world: World, settings: Any
) -> None:
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "100000/m")
    client, is_in, is_staff = Client(), role is not None, role == Role.ADMIN
    if role:
        kind = next(kind for kind in OrganizationKind if can_work_in(role, kind))
        if kind == OrganizationKind.PLATFORM and is_org_admin and role != Role.ADMIN:
            kind = OrganizationKind.PRACTICE
        if not can_work_in(role, kind):
            return
        client.force_login(world.member(role, kind, is_org_admin=is_org_admin).user)
    wrong, asked = [], set()
    for pattern, _view, who in OUTSIDE:
        if pattern in LEAVES:
            continue
        path = "/" + re.sub(r"<(?:(\w+):)?\w+>", lambda found: str(uuid4()) if found[1] == "uuid" else "x", pattern)
        response = client.get(path)
        leads = response.get("Location", "")
        is_shut = response.status_code == 401 or leads.startswith(("/sign-in/?next=", "/admin/login/"))
        opens = {ANYBODY: True, SIGNED_IN: is_in, PLATFORM_ADMINISTRATORS: is_staff}[who]
        # There, who is let in may still find no such row, or none that can be changed; the index they find.
        refused = who == PLATFORM_ADMINISTRATORS and not is_staff and response.status_code in (403, 404)
        if pattern == "admin/":
            assert (response.status_code == 200) is is_staff
        if (is_shut or refused) == opens and response.status_code != 405:
            wrong.append((path, who, response.status_code, leads))
        asked.add(who)
        if pattern == "profile/license/" and is_in:
            assert (response.status_code == 403) is (role not in LICENSED_ROLES)
    assert wrong == []
    assert asked == {ANYBODY, SIGNED_IN, PLATFORM_ADMINISTRATORS}
