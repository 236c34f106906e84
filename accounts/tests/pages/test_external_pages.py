"""Signing in by an identity provider, through a real one (healthivr/testing/identity_provider.py)."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from joserfc.jwk import ECKey, RSAKey

from accounts.delivery import relay_due_account_mail
from accounts.models import AccountMail, AccountMailKind, ExternalIdentity, SignInMethod, User, UserSession
from accounts.oidc import provider as our_side
from accounts.oidc.services import note_sign_in
from accounts.views.external import PENDING, PENDING_LIFE
from audit.models import AuditEvent, Outcome
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import phone_of
from healthivr.testing.identity_provider import CLIENT_ID, Claims, IdentityProvider
from healthivr.testing.pages import Page, browser, read, submit
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.tenancy import platform

BEGIN = "/sign-in/external/"
BACK = "/sign-in/external/callback/"
MANY_KEYS = "/keys"
ORIGIN: dict[str, Any] = {"ip": "192.0.2.1", "request_id": "test-request"}


def begin(client: Client, *, target: str = "") -> str:
    """Press the button; return where it leads."""
    response = client.get(BEGIN, {"next": target} if target else {})
    assert response.status_code == 302
    return str(response["Location"])


def come_back(client: Client, provider: IdentityProvider, person: str = "mia", *, target: str = "", **more: str) -> Any:
    """Sign in there as somebody, and come back."""
    return client.get(provider.sign_in(person, begin(client, target=target), **more))


def is_in(client: Client) -> bool:
    return bool(client.get("/profile/").status_code == 200)


def refused(client: Client, response: Any, status: int, words: str) -> Page:
    """Read the page that says why nobody was signed in; it always offers the password."""
    page = read(response, status)
    assert page.heading == "You are not signed in"
    assert words in page.main
    assert page.links["Sign in with your password"].partition("?")[0] == "/sign-in/"
    assert not is_in(client)
    return page


def events(action: str) -> list[AuditEvent]:
    with platform("test"):
        return list(AuditEvent.objects.filter(action=action).order_by("sequence"))


def link(user: User, subject: str = "sub-of-mia") -> ExternalIdentity:
    return note_sign_in(user=user, subject=subject, at=timezone.now(), **ORIGIN)


# --- off, and on -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.16")
def test_feature__that_nobody_configured__is_nowhere(world: World) -> None:
    assert settings.OIDC_ISSUER == ""
    client = browser()
    page = read(client.get("/sign-in/"))
    assert BEGIN not in page.links.values()
    assert client.get(BEGIN).status_code == 404
    assert client.get(BACK).status_code == 404
    client = browser(world.mia)
    assert "Sign-in with" not in read(client.get("/profile/")).main
    with platform("test"):
        identity = ExternalIdentity.objects.create(
            user=world.mia, issuer="https://x", subject="s", created_at=timezone.now(), last_used_at=timezone.now()
        )
    assert Client().get(f"/profile/external/{identity.pk}/remove/").status_code == 302
    signed_in = Client()
    signed_in.force_login(world.mia)
    assert signed_in.post(f"/profile/external/{identity.pk}/remove/").status_code == 404
    assert ExternalIdentity.objects.count() == 1


@pytest.mark.seed("S2.16")
def test_sign_in__first_time_by_verified_address__links_mails_and_signs_in(
    world: World, provider: IdentityProvider, mail_sink: Any
) -> None:
    provider.knows("mia", email=" Mia@Example.ORG ", email_verified=True)
    client = browser()
    page = read(client.get("/sign-in/?next=/profile/"))
    assert page.links["Sign in with Clinic ID"] == f"{BEGIN}?next=%2Fprofile%2F"
    response = come_back(client, provider, target="/profile/")
    assert (response.status_code, response["Location"]) == (302, "/profile/")
    panel = read(client.get("/profile/"))
    assert "Your account of Clinic ID signs you in here." in panel.main
    assert provider.issuer in panel.main
    identity = ExternalIdentity.objects.get()
    assert (identity.user, identity.issuer, identity.subject) == (world.mia, provider.issuer, "sub-of-mia")
    session = UserSession.objects.get(user=world.mia)
    assert session.method == SignInMethod.EXTERNAL
    assert "Browser, by an identity provider" in read(client.get("/profile/sessions/")).main
    (linked,) = events("external_identity.linked")
    assert (linked.actor_id, linked.target_id) == (world.mia.pk, str(identity.pk))
    (started,) = events("session.started")
    assert started.detail["method"] == "external"
    relay_due_account_mail(at=timezone.now())
    (mail,) = AccountMail.objects.filter(user=world.mia)
    assert (mail.kind, mail.status) == (AccountMailKind.EXTERNAL_LINKED, "sent")


def test_sign_in__again__no_second_link_and_no_second_mail(world: World, provider: IdentityProvider) -> None:
    for _time in range(2):
        client = browser()
        come_back(client, provider)
        assert is_in(client)
    assert ExternalIdentity.objects.count() == 1
    assert AccountMail.objects.filter(kind=AccountMailKind.EXTERNAL_LINKED).count() == 1


# --- whose it is -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.16")
@pytest.mark.parametrize(
    "claims",
    [
        {"email": "nobody@example.org", "email_verified": True},
        {"email": "mia@example.org", "email_verified": False},
        {"email": "mia@example.org", "email_verified": "true"},
        {"email": "mia@example.org", "email_verified": 1},
        {"email": "mia@example.org"},
        {"email": "mia@example.org\n", "email_verified": None},
        {"email": "no address", "email_verified": True},
        {"email": ["mia@example.org"], "email_verified": True},
        {"email_verified": True},
        {},
    ],
    ids=json.dumps,
)
def test_sign_in__of_nobody_here__refused_with_the_way_in(
    world: World, provider: IdentityProvider, claims: Claims
) -> None:
    provider.knows("stranger", **claims)
    client = browser()
    page = refused(
        client, come_back(client, provider, "stranger", target="/profile/"), 403, "opens no account of healthivr."
    )
    assert "Accounts are made by invitation" in page.main
    assert page.links["Sign in with your password"] == "/sign-in/?next=%2Fprofile%2F"
    another = client.get(page.links["Use another account of Clinic ID"])["Location"]
    assert parse_qs(urlsplit(another).query)["prompt"] == ["select_account"]
    assert client.session[PENDING]["next"] == "/profile/"
    assert not ExternalIdentity.objects.exists()
    (event,) = events("session.refused")
    assert event.outcome == Outcome.REFUSED
    assert "example.org" not in json.dumps(event.detail)
    come_back(client, provider)  # the same browser, as somebody who is known
    assert is_in(client)


@pytest.mark.parametrize("how", [{"is_active": False}, {"must_change_password": True}], ids=str)
@pytest.mark.parametrize("is_linked", [False, True])
def test_sign_in__of_somebody_switched_off__the_same_refusal(
    world: World, provider: IdentityProvider, how: dict[str, bool], is_linked: bool
) -> None:
    if is_linked:
        link(world.mia)
    User.objects.filter(pk=world.mia.pk).update(**how)
    client = browser()
    switched_off = refused(client, come_back(client, provider), 403, "opens no account").main
    provider.knows("stranger", email="nobody@example.org", email_verified=True)
    assert refused(client, come_back(client, provider, "stranger"), 403, "opens no account").main == switched_off


def test_sign_in__linked__by_subject_alone_whatever_the_address(world: World, provider: IdentityProvider) -> None:
    link(world.mia)
    provider.knows("mia", email="omar@example.org", email_verified=True)  # changed there, to a colleague's
    client = browser()
    come_back(client, provider)
    assert UserSession.objects.get().user == world.mia
    provider.knows("mia")
    client = browser()
    come_back(client, provider)
    assert is_in(client)


def test_sign_in__another_subject_with_the_address_of_somebody_linked__refused(
    world: World, provider: IdentityProvider
) -> None:
    link(world.mia)
    provider.knows("usurper", email="mia@example.org", email_verified=True)
    client = browser()
    refused(client, come_back(client, provider, "usurper"), 403, "opens no account")
    assert ExternalIdentity.objects.get().subject == "sub-of-mia"


def test_sign_in__same_subject_of_another_issuer__is_somebody_else(world: World, provider: IdentityProvider) -> None:
    identity = link(world.mia)
    ExternalIdentity.objects.filter(pk=identity.pk).update(issuer="https://another.example.org")
    provider.knows("mia", email="nobody@example.org", email_verified=True)
    client = browser()
    refused(client, come_back(client, provider), 403, "opens no account")


# --- tokens that do not hold -----------------------------------------------------------------------------------------
def now() -> int:
    return int(timezone.now().timestamp())


INVALID = "could not be verified"
CLOCK = "clocks of healthivr and of the sign-in service do not agree"
LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another issuer": (lambda c: {**c, "iss": "https://id.example.org"}, INVALID),
    "issuer with a slash": (lambda c: {**c, "iss": c["iss"] + "/"}, INVALID),
    "another audience": (lambda c: {**c, "aud": "another-client"}, INVALID),
    "further audience": (lambda c: {**c, "aud": [CLIENT_ID, "another-client"], "azp": CLIENT_ID}, INVALID),
    "another party": (lambda c: {**c, "azp": "another-client"}, INVALID),
    "no audience": (lambda c: without(c, "aud"), INVALID),
    "another nonce": (lambda c: {**c, "nonce": "of another sign-in"}, INVALID),
    "no nonce": (lambda c: without(c, "nonce"), INVALID),
    "no subject": (lambda c: without(c, "sub"), INVALID),
    "empty subject": (lambda c: {**c, "sub": ""}, INVALID),
    "numeric subject": (lambda c: {**c, "sub": 7}, INVALID),
    "long subject": (lambda c: {**c, "sub": "x" * 256}, INVALID),
    "NUL in the subject": (lambda c: {**c, "sub": "a\0b"}, INVALID),
    "of another access token": (lambda c: {**c, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, INVALID),
    "no expiry": (lambda c: without(c, "exp"), INVALID),
    "expiry in words": (lambda c: {**c, "exp": "never"}, INVALID),
    "expired": (lambda c: {**c, "iat": now() - 400, "exp": now() - 90}, CLOCK),
    "from the future": (lambda c: {**c, "iat": now() + 90}, CLOCK),
    "not yet valid": (lambda c: {**c, "nbf": now() + 90}, CLOCK),
}


def without(claims: Claims, name: str) -> Claims:
    return {key: value for key, value in claims.items() if key != name}


@pytest.mark.seed("S2.16")
@pytest.mark.parametrize("lie", LIES)
def test_token__whose_claims_do_not_hold__signs_nobody_in(world: World, provider: IdentityProvider, lie: str) -> None:
    client = browser()
    provider.claim, words = LIES[lie]
    refused(client, come_back(client, provider), 401, words)
    assert not ExternalIdentity.objects.exists()
    provider.claim = lambda claims: claims
    come_back(client, provider)
    assert is_in(client)


@pytest.mark.parametrize(
    "truth",
    [
        lambda c: {**c, "aud": [CLIENT_ID]},
        lambda c: {**c, "azp": CLIENT_ID},
        lambda c: {**c, "iat": now() - 340, "exp": now() - 30},
        lambda c: {**c, "iat": now() + 30},
    ],
    ids=["one audience in a list", "our party", "expired within a minute", "issued within a minute"],
)
def test_token__whose_claims_hold__signs_in(
    world: World, provider: IdentityProvider, truth: Callable[[Claims], Claims]
) -> None:
    provider.claim = truth
    client = browser()
    come_back(client, provider)
    assert is_in(client)


@pytest.mark.seed("S2.16")
@pytest.mark.parametrize(
    "forgery", ["none", "public key as secret", "key of another", "algorithm", "no token", "words"]
)
def test_token__whose_signature_does_not_hold__signs_nobody_in(
    world: World, provider: IdentityProvider, forgery: str
) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    provider.sign = {
        "none": provider.unsigned,
        "public key as secret": provider.signed_by_public_key,
        "key of another": lambda claims: provider.sign_by(stranger, claims),
        "algorithm": lambda claims: provider.sign_by(provider.keys[0], claims, algorithm="RS512"),
        "no token": lambda claims: "",
        "words": lambda claims: "a.b.c",
    }[forgery]
    client = browser()
    refused(client, come_back(client, provider), 401, INVALID)
    provider.sign = provider.sign_as_usual
    come_back(client, provider)
    assert is_in(client)


def test_token__by_the_algorithm_of_the_settings__and_by_no_other(
    world: World, provider: IdentityProvider, settings: Any
) -> None:
    provider.rotate(ECKey.generate_key("P-256", {"kid": "curve"}))
    provider.algorithm = "ES256"
    client = browser()
    refused(client, come_back(client, provider), 401, INVALID)
    settings.OIDC_ALGORITHM = "ES256"
    come_back(client, provider)
    assert is_in(client)


def test_keys__that_the_provider_changes__are_read_anew_and_else_kept(world: World, provider: IdentityProvider) -> None:
    come_back(browser(), provider)
    come_back(browser(), provider)
    assert provider.asked.count(MANY_KEYS) == 1
    provider.rotate()
    client = browser()
    come_back(client, provider)
    assert is_in(client)
    provider.rotate(RSAKey.generate_key(2048, {"kid": provider.keys[0].kid}))  # another key under the old name
    client = browser()
    come_back(client, provider)
    assert is_in(client)
    assert provider.asked.count(MANY_KEYS) == 3


# --- whose answer it is ----------------------------------------------------------------------------------------------
EXPIRED = "was not begun in this browser, is older than ten minutes, or was used already"


@pytest.mark.seed("S2.16")
def test_answer__of_another_browser__signs_nobody_in(world: World, provider: IdentityProvider) -> None:
    attacker, victim = browser(), browser()
    path = provider.sign_in("mia", begin(attacker))
    refused(victim, victim.get(path), 401, EXPIRED)
    begin(victim)  # who is under way of their own
    refused(victim, victim.get(path), 401, EXPIRED)
    assert "/token" not in provider.asked
    attacker.get(path)
    assert is_in(attacker)


def test_answer__used_before__signs_nobody_in(world: World, provider: IdentityProvider) -> None:
    client = Client()
    path = provider.sign_in("mia", begin(client))
    assert client.get(path).status_code == 302
    client.post("/sign-out/")
    refused(client, client.get(path), 401, EXPIRED)
    assert provider.asked.count("/token") == 1


def test_answer__whose_code_was_taken_elsewhere__signs_nobody_in(world: World, provider: IdentityProvider) -> None:
    client = browser()
    path = provider.sign_in("mia", begin(client))
    provider.codes.clear()
    refused(client, client.get(path), 401, EXPIRED)


def test_answer__with_a_code_that_another_browser_asked_for__signs_nobody_in(
    world: World, provider: IdentityProvider
) -> None:
    """PKCE: a stolen code is worth nothing in a sign-in of the thief's own."""
    victim, thief = browser(), browser()
    stolen = parse_qs(urlsplit(provider.sign_in("mia", begin(victim))).query)["code"][0]
    own = parse_qs(urlsplit(begin(thief)).query)["state"][0]
    refused(thief, thief.get(BACK, {"code": stolen, "state": own}), 401, EXPIRED)


