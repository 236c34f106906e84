"""How often somebody may try (C5), who is counted as the same, and what happens while Redis is away."""

import json
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.test import Client, RequestFactory
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from rest_framework.views import APIView

from accounts.keys import create_key
from accounts.models import User, UserSession
from audit.models import AuditEvent
from healthivr.api import EverythingThrottle
from healthivr.kernel.errors import TooManyRequests
from healthivr.kernel.limits import client_address, count_attempt
from healthivr.testing.factories import PASSWORD
from healthivr.testing.pages import read
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.tokens import derive_token
from organizations.tenancy import platform

API = "/api/v1/invitations/"


WRONG = "wrong wrong wrong"


def sign_in_page(email: str, password: str = WRONG, **headers: str) -> Any:
    return Client().post("/sign-in/", {"email": email, "password": password}, **headers)


def attempt(scope: str, *, key: str = "", address: str = "192.0.2.1") -> Any:
    request: Any = RequestFactory(REMOTE_ADDR=address).get("/")
    count_attempt(request, scope, key=key)
    return request.rate_limit


class Clock:
    """The limiter's clock. It stands still, so that no window ends in the middle of a test."""

    def __init__(self) -> None:
        self.now = int(time.time())

    def time(self) -> int:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the limiter reads."""
    stopped = Clock()
    monkeypatch.setattr("django_ratelimit.core.time", stopped)
    return stopped


# --- how many --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.19", "S3.2", "S4.9")
def test_limits__as_the_sources_were_reconciled() -> None:
    assert django_settings.LIMITS == {
        "sign_in_account": "5/15m",
        "sign_in_address": "20/15m",
        "sign_in_refresh": "60/15m",
        "password_reset_account": "3/15m",
        "password_reset_address": "20/15m",
        "token_pages": "10/m",
        "anonymous_pages": "100/15m",
        "invitation_api": "60/m",
        "everything": "300/60s",
    }


@pytest.mark.parametrize(
    ("scope", "count"), [("sign_in_account", 5), ("token_pages", 10), ("invitation_api", 60), ("anonymous_pages", 100)]
)
def test_limit__the_last_one_passes_and_the_next_is_told_how_long_to_wait(scope: str, count: int) -> None:
    for number in range(1, count + 1):
        assert attempt(scope)[:2] == (count, count - number)
    with pytest.raises(TooManyRequests) as refused:
        attempt(scope)
    assert 0 < refused.value.retry_after <= 15 * 60 + 1
    assert attempt(scope, address="192.0.2.2")[1] == count - 1
    assert attempt("everything")[1] == 299


def test_limit__when_its_time_is_over__begins_anew(clock: Clock) -> None:
    for _number in range(10):
        attempt("token_pages")
    with pytest.raises(TooManyRequests) as refused:
        attempt("token_pages")
    clock.now += refused.value.retry_after - 1
    with pytest.raises(TooManyRequests):
        attempt("token_pages")
    clock.now += 1
    assert attempt("token_pages")[1] == 9


# --- through the doors -----------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.2", "S4.9")
def test_sign_in__sixth_attempt_at_one_account__429_whatever_the_spelling_and_even_with_the_right_password(
    world: World,
) -> None:
    for spelling in ("lee@example.org", "Lee@example.org", " LEE@EXAMPLE.ORG ", "lee@example.org", "lee@Example.org"):
        assert sign_in_page(spelling).status_code == 422
    refused = sign_in_page("lee@example.org", PASSWORD)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 901
    assert refused["RateLimit-Limit"] == "5"
    assert refused["RateLimit-Remaining"] == "0"
    assert sign_in_page("omar@example.org", PASSWORD).status_code == 302


@pytest.mark.seed("S3.2")
def test_sign_in__twenty_first_attempt_from_one_address__429_whatever_the_account(world: World) -> None:
    for number in range(20):
        assert sign_in_page(f"person{number}@example.org").status_code == 422
    assert sign_in_page("lee@example.org", PASSWORD).status_code == 429
    assert sign_in_page("lee@example.org", PASSWORD, REMOTE_ADDR="192.0.2.9").status_code == 302


@pytest.mark.seed("S2.22")
def test_sign_in__another_x_forwarded_for_each_time__counts_as_one_client(world: World, settings: Any) -> None:
    for number in range(20):
        forged = {"HTTP_X_FORWARDED_FOR": f"203.0.113.{number}", "HTTP_FORWARDED": f"for=203.0.113.{number}"}
        assert sign_in_page(f"person{number}@example.org", **forged).status_code == 422
    assert sign_in_page("mia@example.org", PASSWORD, HTTP_X_FORWARDED_FOR="203.0.113.99").status_code == 429


def test_sign_in__behind_a_proxy__forged_hops_left_of_the_proxys_own_do_not_help(world: World, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    for number in range(20):
        chain = f"203.0.113.{number}, 198.51.100.7"
        assert sign_in_page(f"person{number}@example.org", HTTP_X_FORWARDED_FOR=chain).status_code == 422
    assert sign_in_page("mia@example.org", HTTP_X_FORWARDED_FOR="203.0.113.99, 198.51.100.7").status_code == 429
    assert sign_in_page("mia@example.org", HTTP_X_FORWARDED_FOR="203.0.113.99, 198.51.100.8").status_code == 422


def test_password_reset__fourth_for_one_account__429_for_known_and_unknown_alike(world: World) -> None:
    for email in ("lee@example.org", "nobody@example.org"):
        answers = [Client().post("/password-reset/", {"email": email}).status_code for _number in range(4)]
        assert answers == [302, 302, 302, 429]


def test_change_of_password__sixth_guess_of_the_current_one__429(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(world.lee)
    form = {"current_password": "not the right one", "password": "a completely different passphrase"}
    answers = [client.post("/profile/password/", form).status_code for _number in range(6)]
    assert answers == [422] * 5 + [429]


@pytest.mark.seed("S0.19")
def test_invitation_api__sixty_first_call_of_a_minute__429_as_a_problem_and_for_that_person_alone(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(world.lee)
    for number in range(1, 61):
        response = client.get(API)
        assert response.status_code == 200
        assert (response["RateLimit-Limit"], response["RateLimit-Remaining"]) == ("60", str(60 - number))
        assert 0 < int(response["RateLimit-Reset"]) <= 61
    refused = client.post(API, json.dumps({}), content_type="application/json")
    assert (refused.status_code, refused["Content-Type"]) == (429, "application/problem+json")
    assert refused.json()["code"] == "too_many_requests"
    assert 0 < int(refused["Retry-After"]) <= 61
    assert sign_in(world.omar).get(API).status_code == 200


@pytest.mark.seed("S0.19")
def test_token_routes__eleventh_look_of_a_minute__429_however_the_link_is_tried(world: World) -> None:
    token = derive_token(world.invitation.token_nonce)
    ways: list[Callable[[Client], Any]] = [
        lambda client: client.get(f"{API}validate/{token}/"),
        lambda client: client.get(f"{API}validate/guess{len(token)}/"),
        lambda client: client.post(f"{API}decline/guess/", json.dumps({}), content_type="application/json"),
        lambda client: client.get(f"/i/{token}/"),
        lambda client: client.post(f"{API}accept/guess/", json.dumps({}), content_type="application/json"),
    ]
    answers = [ways[number % len(ways)](Client()).status_code for number in range(10)]
    assert set(answers) <= {200, 302, 404}
    for way in ways:
        assert way(Client()).status_code == 429
    assert Client(REMOTE_ADDR="192.0.2.9").get(f"{API}validate/{token}/").status_code == 200


@pytest.mark.seed("S0.19")
@pytest.mark.parametrize("address", ["/i/accept/", "/i/decline/", "/i/start/"])
def test_token_pages__eleventh_guess_of_a_minute__429_whether_in_a_cookie_or_sent(world: World, address: str) -> None:
    def guess(number: int) -> int:
        client, token = Client(), f"{number:043}"
        if address == "/i/start/":
            return client.post(address, {"token": token, "act": "accept"}).status_code
        client.cookies["invitation"] = token
        return client.get(address).status_code

    assert {guess(number) for number in range(10)} <= {302, 404}
    assert guess(10) == 429
    assert Client(REMOTE_ADDR="192.0.2.9").get(f"/i/{derive_token(world.invitation.token_nonce)}/").status_code == 200


@pytest.mark.seed("S0.19")
def test_token_pages__real_invitees_way__counts_two_of_ten(world: World) -> None:
    token, client = derive_token(world.invitation.token_nonce), Client()
    assert client.get(f"/i/{token}/").status_code == 200
    assert client.post("/i/start/", {"token": token, "act": "accept"}).status_code == 302
    for _look in range(20):
        assert client.get("/i/accept/").status_code == 200
        assert client.get("/i/decline/").status_code == 200
    nora = {"first_name": "Nora", "last_name": "Quist", "password": PASSWORD, "token": token}
    assert client.post("/i/accept/", nora).status_code == 302
    assert attempt("token_pages", address="127.0.0.1")[1] == 7


def test_pages__of_somebody_signed_in__not_counted_with_strangers(
    world: World, sign_in: Callable[[User], Client], settings: Any
) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "anonymous_pages": "3/15m"}
    for _number in range(3):
        assert Client().get("/sign-in/").status_code == 200
    assert Client().get("/sign-in/").status_code == 429
    client = sign_in(world.lee)
    for _number in range(5):
        assert client.get("/profile/").status_code == 200
        assert client.get("/o/lee-family-practice/").status_code == 200


@pytest.mark.seed("S2.22")
def test_api__three_hundred_and_first_call_of_an_address__429_with_headers(world: World) -> None:
    """Routes without a limit of their own have this one; calls of others do not count in it."""
    for number in range(1, 301):
        answer = Client().get("/api/v1/docs/")
        assert (answer.status_code, answer["RateLimit-Remaining"]) == (200, str(300 - number))
    refused = Client().get("/api/v1/docs/")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert (refused["RateLimit-Limit"], refused["RateLimit-Remaining"]) == ("300", "0")
    assert 0 < int(refused["Retry-After"]) <= 61
    assert Client().get("/api/v1/docs/", REMOTE_ADDR="192.0.2.9").status_code == 200
    assert Client().get(f"{API}validate/x/").status_code == 404


def refused_calls(call: Callable[[], Any], most: int, status: int, code: str) -> Any:
    """Call as often as the limit lets pass, which is refused for its own reason, and once more; return that answer."""
    for number in range(1, most + 1):
        answer = call()
        assert (answer.status_code, answer.json()["code"]) == (status, code), number
        assert (answer["RateLimit-Limit"], answer["RateLimit-Remaining"]) == (str(most), str(most - number))
        assert 0 < int(answer["RateLimit-Reset"]) <= 61
    refused = call()
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused["Content-Type"] == "application/problem+json"
    assert (refused["RateLimit-Limit"], refused["RateLimit-Remaining"]) == (str(most), "0")
    assert 0 < int(refused["Retry-After"]) <= 61
    return refused


def refusals_recorded() -> int:
    with platform("test"):
        return AuditEvent.objects.filter(action="access.refused").count()


@pytest.mark.seed("S0.19")
def test_invitation_api__calls_of_who_may_not__counted_like_others_and_the_trail_is_not_filled(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    assert sign_in(world.lee).get(API).status_code == 200
    client = sign_in(world.mia)
    refused_calls(lambda: client.get(API), 60, 403, "not_permitted")
    recorded = refusals_recorded()
    assert recorded == 60
    for _number in range(3):
        assert client.get(API).status_code == 429
    assert refusals_recorded() == recorded
    assert sign_in(world.omar).get(API).status_code == 200


@pytest.mark.seed("S0.19", "S2.22")
@pytest.mark.parametrize(("address", "most"), [(API, 60), ("/api/v1/admin/users/", 300)])
def test_api__calls_into_an_organization_of_others__counted_like_others(
    world: World, sign_in: Callable[[User], Client], address: str, most: int
) -> None:
    client = sign_in(world.lee)
    assert sign_in(world.stone).get(address, headers={"X-Organization": "stone-clinic"}).status_code == 200
    refused_calls(lambda: client.get(address, headers={"X-Organization": "stone-clinic"}), most, 404, "not_found")


@pytest.mark.seed("S2.22")
@pytest.mark.parametrize(
    ("credentials", "code"),
    [("", "sign_in_required"), ("Bearer made-up", "token_invalid"), ("Bearer hivr_nope", "token_invalid")],
)
def test_api__calls_of_nobody_we_know__counted_by_their_address(world: World, credentials: str, code: str) -> None:
    headers = {"Authorization": credentials} if credentials else {}

    def call(address: str = "192.0.2.7") -> Any:
        return Client().get(API, headers=headers, REMOTE_ADDR=address)

    refused = refused_calls(call, 300, 401, code)
    assert "made-up" not in refused.text
    elsewhere = call("192.0.2.8")
    assert (elsewhere.status_code, "WWW-Authenticate" in elsewhere) == (401, True)


@pytest.mark.seed("S2.22")
def test_api__calls_of_who_lacks_a_second_factor__counted_as_theirs(
    world: World, sign_in: Callable[[User], Client], settings: Any
) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "everything": "3/60s"}
    client = sign_in(world.lee)
    assert client.get(API).status_code == 200
    UserSession.objects.filter(user=world.lee).update(second_factor_at=None)
    refused_calls(lambda: client.get(API), 3, 403, "second_factor_enrolment_required")
    assert sign_in(world.omar).get(API).status_code == 200
    assert Client().get(API).status_code == 401, "the address is not theirs alone"


@pytest.mark.seed("S2.22")
def test_api__calls_by_a_key_without_the_scope__counted_as_those_of_its_person_and_the_trail_is_not_filled(
    world: World, sign_in: Callable[[User], Client], settings: Any
) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "everything": "3/60s"}
    named = {"name": "Night run", "organization": "lee-family-practice", "scopes": ["invitations:read"], "days": 1}
    origin = {"ip": "192.0.2.1", "request_id": "test"}
    session = session_of(world.lee)
    _key, secret = create_key(user=world.lee, session=session, at=timezone.now(), **named, **origin)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {secret}"}
    assert Client().get(API, headers=headers).status_code == 200
    refused_calls(lambda: Client().get("/api/v1/admin/users/", headers=headers), 3, 403, "scope_missing")
    assert refusals_recorded() == 3
    assert Client().get("/api/v1/admin/users/").status_code == 401


@pytest.mark.seed("S2.22")
def test_api__a_call_that_is_allowed__counts_once(world: World, sign_in: Callable[[User], Client]) -> None:
    client = sign_in(world.lee)
    assert client.get("/api/v1/admin/users/")["RateLimit-Remaining"] == "299"
    malformed = client.get("/api/v1/admin/users/?limit=x")
    assert (malformed.status_code, malformed["RateLimit-Remaining"]) == (400, "298")


@pytest.mark.seed("S2.22")
def test_pages__of_somebody_signed_in__three_hundred_a_minute_then_a_page_that_says_so(
    world: World, sign_in: Callable[[User], Client], settings: Any
) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "everything": "5/60s"}
    client = sign_in(world.lee)
    for address in (
        "/profile/",
        "/o/lee-family-practice/people/",
        "/profile/sessions/",
        "/o/stone-clinic/",
        "/profile/",
    ):
        assert client.get(address).status_code in (200, 404)
    refused = read(client.get("/profile/"), 429)
    assert "too often" in refused.main.lower() or "too many" in refused.main.lower()
    answer = client.post("/profile/", {"first_name": "Eve"})
    assert (answer.status_code, answer["RateLimit-Limit"], answer["RateLimit-Remaining"]) == (429, "5", "0")
    assert 0 < int(answer["Retry-After"]) <= 61
    assert sign_in(world.omar).get("/profile/").status_code == 200
    assert Client().get("/sign-in/").status_code == 200


@pytest.mark.seed("S2.22")
def test_pages__and_api__one_count_of_a_person(world: World, sign_in: Callable[[User], Client], settings: Any) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "everything": "3/60s"}
    client = sign_in(world.lee)
    assert client.get("/profile/").status_code == 200
    assert client.get("/api/v1/admin/users/").status_code == 200
    assert client.get("/profile/").status_code == 200
    assert client.get("/profile/").status_code == 429
    assert client.get("/api/v1/admin/users/").status_code == 429


@pytest.mark.seed("S2.22")
def test_pages__what_they_ask_for_by_themselves__counts_for_nobody(
    world: World, sign_in: Callable[[User], Client], settings: Any
) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "everything": "2/60s"}
    client = sign_in(world.lee)
    standing = f"/o/lee-family-practice/invitations/{world.invitation.pk}/standing/"
    for _number in range(5):
        assert client.get("/session/").status_code == 200
        assert client.get(standing, headers={"HX-Request": "true"}).status_code == 200
    assert [client.get("/profile/").status_code for _number in range(3)] == [200, 200, 429]
    assert client.get("/session/").status_code == 200


def test_admin_site__of_the_platform__counted_like_pages(
    world: World, sign_in: Callable[[User], Client], settings: Any
) -> None:
    settings.LIMITS = {**django_settings.LIMITS, "everything": "2/60s"}
    client = sign_in(world.ana)
    assert [client.get("/admin/").status_code for _number in range(3)] == [200, 200, 429]


def mounted_api_views(resolver: URLResolver | None = None, prefix: str = "") -> list[Any]:
    """The view of every route below /api/."""
    found = []
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += mounted_api_views(entry, pattern)
        elif pattern.startswith("api/"):
            found.append(entry.callback.cls)  # type: ignore[attr-defined]
    return found


@pytest.mark.seed("S2.22")
def test_api__every_view_that_counts_in_nothing_of_its_own__counts_in_everything() -> None:
    views = [view for view in mounted_api_views() if view.check_throttles is APIView.check_throttles]
    assert views
    for view in views:
        assert view.throttle_classes == [EverythingThrottle], view


# --- whose address ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.22")
@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, None, "10.0.0.1"),
        (0, "203.0.113.5", "10.0.0.1"),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "1.1.1.1, 2.2.2.2, 203.0.113.5", "203.0.113.5"),
        (2, "1.1.1.1, 203.0.113.5, 198.51.100.1", "203.0.113.5"),
        (2, "203.0.113.5", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, " , ,", "10.0.0.1"),
        (1, "1.1.1.1,203.0.113.5 ", "203.0.113.5"),
        (1, "203.0.113.5:4711", "203.0.113.5"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "unknown", "10.0.0.1"),
        (1, "x" * 500, "10.0.0.1"),
        (1, "203.0.113.5'; DROP TABLE x", "10.0.0.1"),
    ],
)
def test_client_address__counted_from_the_right__and_an_address_or_the_peer(
    settings: Any, proxies: int, header: str | None, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    extra = {} if header is None else {"HTTP_X_FORWARDED_FOR": header}
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", **extra)) == address


def test_client_address__peer_behind_a_socket__is_nobody() -> None:
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="")) == ""


# --- without Redis ---------------------------------------------------------------------------------------------------
@pytest.fixture
def redis_away(settings: Any) -> None:
    """A Redis that refuses connections."""
    here = settings.CACHES["default"]
    settings.CACHES = {"default": {**here, "LOCATION": "redis://127.0.0.1:1/0"}}


@pytest.mark.seed("S2.22")
def test_redis_away__limits_count_in_the_process_and_the_log_says_so(
    world: World, redis_away: None, caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    answers = [sign_in_page("lee@example.org").status_code for _number in range(5)]
    assert answers == [422] * 5
    assert sign_in_page("lee@example.org", PASSWORD).status_code == 429
    assert sign_in_page("omar@example.org", PASSWORD).status_code == 302
    assert time.monotonic() - started < 10
    warnings = [record.msg for record in caplog.records if record.name == "healthivr.kernel.cache"]
    assert warnings
    assert {line["event"] for line in warnings} == {"cache_fallback"}  # type: ignore[index]
    assert "lee" not in str(warnings)


@pytest.mark.seed("S0.29", "S2.22")
def test_redis_away__everything_still_answers(
    world: World, redis_away: None, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(world.lee)
    body = {"invitation_type": "office_admin", "email": "nora@example.org"}
    assert client.get(API).status_code == 200
    assert client.post(API, json.dumps(body), content_type="application/json").status_code == 201
    assert client.get("/o/lee-family-practice/invitations/").status_code == 200
    assert sign_in_page("mia@example.org", PASSWORD).status_code == 302


def test_redis_away__threads_of_a_process__share_the_count(redis_away: None) -> None:
    refused: list[bool] = []

    def try_often() -> None:
        for _number in range(5):
            try:
                attempt("token_pages")
                refused.append(False)
            except TooManyRequests:
                refused.append(True)

    threads = [Thread(target=try_often) for _count in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.count(False) == 10


def test_redis_comes_back__is_asked_again_after_a_moment(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = caches["default"]
    cache.set("x", "in redis")
    monkeypatch.setattr(cache, "_away_until", time.monotonic() + 60)
    assert cache.get("x") is None
    cache.set("x", "in the process")
    assert cache.get("x") == "in the process"
    monkeypatch.setattr(cache, "_away_until", time.monotonic() - 1)
    assert cache.get("x") == "in redis"


def test_limits__ipv6_client_changes_its_address_within_its_network__counts_as_one(settings: Any) -> None:
    settings.LIMITS = {**settings.LIMITS, "token_pages": "2/m"}
    attempt("token_pages", address="2001:db8:1:2::1")
    attempt("token_pages", address="2001:db8:1:2:ffff::9")
    with pytest.raises(TooManyRequests):
        attempt("token_pages", address="2001:db8:1:2::3")
    attempt("token_pages", address="2001:db8:1:3::1")
