"""Changing one's address: the new mailbox proves itself, the old one is told, and nobody learns who has an account."""

import re
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.addresses import (
    EmailTaken,
    confirm_email_change,
    forget_email_changes,
    open_email_link,
    request_email_change,
)
from accounts.delivery import relay_due_account_mail
from accounts.links import email_link_path, reset_link_path
from accounts.models import AccountMail, EmailChange, User, UserSession
from accounts.services import change_password, open_reset_link, reset_password
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.kernel.errors import Conflict, LinkClosed, Malformed, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.logs import mask_secrets
from healthivr.testing.factories import PASSWORD
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.actor import StepUpRequired
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.policies import EmailDomainNotAllowed
from organizations.tenancy import platform, tenant

pytestmark = pytest.mark.django_db
ORIGIN: dict[str, Any] = {"ip": "192.0.2.1", "request_id": "test-request"}
NEW = "jun.lee@harbor.example.org"
PAGE = "/profile/email/"


def ask(user: User, email: str = NEW, *, at: datetime, password: str = PASSWORD) -> EmailChange:
    return request_email_change(user=user, email=email, password=password, at=at, **ORIGIN)


def token_of(change: EmailChange) -> str:
    return email_link_path(str(change.pk)).split("/")[2]


def confirm(user: User, change: EmailChange, *, at: datetime, session: UserSession | None = None, **more: Any) -> None:
    session = session or session_of(user, verified_at=at)
    confirm_email_change(user=user, token=token_of(change), session=session, at=at, **more, **ORIGIN)


def address_of(user: User) -> str:
    return User.objects.values_list("email", flat=True).get(pk=user.pk)


def mails(sink: MailSink, at: datetime) -> dict[str, EmailMessage]:
    """What leaves now, by who gets it."""
    relay_due_account_mail(at=at)
    read_mails = [message_from_bytes(raw, policy=policy.default) for raw in sink.messages()]
    return {str(mail["To"]): mail for mail in read_mails}  # type: ignore[misc]