def test_answer__after_ten_minutes__signs_nobody_in(world: World, provider: IdentityProvider) -> None:
    client = browser()
    path = provider.sign_in("mia", begin(client))
    session = client.session
    session[PENDING]["since"] -= PENDING_LIFE.total_seconds() + 1
    session.save()
    refused(client, client.get(path), 401, EXPIRED)


@pytest.mark.parametrize("query", [{}, {"state": ""}, {"code": "x"}, {"state": "é", "code": "x"}], ids=str)
def test_answer__to_nothing__signs_nobody_in(world: World, provider: IdentityProvider, query: dict[str, str]) -> None:
    client = browser()
    refused(client, client.get(BACK, query), 401, EXPIRED)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"error": "access_denied"}, 401, "was cancelled there"),
        ({"error": "temporarily_unavailable"}, 503, "does not answer"),
        ({"error": "invalid_scope"}, 401, INVALID),
        ({"error": "<b>x</b>", "error_description": "call +1 555 0100"}, 401, INVALID),
        ({}, 401, INVALID),
        ({"code": "x", "iss": "https://id.example.org"}, 401, INVALID),
    ],
    ids=str,
)
def test_answer__that_is_none__says_what_to_do_next(
    world: World, provider: IdentityProvider, said: dict[str, str], status: int, words: str
) -> None:
    client = browser()
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    page = refused(client, client.get(BACK, {"state": state, **said}), status, words)
    assert page.links["Try Clinic ID again"] == f"{BEGIN}?next="
    assert "555" not in page.main
    assert "/token" not in provider.asked


