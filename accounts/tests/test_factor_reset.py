"""A lost second factor: who starts its reset, and what its person must prove."""

import re
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import factor_reset
from accounts.delivery import relay_due_account_mail
from accounts.factor_reset import start_factor_reset
from accounts.links import factor_reset_path
from accounts.models import AccountMail, FactorReset, SessionEnd, User, UserSession, hash_password
from accounts.second_factor import NoFactor, is_enrolled
from audit.models import AuditEvent
from healthivr.kernel.errors import LinkClosed, NotFound, NotPermitted
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import phone_of
from healthivr.testing.mail import MailSink
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.actor import StepUpRequired
from organizations.granting import OwnAccount
from organizations.models import Membership
from organizations.rank import Outranked
from organizations.tenancy import platform, tenant

pytestmark = pytest.mark.django_db

WHENCE = {"ip": "192.0.2.7", "request_id": "test-request"}


def start(world: World, person: User, *, by: User | None = None, at: Any = None) -> FactorReset:
    with tenant(world.practice):
        return start_factor_reset(actor=world.actor(by or world.lee), user_id=person.pk, at=at or timezone.now())


def events(action: str) -> list[AuditEvent]:
    with platform("test"):
        return list(AuditEvent.objects.filter(action=action))


# --- from end to end -------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
def test_reset__started_and_finished__factor_gone_sessions_over_and_both_in_the_trail(
    world: World, mail_sink: MailSink
) -> None:
    phone_of(world.omar)
    theirs = session_of(world.omar)
    lee, person = browser(world.lee), browser()
    with tenant(world.practice):
        membership = Membership.objects.get(user=world.omar)
    here = f"/o/lee-family-practice/people/{membership.pk}/second-factor/"
    page = read(lee.get(here))
    assert "For the last administrator of an organization an administrator of the platform does it" in page.main
    assert submit(lee, here).status_code == 302
    assert is_enrolled(world.omar)
    theirs.refresh_from_db()
    assert theirs.ended_at is None
    relay_due_account_mail(at=timezone.now())
    mail = mail_sink.messages()[-1].decode()
    link = re.sub(r"=\r?\n", "", mail)
    path = re.search(r"/second-factor-reset/[^\s\"<]+/", link.replace("=3D", "="))
    assert path
    assert read(person.get(path[0])).heading == "Remove your second factor"
    assert is_enrolled(world.omar)
    wrong = read(submit(person, path[0], password="not the right one"), 422)
    assert wrong.errors == {"password": ["Your current password is not right."]}
    assert is_enrolled(world.omar)
    assert submit(person, path[0], password=PASSWORD)["Location"] == "/sign-in/"
    assert not is_enrolled(world.omar)
    theirs.refresh_from_db()
    assert theirs.end_reason == SessionEnd.FACTOR_CHANGED
    assert read(person.get(path[0]), 410).heading == "This link does not work any more"
    (started,), (finished,) = events("second_factor.reset_started"), events("second_factor.reset_finished")
    assert (started.actor_id, started.organization_id) == (world.lee.pk, world.practice.pk)
    assert (finished.actor_id, finished.target_id) == (world.omar.pk, str(world.omar.pk))
    assert started.detail["reset"] == finished.detail["reset"]
    assert AccountMail.objects.filter(user=world.omar, kind="factor_removed").count() == 1


# --- who starts ------------------------------------------------------------------------------------------------------
def test_start__by_an_administrator_of_the_platform__for_the_last_one_of_an_organization(world: World) -> None:
    phone_of(world.lee)
    with tenant(world.practice):
        actor = replace(world.actor(world.ana, world.practice), is_org_admin=False)
        reset = start_factor_reset(actor=actor, user_id=world.lee.pk, at=timezone.now())
    assert (reset.user, reset.started_by) == (world.lee, world.ana)


def test_start__by_who_may_not__refused_and_nothing_mailed(world: World) -> None:
    for person in (world.mia, world.stone, world.lee, world.ana):
        phone_of(person)
    for by, person, why in (
        (world.omar, world.mia, NotPermitted),
        (world.mia, world.mia, NotPermitted),
        (world.lee, world.stone, NotFound),
        (world.lee, world.lee, OwnAccount),
    ):
        with pytest.raises(why):
            start(world, person, by=by)
    assert not AccountMail.objects.exists()
    start(world, world.mia)


def test_start__for_an_administrator_of_the_platform__by_their_like_alone(world: World) -> None:
    phone_of(world.ana)
    with platform("test"):
        Membership.objects.create(
            organization=world.practice, user=world.ana, role="medical_staff", started_at=timezone.now()
        )
    with pytest.raises(Outranked):
        start(world, world.ana)


