"""A forgotten password: the same answer for everybody, a link of one hour, one use, and every session ends."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.delivery import relay_due_account_mail
from accounts.links import reset_link_path
from accounts.models import AccountMail, User
from accounts.services import (
    PasswordRefused,
    change_password,
    check_credentials,
    open_reset_link,
    request_password_reset,
    reset_password,
)
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.embedded.processes import wait_until
from healthivr.kernel.errors import Conflict, LinkClosed, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.factories import PASSWORD
from healthivr.testing.mail import PickyServer
from healthivr.testing.races import race
from healthivr.testing.world import World
from organizations.tenancy import tenant

ORIGIN: dict[str, Any] = {"ip": "192.0.2.1", "request_id": "test-request"}
NEW = "a completely different passphrase"


def request_reset(email: str, at: datetime) -> None:
    request_password_reset(email=email, at=at, **ORIGIN)


def link_of(user: User) -> dict[str, str]:
    """What stands in the mailed link, which the worker makes from the row as it is when the mail leaves."""
    _empty, _page, uid, token, _end = reset_link_path(User.objects.get(pk=user.pk)).split("/")
    return {"uid": uid, "token": token}


def newest_events(count: int) -> list[AuditEvent]:
    with tenant(PLATFORM_ORGANIZATION_ID):
        return list(AuditEvent.objects.order_by("-sequence")[:count])


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    monkeypatch.setattr(default_token_generator, "_now", lambda: datetime.now() + timedelta(seconds=seconds))  # noqa: DTZ005


# --- asking ----------------------------------------------------------------------------------------------------------
def test_request__known_address__one_row_for_the_worker_and_one_event_without_the_address(
    world: World, now: datetime
) -> None:
    request_reset("Lee@Example.org", now)
    mail = AccountMail.objects.get()
    assert (mail.kind, mail.user, mail.status, mail.next_try_at) == ("password_reset", world.lee, "queued", now)
    (event,) = newest_events(1)
    assert (event.action, event.target_id, event.actor_kind) == (
        "password.reset_requested",
        str(world.lee.pk),
        "anonymous",
    )
    assert "lee" not in str(event.detail)


@pytest.mark.parametrize("email", ["nobody@example.org", "not an address", "l\u200bee@example.org", "mia@example.org"])
def test_request__unknown_or_deactivated__same_statements_one_row_that_never_leaves_one_event(
    world: World, mail_sink: MailSink, now: datetime, email: str
) -> None:
    User.objects.filter(pk=world.mia.pk).update(is_active=False)

    def statements(address: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            request_reset(address, now)
        return [re.sub(r"'[^']*'|\d+", "?", query["sql"])[:40] for query in captured]

    assert statements(email) == statements("lee@example.org")
    assert AccountMail.objects.count() == 2
    assert AccountMail.objects.get(user=None).status == "cancelled"
    known, unknown = newest_events(2)
    assert (known.action, unknown.action) == ("password.reset_requested",) * 2
    assert (unknown.target_id, unknown.organization_id) == ("", PLATFORM_ORGANIZATION_ID)
    assert relay_due_account_mail(at=now) == 1
    assert [b"lee@example.org" in message for message in mail_sink.messages()] == [True]


def test_page__known_and_unknown_address__the_same_answer(world: World) -> None:
    answers = []
    for email in ("lee@example.org", "nobody@example.org", "mia+other@example.org"):
        response = Client().post("/password-reset/", {"email": email})
        answers.append((response.status_code, response["Location"], response.content))
    assert answers[0][:2] == (302, "/password-reset/sent/")
    assert answers[1:] == answers[:1] * 2
    assert Client().post("/password-reset/", {"email": "no address at all"}).status_code == 422


# --- the link --------------------------------------------------------------------------------------------------------
def test_reset__with_the_link__new_password_works_old_does_not_and_one_event(world: World) -> None:
    link = link_of(world.lee)
    assert open_reset_link(**link) == world.lee
    reset_password(**link, password=NEW, at=timezone.now(), **ORIGIN)
    assert check_credentials(email="lee@example.org", password=NEW, at=timezone.now(), **ORIGIN)[0] == world.lee
    with pytest.raises(Exception, match="invalid_credentials"):
        check_credentials(email="lee@example.org", password=PASSWORD, at=timezone.now(), **ORIGIN)[0]
    actions = [event.action for event in newest_events(2)]
    assert actions == ["session.refused", "password.reset"]


def test_reset__one_hour__last_second_works_then_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    link = link_of(world.lee)
    pass_time(monkeypatch, 3602)
    with pytest.raises(LinkClosed) as closed:
        open_reset_link(**link)
    assert closed.value.code == "reset_link_closed"
    with pytest.raises(LinkClosed):
        reset_password(**link, password=NEW, at=timezone.now(), **ORIGIN)
    pass_time(monkeypatch, 3598)
    assert reset_password(**link, password=NEW, at=timezone.now(), **ORIGIN) == world.lee


def test_reset__second_use__closed(world: World) -> None:
    link, other = link_of(world.lee), link_of(world.lee)
    reset_password(**link, password=NEW, at=timezone.now(), **ORIGIN)
    for used in (link, other):
        with pytest.raises(LinkClosed):
            reset_password(**used, password="yet another passphrase", at=timezone.now(), **ORIGIN)
    assert User.objects.get(pk=world.lee.pk).check_password(NEW)


def test_reset__bad_password__refused_with_reasons_and_the_link_still_works(world: World) -> None:
    link = link_of(world.lee)
    with pytest.raises(PasswordRefused) as refused:
        reset_password(**link, password="short", at=timezone.now(), **ORIGIN)
    assert refused.value.extra["reasons"]
    assert reset_password(**link, password=NEW, at=timezone.now(), **ORIGIN)


def test_reset__link_of_somebody_else_or_nobody__closed(world: World) -> None:
    lee, omar = link_of(world.lee), link_of(world.omar)
    assert open_reset_link(**omar) == world.omar
    wrong = [
        {"uid": omar["uid"], "token": lee["token"]},
        {"uid": "x", "token": lee["token"]},
        {"uid": "", "token": ""},
        {"uid": "MTIz", "token": lee["token"]},
        {"uid": lee["uid"], "token": "x"},
        {"uid": "é", "token": "é"},
    ]
    for link in wrong:
        with pytest.raises(LinkClosed):
            open_reset_link(**link)


def test_reset__deactivated_meanwhile__closed(world: World) -> None:
    link = link_of(world.omar)
    assert open_reset_link(**link) == world.omar
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    with pytest.raises(LinkClosed):
        reset_password(**link, password=NEW, at=timezone.now(), **ORIGIN)


@pytest.mark.seed("S3.4")
def test_reset__every_session__ends(world: World, sign_in: Callable[[User], Client]) -> None:
    first, second = sign_in(world.lee), sign_in(world.lee)
    assert [client.get("/api/v1/invitations/").status_code for client in (first, second)] == [200, 200]
    reset_password(**link_of(world.lee), password=NEW, at=timezone.now(), **ORIGIN)
    assert [client.get("/api/v1/invitations/").status_code for client in (first, second)] == [401, 401]


def test_reset__two_uses_at_once__one_wins(committed_world: World) -> None:
    link = link_of(committed_world.lee)
    passwords = [f"{NEW} number {number}" for number in range(4)]
    outcomes = race(
        *(
            lambda password=password: reset_password(**link, password=password, at=timezone.now(), **ORIGIN)
            for password in passwords
        )
    )
    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1, outcomes
    assert all(isinstance(outcome, (User, Conflict, LinkClosed)) for outcome in outcomes), outcomes
    user = User.objects.get(pk=committed_world.lee.pk)
    assert [user.check_password(p) for p in passwords] == [isinstance(outcome, User) for outcome in outcomes]


# --- change by oneself -----------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.4")
def test_change__right_current_password__other_sessions_end_and_this_one_goes_on(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    here, elsewhere = sign_in(world.lee), sign_in(world.lee)
    assert elsewhere.get("/profile/").status_code == 200
    response = here.post("/profile/password/", {"current_password": PASSWORD, "password": NEW})
    assert response.status_code == 302
    assert here.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302
    assert {event.action for event in newest_events(2)} == {"password.changed", "session.ended"}


def test_change__wrong_current_password__refused_at_its_field(world: World) -> None:
    with pytest.raises(Refused) as refused:
        change_password(
            user=world.lee, session=None, at=timezone.now(), current="not it, not it", password=NEW, **ORIGIN
        )
    assert (refused.value.code, refused.value.field) == ("current_password", "current_password")
    change_password(user=world.lee, session=None, at=timezone.now(), current=PASSWORD, password=NEW, **ORIGIN)
    assert User.objects.get(pk=world.lee.pk).check_password(NEW)


# --- end to end ------------------------------------------------------------------------------------------------------
def mails(sink: MailSink) -> list[Any]:
    return [message_from_bytes(raw, policy=policy.default) for raw in sink.messages()]


def test_reset__by_mail__through_a_real_worker_and_smtp(
    committed_world: World, mail_sink: MailSink, start_worker: Callable[..., Any], settings: Any
) -> None:
    start_worker()
    response = Client().post("/password-reset/", {"email": "lee@example.org"}, follow=True)
    assert response.status_code == 200
    assert wait_until(lambda: len(mail_sink.messages()) == 1, 30)
    (mail,) = mails(mail_sink)
    assert mail["To"] == "lee@example.org"
    assert mail["Message-ID"].startswith(f"<{AccountMail.objects.get().pk.hex}@")
    text, html = mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()
    (url,) = set(re.findall(r"https?://\S+/password-reset/\S+/", text))
    assert url in html
    assert "Hello Jun," in html
    assert "Hello Jun," in text
    assert url.startswith(settings.BASE_URL)
    path = url.removeprefix(settings.BASE_URL)
    browser = Client()
    assert browser.get(path).status_code == 200
    assert browser.get(path).status_code == 200  # looking uses nothing up
    response = browser.post(path, {"password": NEW})
    assert (response.status_code, response["Location"]) == (302, "/password-reset/done/")
    assert (
        check_credentials(email="lee@example.org", password=NEW, at=timezone.now(), **ORIGIN)[0] == committed_world.lee
    )
    assert browser.get(path).status_code == 410
    assert wait_until(lambda: AccountMail.objects.filter(status="sent").count() == 2, 10)
    assert [mail["Subject"] for mail in mails(mail_sink)][-1] == "Your healthivr password was changed"


def test_reset__mail_server_refuses_for_good__noted_and_not_tried_again(
    world: World, mail_sink: MailSink, now: datetime
) -> None:
    User.objects.filter(pk=world.lee.pk).update(email="refuse-550@example.org")
    request_reset("refuse-550@example.org", now)
    assert relay_due_account_mail(at=now) == 0
    mail = AccountMail.objects.get()
    assert (mail.status, mail.reason) == ("bounced", "550 5.1.1 There is no such mailbox")


def test_reset__mail_server_refuses_for_now__tried_again_later(
    world: World, mail_sink: MailSink, now: datetime
) -> None:
    User.objects.filter(pk=world.lee.pk).update(email="refuse-451@example.org")
    request_reset("refuse-451@example.org", now)
    assert relay_due_account_mail(at=now) == 0
    first, second = AccountMail.objects.order_by("attempt")
    assert (first.status, second.status, second.attempt) == ("failed", "queued", 2)
    assert second.next_try_at >= now + timedelta(seconds=30)
    assert relay_due_account_mail(at=now) == 0
    assert AccountMail.objects.count() == 2


# --- a server that refuses -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("step", "reply", "states"),
    [
        ("AUTH", "535 5.7.8 Wrong password", ["failed", "queued"]),
        ("MAIL", "550 5.7.1 Not you", ["failed", "queued"]),
        ("RCPT", "550 5.1.1 Nobody here", ["bounced"]),
        ("RCPT", "550 5.7.1 We do not relay", ["failed", "queued"]),
        ("DATA", "451 4.3.0 Later", ["failed", "queued"]),
        ("message", "554 5.7.1 Spam", ["rejected"]),
    ],
)
def test_mail__refused__final_only_when_the_address_or_the_message_is(
    world: World, picky_server: PickyServer, step: str, reply: str, states: list[str]
) -> None:
    request_reset("lee@example.org", timezone.now())
    picky_server.refusals = {step: reply}
    assert relay_due_account_mail(at=timezone.now()) == 0
    assert list(AccountMail.objects.order_by("created_at", "pk").values_list("status", flat=True)) == states
    picky_server.refusals = {}
    AccountMail.objects.filter(status="queued").update(next_try_at=timezone.now())
    assert relay_due_account_mail(at=timezone.now()) == states.count("queued")


def test_mail__a_run_longer_than_its_time__hints_again_and_leaves_the_rest(
    world: World, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[int] = []
    for email in ("lee@example.org", "mia@example.org"):
        request_reset(email, timezone.now())
    monkeypatch.setattr("accounts.delivery.hint_account_mail", lambda: hints.append(1))
    monkeypatch.setattr("accounts.delivery.RUN_SECONDS", 0.05)
    mail_sink.delay = 0.1
    assert relay_due_account_mail(at=timezone.now()) == len(hints) == 1
    assert relay_due_account_mail(at=timezone.now()) == 1