def test_answer__with_the_right_issuer__signs_in(world: World, provider: IdentityProvider) -> None:
    client = browser()
    come_back(client, provider, iss=provider.issuer)
    assert is_in(client)


def test_pages__of_somebody_signed_in__lead_on(world: World, provider: IdentityProvider) -> None:
    client = browser(world.omar)
    assert client.get(f"{BEGIN}?next=/profile/")["Location"] == "/profile/"
    assert client.get(BACK, {"state": "x"})["Location"] == "/"


@pytest.mark.parametrize("target", ["//evil.example.org", "https://evil.example.org/", "javascript:x"])
def test_sign_in__was_going_elsewhere__goes_home(world: World, provider: IdentityProvider, target: str) -> None:
    client = browser()
    assert come_back(client, provider, target=target)["Location"] == "/"


# --- a provider in trouble -------------------------------------------------------------------------------------------
METADATA, TOKEN = "/.well-known/openid-configuration", "/token"


@pytest.mark.parametrize(
    "answer",
    [(500, {}), (404, {}), (200, b"<html>"), (200, []), (200, {}), (200, b"x" * 300_000), (302, {"to": "/keys"})],
    ids=["500", "404", "no JSON", "a list", "nothing", "too much", "elsewhere"],
)
@pytest.mark.parametrize("path", [METADATA, TOKEN, MANY_KEYS])
def test_provider__that_answers_nonsense__is_said_to_be_away(
    world: World, provider: IdentityProvider, answer: tuple[int, Any], path: str
) -> None:
    client = browser()
    provider.wrong[path] = answer
    response = client.get(BEGIN) if path == METADATA else come_back(client, provider)
    if (path, answer[1]) in ((TOKEN, {}), (MANY_KEYS, {})) and answer[0] == 200:  # an object, and no token or key in it
        refused(client, response, 401, INVALID)
    else:
        refused(client, response, 503, "does not answer")
        assert response["Retry-After"] == "60"
    assert submit(client, "/sign-in/", email="mia@example.org", password=PASSWORD)["Location"] == "/"


