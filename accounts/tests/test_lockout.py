"""Wrong guesses: how many, whose, and who gets past."""

import re
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import lockout
from accounts.delivery import relay_due_account_mail
from accounts.hashers import Argon2idHasher
from accounts.links import unlock_link_path
from accounts.lockout import Locked
from accounts.models import AccountMail, SignInLock, User
from accounts.services import InvalidCredentials, check_credentials
from audit.models import AuditEvent
from healthivr.kernel.masking import address_digest
from healthivr.testing.factories import PASSWORD, MembershipFactory
from healthivr.testing.factors import phone_of
from healthivr.testing.mail import MailSink
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.races import race
from healthivr.testing.world import World
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform, tenant

ORIGIN: dict[str, Any] = {"ip": "192.0.2.1", "request_id": "test-request"}
WRONG = "wrong"
JSON = "application/json"
LATER = timedelta(minutes=15)


def guess(email: str = "mia@example.org", password: str = WRONG, *, at: datetime, browser: str = "") -> User:
    """Try once, and sign in when it was right."""
    user, slot = check_credentials(email=email, password=password, known_browser=browser, at=at, **ORIGIN)
    lockout.forget_failures(slot)
    return user


def fail(times: int, *, at: datetime, email: str = "mia@example.org", browser: str = "") -> None:
    for _number in range(times):
        with pytest.raises(InvalidCredentials):
            guess(email, at=at, browser=browser)


def locked(*, at: datetime, email: str = "mia@example.org", password: str = PASSWORD, browser: str = "") -> Locked:
    with pytest.raises(Locked) as refused:
        guess(email, password, at=at, browser=browser)
    return refused.value


def events(action: str) -> list[AuditEvent]:
    with platform("test"):
        return list(AuditEvent.objects.filter(action=action).order_by("recorded", "sequence"))


# --- how many --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.3", "C8")
@pytest.mark.parametrize("email", ["mia@example.org", "nobody@example.org", "new.nurse@example.org", "no address"])
def test_lock__five_failures__whoever_the_address_belongs_to(world: World, now: datetime, email: str) -> None:
    fail(5, at=now, email=email)
    refusal = locked(at=now, email=email)
    assert (refusal.code, refusal.retry_after, refusal.limit) == ("locked", 15 * 60 + 1, 5)
    others = "omar@example.org"
    assert guess(others, PASSWORD, at=now) == world.omar


@pytest.mark.seed("S3.3")
@pytest.mark.parametrize(("seconds", "opens"), [(-1, False), (0, True), (1, True)])
def test_lock__fifteen_minutes__then_open(world: World, now: datetime, seconds: int, opens: bool) -> None:
    fail(5, at=now)
    at = now + LATER + timedelta(seconds=seconds)
    if opens:
        assert guess(password=PASSWORD, at=at) == world.mia
    else:
        locked(at=at)


@pytest.mark.seed("S3.3")
def test_lock__tried_while_locked__is_not_made_longer(world: World, now: datetime) -> None:
    fail(5, at=now)
    for minute in range(15):
        locked(at=now + timedelta(minutes=minute))
    assert guess(password=PASSWORD, at=now + LATER) == world.mia


def test_lock__after_it__five_tries_again(world: World, now: datetime) -> None:
    fail(5, at=now)
    fail(4, at=now + LATER)
    assert guess(password=PASSWORD, at=now + LATER) == world.mia
    fail(5, at=now + LATER)
    locked(at=now + LATER)


def test_failures__forgotten__after_a_success_and_after_a_quarter_of_an_hour(world: World, now: datetime) -> None:
    fail(4, at=now)
    assert guess(password=PASSWORD, at=now) == world.mia
    fail(4, at=now)
    fail(4, at=now + LATER)
    assert guess(password=PASSWORD, at=now + LATER) == world.mia


def test_failures__a_right_password_that_waits_for_its_second_factor__stay_counted(world: World, now: datetime) -> None:
    """openemr#14110: a counter that a right password sets back gives endless guesses at the factor."""
    fail(4, at=now)
    for _number in range(3):  # right, and never completed
        check_credentials(email="mia@example.org", password=PASSWORD, at=now, **ORIGIN)
    fail(1, at=now)
    locked(at=now)


