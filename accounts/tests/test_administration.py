"""What administrators do about accounts: on, off, void a password, sign out, unlock."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.utils import timezone

from accounts import administration, lockout, services
from accounts.administration import (
    activate_user,
    deactivate_user,
    end_person_sessions,
    force_password_reset,
)
from accounts.delivery import relay_due_account_mail
from accounts.links import forced_reset_link_path
from accounts.models import AccountMail, SignInLock, User, UserSession
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.kernel.errors import LinkClosed, NotFound, NotPermitted
from healthivr.testing.factories import PASSWORD, MembershipFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.granting import OwnAccount
from organizations.models import Membership, Organization
from organizations.rank import Outranked
from organizations.roles import Role
from organizations.services import AccountInactive, LastAdministrator
from organizations.tenancy import platform, tenant

ORIGIN = {"ip": "192.0.2.1", "request_id": "test-request"}
Act = Callable[..., Any]


def do(act: Act, actor: Actor, user: User | UUID, **more: Any) -> Any:
    user_id = user.pk if isinstance(user, User) else user
    with tenant(actor.organization):
        return act(actor=actor, user_id=user_id, **{"at": timezone.now(), **more})


def events(organization: Organization, action: str) -> list[AuditEvent]:
    with tenant(organization):
        return list(AuditEvent.objects.filter(action=action).order_by("sequence"))


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def join(world: World, user: User, role: Role = Role.MEDICAL_STAFF) -> None:
    """Make somebody a member of the practice too."""
    with platform("test"):
        MembershipFactory(organization=world.practice, user=user, role=role, is_org_admin=False)


def unlock(**given: Any) -> User:
    return lockout.unlock_account(actor=given["actor"], user_id=given["user_id"])


# --- on and off ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13", "S2.26")
def test_deactivate__with_sessions_and_open_invitations__all_over_and_the_trail_counts_what_waits(
    world: World, now: datetime
) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, role=Role.OFFICE_ADMIN, is_org_admin=True)
    kinds = [session_of(world.lee), session_of(world.lee, kind="token")]
    do(deactivate_user, world.actor(world.ana, world.platform), world.lee, reason=" left\u202e ", at=now)
    assert not fresh(world.lee).is_active
    assert {UserSession.objects.get(pk=row.pk).end_reason for row in kinds} == {"deactivated"}
    (event,) = events(world.platform, "user.deactivated")
    assert (event.reason, event.detail) == ("left", {"invitations_to_adopt": "1"})


@pytest.mark.seed("S2.13")
def test_deactivate_and_activate__twice__once_each(world: World) -> None:
    ana = world.actor(world.ana, world.platform)
    for _twice in range(2):
        do(deactivate_user, ana, world.mia, reason="left")
    assert len(events(world.platform, "user.deactivated")) == 1
    for _twice in range(2):
        assert do(activate_user, ana, world.mia, reason="back").is_active
    assert fresh(world.mia).is_active
    (event,) = events(world.platform, "user.activated")
    assert (event.changes, event.reason) == ({"is_active": ["false", "true"]}, "back")


@pytest.mark.seed("S2.13")
def test_deactivate__oneself__refused(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=world.platform, role=Role.ADMIN)
    with pytest.raises(OwnAccount):
        do(deactivate_user, world.actor(world.ana, world.platform), world.ana, reason="tired")
    assert fresh(world.ana).is_active


@pytest.mark.parametrize("act", [deactivate_user, activate_user])
def test_on_and_off__by_who_runs_an_organization_alone__refused(world: World, act: Act) -> None:
    with pytest.raises(NotPermitted):
        do(act, world.actor(world.lee), world.mia, reason="x")
    with pytest.raises(NotFound):
        do(act, world.actor(world.ana, world.platform), uuid4(), reason="x")
    do(act, world.actor(world.ana, world.practice), world.mia, reason="x")


# --- a voided password -----------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.14", "S2.26")
def test_reset__by_the_administrator__old_password_is_void_sessions_end_and_a_link_is_mailed(
    world: World, now: datetime
) -> None:
    session = session_of(world.mia)
    do(force_password_reset, world.actor(world.lee), world.mia, reason="Phone lost", at=now)
    mia = fresh(world.mia)
    assert mia.must_change_password
    assert not mia.has_usable_password()
    assert UserSession.objects.get(pk=session.pk).end_reason == "password_changed"
    with pytest.raises(services.InvalidCredentials):
        services.check_credentials(email=mia.email, password=PASSWORD, at=now, **ORIGIN)
    mail = AccountMail.objects.get()
    assert (mail.kind, mail.user, mail.status, mail.facts) == ("reset_forced", mia, "queued", {})
    (event,) = events(world.practice, "password.reset_forced")
    assert (event.target_id, event.reason, event.detail) == (str(mia.pk), "Phone lost", {"sessions": "1"})
    assert mia.password not in str(vars(event))


@pytest.mark.seed("S2.14")
def test_reset__mailed_link__leads_to_the_page_that_asks_for_a_new_password_and_back_in(
    world: World, mail_sink: MailSink
) -> None:
    do(force_password_reset, world.actor(world.lee), world.mia)
    assert relay_due_account_mail(at=timezone.now()) == 1
    (sent,) = mail_sink.messages()
    assert b"To: mia@example.org" in sent
    path = forced_reset_link_path(fresh(world.mia))
    client = Client()
    assert client.get(path).status_code == 200
    new = "nineteen purple elephants"
    assert client.post(path, {"password": new})["Location"] == "/password-reset/done/"
    mia = fresh(world.mia)
    assert not mia.must_change_password
    assert mia.check_password(new)
    assert client.get(path).status_code == 410


@pytest.mark.seed("S2.14")
def test_reset__link__works_for_24_hours_and_no_longer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    do(force_password_reset, world.actor(world.lee), world.mia)
    made = datetime.now()  # noqa: DTZ005  as the generator counts
    _empty, _reset, uid, token, _end = forced_reset_link_path(fresh(world.mia)).split("/")[:5]
    for later, works in ((timedelta(hours=23, minutes=59), True), (timedelta(hours=24, minutes=1), False)):
        monkeypatch.setattr(default_token_generator, "_now", lambda later=later: made + later)
        if works:
            assert services.open_reset_link(uid=uid, token=token) == world.mia
        else:
            with pytest.raises(LinkClosed):
                services.open_reset_link(uid=uid, token=token)


def test_reset__again__earlier_link_is_dead_and_one_mail_waits(world: World) -> None:
    lee = world.actor(world.lee)
    do(force_password_reset, lee, world.mia)
    _empty, _reset, uid, token, _end = forced_reset_link_path(fresh(world.mia)).split("/")
    do(force_password_reset, lee, world.mia)
    with pytest.raises(LinkClosed):
        services.open_reset_link(uid=uid, token=token)
    assert sorted(AccountMail.objects.values_list("status", flat=True)) == ["cancelled", "queued"]


@pytest.mark.seed("S2.14")
@pytest.mark.parametrize("times", [1, 2])
def test_reset__the_voided_password_chosen_again__refused_and_another_taken(world: World, times: int) -> None:
    paths = [forced_reset_link_path(fresh(world.mia))]
    for _time in range(times):
        do(force_password_reset, world.actor(world.lee), world.mia)
        paths.append(forced_reset_link_path(fresh(world.mia)))
    *earlier, path = paths
    client = browser()
    for dead in earlier:
        assert client.get(dead).status_code == 410
    for typed in (PASSWORD, unicodedata.normalize("NFKD", PASSWORD)):
        page = read(submit(client, path, password=typed), 422)
        assert page.errors == {"password": ["This is the password that was taken back. Choose another one."]}
    assert not fresh(world.mia).has_usable_password()
    assert fresh(world.mia).must_change_password
    assert submit(client, path, password="nineteen purple elephants").status_code == 302
    assert fresh(world.mia).check_password("nineteen purple elephants")


def test_reset__of_who_chose_another_since__the_first_password_is_theirs_to_take(world: World) -> None:
    do(force_password_reset, world.actor(world.lee), world.mia)
    assert submit(browser(), forced_reset_link_path(fresh(world.mia)), password="nineteen purple elephants")
    do(force_password_reset, world.actor(world.lee), world.mia)
    path = forced_reset_link_path(fresh(world.mia))
    assert submit(browser(), path, password="nineteen purple elephants").status_code == 422
    assert submit(browser(), path, password=PASSWORD).status_code == 302


def test_reset__who_is_switched_off__refused(world: World) -> None:
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    with pytest.raises(AccountInactive):
        do(force_password_reset, world.actor(world.lee), world.mia)
    assert fresh(world.mia).has_usable_password()


# --- sessions --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13")
def test_sessions__ended_one_and_all__by_an_administrator(world: World) -> None:
    lee = world.actor(world.lee)
    rows = [session_of(world.mia), session_of(world.mia, kind="token"), session_of(world.mia)]
    others = session_of(world.omar)
    assert do(end_person_sessions, lee, world.mia, session_id=rows[0].pk) == 1
    assert [UserSession.objects.get(pk=row.pk).end_reason for row in rows] == ["ended_by_administrator", "", ""]
    assert do(end_person_sessions, lee, world.mia) == 2
    assert do(end_person_sessions, lee, world.mia) == 0
    for session_id in (rows[0].pk, others.pk, uuid4()):
        with pytest.raises(NotFound):
            do(end_person_sessions, lee, world.mia, session_id=session_id)
    assert UserSession.objects.get(pk=others.pk).ended_at is None


# --- how far administrators reach ------------------------------------------------------------------------------------
ACTS: list[Act] = [force_password_reset, end_person_sessions, unlock]


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize("act", ACTS)
def test_acts__on_strangers_and_former_members__not_found_but_for_the_platform(world: World, act: Act) -> None:
    lee = world.actor(world.lee)
    for nobody in (world.stone, uuid4()):
        with pytest.raises(NotFound):
            do(act, lee, nobody)
    do(act, lee, world.mia)
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(status="ended", ended_at=timezone.now())
    with pytest.raises(NotFound):
        do(act, lee, world.mia)
    with pytest.raises(NotFound):  # platform staff in the practice reach its members, at home everybody
        do(act, world.actor(world.ana, world.practice), world.stone)
    do(act, world.actor(world.ana, world.platform), world.stone)


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize("act", ACTS)
def test_acts__without_the_right__refused(world: World, act: Act) -> None:
    do(act, world.actor(world.lee), world.mia)
    for actor in (world.actor(world.omar), world.actor(world.mia)):
        with pytest.raises(NotPermitted):
            do(act, actor, world.mia)


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize("act", [force_password_reset, end_person_sessions])
def test_acts__on_a_platform_administrator_who_joined__outranked(world: World, act: Act) -> None:
    join(world, world.ana)
    session = session_of(world.ana)
    with pytest.raises(Outranked):
        do(act, world.actor(world.lee), world.ana)
    assert fresh(world.ana).has_usable_password()
    assert UserSession.objects.get(pk=session.pk).ended_at is None
    with platform("test"):
        second = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    do(act, replace(world.actor(world.ana, world.practice), user=second), world.ana)


def test_reset__of_oneself__refused(world: World) -> None:
    with pytest.raises(OwnAccount):
        do(force_password_reset, world.actor(world.lee), world.lee)
    assert fresh(world.lee).has_usable_password()


@pytest.mark.seed("S3.3")
def test_unlock__of_a_member__ends_the_lock_and_says_so(world: World, now: datetime) -> None:
    for _guess in range(5):
        with pytest.raises(services.InvalidCredentials):
            services.check_credentials(email=world.mia.email, password="wrong", at=now, **ORIGIN)
    assert lockout.locked_among([(world.mia.pk, world.mia.email), (world.lee.pk, world.lee.email)], at=now) == {
        world.mia.pk
    }
    do(unlock, world.actor(world.lee), world.mia)
    assert not SignInLock.objects.exists()
    assert lockout.locked_among([(world.mia.pk, world.mia.email)], at=now) == set()
    services.check_credentials(email=world.mia.email, password=PASSWORD, at=now, **ORIGIN)


# --- at the same moment ----------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13")
def test_deactivate__two_admins_each_other_at_once__one_stays(committed_world: World) -> None:
    world = committed_world
    with platform("test"):
        second = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    ana = world.actor(world.ana, world.platform)
    for _round in range(5):
        outcomes = race(
            lambda: administration.deactivate_user(actor=ana, user_id=second.pk, reason="x", at=timezone.now()),
            lambda: administration.deactivate_user(
                actor=replace(ana, user=second), user_id=world.ana.pk, reason="x", at=timezone.now()
            ),
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == [LastAdministrator.__name__, "User"]
        User.objects.update(is_active=True)