def test_start__with_a_proof_that_is_old__step_up_first(world: World) -> None:
    phone_of(world.mia)
    with pytest.raises(StepUpRequired):
        start(world, world.mia, at=timezone.now() + timedelta(minutes=5, seconds=1))


def test_start__of_who_has_none__says_so(world: World) -> None:
    with pytest.raises(NoFactor):
        start(world, world.mia)


@pytest.mark.seed("S3.1")
def test_command__for_the_last_administrator_of_the_platform__mails_the_link_and_prints_none(world: World) -> None:
    phone_of(world.ana)
    said = StringIO()
    call_command("reset_second_factor", "Ana@Example.org", stdout=said)
    assert "Mailed." in said.getvalue()
    assert "/" not in said.getvalue()
    assert FactorReset.objects.get().started_by is None
    assert [event.actor_name for event in events("second_factor.reset_started")] == ["reset_second_factor"]
    for address, code in (("nobody@example.org", "not_found"), ("mia@example.org", "no_second_factor")):
        with pytest.raises(CommandError, match=code):
            call_command("reset_second_factor", address)


# --- which link works ------------------------------------------------------------------------------------------------
def token_of(user: User) -> str:
    return factor_reset_path(user).split("/")[2]


@pytest.mark.parametrize(("seconds", "works"), [(3599, True), (3600, False)])
def test_link__after_an_hour__closed(world: World, seconds: int, works: bool) -> None:
    phone_of(world.mia)
    at = timezone.now()
    start(world, world.mia, at=at)
    token, later = token_of(world.mia), at + timedelta(seconds=seconds)
    if works:
        assert factor_reset.open_factor_reset(token=token, at=later).user == world.mia
        return
    with pytest.raises(LinkClosed):
        factor_reset.open_factor_reset(token=token, at=later)


@pytest.mark.seed("S2.13")
def test_link__mailed_to_an_address_that_is_no_longer_theirs__closed_and_says_nothing_of_the_new_one(
    world: World,
) -> None:
    phone_of(world.omar)
    start(world, world.omar)
    path, person = factor_reset_path(world.omar), browser()
    assert read(person.get(path)).heading == "Remove your second factor"
    User.objects.filter(pk=world.omar.pk).update(email="omar.new@example.org")
    closed = read(person.get(path), 410)
    assert "your address has changed" in closed.main
    assert "omar.new" not in person.get(path).text
    token = closed.tree.all("input", name="csrfmiddlewaretoken")
    sent = {"password": PASSWORD, "csrfmiddlewaretoken": token[0]["value"] if token else ""}
    stranger = Client()
    assert stranger.post(path, sent).status_code == 410
    assert is_enrolled(world.omar)
    assert submit(person, factor_reset_path(User.objects.get(pk=world.omar.pk)), password=PASSWORD).status_code == 302
    assert not is_enrolled(world.omar)


def test_link__after_the_password_was_set_anew__closed(world: World) -> None:
    """Who holds the mailbox alone gets nowhere: a new password by mail closes the link that was mailed."""
    phone_of(world.mia)
    start(world, world.mia)
    token = token_of(world.mia)
    assert factor_reset.open_factor_reset(token=token, at=timezone.now())
    User.objects.filter(pk=world.mia.pk).update(password=hash_password("four green otters swim away"))
    with pytest.raises(LinkClosed):
        factor_reset.open_factor_reset(token=token, at=timezone.now())


@pytest.mark.parametrize("why", ["another started", "switched off", "damaged"])
def test_link__that_is_not_the_newest_of_somebody_who_may_sign_in__closed(world: World, why: str) -> None:
    phone_of(world.mia)
    start(world, world.mia)
    token = token_of(world.mia)
    if why == "another started":
        start(world, world.mia)
    elif why == "switched off":
        User.objects.filter(pk=world.mia.pk).update(is_active=False)
    else:
        token = token[:-1] + ("A" if token[-1] != "A" else "B")
    with pytest.raises(LinkClosed):
        factor_reset.open_factor_reset(token=token, at=timezone.now())


def test_finish__twice_at_the_same_moment__once(committed_world: World) -> None:
    mia, at = committed_world.mia, timezone.now()
    phone_of(mia)
    start(committed_world, mia)
    token = token_of(mia)
    outcomes = race(*[lambda: factor_reset.finish_factor_reset(token=token, password=PASSWORD, at=at, **WHENCE)] * 3)
    assert [type(outcome) for outcome in outcomes].count(User) == 1
    assert [type(outcome) for outcome in outcomes].count(LinkClosed) == 2
    assert len(events("second_factor.reset_finished")) == 1
    assert not UserSession.objects.filter(user=mia, ended_at=None).exists()