@pytest.mark.parametrize("typed", ["mia@example.org", "MIA@Example.org", " mia@example.org "])
def test_lock__another_spelling__is_the_same_address(world: World, now: datetime, typed: str) -> None:
    fail(5, at=now, email=typed)
    locked(at=now)
    (row,) = SignInLock.objects.all()
    assert "mia" not in row.key
    assert re.fullmatch("[0-9a-f]{64}", row.key)


@pytest.mark.seed("S3.3")
def test_guesses__a_hundred_at_once__five_are_evaluated(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[str] = []
    original = Argon2idHasher.verify

    def counted(self: Any, password: str, encoded: str) -> bool:
        evaluated.append(password)
        return original(self, password, encoded)

    monkeypatch.setattr(Argon2idHasher, "verify", counted)
    refused, locks = len(events("session.refused")), len(events("account.locked"))  # the trail outlives other tests
    now = timezone.now()
    for start in range(0, 100, 25):  # as many connections as PostgreSQL has to spare
        outcomes = race(*(lambda n=n: guess(password=f"wrong {n}", at=now) for n in range(start, start + 25)))
        assert all(isinstance(outcome, (InvalidCredentials, Locked)) for outcome in outcomes), outcomes
    assert len(evaluated) == 5
    assert len(events("session.refused")) - refused == 5
    assert len(events("account.locked")) - locks == 1


@pytest.mark.seed("S0.23", "S3.3")
@pytest.mark.parametrize("door", ["page", "api"])
def test_trail__wrong_password_right_password_and_wrong_code__three_different_things(world: World, door: str) -> None:
    phone = phone_of(world.mia)
    client = browser()

    def give(password: str, otp: str = "") -> int:
        if door == "api":
            body = {"email": "mia@example.org", "password": password} | ({"otp": otp} if otp else {})
            return client.post("/api/v1/auth/token/", body, content_type=JSON).status_code
        answer = submit(client, "/sign-in/", email="mia@example.org", password=password)
        if otp and answer.status_code == 302:
            answer = submit(client, answer["Location"], code=otp)
        return answer.status_code

    def recorded() -> list[tuple[str, str]]:
        with platform("test"):
            found = AuditEvent.objects.filter(action__startswith="session.").order_by("recorded", "sequence")
            return [(event.action, event.detail.get("proof", "")) for event in found]

    give(WRONG)
    assert recorded() == [("session.refused", "password")]
    give(PASSWORD)
    assert recorded()[1:] == [("session.second_factor_awaited", "")]
    (awaited,) = events("session.second_factor_awaited")
    assert (awaited.target_id, awaited.organization_id) == (str(world.mia.pk), world.platform.pk)
    give(PASSWORD, "000000")
    assert recorded()[-1] == ("session.refused", "second_factor")
    assert give(PASSWORD, phone.code()) in (200, 302)
    assert recorded()[-1] == ("session.started", "")
    assert PASSWORD not in str([event.detail for event in events("session.refused")])


def test_trail__who_has_no_second_factor__is_not_waited_for(world: World) -> None:
    submit(browser(), "/sign-in/", email="mia@example.org", password=PASSWORD)
    assert len(events("session.started")) == 1
    assert events("session.second_factor_awaited") == []


# --- every door ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.3")
def test_doors__locked_at_one__locked_at_each(world: World) -> None:
    client = browser(world.mia)
    for _number in range(5):
        response = submit(client, "/profile/password/", current_password="wrong", password="an entirely other horse")
        assert response.status_code == 422
    stranger = Client()
    sent = {"email": "mia@example.org", "password": PASSWORD}
    assert stranger.post("/sign-in/", sent).status_code == 429
    assert stranger.post("/sign-in/?next=/admin/", sent).status_code == 429
    changing = {"current_password": PASSWORD, "password": "an entirely other horse"}
    assert submit(client, "/profile/password/", **changing).status_code == 429
    assert client.get("/profile/").status_code == 200, "who is in stays in"


@pytest.mark.seed("S3.3")
def test_reset_link__while_locked__sets_the_password_and_opens_nothing(world: World) -> None:
    from accounts.links import reset_link_path

    now = timezone.now()
    fail(5, at=now)
    response = submit(browser(), reset_link_path(world.mia), password="an entirely other horse")
    assert response.status_code == 302
    locked(at=now, password="an entirely other horse")
    assert guess(password="an entirely other horse", at=now + LATER) == world.mia


# --- the mail, and past the lock -------------------------------------------------------------------------------------
@pytest.mark.seed("S3.3")
def test_mail__at_the_lock__one_with_a_link_that_gets_past_it(world: World, mail_sink: MailSink) -> None:
    now = timezone.now()
    fail(5, at=now)
    for _number in range(3):
        locked(at=now)
    assert relay_due_account_mail(at=timezone.now()) == 1
    (mail,) = [message_from_bytes(raw, policy=policy.default) for raw in mail_sink.messages()]
    assert mail["To"] == "mia@example.org"
    assert mail["Subject"] == "Signing in to healthivr is locked for 15 minutes"
    (path,) = set(re.findall(r"https?://[^/]+(/unlock/\S+/)", mail.get_body(("plain",)).get_content()))
    client = browser()
    for _time in range(3):
        assert read(client.get(path)).heading == "Try again in this browser"
    sent = {"email": "mia@example.org", "password": PASSWORD}
    assert submit(client, "/sign-in/", **sent).status_code == 429, "looking opens nothing"
    assert submit(client, path)["Location"] == "/sign-in/"
    assert read(client.get("/sign-in/")).values["email"] == "mia@example.org"
    assert submit(client, "/sign-in/", **{**sent, "password": "wrong"}).status_code == 422, "the password is asked"
    assert submit(client, "/sign-in/", **sent).status_code == 302
    assert Client().post("/sign-in/", sent).status_code == 429, "the stranger's lock stays"


def test_unlock_link__however_often_it_is_used__five_tries_in_all(world: World, now: datetime) -> None:
    fail(5, at=now)
    token = unlock_link_path(world.mia).split("/")[2]
    for _number in range(5):
        fail(1, at=now, browser=lockout.browser_for_unlock_link(token)[0])
    locked(at=now, browser=lockout.browser_for_unlock_link(token)[0])


def test_unlock_link__old_or_altered__closed_and_said_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unlock_link_path(world.mia)
    assert read(browser().get(path)).heading == "Try again in this browser"
    for broken in (path.replace("/unlock/", "/unlock/x"), "/unlock/x/", "/unlock/%F0%9F%92%A9/"):
        assert read(browser().get(broken), 410).heading == "This link is too old"
    import time

    start = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: start + 60 * 60 - 1)
    assert read(browser().get(path)).heading == "Try again in this browser"
    monkeypatch.setattr("django.core.signing.time.time", lambda: start + 60 * 60 + 1)
    closed = read(browser().get(path), 410)
    assert closed.links["Sign in"] == "/sign-in/"
    assert "older than one hour" in closed.main


