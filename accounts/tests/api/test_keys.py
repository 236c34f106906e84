"""Personal API keys: made with a fresh proof, shown once, within a scope and a role, and gone when their reason is."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import administration, keys, services
from accounts.models import AccountMail, ApiKey, SessionEnd, User, UserSession
from accounts.registry import end_sessions_of
from audit.models import AuditEvent, Outcome
from healthivr.testing.factories import PASSWORD, MembershipFactory
from healthivr.testing.pages import parse, read
from healthivr.testing.races import race
from healthivr.testing.world import World
from healthivr.tests.test_limits import mounted_api_views
from invitations.tests.api.calls import problem
from organizations.actor import Actor
from organizations.models import Membership, OrganizationSettings
from organizations.roles import Capability, Role
from organizations.scopes import SCOPE_CAPABILITIES, Scope, allows
from organizations.services import end_membership
from organizations.tenancy import platform, tenant

from .calls import INVITATIONS, ask

SignIn = Callable[[User], Client]
KEYS = "/api/v1/auth/keys/"
ORGANIZATIONS = "/api/v1/admin/organizations/"
EVERYTHING = [str(scope) for scope in Scope]
AT = {"ip": "192.0.2.1", "request_id": "test-request"}


def send(client: Client, body: dict[str, Any] | None = None, **more: Any) -> Any:
    made = {"name": "Night run", "organization": "lee-family-practice", "scopes": EVERYTHING, **(body or {}), **more}
    return client.post(KEYS, json.dumps(made), content_type="application/json")


@pytest.fixture
def make(sign_in: SignIn) -> Callable[..., str]:
    """Make a key for somebody of the practice, and return what it is shown as."""

    def made(user: User, *scopes: str, **more: Any) -> str:
        response = send(sign_in(user), scopes=list(scopes) or EVERYTHING, **more)
        assert response.status_code == 201, response.content
        return str(response.json()["key"])

    return made


Make = Callable[..., str]


# --- making ----------------------------------------------------------------------------------------------------------
def test_create__with_a_fresh_proof__shown_once_stored_as_a_digest_mailed_and_in_the_trail(
    world: World, sign_in: SignIn
) -> None:
    client = sign_in(world.lee)
    body = send(client).json()
    assert body["key"].startswith("hivr_")
    assert len(body["key"]) == 48
    assert body["prefix"] == body["key"][:13]
    key = ApiKey.objects.get()
    assert (key.user, key.organization, key.expires_at - key.created_at) == (
        world.lee,
        world.practice,
        timedelta(days=90),
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM accounts_apikey row")
        assert body["key"] not in cursor.fetchone()[0]
    (listed,) = client.get(KEYS).json()["results"]
    assert "key" not in listed
    assert body["key"] not in client.get("/profile/keys/").text
    mail = AccountMail.objects.get()
    assert (mail.kind, mail.user, mail.status) == ("api_key_created", world.lee, "queued")
    with tenant(world.practice):
        event = AuditEvent.objects.get(action="api_key.created")
    assert (event.actor_id, event.target_id) == (world.lee.pk, str(key.pk))
    assert body["key"] not in str(event.detail)


def test_create__proof_older_than_five_minutes__step_up(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    assert send(client).status_code == 201
    UserSession.objects.update(verified_at=timezone.now() - timedelta(minutes=5, seconds=2))
    problem(send(client), 403, "step_up_required")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "status", "code", "fields"),
    [
        ({"name": " "}, 400, "malformed_field", ["name"]),
        ({"name": "x" * 61}, 400, "malformed_field", ["name"]),
        ({"scopes": []}, 400, "malformed_field", ["scopes"]),
        ({"scopes": ["everything"]}, 400, "malformed_field", ["scopes0"]),
        ({"days": 0}, 400, "malformed_field", ["days"]),
        ({"days": 366}, 400, "malformed_field", ["days"]),
        ({"user": "stone"}, 400, "malformed_field", ["user"]),
        ({"organization": "stone-clinic"}, 404, "not_found", []),
        ({"organization": "no-such"}, 404, "not_found", []),
    ],
)
def test_create__what_cannot_be__refused(
    world: World, sign_in: SignIn, change: dict[str, Any], status: int, code: str, fields: list[str]
) -> None:
    client = sign_in(world.lee)
    problem(send(client, change), status, code, *fields)
    assert send(client).status_code == 201


def test_create__the_twenty_first__refused_until_one_ends(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    for _number in range(20):
        last = send(client)
        assert last.status_code == 201
    problem(send(client), 409, "too_many_keys")
    assert client.delete(f"{KEYS}{last.json()['id']}/").status_code == 204
    assert send(client).status_code == 201


def test_create__by_a_key__refused(world: World, make: Make) -> None:
    secret = make(world.lee)
    assert ask(secret).status_code == 200
    problem(ask(secret, KEYS), 403, "scope_missing")
    response = Client().post(
        KEYS, json.dumps({}), content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )
    problem(response, 403, "scope_missing")


# --- what it opens ---------------------------------------------------------------------------------------------------
def post_with(secret: str, email: str = "nora@example.org") -> Any:
    body = {"invitation_type": "medical_staff", "email": email}
    return Client(enforce_csrf_checks=True).post(
        INVITATIONS, body, content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )


def test_key__within_its_scope__works_and_beyond_it_not(world: World, make: Make) -> None:
    reads, writes = make(world.lee, "invitations:read"), make(world.lee, "invitations:write")
    assert ask(reads).status_code == 200
    assert problem(post_with(reads), 403, "scope_missing")["scope"] == "invitations:write"
    assert post_with(writes).status_code == 201
    assert ask(writes).status_code == 200
    problem(ask(make(world.lee, "people:write")), 403, "scope_missing")


def test_key__of_somebody_whose_role_does_not_allow_it__gives_no_more(world: World, make: Make) -> None:
    secret = make(world.mia)
    problem(ask(secret), 403, "not_permitted")
    problem(post_with(secret), 403, "not_permitted")


@pytest.mark.parametrize("view", mounted_api_views(), ids=lambda view: view.__qualname__)
def test_views__scopes_that_are_declared__are_of_methods_that_there_are_and_reading_asks_for_reading(view: Any) -> None:
    declared: dict[str, Scope] = getattr(view, "scopes", {})
    for method, scope in declared.items():
        assert hasattr(view, method.lower()), f"{view} {method}"
        assert isinstance(scope, Scope)
        if method == "GET":
            assert scope.endswith(":read")


def test_key__on_a_view_that_declares_nothing__refused(world: World, make: Make) -> None:
    secret = make(world.lee)
    for path in (f"{INVITATIONS}validate/x/", "/api/v1/practitioner/"):
        problem(ask(secret, path), 403, "scope_missing")


def test_scopes__of_one_table__read_and_write_for_each_and_writing_is_reading() -> None:
    for scope in Scope:
        resource, _colon, act = scope.partition(":")
        assert act in ("read", "write")
        assert allows(frozenset({Scope(f"{resource}:write")}), Scope(f"{resource}:read"))
        assert not allows(frozenset({Scope(f"{resource}:read")}), Scope(f"{resource}:write"))
    others = [scope for scope in Scope if not scope.startswith("people")]
    assert not allows(frozenset(others), Scope.PEOPLE_READ)


def test_key__reads_its_organization_within_its_scope(world: World, make: Make) -> None:
    path = f"/api/v1/admin/organizations/{world.practice.pk}/"
    assert ask(make(world.lee, "organizations:read"), path).status_code == 200
    problem(ask(make(world.lee, "invitations:write"), path), 403, "scope_missing")


def test_scopes__of_an_actor__take_away_and_never_give(world: World) -> None:
    for user in (world.ana, world.lee, world.omar, world.mia):
        without = world.actor(user, world.platform if user == world.ana else None)
        keyed = Actor(user, without.organization, without.roles, without.is_org_admin, scopes=frozenset(Scope))
        assert keyed.capabilities <= without.capabilities
        assert keyed.capabilities <= frozenset[Capability]().union(*SCOPE_CAPABILITIES.values())
        none = Actor(user, without.organization, without.roles, without.is_org_admin, scopes=frozenset())
        assert none.capabilities == frozenset()
    with pytest.raises(Exception, match="not_permitted"):
        Actor(
            world.ana, world.platform, frozenset({Role.ADMIN}), True, scopes=frozenset(Scope)
        ).require_platform_staff()


def test_key__works_in_its_organization_only(world: World, make: Make) -> None:
    with platform("test"):
        MembershipFactory(user=world.omar, organization=world.strange_practice, role=Role.OFFICE_ADMIN)
    secret = make(world.omar)
    assert ask(secret).status_code == 200
    assert ask(secret, **{"X-Organization": "lee-family-practice"}).status_code == 200
    assert ask(secret, **{"X-Organization": str(world.practice.pk)}).status_code == 200
    for other in ("stone-clinic", str(world.strange_practice.pk), "no-such"):
        problem(ask(secret, **{"X-Organization": other}), 404, "not_found")


def test_key__on_pages_and_in_django_admin__is_nobody(world: World, make: Make) -> None:
    secret = make(world.lee)
    for page in ("/", "/profile/", "/o/lee-family-practice/", "/admin/"):
        assert ask(secret, page).status_code == 302, page


def test_key__last_used__written_once_a_minute(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, began = make(world.lee), timezone.now()
    monkeypatch.setattr("accounts.api.authentication.timezone.now", lambda: began)
    ask(secret)
    first = ApiKey.objects.get().last_used_at
    assert first == began
    for seconds, expected in ((59, began), (61, began + timedelta(seconds=61))):
        monkeypatch.setattr("accounts.api.authentication.timezone.now", lambda s=seconds: began + timedelta(seconds=s))
        assert ask(secret).status_code == 200
        assert ApiKey.objects.get().last_used_at == expected


# --- its end ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("damage", ["hivr_", "hivr_x", "hivr_" + "A" * 43])
def test_key__that_is_none__401(world: World, make: Make, damage: str) -> None:
    assert ask(make(world.lee)).status_code == 200
    response = ask(damage)
    problem(response, 401, "token_invalid")
    assert response["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_key__after_its_time__401(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, began = make(world.lee, days=1), timezone.now()
    monkeypatch.setattr("accounts.api.authentication.timezone.now", lambda: began + timedelta(hours=23, minutes=59))
    assert ask(secret).status_code == 200
    monkeypatch.setattr("accounts.api.authentication.timezone.now", lambda: began + timedelta(hours=24, seconds=1))
    problem(ask(secret), 401, "token_invalid")


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("owner", "ended_by_owner"),
        ("deactivated", "deactivated"),
        ("password", "password_changed"),
        ("factor", "factor_changed"),
        ("email", "email_changed"),
        ("administrator", "ended_by_administrator"),
        ("membership", "membership_ended"),
    ],
)
def test_key__when_its_reason_is_gone__stops_at_the_next_request(
    world: World, make: Make, sign_in: SignIn, act: str, reason: str
) -> None:
    secret, at = make(world.omar), timezone.now()
    assert ask(secret).status_code == 200
    admin = world.actor(world.ana, world.platform)
    if act == "owner":
        assert sign_in(world.omar).delete(f"{KEYS}{ApiKey.objects.get().pk}/").status_code == 204
    elif act == "deactivated":
        administration.deactivate_user(actor=admin, user_id=world.omar.pk, reason="left", at=at)
    elif act == "password":
        new = "an entirely different horse"
        services.change_password(user=world.omar, session=None, current=PASSWORD, password=new, at=at, **AT)
    elif act == "membership":
        with tenant(world.practice):
            pk = Membership.objects.get(user=world.omar).pk
            end_membership(actor=world.actor(world.lee), membership_id=pk, reason="left", at=at)
    else:
        ends = {
            "factor": SessionEnd.FACTOR_CHANGED,
            "email": SessionEnd.EMAIL_CHANGED,
            "administrator": SessionEnd.ENDED_BY_ADMINISTRATOR,
        }
        with platform("test"):
            end_sessions_of(user_id=world.omar.pk, reason=ends[act], actor=admin, at=at)
    problem(ask(secret), 401, "token_invalid")
    assert ApiKey.objects.get().end_reason == reason


def test_key__a_session_ends_otherwise__goes_on(world: World, make: Make) -> None:
    secret = make(world.omar)
    with platform("test"):
        end_sessions_of(
            user_id=world.omar.pk,
            reason=SessionEnd.ENDED_BY_OWNER,
            actor=world.actor(world.ana, world.platform),
            at=timezone.now(),
        )
    assert ask(secret).status_code == 200


def test_key__membership_elsewhere_ends__goes_on_here(world: World, make: Make) -> None:
    with platform("test"):
        MembershipFactory(user=world.omar, organization=world.strange_practice, role=Role.OFFICE_ADMIN)
    secret = make(world.omar)
    with tenant(world.strange_practice):
        pk = Membership.objects.get(user=world.omar).pk
        end_membership(actor=world.actor(world.stone), membership_id=pk, reason="left", at=timezone.now())
    assert ask(secret).status_code == 200


def test_key__sessions_ended_by_the_administrator_of_another_organization__goes_on(world: World, make: Make) -> None:
    with platform("test"):
        MembershipFactory(user=world.omar, organization=world.strange_practice, role=Role.OFFICE_ADMIN)
    here, there = make(world.omar), make(world.omar, organization="stone-clinic")
    key = ApiKey.objects.get(organization=world.practice)
    with tenant(world.strange_practice):
        administration.end_person_sessions(actor=world.actor(world.stone), user_id=world.omar.pk, at=timezone.now())
    with tenant(world.strange_practice):
        assert not AuditEvent.objects.filter(target_id=str(key.pk)).exists()
    assert not UserSession.objects.filter(user=world.omar, ended_at=None).exists()
    problem(ask(there), 401, "token_invalid")
    assert ask(here).status_code == 200
    with tenant(world.practice):
        administration.end_person_sessions(actor=world.actor(world.lee), user_id=world.omar.pk, at=timezone.now())
    problem(ask(here), 401, "token_invalid")


# --- what it never does ----------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.24")
def test_key__of_a_platform_administrator__makes_no_administrator(world: World, make: Make) -> None:
    secret = make(world.ana, organization=world.platform.slug)
    body = {"invitation_type": "admin", "email": "mallory@example.net"}
    refused = Client().post(INVITATIONS, body, "application/json", headers={"Authorization": f"Bearer {secret}"})
    problem(refused, 403, "step_up_required")
    body = {"invitation_type": "shipping_logistics", "email": "mallory@example.net"}
    sent = Client().post(INVITATIONS, body, "application/json", headers={"Authorization": f"Bearer {secret}"})
    assert sent.status_code == 201


@pytest.mark.seed("S2.24")
def test_key__that_changes_the_organization__makes_no_policy_weaker(world: World, make: Make) -> None:
    secret = make(world.lee, "organizations:write")
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(email_domains=["example.org"])

    def change(**values: Any) -> Any:
        address = f"{ORGANIZATIONS}{world.practice.pk}/"
        return Client().patch(address, values, "application/json", headers={"Authorization": f"Bearer {secret}"})

    for weaker in ({"email_domains": []}, {"idle_minutes": 30}, {"staff_may_invite": True}):
        problem(change(**weaker), 403, "step_up_required")
    assert change(idle_minutes=10, name="Lee and Partners").status_code == 200


@pytest.mark.seed("S2.24")
def test_key__for_organizations_alone__is_shown_no_people(world: World, make: Make) -> None:
    address = f"{ORGANIZATIONS}{world.practice.pk}/"
    shown = ask(make(world.lee, "organizations:write"), address)
    assert (shown.status_code, shown.json()["administrators"]) == (200, None)
    assert shown.json()["policies"]["idle_minutes"] == 15
    assert b"lee@example.org" not in shown.content
    more = ask(make(world.lee, "organizations:write", "people:read"), address)
    assert [row["email"] for row in more.json()["administrators"]] == ["lee@example.org"]


def test_key__made_without_a_second_factor_that_is_asked_for_now__closed(
    world: World, sign_in: SignIn, make: Make
) -> None:
    with_factor = make(world.omar)
    client = sign_in(world.omar)
    UserSession.objects.filter(user=world.omar).update(second_factor_at=None)
    without = send(client).json()["key"]
    assert ask(without).status_code == 200
    with tenant(world.practice):
        OrganizationSettings.objects.filter(organization=world.practice).update(requires_second_factor=True)
    problem(ask(without), 403, "second_factor_enrolment_required")
    assert ask(with_factor).status_code == 200


def test_end__somebody_elses_key__as_one_that_never_was(world: World, sign_in: SignIn, make: Make) -> None:
    secret = make(world.lee)
    key = ApiKey.objects.get()
    problem(sign_in(world.omar).delete(f"{KEYS}{key.pk}/"), 404, "not_found")
    assert sign_in(world.omar).post(reverse("accounts:end_key", args=[key.pk])).status_code == 404
    assert ask(secret).status_code == 200
    assert sign_in(world.lee).get(KEYS).json()["results"]
    assert sign_in(world.omar).get(KEYS).json()["results"] == []


# --- pages -----------------------------------------------------------------------------------------------------------
def test_pages__make_show_end(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    form = {"name": "Night <run>", "organization": "lee-family-practice", "scopes": "invitations:read", "days": "30"}
    shown = client.post("/profile/keys/new/", form)
    assert shown.status_code == 200
    assert "no-store" in shown["Cache-Control"]
    secret = next(code.text for code in parse(shown.text).all("code") if code.text.startswith("hivr_"))
    assert ask(secret).status_code == 200
    listed = client.get("/profile/keys/").text
    assert "Night &lt;run&gt;" in listed
    assert secret not in listed
    key = ApiKey.objects.get()
    assert "Authorization: Bearer" in shown.text
    assert parse(shown.text).all("a", href="/api/v1/docs/")
    (asked,) = parse(listed).all("details", class_="disclosure")  # one click ends nothing
    (form,) = asked.all("form", action=f"/profile/keys/{key.pk}/end/")
    assert "Whatever works with this key stops at once." in form.text
    assert client.post(f"/profile/keys/{key.pk}/end/").status_code == 302
    problem(ask(secret), 401, "token_invalid")
    assert "Night" not in client.get("/profile/keys/").text


def test_page__sent_again__makes_no_second_key_and_says_so(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    asked = parse(client.get("/profile/keys/new/").text)
    form = {"name": "Night", "organization": "lee-family-practice", "scopes": "invitations:read", "days": "30"}
    form["once"] = asked.all("input", name="once")[0]["value"]
    shown = parse(client.post("/profile/keys/new/", form).text)
    assert shown.all("button", data_copy="#key")
    assert shown.all("code", id="key")[0].text.startswith("hivr_")
    again = read(client.post("/profile/keys/new/", form, follow=True))
    assert again.notices == [
        "That key is made, and was shown once. If you did not copy it, end it below and make another."
    ]
    assert ApiKey.objects.count() == 1
    assert "See invitations" in again.main
    assert "invitations:read" not in again.main
    form["once"] = parse(client.get("/profile/keys/new/").text).all("input", name="once")[0]["value"]
    assert client.post("/profile/keys/new/", form).status_code == 200
    assert ApiKey.objects.count() == 2


def test_page__sent_twice_at_the_same_moment__makes_one_key(committed_world: World) -> None:
    client = Client()
    client.force_login(committed_world.lee)
    form = {"name": "Night", "organization": "lee-family-practice", "scopes": "invitations:read", "days": "30"}
    form["once"] = parse(client.get("/profile/keys/new/").text).all("input", name="once")[0]["value"]

    def send_it() -> int:
        same = Client()
        same.cookies = client.cookies
        return int(same.post("/profile/keys/new/", form).status_code)

    assert sorted(race(send_it, send_it)) == [200, 302]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("change", [{"name": ""}, {"scopes": "x"}, {"days": "0"}, {"organization": "stone-clinic"}])
def test_page__what_cannot_be__422_and_nothing_typed_is_lost(
    world: World, sign_in: SignIn, change: dict[str, str]
) -> None:
    form = {"name": "Night run", "organization": "lee-family-practice", "scopes": "invitations:read", "days": "30"}
    response = sign_in(world.lee).post("/profile/keys/new/", {**form, **change})
    assert response.status_code == 422
    assert ("Night run" in response.text) is ("name" not in change)
    assert not ApiKey.objects.exists()


def test_keys__of_somebody__no_secret_in_the_text_of_a_row(world: World, make: Make) -> None:
    secret = make(world.lee)
    key = ApiKey.objects.get()
    assert secret not in str(key) + repr(key)
    assert keys.live_keys(user=world.lee, at=timezone.now()) == [key]


@pytest.mark.seed("S0.22")
def test_key__what_is_done_with_it__the_trail_names_the_key(world: World, make: Make, client: Client) -> None:
    assert post_with(make(world.lee)).status_code == 201
    client.force_login(world.lee)
    form = {"email": "two@example.org", "invitation_type": "medical_staff", "key": str(uuid4())}
    assert client.post("/o/lee-family-practice/invitations/new/", form).status_code == 302
    with tenant(world.practice):
        by_key, by_person = AuditEvent.objects.filter(action="invitation.created").order_by("sequence")
    assert by_key.detail["api_key"] == str(ApiKey.objects.get().pk)
    assert "api_key" not in by_person.detail
    assert by_key.actor_id == by_person.actor_id == world.lee.pk


@pytest.mark.seed("S0.22")
def test_key__refused_for_a_scope_it_lacks__the_trail_has_the_attempt_and_the_key(world: World, make: Make) -> None:
    problem(post_with(make(world.lee, "invitations:read")), 403, "scope_missing")
    with tenant(world.practice):
        event = AuditEvent.objects.get(action="access.refused")
    assert (event.actor_id, event.detail["api_key"]) == (world.lee.pk, str(ApiKey.objects.get().pk))
    assert (event.detail["method"], event.outcome) == ("POST", Outcome.REFUSED)


@pytest.mark.seed("S2.13")
def test_key__of_who_is_switched_off__opens_nothing_whatever_became_of_the_key(world: World, make: Make) -> None:
    secret = make(world.lee)
    assert post_with(secret).status_code == 201
    with platform("test"):
        MembershipFactory(organization=world.practice, is_org_admin=True)  # the database keeps one who may sign in
    User.objects.filter(pk=world.lee.pk).update(is_active=False)
    assert ApiKey.objects.get().ended_at is None, "by SQL: nothing ended the key"
    problem(post_with(secret), 401, "token_invalid")
