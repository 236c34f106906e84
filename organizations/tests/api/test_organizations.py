"""/api/v1/admin/organizations/, as a client meets it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from invitations.tests.api.calls import problem
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import Role
from organizations.tenancy import platform

ROOT = "/api/v1/admin/organizations/"
SignIn = Callable[[User], Client]


def call(client: Client, method: str, path: str = "", body: Any = None, **headers: str) -> Any:
    data = "" if body is None else json.dumps(body)
    return client.generic(method, ROOT + path, data, "application/json", headers=headers)


def slugs(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["slug"] for row in response.json()["results"]]


@pytest.mark.seed("S2.17")
def test_list__filters_and_pages__one_query_whatever_the_number(
    committed_world: World, sign_in: SignIn, statements: Callable[[], AbstractContextManager[Statements]]
) -> None:
    with platform("test"):
        for number in range(30):
            OrganizationFactory(kind="lab", name=f"Lab {number:02}", slug=f"lab-{number:02}")
        OrganizationFactory(kind="lab", name="Lab 07", slug="another", state="inactive")
    client = sign_in(committed_world.ana)
    seen, cursor = [], ""
    while True:
        with statements() as asked:
            response = call(client, "GET", f"?kind=lab&limit=10&cursor={cursor}")
        (query,) = [sql for sql in asked.domain if "organizations_organization" in sql]
        assert "COUNT(*) AS" not in query
        seen += slugs(response)
        cursor = response.json()["older"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 31
    assert sorted(seen[7:9]) == ["another", "lab-07"]
    assert slugs(call(client, "GET", "?state=inactive")) == ["another"]
    assert slugs(call(client, "GET", "?text=lab%2007&state=active")) == ["lab-07"]
    assert slugs(call(client, "GET", "?text=stone-cl")) == ["stone-clinic"]
    back = call(client, "GET", f"?kind=lab&limit=10&cursor={response.json()['newer']}")
    assert slugs(back) == seen[20:30]
    problem(call(client, "GET", "?cursor=@@"), 400, "malformed_field", "cursor")
    problem(call(client, "GET", "?kind=planet"), 400, "malformed_field", "kind")


@pytest.mark.seed("S2.17")
def test_detail__of_the_own_organization__golden(world: World, sign_in: SignIn) -> None:
    body = call(sign_in(world.lee), "GET", f"{world.practice.pk}/").json()
    assert body == {
        "id": str(world.practice.pk),
        "name": "Lee Family Practice",
        "slug": "lee-family-practice",
        "kind": "practice",
        "state": "active",
        "parent": str(world.platform.pk),
        "created_at": body["created_at"],
        "members": 3,
        "below": 0,
        "plan": {"plan": "standard", "seat_limit": 25, "seats_used": 4},
        "policies": {
            "staff_may_invite": False,
            "idle_minutes": 15,
            "invitation_hours": None,
            "requires_second_factor": False,
            "email_domains": [],
        },
        "administrators": [
            {
                "user_id": str(world.lee.pk),
                "name": "Jun Lee",
                "email": "lee@example.org",
                "role": "doctor",
                "is_org_admin": True,
            }
        ],
    }


def test_life__of_an_organization__created_updated_switched_off_and_on(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.ana)
    made = call(client, "POST", body={"name": "Hill Street", "kind": "practice", "seat_limit": 5})
    assert made.status_code == 201
    pk = made.json()["id"]
    assert made.json()["slug"].startswith("hill-street-")
    assert made.json()["plan"] == {"plan": "standard", "seat_limit": 5, "seats_used": 0}
    changed = call(client, "PATCH", f"{pk}/", {"email_domains": ["Hill.Example"], "slug": "hill-street"})
    assert (changed.json()["policies"]["email_domains"], changed.json()["slug"]) == (["hill.example"], "hill-street")
    assert call(client, "PATCH", f"{pk}/deactivate/", {"reason": "Sold."}).json()["state"] == "inactive"
    assert call(client, "PATCH", f"{pk}/activate/", {}).json()["state"] == "active"
    assert call(client, "PATCH", f"{pk}/plan/", {"seat_limit": 9}).json()["seat_limit"] == 9
    answer = call(client, "DELETE", f"{pk}/")
    problem(answer, 405, "method_not_allowed")
    assert Organization.objects.filter(pk=pk).exists()


@pytest.mark.seed("S2.17")
def test_deactivated__its_people__out_with_their_next_request_and_back(world: World, sign_in: SignIn) -> None:
    lee, ana = sign_in(world.lee), sign_in(world.ana)
    page, api = "/o/lee-family-practice/people/", f"{ROOT}{world.practice.pk}/"
    assert (lee.get(page).status_code, lee.get(api).status_code) == (200, 200)
    headers = {"X-Organization": "platform"}
    assert call(ana, "PATCH", f"{world.practice.pk}/deactivate/", {"reason": "Unpaid."}, **headers).status_code == 200
    assert lee.get(page).status_code == 403
    answer = lee.get(api, headers={"X-Organization": "lee-family-practice"})
    problem(answer, 403, "organization_inactive")
    part = lee.get(page, headers={"HX-Request": "true"})  # an open page that refreshes itself
    assert part.status_code == 403
    assert "mia@example.org" not in part.text
    assert call(ana, "PATCH", f"{world.practice.pk}/activate/", {}, **headers).status_code == 200
    assert (lee.get(page).status_code, lee.get(api).status_code) == (200, 200)


def test_errors__at_their_field(world: World, sign_in: SignIn) -> None:
    ana, lee = sign_in(world.ana), sign_in(world.lee)
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(seats_used=4)
    path = f"{world.practice.pk}/"
    problem(call(ana, "PATCH", f"{path}plan/", {"seat_limit": 3}), 409, "seats_in_use", "seat_limit")
    problem(call(ana, "PATCH", path, {"slug": "stone-clinic"}), 409, "slug_taken", "slug")
    problem(call(ana, "PATCH", path, {"slug": "No Slug"}), 400, "slug", "slug")
    problem(call(lee, "PATCH", path, {"email_domains": ["no domain"]}), 400, "email_domains", "email_domains")
    problem(call(lee, "PATCH", path, {"idle_minutes": 31}), 400, "malformed_field", "idle_minutes")
    problem(call(ana, "PATCH", f"{path}deactivate/", {"reason": " "}), 400, "malformed_field", "reason")
    problem(call(ana, "PATCH", f"{world.platform.pk}/deactivate/", {"reason": "No."}), 422, "platform_stays")
    body = {"name": "New", "kind": "practice", "parent": str(world.practice.pk)}
    problem(call(ana, "POST", body=body), 422, "parent_not_possible", "parent")
    body = {"user_id": str(world.stone.pk)}
    problem(call(lee, "PATCH", f"{path}assign-admin/", body), 422, "not_a_member", "user_id")
    body = {"user_id": str(world.lee.pk), "is_org_admin": False}
    problem(call(lee, "PATCH", f"{path}assign-admin/", body), 409, "last_administrator")
    problem(call(lee, "PUT", path, {"name": "Only this"}), 400, "malformed_field", *(set(POLICIES) - {"name"}))


POLICIES = {
    "name": "Renamed",
    "staff_may_invite": True,
    "idle_minutes": 10,
    "invitation_hours": 24,
    "requires_second_factor": True,
    "email_domains": ["example.org"],
}
FORGED: dict[str, Any] = {
    "id": "00000000-0000-7000-8000-000000000001",
    "kind": "platform",
    "state": "inactive",
    "parent": None,
    "plan": "unlimited",
    "seat_limit": 9000,
    "seats_used": 0,
    "organization": "stone-clinic",
    "role": "admin",
    "is_org_admin": True,
    "members": 0,
    "created_at": "2000-01-01T00:00:00Z",
}


@pytest.mark.seed("S0.24", "S2.24")
@pytest.mark.parametrize("field", FORGED)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", POLICIES),
        ("PATCH", "", {"name": "Renamed"}),
        ("PATCH", "assign-admin/", {"user_id": "omar"}),
        ("POST", None, {"name": "New", "kind": "practice"}),
    ],
)
def test_write__with_a_field_that_it_does_not_have__refused_and_nothing_changes(
    world: World, sign_in: SignIn, method: str, path: str | None, body: dict[str, Any], field: str
) -> None:
    if field in body or (path is None and field in ("kind", "parent", "plan", "seat_limit")):
        field = "seats_used"
    if path == "assign-admin/" and field == "is_org_admin":
        field = "role"
    sent = {**body, **({"user_id": str(world.omar.pk)} if "user_id" in body else {})}
    client = sign_in(world.ana if path is None else world.lee)
    address = "" if path is None else f"{world.practice.pk}/{path}"
    before = rows()
    problem(call(client, method, address, {**sent, field: FORGED[field]}), 400, "malformed_field", field)
    assert rows() == before
    assert call(client, method, address, sent).status_code < 300
    assert rows() != before


def rows() -> Any:
    with platform("test"):
        models = (Organization, OrganizationSettings, Membership)
        return [list(model.objects.order_by("pk").values()) for model in models]  # type: ignore[attr-defined]


def test_list__of_who_runs_a_program__theirs_and_below_and_404_beyond(world: World, sign_in: SignIn) -> None:
    with platform("test"):
        program = OrganizationFactory(kind="chp", name="Program", slug="program")
        boss = MembershipFactory(organization=program, role=Role.CHP_ADMIN, is_org_admin=True).user
        below = OrganizationFactory(kind="master_distributor", name="Master", slug="master", parent=program)
        hidden = MembershipFactory(organization=below, role=Role.MASTER_DISTRIBUTOR, is_org_admin=True).user
    client = sign_in(boss)
    assert slugs(call(client, "GET")) == ["master", "program"]
    answer = call(client, "GET", f"{below.pk}/")
    assert (answer.json()["members"], answer.json()["plan"], answer.json()["administrators"]) == (1, None, None)
    assert hidden.email not in answer.text
    problem(call(client, "PATCH", f"{below.pk}/", {"name": "Mine"}), 403, "not_permitted")
    for pk in (world.practice.pk, world.platform.pk):
        problem(call(client, "GET", f"{pk}/"), 404, "not_found")
        problem(call(client, "PATCH", f"{pk}/", {"name": "Mine"}), 404, "not_found")
    stats = call(client, "GET", "stats/").json()
    assert (stats["total"], stats["people"], stats["seats_used"]) == (2, 2, None)


def test_header__several_organizations__one_must_be_named(world: World, sign_in: SignIn) -> None:
    with platform("test"):
        MembershipFactory(
            organization=world.strange_practice, user=world.lee, role=Role.DOCTOR, started_at=timezone.now()
        )
    client = sign_in(world.lee)
    problem(call(client, "GET"), 400, "organization_required", "X-Organization")
    problem(call(client, "GET", **{"X-Organization": "platform"}), 404, "not_found")
    assert slugs(call(client, "GET", **{"X-Organization": "lee-family-practice"})) == ["lee-family-practice"]