def test_unlock_link__mailed_to_an_address_that_is_no_longer_theirs__closed_and_says_nothing_of_the_new_one(
    world: World,
) -> None:
    path, client = unlock_link_path(world.mia), browser()
    assert read(client.get(path)).heading == "Try again in this browser"
    User.objects.filter(pk=world.mia.pk).update(email="mia.new@example.org")
    closed = read(client.get(path), 410)
    assert closed.heading == "This link is too old"
    token = client.get("/sign-in/").cookies["csrftoken"].value
    assert client.post(path, {"csrfmiddlewaretoken": token}).status_code == 410
    assert "known_browser" not in client.cookies
    assert read(client.get("/sign-in/")).values["email"] == ""
    assert not events("account.unlock_link_used")
    assert submit(client, unlock_link_path(User.objects.get(pk=world.mia.pk)))["Location"] == "/sign-in/"


@pytest.mark.seed("S0.23")
def test_unlock_link__opened_and_used__the_use_alone_stands_in_the_trail(world: World) -> None:
    client, path = browser(), unlock_link_path(world.mia)
    read(client.get(path))
    client.head(path)
    assert events("account.unlock_link_used") == []
    submit(client, path)
    (event,) = events("account.unlock_link_used")
    assert (event.actor_id, event.organization_id) == (None, world.platform.pk)
    assert event.detail == {"address": address_digest("mia@example.org")}


