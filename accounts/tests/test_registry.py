"""The registry of sessions: what begins one, what ends it, and when it is over by itself."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import registry
from accounts.administration import deactivate_user
from accounts.devices import device_name
from accounts.middleware import ENDED
from accounts.models import SessionEnd, SessionKind, User, UserSession
from audit.models import AuditEvent
from healthivr.testing.factories import PASSWORD, MembershipFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.models import Membership, OrganizationSettings
from organizations.roles import Role
from organizations.services import end_membership
from organizations.tenancy import platform, tenant

ORIGIN: dict[str, Any] = {"ip": "192.0.2.1", "request_id": "test-request"}
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


def age(session: UserSession, *, by: timedelta) -> None:
    """Move the clock for one session: everything about it happened longer ago."""
    for field in ("created_at", "last_seen_at", "expires_at", "verified_at"):
        setattr(session, field, getattr(session, field) - by)
    session.save(update_fields=["created_at", "last_seen_at", "expires_at", "verified_at"])


def only_session(user: User) -> UserSession:
    return UserSession.objects.get(user=user, ended_at=None)


def events(action: str) -> list[AuditEvent]:
    with platform("test"):
        return list(AuditEvent.objects.filter(action=action).order_by("recorded", "sequence"))


# --- beginning -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.5", "C24")
def test_sign_in__by_the_page__a_row_with_device_address_and_times(world: World) -> None:
    client = Client(headers={"User-Agent": FIREFOX}, REMOTE_ADDR="198.51.100.7")
    before = timezone.now()
    assert client.post("/sign-in/", {"email": "mia@example.org", "password": PASSWORD}).status_code == 302
    session = only_session(world.mia)
    assert (session.kind, session.address, session.device) == ("browser", "198.51.100.7", "Firefox, Windows")
    assert before <= session.created_at == session.last_seen_at == session.verified_at <= timezone.now()
    assert session.expires_at - session.created_at == timedelta(hours=24)
    assert (session.second_factor_at, session.ended_at, session.end_reason) == (None, None, "")
    assert User.objects.get(pk=world.mia.pk).last_login == session.created_at
    (event,) = events("session.started")
    assert (event.actor_id, event.target_id, event.address) == (world.mia.pk, str(session.pk), "198.51.100.7")


def test_sign_in__with_a_cookie_from_before__gets_a_new_one(world: World) -> None:
    client = browser()
    client.get("/sign-in/")
    client.session.save()
    before = client.cookies.get("sessionid")
    assert submit(client, "/sign-in/", email="mia@example.org", password=PASSWORD).status_code == 302
    assert client.cookies["sessionid"].value != (before.value if before else "")


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox, Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari, iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit Chrome/140.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_device__of_what_browsers_say__in_words(user_agent: str, name: str) -> None:
    assert device_name(user_agent) == name


# --- by itself -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.5", "C24")
@pytest.mark.parametrize(("seconds", "status"), [(-1, 200), (0, 302), (1, 302)])
def test_idle__fifteen_minutes__signed_out_at_the_moment_and_told_why(world: World, seconds: int, status: int) -> None:
    client = browser(world.mia)
    at = timezone.now()
    session = only_session(world.mia)
    UserSession.objects.filter(pk=session.pk).update(last_seen_at=at - timedelta(minutes=15))
    found = registry.present_session(session_id=session.pk, at=at + timedelta(seconds=seconds))
    assert found is not None
    assert found.over == (None if seconds < 0 else SessionEnd.IDLE)
    UserSession.objects.filter(pk=session.pk).update(
        last_seen_at=timezone.now() - timedelta(minutes=15, seconds=seconds) + timedelta(seconds=seconds < 0)
    )
    assert client.get("/profile/").status_code == (200 if status == 200 else 302)
    if status == 302:
        page = read(client.get("/sign-in/"))
        assert page.notices == ["You were signed out because nothing was done here for a while. Sign in to go on."]
        session.refresh_from_db()
        assert (session.end_reason, session.ended_at is not None) == ("idle", True)
        (event,) = events("session.ended")
        assert (event.actor_kind, event.actor_name, event.detail["reason"]) == ("system", "session-expiry", "idle")


@pytest.mark.seed("C24")
def test_idle__two_organizations__the_stricter_policy_holds_everywhere(world: World) -> None:
    client = browser(world.mia)
    with platform("test"):
        MembershipFactory(organization=world.strange_practice, user=world.mia, role=Role.MEDICAL_STAFF)
        OrganizationSettings.objects.filter(organization=world.strange_practice).update(idle_minutes=5)
    age(only_session(world.mia), by=timedelta(minutes=4))
    assert client.get("/profile/").status_code == 200
    age(only_session(world.mia), by=timedelta(minutes=5))
    assert client.get("/profile/").status_code == 302


@pytest.mark.seed("C24")
@pytest.mark.parametrize(
    ("minutes", "seconds", "is_in"), [(30, -1, True), (30, 1, False), (5, -1, True), (5, 1, False)]
)
def test_idle__policy_of_the_organization__lived_through_to_its_last_second(
    world: World, minutes: int, seconds: int, is_in: bool
) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(idle_minutes=minutes)
    client = browser(world.mia)
    session = only_session(world.mia)
    late = timedelta(minutes=minutes, seconds=seconds)
    found = registry.present_session(session_id=session.pk, at=session.last_seen_at + late)
    assert found is not None
    assert found.over == (None if is_in else SessionEnd.IDLE)
    age(session, by=late - timedelta(seconds=seconds < 0) * 20)
    assert client.get("/profile/").status_code == (200 if is_in else 302)


@pytest.mark.seed("S3.5")
def test_absolute__twenty_four_hours__over_however_busy(world: World) -> None:
    client = browser(world.mia)
    session = only_session(world.mia)
    UserSession.objects.filter(pk=session.pk).update(expires_at=timezone.now() + timedelta(seconds=30))
    assert client.get("/profile/").status_code == 200
    UserSession.objects.filter(pk=session.pk).update(expires_at=timezone.now())
    assert client.get("/profile/").status_code == 302
    assert read(client.get("/sign-in/")).notices == ["You were signed out: a session lasts 24 hours. Sign in to go on."]


def test_seen__by_acts__once_in_twenty_seconds(world: World) -> None:
    client = browser(world.mia)
    session = only_session(world.mia)
    began = session.last_seen_at
    assert client.get("/profile/").status_code == 200
    session.refresh_from_db()
    assert session.last_seen_at == began, "less than 20 seconds: not worth a write"
    age(session, by=timedelta(seconds=21))
    assert client.get("/profile/").status_code == 200
    session.refresh_from_db()
    assert timezone.now() - session.last_seen_at < timedelta(seconds=5)


@pytest.mark.parametrize("path", ["/session/", "/o/lee-family-practice/invitations/{}/standing/"])
def test_seen__by_a_page_that_asks_by_itself__not_at_all(world: World, path: str) -> None:
    client = browser(world.lee)
    session = only_session(world.lee)
    age(session, by=timedelta(minutes=10))
    quiet = session.last_seen_at
    address = path.format(world.invitation.pk)
    for told in ({}, {"skip_timeout_reset": "0", "is_background": "no"}):
        assert client.get(address, told, headers={"HX-Request": "true"}).status_code == 200
    session.refresh_from_db()
    assert session.last_seen_at == quiet


def test_stay__asked_for__lives_longer_and_says_how_long(world: World) -> None:
    client = Client()
    client.force_login(world.mia)
    age(only_session(world.mia), by=timedelta(minutes=14))
    left = client.get("/session/").json()
    assert 50 <= left["seconds"] <= 60
    assert left["person"] == str(world.mia.pk)
    assert 890 <= client.post("/session/").json()["seconds"] <= 900
    assert Client().get("/session/", headers={"HX-Request": "true"}).status_code == 401
    assert browser(world.mia).post("/session/").status_code == 403, "a form of somebody else's page keeps nothing alive"


def test_sweep__overdue_ones__are_written_down_and_the_living_are_left(world: World) -> None:
    living, idle, expired = session_of(world.mia), session_of(world.omar), session_of(world.lee)
    age(idle, by=timedelta(minutes=16))
    UserSession.objects.filter(pk=expired.pk).update(
        expires_at=timezone.now() - timedelta(hours=1), last_seen_at=timezone.now() - timedelta(hours=1)
    )
    tokens = session_of(world.stone, kind=SessionKind.TOKEN)
    age(tokens, by=timedelta(hours=2))
    assert registry.end_overdue_sessions(at=timezone.now()) == 2
    assert registry.end_overdue_sessions(at=timezone.now()) == 0
    reasons = dict(UserSession.objects.values_list("pk", "end_reason"))
    assert reasons == {living.pk: "", idle.pk: "idle", expired.pk: "expired", tokens.pk: ""}
    assert {event.detail["reason"] for event in events("session.ended")} == {"idle", "expired"}


#: Nobody meets these in a browser: the cookie of who signed out is gone, and tokens know no pages.
UNMET = {SessionEnd.SIGNED_OUT, SessionEnd.TOKEN_REUSED}


@pytest.mark.parametrize("reason", [reason for reason in SessionEnd if reason not in UNMET])
def test_ended__for_any_reason__the_page_to_sign_in_says_why(world: World, reason: SessionEnd) -> None:
    client = browser(world.mia)
    assert client.get("/profile/").status_code == 200
    UserSession.objects.filter(user=world.mia).update(ended_at=timezone.now(), end_reason=reason)
    if reason == SessionEnd.DEACTIVATED:
        User.objects.filter(pk=world.mia.pk).update(is_active=False)
    page = read(client.get("/profile/", follow=True))
    assert page.notices == [str(ENDED[reason])]
    assert page.notices[0].startswith("You were signed out")


# --- by somebody -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.5")
def test_sessions__one_s_own__shown_and_ended_from_another(world: World) -> None:
    here, elsewhere = browser(world.mia), browser(world.mia)
    page = read(here.get("/profile/sessions/"))
    assert page.heading == "Where you are signed in"
    assert page.text.count("192.0.2.1") == 2
    assert page.text.count("This session") == 1
    session = UserSession.objects.exclude(pk=here.session["sid"]).get()
    response = submit(here, "/profile/sessions/", to=f"/profile/sessions/{session.pk}/end/")
    assert response.status_code == 302
    assert elsewhere.get("/profile/").status_code == 302
    assert read(elsewhere.get("/sign-in/")).notices == ["You were signed out from another of your sessions."]
    assert here.get("/profile/").status_code == 200
    again = submit(here, "/profile/sessions/", to=f"/profile/sessions/{here.session['sid']}/end/")
    assert again["Location"] == "/sign-in/"
    assert here.get("/profile/").status_code == 302


@pytest.mark.seed("S3.5")
def test_sessions__of_somebody_else__cannot_be_ended(world: World) -> None:
    client = Client()
    client.force_login(world.mia)
    own, foreign = session_of(world.mia), session_of(world.omar)
    for session, ended in ((own, True), (foreign, False)):
        assert client.post(f"/profile/sessions/{session.pk}/end/").status_code == (302 if ended else 404)
        session.refresh_from_db()
        assert (session.ended_at is not None) is ended


@pytest.mark.seed("S3.5")
def test_sessions__all_others__ended_at_once(world: World) -> None:
    here, others = browser(world.mia), [browser(world.mia) for _number in range(3)]
    family = session_of(world.mia, kind=SessionKind.TOKEN)
    assert submit(here, "/profile/sessions/", to="/profile/sessions/end-others/").status_code == 302
    assert read(here.get("/profile/sessions/")).notices == ["4 other sessions are ended."]
    assert [client.get("/profile/").status_code for client in (here, *others)] == [200, 302, 302, 302]
    family.refresh_from_db()
    assert family.end_reason == "ended_by_owner"


def test_sign_out__ends_the_row_and_leaves_others(world: World) -> None:
    here, elsewhere = browser(world.mia), browser(world.mia)
    token = here.get("/session/").json()["csrf_token"]
    assert here.post("/sign-out/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert here.get("/profile/").status_code == 302
    assert elsewhere.get("/profile/").status_code == 200
    assert UserSession.objects.filter(end_reason="signed_out").count() == 1


@pytest.mark.seed("S2.13")
def test_deactivation__in_the_middle_of_everything__ends_all_at_once(world: World) -> None:
    client = browser(world.mia)
    assert client.get("/profile/").status_code == 200
    with platform("test"):
        deactivate_user(
            actor=world.actor(world.ana, world.platform), user_id=world.mia.pk, reason="left", at=timezone.now()
        )
    assert client.get("/profile/").status_code == 302
    assert UserSession.objects.get(user=world.mia).end_reason == "deactivated"


@pytest.mark.seed("S2.13")
def test_membership__ended__session_ends_with_it_the_last_or_not(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.OFFICE_ADMIN)
    for role in (Role.OFFICE_ADMIN, Role.MEDICAL_STAFF):
        client = browser(world.mia)
        assert client.get("/profile/").status_code == 200
        with tenant(world.practice):
            membership = Membership.objects.get(user=world.mia, status="active", role=role)
            end_membership(actor=world.actor(world.lee), membership_id=membership.pk, reason="x", at=timezone.now())
        assert client.get("/profile/").status_code == 302
    reasons = UserSession.objects.filter(user=world.mia).order_by("created_at").values_list("end_reason", flat=True)
    assert list(reasons) == ["role_changed", "membership_ended"]


def test_session__ended_twice_at_once__once_and_one_event(committed_world: World) -> None:
    session = session_of(committed_world.mia)
    before = len(events("session.ended"))
    call: Callable[[], Any] = lambda: registry.end_own_session(  # noqa: E731
        user=committed_world.mia, session_id=session.pk, at=timezone.now(), **ORIGIN
    )
    outcomes = race(call, call, call, call)
    assert sum(outcome is True for outcome in outcomes) == 1, outcomes
    assert len(events("session.ended")) - before == 1


# --- what a cookie can carry -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("sid", ["", "x", "0" * 32, "not-a-uuid", "01a1ffa0-5448-7a8a-aaef-adc874293425"])
def test_cookie__that_names_no_session__a_stranger_and_no_failure(world: World, sid: str) -> None:
    client = Client()
    client.force_login(world.mia)
    assert client.get("/profile/").status_code == 200
    held = client.session
    held["sid"] = sid
    held.save()
    assert client.get("/profile/").status_code == 302


def test_cookie__of_django_alone__signs_nobody_in(world: World) -> None:
    """Django's own keys name a person; ours names a session that somebody began."""
    client = Client()
    client.force_login(world.mia)
    held = client.session
    del held["sid"]
    held.save()
    assert held["_auth_user_id"] == str(world.mia.pk)
    assert client.get("/profile/").status_code == 302


# --- step-up ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("seconds", "is_fresh"), [(299, True), (300, True), (301, False)])
def test_step_up__five_minutes__and_not_a_second_more(
    world: World, now: datetime, seconds: int, is_fresh: bool
) -> None:
    actor = world.actor(world.lee)
    object.__setattr__(actor, "verified_at", now - timedelta(seconds=seconds))
    if is_fresh:
        actor.require_step_up(at=now)
    else:
        with pytest.raises(Exception, match="step_up_required"):
            actor.require_step_up(at=now)
    object.__setattr__(actor, "verified_at", None)
    with pytest.raises(Exception, match="step_up_required"):
        actor.require_step_up(at=now)
