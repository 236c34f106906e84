"""…/sign-baa/, …/baa/ and baa-reminders/: signing by API, and what is due."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.world import World
from invitations.tests import acts as invitation_acts
from invitations.tests.api.calls import problem
from organizations.agreements.clauses import Clause
from organizations.agreements.services import standard_for
from organizations.models import Organization
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

from .acts import ROOT, agreement, agreements, signature, without_agreement

SignIn = Callable[[User], Client]


def sign(client: Client, organization: Organization, body: dict[str, Any]) -> Any:
    return client.patch(
        f"{ROOT}{organization.pk}/sign-baa/",
        body,
        content_type="application/json",
        headers={"X-Organization": organization.slug},
    )


@pytest.mark.seed("S2.18", "S2.26")
def test_sign__administrator_of_the_practice__kept_with_signer_date_digest_version_and_expiry(
    world: World, sign_in: SignIn
) -> None:
    without_agreement(world.practice)
    client, before = sign_in(world.lee), timezone.now()
    shown = client.get(f"{ROOT}{world.practice.pk}/baa/").json()
    assert (shown["status"], shown["is_in_force"], shown["to_sign"]["clauses"]) == ("none", False, Clause.values)
    body = signature(world.practice, document_sha256=shown["to_sign"]["document_sha256"])
    answer = sign(client, world.practice, body)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["status"], answer.json()["is_in_force"], answer.json()["to_sign"]) == ("signed", True, None)
    (row,) = agreements(world.practice)
    assert before <= row.signed_at <= timezone.now()  # type: ignore[operator]
    assert (row.signer_id, row.signer_name, row.signer_title) == (world.lee.pk, "Jun Lee", "Owner")
    assert row.document.sha256 == sha256(bytes(row.document.content)).hexdigest() == body["document_sha256"]
    assert bytes(row.document.content) == standard_for(world.practice)
    assert row.effective == row.signed_at
    assert row.expires == row.signed_at.replace(year=row.signed_at.year + 1)  # type: ignore[union-attr]
    assert (row.version, row.breach_sla_days, row.clauses) == ("healthivr-2026-1", 10, Clause.values)
    (event,) = [e for e in invitation_acts.trail(world.practice) if e.action == "agreement.signed"]
    assert (event.actor_id, event.target_id) == (world.lee.pk, str(row.pk))
    assert event.detail["document_sha256"] == row.document.sha256


@pytest.mark.seed("S2.18", "S2.24")
def test_sign__who_does_not_administer_the_organization_itself__403_and_nothing_signed(
    world: World, sign_in: SignIn
) -> None:
    without_agreement(world.practice)
    body = signature(world.practice)
    problem(sign(sign_in(world.ana), world.practice, body), 403, "not_the_signer")
    problem(sign(sign_in(world.mia), world.practice, body), 403, "not_permitted")
    assert agreements(world.practice) == []
    assert sign(sign_in(world.lee), world.practice, body).status_code == 200


@pytest.mark.seed("S2.18")
def test_sign__administrator_of_the_platform_who_runs_the_practice_too__403_and_nothing_signed(
    world: World, sign_in: SignIn
) -> None:
    without_agreement(world.practice)
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.ana, role=Role.OFFICE_ADMIN, is_org_admin=True)
    body = signature(world.practice)
    problem(sign(sign_in(world.ana), world.practice, body), 403, "not_the_signer")
    page = f"/o/{world.practice.slug}/agreements/sign/"
    assert sign_in(world.ana).get(page).status_code == 403
    assert agreements(world.practice) == []
    assert sign_in(world.lee).get(page).status_code == 200
    assert sign(sign_in(world.lee), world.practice, body).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code", "fields"),
    [
        ({"clauses": Clause.values[:-1]}, 422, "clauses_missing", ["clauses"]),
        ({"clauses": [*Clause.values, "another"]}, 400, "malformed_field", ["clauses10"]),
        ({"document_sha256": "0" * 64}, 409, "agreement_changed", ["document_sha256"]),
        ({"document_sha256": "short"}, 400, "malformed_field", ["document_sha256"]),
        ({"signer_name": " x "}, 400, "malformed_field", ["signer_name"]),
        ({"signer_title": ""}, 400, "malformed_field", ["signer_title"]),
        ({"status": "signed"}, 400, "malformed_field", ["status"]),
        ({"expires": "2099-01-01T00:00:00Z"}, 400, "malformed_field", ["expires"]),
    ],
)
def test_sign__something_missing_or_too_much__refused_and_nothing_signed(
    world: World, sign_in: SignIn, change: dict[str, Any], status: int, code: str, fields: list[str]
) -> None:
    without_agreement(world.practice)
    client = sign_in(world.lee)
    answer = sign(client, world.practice, signature(world.practice, **change))
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert {name.rstrip("0123456789") for name in body["errors"]} == {name.rstrip("0123456789") for name in fields}
    assert agreements(world.practice) == []
    assert sign(client, world.practice, signature(world.practice)).status_code == 200
    problem(sign(client, world.practice, signature(world.practice)), 409, "agreement_in_force")


def test_sign__organization_without_patient_data__422(world: World, sign_in: SignIn) -> None:
    seller = world.member(Role.DISTRIBUTOR, OrganizationKind.DISTRIBUTOR, is_org_admin=True)
    body = signature(world.practice)
    problem(sign(sign_in(seller.user), seller.organization, body), 422, "agreement_not_needed")  # type: ignore[arg-type]


@pytest.mark.seed("S2.18")
def test_sign__sent_agreement__that_one_is_signed_and_the_one_in_force_replaced(world: World, sign_in: SignIn) -> None:
    (old,) = agreements(world.practice)
    sent = agreement(world.practice, sent=True, version="custom-7", term_months=6)
    body = signature(world.practice)
    client = sign_in(world.lee)
    problem(sign(client, world.practice, body), 409, "agreement_changed", "document_sha256")
    assert sign(client, world.practice, body | {"document_sha256": sent.document.sha256}).status_code == 200
    before, now = sorted(agreements(world.practice), key=lambda row: row.pk != old.pk)
    assert (before.status, before.pk, now.status, now.version) == ("expired", old.pk, "signed", "custom-7")
    assert before.ended_at == now.signed_at
    assert now.expires - now.signed_at < timedelta(days=190)  # type: ignore[operator]


@pytest.mark.seed("S2.19")
def test_reminders__platform__missing_is_critical_and_first_then_by_end(world: World, sign_in: SignIn) -> None:
    with platform("test"):
        ending = OrganizationFactory(name="Ending", agreement=False)
        near = OrganizationFactory(name="Near", agreement=False)
        OrganizationFactory(name="Seller", kind="distributor")
    now = timezone.now()
    agreement(ending, expires=now + timedelta(days=80))
    agreement(near, expires=now + timedelta(days=20, minutes=1))
    without_agreement(world.strange_practice)
    answer = sign_in(world.ana).get(f"{ROOT}baa-reminders/").json()
    assert [(row["name"], row["severity"], row["days_left"]) for row in answer["results"]] == [
        ("Stone Clinic", "critical", None),
        ("Near", "warning", 20),
        ("Ending", "notice", 79),
    ]
    first = sign_in(world.ana).get(f"{ROOT}baa-reminders/", {"limit": 25, "which": "all"}).json()
    assert {row["name"] for row in first["results"]} == {"Stone Clinic", "Near", "Ending", "Lee Family Practice"}


@pytest.mark.seed("S2.19", "S0.24")
def test_reminders__administrator_of_a_practice__its_own_alone(world: World, sign_in: SignIn) -> None:
    without_agreement(world.strange_practice)
    rows = sign_in(world.stone).get(f"{ROOT}baa-reminders/").json()["results"]
    assert [(row["slug"], row["severity"], row["status"]) for row in rows] == [("stone-clinic", "critical", "none")]
    assert sign_in(world.lee).get(f"{ROOT}baa-reminders/").json()["results"] == []
    inside = {"X-Organization": "stone-clinic"}
    rows = sign_in(world.ana).get(f"{ROOT}baa-reminders/", {"which": "all"}, headers=inside).json()["results"]
    assert [row["slug"] for row in rows] == ["stone-clinic"]