@pytest.mark.seed("C8")
@pytest.mark.parametrize("quarter", [0, 2, 3, 6])
def test_lock__by_a_stranger_for_hours__the_owner_always_has_a_mailed_link_that_gets_past_it(
    world: World, monkeypatch: pytest.MonkeyPatch, quarter: int
) -> None:
    """A lock each quarter of an hour, and the owner looks at the very end of one of them."""
    start = timezone.now()
    mailed: list[tuple[datetime, str]] = []
    for number in range(quarter + 1):
        at = start + number * LATER
        fail(5, at=at)
        monkeypatch.setattr("django.core.signing.time.time", at.timestamp)
        if AccountMail.objects.filter(kind="locked", status="queued").count() > len(mailed):
            mailed.append((at, unlock_link_path(world.mia).split("/")[2]))
    end = start + (quarter + 1) * LATER - timedelta(seconds=1)
    locked(at=end)
    monkeypatch.setattr("django.core.signing.time.time", end.timestamp)
    assert guess(password=PASSWORD, at=end, browser=lockout.browser_for_unlock_link(mailed[-1][1])[0]) == world.mia
    assert len(mailed) == quarter // 3 + 1, "and is not mailed each time"


@pytest.mark.seed("C8")
def test_known_browser__locked_out_by_a_stranger__gets_in_and_has_five_tries_of_its_own(world: World) -> None:
    home = browser()
    sent = {"email": "mia@example.org", "password": PASSWORD}
    assert submit(home, "/sign-in/", **sent).status_code == 302
    token = home.get("/session/").json()["csrf_token"]
    assert home.post("/sign-out/", {"csrfmiddlewaretoken": token}).status_code == 302
    cookie = home.cookies["known_browser"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert "mia" not in cookie.value
    fail(5, at=timezone.now())
    assert Client().post("/sign-in/", sent).status_code == 429
    for _number in range(4):
        assert submit(home, "/sign-in/", **{**sent, "password": "wrong"}).status_code == 422
    assert submit(home, "/sign-in/", **sent).status_code == 302
    home.post("/sign-out/", {"csrfmiddlewaretoken": home.get("/session/").json()["csrf_token"]})
    for _number in range(5):
        assert submit(home, "/sign-in/", **{**sent, "password": "wrong"}).status_code == 422
    assert submit(home, "/sign-in/", **sent).status_code == 429


@pytest.mark.seed("C8", "S3.3")
def test_api__locked_out_by_a_stranger__the_cookie_of_the_mailed_link_gets_past(world: World) -> None:
    client, phone = browser(), phone_of(world.mia)
    sent = {"email": "mia@example.org", "password": PASSWORD}

    def obtain(**more: str) -> int:
        return client.post("/api/v1/auth/token/", {**sent, **more}, content_type=JSON).status_code

    assert obtain() == 401
    fail(5, at=timezone.now())
    assert obtain() == 429
    assert submit(client, unlock_link_path(world.mia))["Location"] == "/sign-in/"
    assert obtain() == 401
    assert obtain(otp="000000") == 422, "the code is guessed in this browser alone, too"
    assert obtain(otp=phone.code()) == 200
    assert Client().post("/api/v1/auth/token/", sent, content_type=JSON).status_code == 429, "the lock stays"


@pytest.mark.seed("C8", "S3.3")
def test_api__fresh_proof_while_a_stranger_locks__the_cookie_of_the_mailed_link_gets_past(world: World) -> None:
    client = browser(world.mia)
    headers = {"X-CSRFToken": client.get("/session/").json()["csrf_token"]}

    def verify(password: str = PASSWORD) -> int:
        body = {"password": password}
        return client.post("/api/v1/auth/verify/", body, content_type=JSON, headers=headers).status_code

    assert verify() == 204
    fail(5, at=timezone.now())
    assert verify() == 429
    client.cookies["known_browser"] = lockout.new_known_browser("mia@example.org")
    assert verify() == 204
    assert [verify(WRONG) for _number in range(5)] == [422] * 5
    assert verify() == 429


def sign_in_and_out(client: Client, email: str) -> None:
    assert submit(client, "/sign-in/", email=email, password=PASSWORD).status_code == 302
    client.post("/sign-out/", {"csrfmiddlewaretoken": client.get("/session/").json()["csrf_token"]})


@pytest.mark.seed("C8")
def test_known_browser__of_a_shared_workstation__knows_everybody_who_signed_in_there(world: World) -> None:
    shared = browser()
    for email in ("mia@example.org", "omar@example.org"):
        sign_in_and_out(shared, email)
    for email in ("mia@example.org", "omar@example.org"):
        fail(5, at=timezone.now(), email=email)
        assert Client().post("/sign-in/", {"email": email, "password": PASSWORD}).status_code == 429
        sign_in_and_out(shared, email)


def test_known_browser__six_people__the_longest_known_makes_room() -> None:
    cookie = ""
    people = [f"nurse{number}@example.org" for number in range(6)]
    for address in people:
        cookie = lockout.new_known_browser(address, cookie)
    assert [lockout.is_known_browser(address, cookie) for address in people] == [False, *[True] * 5]
    assert len(cookie) < 1000
    again = lockout.new_known_browser(people[3], cookie)
    assert [lockout.is_known_browser(address, again) for address in people] == [False, *[True] * 5]


def test_unlock_link__in_a_shared_browser__leaves_the_others_known(world: World, now: datetime) -> None:
    shared = lockout.new_known_browser("omar@example.org", lockout.new_known_browser("mia@example.org"))
    fail(5, at=now, browser=shared)
    locked(at=now, browser=shared)
    past, _address = lockout.browser_for_unlock_link(unlock_link_path(world.mia).split("/")[2], shared)
    fail(1, at=now, browser=past)
    assert guess(password=PASSWORD, at=now, browser=past) == world.mia
    fail(5, at=now, email="omar@example.org")
    assert guess("omar@example.org", PASSWORD, at=now, browser=past) == world.omar


def test_known_browser__of_somebody_else_or_altered__counts_with_the_address(world: World, now: datetime) -> None:
    foreign = lockout.new_known_browser("omar@example.org")
    own = lockout.new_known_browser("mia@example.org")
    fail(5, at=now)
    for cookie in (foreign, own[:-1] + ("a" if own[-1] != "a" else "b"), "junk", "\0", "x" * 10_000):
        locked(at=now, browser=cookie)
    assert guess(password=PASSWORD, at=now, browser=own) == world.mia


def test_mail__locked_again_and_again__one_an_hour(world: World, now: datetime) -> None:
    for number in range(5):
        fail(5, at=now + number * LATER)
    assert AccountMail.objects.filter(status="queued").count() == 2
    assert AccountMail.objects.filter(status="cancelled").count() == 3


def test_statements__known_unknown_and_switched_off__the_same(world: World, now: datetime) -> None:
    from django.test.utils import CaptureQueriesContext

    User.objects.filter(pk=world.omar.pk).update(is_active=False)

    def asked(email: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            fail(5, at=now, email=email)
        return [query["sql"].split()[0] for query in captured]

    assert asked("nobody@example.org") == asked("mia@example.org") == asked("omar@example.org")


# --- by an administrator ---------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.3")
def test_unlock__by_an_administrator__at_once_and_in_the_trail(world: World, now: datetime) -> None:
    fail(5, at=now)
    assert lockout.is_locked(world.mia, at=now)
    with tenant(world.practice):
        lockout.unlock_account(actor=world.actor(world.lee), user_id=world.mia.pk)
    assert not lockout.is_locked(world.mia, at=now)
    assert guess(password=PASSWORD, at=now) == world.mia
    (event,) = events("account.unlocked")
    assert (event.actor_id, event.target_id, event.organization_id) == (
        world.lee.pk,
        str(world.mia.pk),
        world.practice.pk,
    )


USERS = "/api/v1/admin/users/"


def member_page(world: World, user: User) -> str:
    with platform("test"):
        return f"/o/lee-family-practice/people/{Membership.objects.get(user=user, organization=world.practice).pk}/"


def lock_at_home(email: str = "mia@example.org") -> Client:
    """Mistype five times in the browser in which one always signs in."""
    home = browser()
    sign_in_and_out(home, email)
    for _number in range(5):
        assert submit(home, "/sign-in/", email=email, password=WRONG).status_code == 422
    assert submit(home, "/sign-in/", email=email, password=PASSWORD).status_code == 429
    return home


@pytest.mark.seed("S3.3")
@pytest.mark.parametrize("door", ["page", "api"])
def test_unlock__of_who_mistyped_in_their_own_browser__shown_as_locked_and_ended_there_too(
    world: World, door: str
) -> None:
    home, runner = lock_at_home(), browser(world.lee)
    page = member_page(world, world.mia)
    assert runner.get(f"{USERS}{world.mia.pk}/").json()["is_locked"]
    assert "Unlock sign-in" in read(runner.get(page)).buttons
    if door == "page":
        assert submit(runner, page, to=f"{page}unlock/").status_code == 302
    else:
        token = runner.get("/session/").json()["csrf_token"]
        answer = runner.post(f"{USERS}{world.mia.pk}/unlock/", {}, content_type=JSON, headers={"X-CSRFToken": token})
        assert (answer.status_code, answer.json()["is_locked"]) == (200, False)
    assert not SignInLock.objects.exists()
    assert "Unlock sign-in" not in read(runner.get(page)).buttons
    assert submit(home, "/sign-in/", email="mia@example.org", password=PASSWORD).status_code == 302


def test_unlock__of_one_person__leaves_the_locks_of_others(world: World, now: datetime) -> None:
    home = lock_at_home("omar@example.org")
    fail(5, at=now)
    with tenant(world.practice):
        lockout.unlock_account(actor=world.actor(world.lee), user_id=world.mia.pk)
    assert submit(home, "/sign-in/", email="omar@example.org", password=PASSWORD).status_code == 429
    assert lockout.locked_among([(user.pk, user.email) for user in (world.mia, world.omar)], at=now) == {world.omar.pk}


@pytest.mark.seed("S3.3")
def test_unlock__of_a_platform_administrator_who_joined__outranked_and_not_offered_but_to_their_like(
    world: World, now: datetime
) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.ana, role=Role.PRIVACY_OFFICER)
        other = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    fail(5, at=now)
    fail(5, at=now, email="ana@example.org")
    runner, like = browser(world.lee), browser(other)
    assert "Unlock sign-in" in read(runner.get(member_page(world, world.mia))).buttons
    page = member_page(world, world.ana)
    assert "Unlock sign-in" not in read(runner.get(page)).buttons
    token = runner.get("/session/").json()["csrf_token"]
    headers = {"X-CSRFToken": token, "X-Organization": "lee-family-practice"}
    allowed, refused = (
        runner.post(f"{USERS}{user.pk}/unlock/", {}, content_type=JSON, headers=headers)
        for user in (world.mia, world.ana)
    )
    assert allowed.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (403, "outranked")
    assert runner.post(f"{page}unlock/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert "belongs to an administrator of the platform" in str(read(runner.get(page)).notices)
    assert lockout.is_locked(world.ana, at=now)
    assert submit(like, page, to=f"{page}unlock/").status_code == 302
    assert not lockout.is_locked(world.ana, at=now)


def test_unlock__by_somebody_else__refused(world: World, now: datetime) -> None:
    fail(5, at=now)
    for actor, error in (
        (world.actor(world.omar), "not_permitted"),
        (world.actor(world.stone), "not_found"),
    ):
        with tenant(actor.organization), pytest.raises(Exception, match=error):
            lockout.unlock_account(actor=actor, user_id=world.mia.pk)
    assert lockout.is_locked(world.mia, at=now)
