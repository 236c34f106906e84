"""/api/v1/practitioner/ and /api/v1/admin/practitioners/. (Rights of everybody: healthivr/tests/test_routes.py.)"""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import PractitionerCredential
from healthivr.testing.world import World
from invitations.tests.api.calls import problem

from . import acts

pytestmark = [pytest.mark.django_db, pytest.mark.seed("S3.51")]
OWN = "/api/v1/practitioner/"
QUEUE = "/api/v1/admin/practitioners/"


def call(user: Any, method: str, path: str, body: Any = None, **headers: str) -> Any:
    client = Client()
    client.force_login(user)
    data = "" if body is None else json.dumps(body, default=str)
    return client.generic(method, path, data, "application/json", headers=headers)


def test_own__put_then_get__what_was_submitted_and_where_it_stands(world: World) -> None:
    problem(call(world.lee, "GET", OWN), 404, "not_found")
    put = call(world.lee, "PUT", OWN, acts.license_facts())
    assert put.status_code == 200
    assert put.json() == call(world.lee, "GET", OWN.rstrip("/")).json()
    assert put.json()["status"] == "pending"
    assert put.json()["approved_until"] is None
    acts.decide(world, "approve", PractitionerCredential.objects.get())
    now = call(world.lee, "GET", OWN).json()
    assert now["status"] == "approved"
    assert now["approved_until"]


@pytest.mark.parametrize("extra", ["status", "standing", "approved_until", "user", "submission", "decided_by"])
def test_own__naming_what_is_not_the_doctors_to_say__400_and_nothing_stored(world: World, extra: str) -> None:
    body = {**acts.license_facts(), extra: "approved"}
    problem(call(world.lee, "PUT", OWN, body), 400, "malformed_field", extra)
    assert not PractitionerCredential.objects.exists()


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"npi": "1234567890"}, 400, "npi", "npi"),
        ({"license_state": "XX"}, 400, "malformed_field", "license_state"),
        ({"license_expires_on": "2020-01-01"}, 422, "license_expired", "license_expires_on"),
        ({"npi": acts.npi_number(2)}, 409, "npi_in_use", "npi"),
    ],
)
def test_own__refused__its_code_at_its_field(
    world: World, changes: dict[str, Any], status: int, code: str, field: str
) -> None:
    acts.submit(world.stone, npi=acts.npi_number(2))
    body = problem(call(world.lee, "PUT", OWN, acts.license_facts(**changes)), status, code, field)
    assert "Stone" not in json.dumps(body)


def test_queue__list_and_filters__what_fits(world: World) -> None:
    mine, other = acts.approved(world), acts.submit(world.stone, npi=acts.npi_number(2))
    everything = call(world.ana, "GET", QUEUE).json()
    assert [row["id"] for row in everything["results"]] == [str(other.pk), str(mine.pk)]
    assert [row["name"] for row in call(world.ana, "GET", f"{QUEUE}?status=approved").json()["results"]] == ["Jun Lee"]
    page = call(world.ana, "GET", f"{QUEUE}?limit=1").json()
    rest = call(world.ana, "GET", f"{QUEUE}?limit=1&cursor={page['older']}").json()
    assert [row["id"] for row in rest["results"]] == [str(mine.pk)]
    problem(call(world.ana, "GET", f"{QUEUE}?status=retired"), 400, "malformed_field", "status")
    problem(call(world.ana, "GET", f"{QUEUE}?cursor=x"), 400, "malformed_field", "cursor")


@pytest.mark.parametrize(("act", "end"), [("approve", "approved"), ("reject", "rejected"), ("suspend", "suspended")])
def test_decision__then_again__done_once_and_409(world: World, act: str, end: str) -> None:
    credential = acts.submit(world.lee)
    body = {"submission": 1, **({} if act == "approve" else {"reason": "No such number."})}
    answer = call(world.ana, "POST", f"{QUEUE}{credential.pk}/{act}/", body)
    assert (answer.status_code, answer.json()["status"], answer.json()["decided_by"]) == (200, end, "Ana Ruiz")
    again = problem(call(world.ana, "POST", f"{QUEUE}{credential.pk}/{act}/", body), 409, "illegal_decision")
    assert again["practitioner_status"] == end
    assert acts.actions(credential) == ["submitted", end]


def test_decision__without_saying_what_was_looked_at__400(world: World) -> None:
    credential = acts.submit(world.lee)
    problem(call(world.ana, "POST", f"{QUEUE}{credential.pk}/approve/", {}), 400, "malformed_field", "submission")
    problem(
        call(world.ana, "POST", f"{QUEUE}{credential.pk}/reject/", {"submission": 1}), 400, "malformed_field", "reason"
    )
    problem(call(world.ana, "POST", f"{QUEUE}{credential.pk}/approve/", {"submission": 2}), 409, "submitted_anew")


def test_queue__of_another_organization__404_for_a_platform_administrator_too(world: World) -> None:
    assert call(world.ana, "GET", QUEUE).status_code == 200
    problem(call(world.ana, "GET", QUEUE, **{"X-Organization": world.practice.slug}), 404, "not_found")