def body(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def newest_events(count: int) -> list[AuditEvent]:
    with tenant(PLATFORM_ORGANIZATION_ID):
        return list(AuditEvent.objects.order_by("-sequence")[:count])


# --- from the profile to the new address -----------------------------------------------------------------------------
def test_change__from_the_profile_through_the_new_mailbox__signs_in_with_the_new_one(
    world: World, mail_sink: MailSink, now: datetime
) -> None:
    client, elsewhere = browser(world.lee), browser(world.lee)
    assert elsewhere.get("/profile/").status_code == 200
    assert PAGE in read(client.get("/profile/")).links.values()
    response = submit(client, PAGE, email=f" {NEW.title()} ", current_password=PASSWORD)
    assert (response.status_code, response["Location"]) == (302, "/profile/email/sent/")
    assert read(client.get("/profile/email/sent/")).heading == "Look into the new mailbox"
    assert address_of(world.lee) == "lee@example.org"

    asked = mails(mail_sink, now)
    assert list(asked) == [NEW]
    link = re.search(r"http\S+(/confirm-email/\S+)", body(asked[NEW]))
    assert link
    assert link[1] in body(asked[NEW], "html")
    assert "Jun" not in body(asked[NEW]) + body(asked[NEW], "html"), "the mailbox may be a stranger's"

    for _look in range(2):
        page = read(client.get(link[1]))
        assert NEW in page.main
        assert "lee@example.org" in page.main
    assert address_of(world.lee) == "lee@example.org"
    response = submit(client, link[1])
    assert (response.status_code, response["Location"]) == (302, "/profile/")
    assert read(client.get("/profile/")).notices == ["Your address is changed. You are signed out everywhere else."]
    assert address_of(world.lee) == NEW
    assert elsewhere.get("/profile/").status_code == 302
    assert UserSession.objects.get(ended_at__isnull=False).end_reason == "email_changed"
    used = read(client.get(link[1]), 410)
    assert used.heading == "Your address is changed already"
    assert NEW in used.main
    assert "Ask for a new link" not in used.main
    other = read(browser(world.omar).get(link[1]), 410)
    assert other.heading == "Your address is not changed"
    assert NEW not in other.main

    told = mails(mail_sink, now)["lee@example.org"]
    assert "another e-mail address" in body(told)
    assert NEW not in body(told) + body(told, "html")
    changed, *_others, requested = newest_events(4)
    assert {changed.action, requested.action} <= {"user.email_changed", "user.email_change_requested", "session.ended"}
    event = next(event for event in newest_events(4) if event.action == "user.email_changed")
    assert event.changes == {"email": ["l•••@e•••.org", "j•••@h•••.example.org"]} or "lee@" not in str(event.changes)
    assert NEW not in str([event.detail for event in newest_events(4)])


def test_change__reset_links_of_the_old_address__die_with_it(world: World, now: datetime) -> None:
    _empty, _page, uid, token, _end = reset_link_path(world.lee).split("/")
    assert open_reset_link(uid=uid, token=token) == world.lee
    confirm(world.lee, ask(world.lee, at=now), at=now)
    with pytest.raises(LinkClosed):
        open_reset_link(uid=uid, token=token)


# --- what the answer tells -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("taken", ["omar@example.org", "mia@example.org"])
def test_request__address_with_an_account__same_page_same_statements_and_the_owner_is_told(
    world: World, mail_sink: MailSink, now: datetime, taken: str
) -> None:
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    client = browser(world.lee)
    answers, statements = [], []
    for address in (NEW, taken):
        with CaptureQueriesContext(connection) as captured:
            response = submit(client, PAGE, email=address, current_password=PASSWORD)
        statements.append([re.sub(r"'[^']*'|\d+", "?", query["sql"])[:60] for query in captured])
        answers.append((response.status_code, response["Location"], client.get(response["Location"]).content))
    assert answers[0][:2] == answers[1][:2]
    assert re.sub(rb'nonce="[^"]*"|value="[^"]*"', b"", answers[0][2]) == re.sub(
        rb'nonce="[^"]*"|value="[^"]*"', b"", answers[1][2]
    )
    assert statements[0] == statements[1]
    assert {change.closed_at is None for change in EmailChange.objects.all()} == {False}
    got = mails(mail_sink, now)
    if taken == "omar@example.org":
        assert "belongs to yours" in body(got[taken])
        assert "confirm-email" not in body(got[taken]) + body(got[taken], "html")
        assert "lee@" not in str(got[taken])
    else:
        assert taken not in got, "who may not sign in is not bothered"


def test_request__void_from_the_start__no_link_confirms_it(world: World, now: datetime) -> None:
    change = ask(world.lee, "omar@example.org", at=now)
    with pytest.raises(LinkClosed):
        confirm(world.lee, change, at=now)
    assert address_of(world.lee) == "lee@example.org"


@pytest.mark.parametrize(
    ("typed", "error", "field"),
    [
        ({"email": "Lee@Example.org"}, Refused, "email"),
        ({"email": "no address"}, Malformed, "email"),
        ({"password": "wrong"}, Refused, "current_password"),
    ],
)
def test_request__with_a_mistake__refused_at_its_field_and_nothing_leaves(
    world: World, now: datetime, typed: dict[str, str], error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as refused:
        ask(world.lee, at=now, **typed)
    assert refused.value.field == field  # type: ignore[attr-defined]
    assert not EmailChange.objects.exists()
    ask(world.lee, at=now)


def test_page__with_mistakes__says_them_at_their_fields(world: World) -> None:
    client = browser(world.lee)
    page = read(submit(client, PAGE, email=NEW, current_password="wrong"), 422)
    assert page.errors == {"current_password": ["Your current password is not right."]}
    assert page.values["email"] == NEW
    page = read(submit(client, PAGE, email="lee@example.org", current_password=PASSWORD), 422)
    assert page.errors == {"email": ["This is your address already."]}


# --- the link --------------------------------------------------------------------------------------------------------
def test_link__one_hour__last_moment_works_then_closed(world: World, now: datetime) -> None:
    change = ask(world.lee, at=now)
    with pytest.raises(LinkClosed) as closed:
        confirm(world.lee, change, at=now + timedelta(hours=1))
    assert closed.value.code == "email_link_closed"
    confirm(world.lee, change, at=now + timedelta(minutes=59, seconds=59))
    assert address_of(world.lee) == NEW


def test_link__of_somebody_else_or_made_up__closed_for_all_but_its_person(world: World, now: datetime) -> None:
    change = ask(world.lee, at=now)
    with pytest.raises(LinkClosed):
        confirm(world.omar, change, at=now)
    for token in (str(change.pk), f"{change.pk}:AAAA", "x", token_of(change)[:-1]):
        with pytest.raises(LinkClosed):
            open_email_link(user=world.lee, token=token, at=now)
    assert open_email_link(user=world.lee, token=token_of(change), at=now) == change
    assert (address_of(world.lee), address_of(world.omar)) == ("lee@example.org", "omar@example.org")


def test_link__of_an_earlier_wish__closed_by_the_next(world: World, now: datetime) -> None:
    first = ask(world.lee, at=now)
    second = ask(world.lee, "other@example.org", at=now)
    with pytest.raises(LinkClosed):
        confirm(world.lee, first, at=now)
    closed = email_link_path(str(first.pk))
    assert read(browser(world.lee).get(closed), 410).heading == "Your address is not changed"
    confirm(world.lee, second, at=now)
    assert address_of(world.lee) == "other@example.org"
    assert read(browser(world.lee).get(closed), 410).heading == "Your address is not changed"


def test_link__in_a_log__is_masked(world: World, now: datetime) -> None:
    path = email_link_path(str(ask(world.lee, at=now).pk))
    for line in (f"GET {path} 200", f"GET /sign-in/?next={path.replace('/', '%2F')} 200"):
        assert path.split("/")[2] not in mask_secrets(line)


@pytest.mark.parametrize("factor_too", [True, False])
def test_confirm__five_minutes_after_the_last_proof__asks_for_another_and_nothing_changes(
    world: World, now: datetime, factor_too: bool
) -> None:
    change = ask(world.lee, at=now)
    given = {"second_factor_at": now - timedelta(hours=1) if factor_too else None}
    stale = session_of(world.lee, verified_at=now - timedelta(minutes=5, seconds=1), **given)
    with pytest.raises(StepUpRequired):
        confirm(world.lee, change, at=now, session=stale)
    assert address_of(world.lee) == "lee@example.org"
    confirm(world.lee, change, at=now, session=session_of(world.lee, verified_at=now - timedelta(minutes=5)))
    assert address_of(world.lee) == NEW


def test_page__five_minutes_after_the_last_proof__asks_then_confirms_what_was_sent(world: World, now: datetime) -> None:
    path = email_link_path(str(ask(world.lee, at=now).pk))
    client = browser(world.lee)
    UserSession.objects.filter(user=world.lee).update(verified_at=now - timedelta(minutes=6))
    assert submit(client, path).status_code == 403
    assert address_of(world.lee) == "lee@example.org"
    response = submit(client, f"/verify/?next={path}", **{"verification-password": PASSWORD})
    assert response["Location"] == path
    assert submit(client, path)["Location"] == "/profile/"
    assert address_of(world.lee) == NEW


# --- races -----------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_confirm__two_people_and_one_address__one_gets_it(committed_world: World, now: datetime) -> None:
    lee, omar = committed_world.lee, committed_world.omar
    wishes = {person: ask(person, at=now) for person in (lee, omar)}
    results = race(*(lambda person=person: confirm(person, wishes[person], at=now) for person in wishes))  # type: ignore[misc]
    refused = [result for result in results if isinstance(result, Exception)]
    assert [type(error) for error in refused] == [EmailTaken]
    assert User.objects.filter(email=NEW).count() == 1
    assert AccountMail.objects.filter(kind="email_changed").count() == 1


@pytest.mark.django_db(transaction=True)
def test_confirm__one_link_twice_at_once__one_wins(committed_world: World, now: datetime) -> None:
    lee = committed_world.lee
    change = ask(lee, at=now)
    results = race(*(lambda: confirm(User.objects.get(pk=lee.pk), change, at=now) for _ in range(2)))
    refused = [result for result in results if isinstance(result, Exception)]
    assert len(refused) == 1
    assert isinstance(refused[0], (Conflict, LinkClosed))
    assert AccountMail.objects.filter(kind="email_changed").count() == 1


def test_wishes__of_long_ago__are_forgotten(world: World, now: datetime) -> None:
    ask(world.lee, at=now - timedelta(days=32))
    recent = ask(world.omar, at=now)
    assert forget_email_changes(at=now) == 1
    assert list(EmailChange.objects.all()) == [recent]


# --- a new password --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["en", "es"])
def test_password__changed_or_reset__the_person_is_told_without_a_secret(
    world: World, mail_sink: MailSink, now: datetime, language: str
) -> None:
    User.objects.filter(pk=world.lee.pk).update(language=language)
    lee = User.objects.get(pk=world.lee.pk)
    change_password(user=lee, session=None, current=PASSWORD, password="a quiet river of stones", at=now, **ORIGIN)
    _empty, _page, uid, token, _end = reset_link_path(User.objects.get(pk=lee.pk)).split("/")
    reset_password(uid=uid, token=token, password="three otters and a moon", at=now, **ORIGIN)
    assert relay_due_account_mail(at=now) == 2
    told = [message_from_bytes(raw, policy=policy.default) for raw in mail_sink.messages()]
    assert [str(mail["To"]) for mail in told] == ["lee@example.org"] * 2
    for mail in told:
        words = body(mail) + body(mail, "html")  # type: ignore[arg-type]
        assert "/password-reset/" in words
        assert not re.search(r"/password-reset/\w", words)
        assert "otters" not in words


def test_password__refused_or_mistyped__nobody_is_told(world: World, now: datetime) -> None:
    for current, new in (("wrong", "a quiet river of stones"), (PASSWORD, "short")):
        with pytest.raises(Refused):
            change_password(user=world.lee, session=None, current=current, password=new, at=now, **ORIGIN)
    assert not AccountMail.objects.filter(kind="password_changed").exists()


# --- whom the organization takes -------------------------------------------------------------------------------------
def allow(organization: Organization, *domains: str) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=organization).update(email_domains=list(domains))


def test_domain__that_an_organization_of_the_person_keeps_out__refused_at_the_field(
    world: World, now: datetime
) -> None:
    allow(world.strange_practice, "stone.example.org")  # somebody else's
    ask(world.mia, "mia@elsewhere.example.net", at=now)
    allow(world.practice, "example.org", "harbor.example.org")
    with pytest.raises(EmailDomainNotAllowed) as refused:
        ask(world.mia, "mia@elsewhere.example.net", at=now)
    assert (refused.value.field, refused.value.extra["email_domains"]) == (
        "email",
        ["example.org", "harbor.example.org"],
    )
    page = read(submit(browser(world.mia), PAGE, email="mia@elsewhere.example.net", current_password=PASSWORD), 422)
    assert list(page.errors) == ["email"]
    assert "takes addresses of example.org, harbor.example.org only" in page.errors["email"][0]
    assert AccountMail.objects.filter(kind="email_confirm").count() == 1
    change = ask(world.mia, "mia@harbor.example.org", at=now)
    confirm(world.mia, change, at=now)
    assert address_of(world.mia) == "mia@harbor.example.org"


def test_domain__of_an_organization_that_the_person_has_left__asks_no_more(world: World, now: datetime) -> None:
    allow(world.practice, "example.org")
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(status="ended", ended_at=now)
    assert ask(world.mia, "mia@elsewhere.example.net", at=now).closed_at is None


def test_domain__policy_that_came_after_the_mail__refused_at_the_link_and_nothing_changes(
    world: World, now: datetime
) -> None:
    change = ask(world.mia, "mia@elsewhere.example.net", at=now)
    allow(world.practice, "example.org")
    page = submit(browser(world.mia), email_link_path(str(change.pk)))
    assert "takes addresses of example.org only" in read(page, 422).main
    assert address_of(world.mia) == "mia@example.org"
    allow(world.practice)
    confirm(world.mia, change, at=now)
    assert address_of(world.mia) == "mia@elsewhere.example.net"