@pytest.mark.parametrize("path", [METADATA, TOKEN, MANY_KEYS])
def test_provider__that_is_slow__is_not_waited_for(
    world: World, provider: IdentityProvider, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(our_side, "TIMEOUT", 0.3)
    client = browser()
    provider.slow[path] = 1.0
    began = timezone.now()
    response = client.get(BEGIN) if path == METADATA else come_back(client, provider)
    assert timezone.now() - began < timedelta(seconds=0.9)
    refused(client, response, 503, "does not answer")


def test_provider__that_is_away__the_page_says_so(world: World, settings: Any, provider: IdentityProvider) -> None:
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    client = browser()
    refused(client, client.get(BEGIN), 503, "does not answer")


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"authorization_endpoint": "https://id.example.org/authorize"},
        {"token_endpoint": "http://id.example.org/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": 7},
        {"subject_types_supported": "public"},
    ],
    ids=str,
)
def test_metadata__that_cannot_be_the_providers__is_not_followed(
    world: World, provider: IdentityProvider, change: dict[str, Any]
) -> None:
    provider.metadata |= change
    client = browser()
    refused(client, client.get(BEGIN), 503, "does not answer")
    assert provider.asked == [METADATA]


def test_provider__that_takes_no_basic__gets_our_secret_in_the_body(
    world: World, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    got: list[dict[str, str]] = []
    monkeypatch.setattr(provider, "exchange", lambda form, authorization: got.append(form) or (400, {}))
    come_back(browser(), provider)
    assert (got[0]["client_id"], got[0]["client_secret"]) == (CLIENT_ID, settings.OIDC_CLIENT_SECRET)


# --- with what else we ask -------------------------------------------------------------------------------------------
def test_second_factor__of_who_has_one__is_asked_before_anything_is_linked(
    world: World, provider: IdentityProvider
) -> None:
    phone = phone_of(world.mia)
    client = browser()
    response = come_back(client, provider, target="/profile/sessions/")
    assert response["Location"] == "/sign-in/verify/"
    assert not is_in(client)
    assert not ExternalIdentity.objects.exists()
    assert "You have signed in there." in read(client.get("/sign-in/verify/")).main
    assert read(submit(client, "/sign-in/verify/", code="000000"), 422)
    assert submit(client, "/sign-in/verify/", code=phone.code())["Location"] == "/profile/sessions/"
    session = UserSession.objects.get(user=world.mia)
    assert session.method == SignInMethod.EXTERNAL
    assert session.second_factor_at is not None
    assert timezone.now() - session.verified_at < timedelta(minutes=1)
    assert ExternalIdentity.objects.get().user == world.mia


def test_second_factor__of_who_was_linked_otherwise_meanwhile__signs_nobody_in(
    world: World, provider: IdentityProvider
) -> None:
    phone = phone_of(world.mia)
    client = browser()
    come_back(client, provider)
    link(world.mia, "another-subject")
    assert submit(client, "/sign-in/verify/", code=phone.code())["Location"] == "/sign-in/"
    assert not is_in(client)


def test_second_factor__that_is_asked_for_and_missing__leads_to_enrolment(
    world: World, provider: IdentityProvider
) -> None:
    provider.knows("lee", email="lee@example.org", email_verified=True, amr=["mfa", "otp"], acr="high")
    client = browser()
    come_back(client, provider, "lee")
    assert client.get("/profile/")["Location"].startswith("/profile/second-factor/enrol/")


def test_lock__of_the_password__does_not_keep_the_provider_out(world: World, provider: IdentityProvider) -> None:
    for _guess in range(5):
        submit(browser(), "/sign-in/", email="mia@example.org", password="wrong wrong wrong")
    assert submit(browser(), "/sign-in/", email="mia@example.org", password=PASSWORD).status_code == 429
    client = browser()
    come_back(client, provider)
    assert is_in(client)


def test_limit__of_an_address__holds_here_too(world: World, provider: IdentityProvider, settings: Any) -> None:
    settings.LIMITS = {**settings.LIMITS, "sign_in_address": "2/15m"}
    client = browser()
    assert [client.get(BACK, {"state": "x"}).status_code for _try in range(3)] == [401, 401, 429]


# --- taking it away --------------------------------------------------------------------------------------------------
def test_link__removed_by_its_owner_after_step_up__and_other_sessions_end(
    world: World, provider: IdentityProvider
) -> None:
    client = browser()
    come_back(client, provider)
    identity = ExternalIdentity.objects.get()
    elsewhere = session_of(world.mia)
    address = f"/profile/external/{identity.pk}/remove/"
    asked = submit(client, "/profile/", to=address)  # the provider's proof is no fresh one of ours
    assert asked.status_code == 403
    assert ExternalIdentity.objects.exists()
    proved = submit(client, "/verify/?next=/profile/", **{"verification-password": PASSWORD})
    assert proved["Location"] == "/profile/"
    assert submit(client, "/profile/", to=address)["Location"] == "/profile/"
    assert not ExternalIdentity.objects.exists()
    elsewhere.refresh_from_db()
    assert elsewhere.end_reason == "external_removed"
    assert is_in(client)
    (removed,) = events("external_identity.removed")
    assert removed.target_id == str(identity.pk)
    assert AccountMail.objects.filter(user=world.mia, kind=AccountMailKind.EXTERNAL_REMOVED).count() == 1


def test_link__of_somebody_else__is_not_found(world: World, provider: IdentityProvider) -> None:
    identity = link(world.mia)
    client = Client()
    client.force_login(world.omar)
    theirs = client.post(f"/profile/external/{identity.pk}/remove/")
    nobodys = client.post(f"/profile/external/{UUID(int=7)}/remove/")
    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert ExternalIdentity.objects.count() == 1


# --- what is kept ----------------------------------------------------------------------------------------------------
def test_secrets__of_a_sign_in__are_neither_stored_nor_logged(
    world: World, provider: IdentityProvider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens: list[str] = []
    monkeypatch.setattr(provider, "sign", lambda claims: tokens.append(provider.sign_as_usual(claims)) or tokens[-1])
    client = browser()
    path = provider.sign_in("mia", begin(client))
    code = parse_qs(urlsplit(path).query)["code"][0]
    client.get(path)
    assert is_in(client)
    provider.claim = lambda claims: {**claims, "nonce": "wrong"}
    other = browser()
    come_back(other, provider)
    assert "identity_provider_disbelieved" in caplog.text
    stored = json.dumps([row.get_decoded() for row in Session.objects.all()])
    for secret in (*tokens, code, "sub-of-mia", "mia@example.org", settings.OIDC_CLIENT_SECRET):
        assert secret not in caplog.text
        assert secret not in stored
    assert PENDING not in stored


# --- what stands behind another wall ---------------------------------------------------------------------------------
def test_answer__that_was_not_believed__is_forgotten_all_the_same(world: World, provider: IdentityProvider) -> None:
    client = browser()
    path = provider.sign_in("mia", begin(client))
    provider.claim = LIES["another nonce"][0]
    refused(client, client.get(path), 401, INVALID)
    refused(client, client.get(path), 401, EXPIRED)
    assert provider.asked.count("/token") == 1


def test_metadata__that_is_too_long__is_not_read_to_its_end(world: World, provider: IdentityProvider) -> None:
    provider.metadata["service_documentation"] = f"http://localhost/{'x' * our_side.MOST_BYTES}"
    client = browser()
    refused(client, client.get(BEGIN), 503, "does not answer")


def test_sign_in__another_subject_of_somebody_with_a_second_factor__is_not_asked_for_it(
    world: World, provider: IdentityProvider
) -> None:
    link(world.mia)
    phone_of(world.mia)
    provider.knows("usurper", email="mia@example.org", email_verified=True)
    client = browser()
    refused(client, come_back(client, provider, "usurper"), 403, "opens no account")
