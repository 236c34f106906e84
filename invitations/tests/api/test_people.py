"""/api/v1/admin/users/: people, by whom they may be seen and changed."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import models
from django.test import Client
from django.utils import timezone

from accounts.lockout import is_locked, reserve_guess
from accounts.models import User, UserSession
from audit.models import AuditEvent
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.tests import acts
from organizations.models import Membership, Organization
from organizations.roles import Role
from organizations.tenancy import platform

from .calls import JSON, problem

ROOT = "/api/v1/admin/users/"


def call(user: User, method: str, path: str = "", body: Any = None, *, at: Organization | None = None) -> Any:
    client = Client()
    client.force_login(user)
    headers = {"X-Organization": at.slug} if at else {}
    send = getattr(client, method.lower())
    if method == "GET":
        return send(f"{ROOT}{path}", headers=headers)
    return send(f"{ROOT}{path}", {} if body is None else body, content_type=JSON, headers=headers)


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["first_name"] for row in response.json()["results"]]


@pytest.mark.seed("S2.11")
def test_list__of_an_organization_and_of_all__who_fits_with_their_memberships(world: World) -> None:
    answer = call(world.lee, "GET")
    assert names(answer) == ["Omar", "Jun", "Mia"]
    row = answer.json()["results"][1]
    assert set(row) == {
        *("id", "email", "first_name", "last_name", "is_active", "must_change_password", "is_locked"),
        *("has_second_factor", "last_login", "created_at", "memberships"),
    }
    assert [m["role"] for m in row["memberships"]] == ["doctor"]
    assert "password" not in {name for name in row if name != "must_change_password"}
    assert world.lee.password not in answer.content.decode()
    assert names(call(world.lee, "GET", "?text=mia")) == ["Mia"]
    assert names(call(world.lee, "GET", "?role=office_admin&status=active")) == ["Omar"]
    assert names(call(world.ana, "GET", "?organization=stone-clinic", at=world.platform)) == ["Ida"]
    for query in ("?role=king", "?status=gone", "?limit=101", "?ordering=password"):
        problem(call(world.lee, "GET", query), 400, "malformed_field", query[1:].partition("=")[0])


@pytest.mark.seed("S2.11")
def test_list__page_by_page__without_a_total(world: World) -> None:
    first = call(world.lee, "GET", "?limit=2").json()
    assert [row["first_name"] for row in first["results"]] == ["Omar", "Jun"]
    assert names(call(world.lee, "GET", f"?limit=2&cursor={first['older']}")) == ["Mia"]
    problem(call(world.lee, "GET", "?cursor=x"), 400, "malformed_field", "cursor")


def test_former_member__account__is_null_for_who_they_left(world: World) -> None:
    assert call(world.lee, "GET", f"{world.mia.pk}/").json()["email"] == "mia@example.org"
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(status="ended", ended_at=timezone.now())
    User.objects.filter(pk=world.mia.pk).update(email="mia@new-employer.example", last_login=timezone.now())
    of_the_account = ("email", "is_active", "must_change_password", "is_locked", "has_second_factor", "last_login")
    listed = call(world.lee, "GET", "?status=former").json()["results"][0]
    for shown in (call(world.lee, "GET", f"{world.mia.pk}/").json(), listed):
        assert (shown["first_name"], shown["memberships"][0]["status"]) == ("Mia", "ended")
        assert {name: shown[name] for name in of_the_account} == dict.fromkeys(of_the_account)
    assert names(call(world.lee, "GET", "?status=former&text=mia@new")) == []
    seen = call(world.ana, "GET", f"{world.mia.pk}/", at=world.platform).json()
    assert (seen["email"], seen["is_active"]) == ("mia@new-employer.example", True)
    assert seen["last_login"]


@pytest.mark.seed("S2.12", "S1.21")
def test_invite__with_fields_of_nobody_s_business__refused_and_without__invited(world: World) -> None:
    body = {"invitation_type": "medical_staff", "email": "nora@example.org"}
    flags = {"is_org_admin": True, "is_active": True, "role": "admin", "organization": str(world.platform.pk)}
    for name, value in flags.items():
        problem(call(world.lee, "POST", "", {**body, name: value}), 400, "malformed_field", name)
    answer = call(world.lee, "POST", "", body)
    assert (answer.status_code, answer.json()["email"]) == (201, "nora@example.org")
    problem(
        call(world.lee, "POST", "", {**body, "invitation_type": "admin"}), 403, "role_not_allowed", "invitation_type"
    )


def columns() -> list[str]:
    """Every column of a person and of a membership, and what names them."""
    found = {
        name
        for model in (User, Membership)
        for field in model._meta.get_fields()
        if isinstance(field, models.Field)
        for name in (field.name, field.attname)
    }
    return sorted(found - {"role", "is_org_admin"})


@pytest.mark.seed("S2.12", "S1.21")
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("name", columns())
def test_update__with_any_other_field_of_the_tables__refused_and_nothing_changed(
    world: World, method: str, name: str
) -> None:
    with platform("test"):
        before = User.objects.filter(pk=world.mia.pk).values().get(), Membership.objects.get(user=world.mia).role
    whole = {"role": "lab_tech", "is_org_admin": False}
    value = "x" if name not in ("is_active",) else True
    problem(call(world.lee, method, f"{world.mia.pk}/", {**whole, name: value}), 400, "malformed_field", name)
    with platform("test"):
        assert (
            User.objects.filter(pk=world.mia.pk).values().get(),
            Membership.objects.get(user=world.mia).role,
        ) == before


@pytest.mark.seed("S2.12")
def test_update__role_and_administration__changed_and_the_session_is_over(world: World) -> None:
    session = session_of(world.mia)
    answer = call(world.lee, "PATCH", f"{world.mia.pk}/", {"role": "lab_tech", "is_org_admin": True})
    assert answer.status_code == 200
    active = [m for m in answer.json()["memberships"] if m["status"] == "active"]
    assert [(m["role"], m["is_org_admin"]) for m in active] == [("lab_tech", True)]
    assert UserSession.objects.get(pk=session.pk).end_reason == "role_changed"
    path = f"{world.mia.pk}/"
    problem(call(world.lee, "PATCH", path, {"role": "doctor"}), 403, "role_not_grantable", "role")
    problem(call(world.lee, "PATCH", f"{world.lee.pk}/", {"role": "office_admin"}), 422, "own_account")
    problem(call(world.mia, "PATCH", f"{world.lee.pk}/", {"role": "medical_staff"}), 403, "role_not_grantable", "role")
    assert call(world.lee, "POST", f"{path}roles/", {"role": "privacy_officer"}).status_code == 200
    problem(call(world.lee, "PATCH", path, {"role": "medical_staff"}), 400, "malformed_field", "membership_id")
    UserSession.objects.update(verified_at=session.verified_at - timedelta(minutes=10))


@pytest.mark.seed("S2.12")
def test_update__without_a_fresh_proof__step_up_first(world: World) -> None:
    client = Client()
    client.force_login(world.lee)
    UserSession.objects.filter(user=world.lee).update(verified_at=world.invitation.created_at - timedelta(minutes=10))
    answer = client.patch(f"{ROOT}{world.mia.pk}/", {"role": "lab_tech"}, content_type=JSON)
    problem(answer, 403, "step_up_required")


@pytest.mark.seed("S2.13")
def test_off__an_open_page_and_its_next_request__nobody_any_more_until_on_again(world: World) -> None:
    mia = Client()
    mia.force_login(world.mia)
    assert mia.get("/profile/").status_code == 200
    path = f"{world.mia.pk}/"
    problem(call(world.ana, "PATCH", f"{path}deactivate/", {}, at=world.platform), 400, "malformed_field", "reason")
    problem(call(world.lee, "PATCH", f"{path}deactivate/", {"reason": "x"}), 403, "not_permitted")
    answer = call(world.ana, "PATCH", f"{path}deactivate/", {"reason": "Left"}, at=world.platform)
    assert answer.json()["is_active"] is False
    assert mia.get("/profile/").status_code == 302
    assert call(world.ana, "PATCH", f"{path}activate/", at=world.platform).json()["is_active"] is True
    lee = call(world.ana, "PATCH", f"{world.lee.pk}/deactivate/", {"reason": "Left"}, at=world.platform)
    problem(lee, 409, "last_administrator")


@pytest.mark.seed("S2.14")
def test_password__forced_reset__and_never_a_password_in_the_body(world: World) -> None:
    path = f"{world.mia.pk}/password/"
    problem(call(world.lee, "PATCH", path, {"password": "new one of theirs"}), 400, "malformed_field", "password")
    assert call(world.lee, "PATCH", path).json()["must_change_password"] is True
    problem(call(world.lee, "PATCH", f"{world.lee.pk}/password/"), 422, "own_account")
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.ana, role=Role.PRIVACY_OFFICER)
    problem(call(world.lee, "PATCH", f"{world.ana.pk}/password/"), 403, "outranked")


def test_sessions__listed_and_ended(world: World) -> None:
    row = session_of(world.mia, user_agent="Mozilla/5.0 (X11; Linux) Firefox/140.0")
    session_of(world.mia)
    path = f"{world.mia.pk}/sessions/"
    listed = call(world.lee, "GET", path).json()["results"]
    assert len(listed) == 2
    assert set(listed[0]) == {"id", "kind", "user_agent", "address", "created_at", "last_seen_at"}
    assert call(world.lee, "DELETE", path, {"session_id": str(row.pk)}).json() == {"ended": 1}
    assert call(world.lee, "DELETE", path).json() == {"ended": 1}
    problem(call(world.lee, "DELETE", path, {"session_id": str(row.pk)}), 404, "not_found")


@pytest.mark.seed("S2.11", "S3.3")
def test_support__at_home__sees_people_everywhere_unlocks_them_and_does_nothing_else(world: World) -> None:
    with platform("test"):
        support = MembershipFactory(organization=world.platform, role=Role.SUPPORT).user
    at, now = world.platform, timezone.now()
    people = call(support, "GET", "?limit=100", at=at).json()["results"]
    assert {"mia@example.org", "stone@example.org", "ana@example.org"} <= {row["email"] for row in people}
    assert call(support, "GET", f"{world.mia.pk}/", at=at).json()["email"] == "mia@example.org"
    for user in (world.mia, world.ana):
        for _guess in range(5):
            reserve_guess(email=user.email, known_browser="", at=now)
    assert "mia@example.org" in str(call(support, "GET", "?status=locked", at=at).json())
    assert call(support, "POST", f"{world.mia.pk}/unlock/", at=at).status_code == 200
    assert not is_locked(world.mia, at=now)
    with platform("test"):
        assert AuditEvent.objects.get(action="account.unlocked").actor_id == support.pk
    problem(call(support, "POST", f"{world.ana.pk}/unlock/", at=at), 403, "outranked")
    assert is_locked(world.ana, at=now)
    acts_of_others: list[tuple[str, str, Any]] = [
        ("PATCH", "", {"role": "lab_tech"}),
        ("PATCH", "password/", {}),
        ("PATCH", "deactivate/", {"reason": "x"}),
        ("POST", "roles/", {"role": "privacy_officer"}),
        ("GET", "sessions/", None),
        ("DELETE", "sessions/", {}),
        ("GET", "leave/", None),
        ("POST", "leave/", {"reason": "x"}),
    ]
    for method, path, body in acts_of_others:
        problem(call(support, method, f"{world.mia.pk}/{path}", body, at=at), 403, "not_permitted")
        assert call(world.ana, method, f"{world.mia.pk}/{path}", body, at=at).status_code != 403
    problem(call(support, "GET", at=world.practice), 404, "not_found")


def test_support__of_an_ordinary_organization__is_nobody_special(world: World) -> None:
    with platform("test"):
        support = MembershipFactory(organization=world.platform, role=Role.SUPPORT).user
        Membership.objects.filter(user=support).update(status="ended", ended_at=timezone.now())
        MembershipFactory(organization=world.practice, user=support, role=Role.MEDICAL_STAFF)
    problem(call(support, "GET", at=world.platform), 404, "not_found")
    assert "stone@example.org" not in call(support, "GET", at=world.practice).content.decode()


@pytest.mark.seed("S2.13", "S2.15", "S3.50")
def test_leave_bulk_and_resend__by_api__as_on_the_pages(world: World) -> None:
    preview = call(world.lee, "GET", f"{world.mia.pk}/leave/").json()
    assert (preview["memberships"], preview["invitations"]) == (["medical_staff"], [])
    assert preview["own_invitation"] is None
    own = acts.invite(world.actor(world.lee), "office_admin", world.mia.email)
    preview = call(world.lee, "GET", f"{world.mia.pk}/leave/").json()
    assert preview["own_invitation"]["id"] == str(own.pk)
    rows = call(
        world.lee,
        "POST",
        "bulk/",
        {"act": "end", "ids": [str(world.omar.pk), str(world.lee.pk)], "reason": "Moved"},
    ).json()["results"]
    assert [(row["outcome"], row["code"]) for row in rows] == [("done", ""), ("refused", "own_account")]
    receipt = call(world.lee, "POST", f"{world.mia.pk}/leave/", {"reason": "Moved"}).json()
    assert (receipt["memberships"], receipt["heir"]) == (["medical_staff"], None)
    assert [row["id"] for row in receipt["cancelled"]] == [str(own.pk)]
    assert call(world.lee, "POST", f"{world.invitation.pk}/resend-invitation/").status_code == 200
    problem(call(world.lee, "POST", f"{world.mia.pk}/resend-invitation/"), 409, "already_activated")
    problem(call(world.lee, "POST", "bulk/", {"act": "end", "ids": ["x"]}), 400, "malformed_field", "ids0")


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"role": "lab_tech"}),
        ("PATCH", "password/", {}),
        ("POST", "unlock/", {}),
        ("POST", "roles/", {"role": "privacy_officer"}),
        ("GET", "sessions/", None),
        ("DELETE", "sessions/", {}),
        ("GET", "leave/", None),
        ("POST", "leave/", {"reason": "x"}),
    ],
)
def test_every_act__on_somebody_of_another_organization__not_found(
    world: World, method: str, path: str, body: Any
) -> None:
    assert call(world.lee, method, f"{world.mia.pk}/{path}", body).status_code == 200
    problem(call(world.lee, method, f"{world.stone.pk}/{path}", body), 404, "not_found")
