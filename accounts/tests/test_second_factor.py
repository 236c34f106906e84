"""The second factor: which code is taken, when, how often, and what of it is stored."""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts import second_factor, services
from accounts.lockout import Locked
from accounts.models import (
    AccountMail,
    Authenticator,
    RecoveryCode,
    SessionEnd,
    SessionKind,
    SignInLock,
    User,
    UserSession,
    hash_password,
)
from accounts.registry import CredentialsChanged, SecondFactorRequired, renew_verification, start_session
from accounts.second_factor import CodeRefused, check_second_factor
from accounts.services import confirm_password
from audit.models import AuditEvent
from healthivr.kernel.encryption import RecordUnreadable
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import Phone, phone_of
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.actor import StepUpRequired
from organizations.models import OrganizationSettings
from organizations.tenancy import platform

pytestmark = pytest.mark.django_db

WHENCE = {"ip": "192.0.2.7", "request_id": "test-request"}
NOON = datetime.fromisoformat("2026-11-21T12:00:05+00:00")


def check(user: User, code: str, *, at: datetime | None = None) -> None:
    check_second_factor(user=user, code=code, at=at or timezone.now(), **WHENCE)


def enrolled(user: User, session: UserSession, *, at: datetime) -> tuple[Phone, list[str]]:
    """Set a second factor up by the services; return the phone and the recovery codes."""
    begun = second_factor.begin_enrolment(user=user, session=session, at=at, **WHENCE)
    phone = Phone(begun.key)
    codes = second_factor.confirm_enrolment(user=user, session=session, code=phone.code(at=at), at=at, **WHENCE)
    return phone, codes


def actions(user: User) -> list[str]:
    with platform("test"):
        return list(AuditEvent.objects.filter(actor_id=user.pk).order_by("sequence").values_list("action", flat=True))


# --- which code is taken ---------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_code__of_this_step_or_a_neighbour__taken_once(world: World, steps: int) -> None:
    phone = phone_of(world.lee)
    code = phone.shows(at=NOON, steps=steps)
    check(world.lee, code, at=NOON)
    for later in (0, 20, 40):
        with pytest.raises(CodeRefused):
            check(world.lee, code, at=NOON + timedelta(seconds=later))


@pytest.mark.parametrize("steps", [-3, -2, 2, 3])
def test_code__of_a_step_further_away__refused_until_the_clock_gets_there(world: World, steps: int) -> None:
    phone = phone_of(world.lee)
    code = phone.shows(at=NOON, steps=steps)
    with pytest.raises(CodeRefused):
        check(world.lee, code, at=NOON)
    check(world.lee, code, at=NOON + timedelta(seconds=30 * steps))


@pytest.mark.seed("S3.1")
def test_code__older_than_one_taken__refused(world: World) -> None:
    phone = phone_of(world.lee)
    check(world.lee, phone.shows(at=NOON), at=NOON)
    with pytest.raises(CodeRefused):
        check(world.lee, phone.shows(at=NOON, steps=-1), at=NOON)
    check(world.lee, phone.shows(at=NOON, steps=1), at=NOON)


def test_code__of_a_clock_that_drifts_away_slowly__taken_up_to_two_minutes(world: World) -> None:
    phone = phone_of(world.lee)
    for steps in (1, 2, 3, 4):
        at = NOON + timedelta(minutes=10 * steps)
        check(world.lee, phone.shows(at=at, steps=steps), at=at)
    assert Authenticator.objects.get().drift == 4
    at = NOON + timedelta(hours=1)
    with pytest.raises(CodeRefused):
        check(world.lee, phone.shows(at=at, steps=5), at=at)


def test_code__of_a_clock_that_was_off_and_is_set_right__taken(world: World) -> None:
    phone = phone_of(world.lee)
    Authenticator.objects.update(drift=4)
    check(world.lee, phone.shows(at=NOON), at=NOON)
    assert Authenticator.objects.get().drift == 0


@pytest.mark.parametrize("typed", ["{0}{1}", " {0} {1} ", "{0}-{1}", "{0}\u00a0{1}\n"])
def test_code__typed_with_what_stands_between_digits__taken(world: World, typed: str) -> None:
    code = phone_of(world.lee).shows(at=NOON)
    check(world.lee, typed.format(code[:3], code[3:]), at=NOON)


@pytest.mark.parametrize("typed", ["12345", "1234567", "000000", "abcdef", "💩", "٣٣٣٣٣٣", "x" * 100, "-1"])
def test_code__that_is_none__refused_and_counted(world: World, typed: str) -> None:
    phone_of(world.lee)
    with pytest.raises((CodeRefused, services.Malformed)) as refused:
        check(world.lee, typed, at=NOON)
    is_empty = isinstance(refused.value, services.Malformed)
    assert SignInLock.objects.count() == (0 if is_empty else 1)


def test_code__of_somebody_else_or_of_an_app_that_was_not_confirmed__refused(world: World) -> None:
    check(world.lee, phone_of(world.lee).shows(at=NOON), at=NOON)
    begun = second_factor.begin_enrolment(user=world.omar, session=session_of(world.omar), at=NOON, **WHENCE)
    for code in (Phone(begun.key).shows(at=NOON), phone_of(world.stone).shows(at=NOON)):
        with pytest.raises(CodeRefused):
            check(world.omar, code, at=NOON)


# --- at once ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
def test_code__given_by_two_at_the_same_moment__one_wins(committed_world: World) -> None:
    lee, phone = committed_world.lee, phone_of(committed_world.lee)
    at = timezone.now()
    for round_ in range(5):
        now = at + timedelta(minutes=round_)
        code = phone.shows(at=now)
        outcomes = race(*[lambda code=code, now=now: check(lee, code, at=now)] * 4)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [CodeRefused] * 3, outcomes
        SignInLock.objects.all().delete()


@pytest.mark.seed("S3.1")
def test_recovery_code__given_by_two_at_the_same_moment__one_wins(committed_world: World) -> None:
    lee, at = committed_world.lee, timezone.now()
    _phone, codes = enrolled(lee, session_of(lee, second_factor_at=None), at=at)
    outcomes = race(*[lambda: check(lee, codes[0], at=at)] * 4)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [CodeRefused] * 3, outcomes
    assert RecoveryCode.objects.filter(user=lee, used_at=None).count() == 9


@pytest.mark.seed("S3.2", "S3.3")
def test_guesses__a_hundred_at_once__five_are_looked_at(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone_of(committed_world.lee)
    looked: list[str] = []
    match = Authenticator.match

    def counted(self: Authenticator, code: str, *, at: datetime) -> Any:
        looked.append(code)
        return match(self, code, at=at)

    monkeypatch.setattr(Authenticator, "match", counted)
    at = timezone.now()

    def guess(first: int) -> list[type]:
        refused = []
        for number in range(first, first + 10):
            try:
                check(committed_world.lee, f"{number:06d}", at=at)
            except (CodeRefused, Locked) as error:
                refused.append(type(error))
        return refused

    outcomes = race(*[lambda first=first: guess(first) for first in range(0, 100, 10)])
    kinds = [kind for outcome in outcomes for kind in outcome]
    assert (kinds.count(CodeRefused), kinds.count(Locked), len(looked)) == (5, 95, 5)


@pytest.mark.seed("S3.2")
def test_guesses__at_the_code__are_not_forgiven_by_the_right_password(world: World) -> None:
    phone = phone_of(world.lee)
    at = timezone.now()
    for _guess in range(4):
        services.check_credentials(email=world.lee.email, password=PASSWORD, at=at, **WHENCE)
        with pytest.raises(CodeRefused):
            check(world.lee, "000000", at=at)
    services.check_credentials(email=world.lee.email, password=PASSWORD, at=at, **WHENCE)
    with pytest.raises(CodeRefused):
        check(world.lee, "000000", at=at)
    with pytest.raises(Locked):
        check(world.lee, phone.shows(at=at), at=at)
    with pytest.raises(Locked):
        services.check_credentials(email=world.lee.email, password=PASSWORD, at=at, **WHENCE)
    after = at + timedelta(minutes=15, seconds=1)
    services.check_credentials(email=world.lee.email, password=PASSWORD, at=after, **WHENCE)
    check(world.lee, phone.shows(at=after), at=after)
    assert not SignInLock.objects.exists()


# --- setting up, replacing, removing ---------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
def test_enrolment__confirmed__ends_every_other_session_and_mails_the_person(world: World) -> None:
    here, there = session_of(world.lee, second_factor_at=None), session_of(world.lee, second_factor_at=None)
    program = session_of(world.lee, kind=SessionKind.TOKEN, second_factor_at=None)
    enrolled(world.lee, here, at=timezone.now())
    for session in (here, there, program):
        session.refresh_from_db()
    assert here.ended_at is None
    assert here.second_factor_at is not None
    assert there.end_reason == program.end_reason == SessionEnd.FACTOR_CHANGED
    assert list(AccountMail.objects.values_list("kind", "user")) == [("factor_enrolled", world.lee.pk)]
    assert actions(world.lee)[:2] == ["second_factor.begun", "second_factor.enrolled"]


@pytest.mark.seed("S3.1")
def test_enrolment__its_code__is_not_taken_again_at_sign_in(world: World) -> None:
    at = timezone.now()
    phone, _codes = enrolled(world.lee, session_of(world.lee, second_factor_at=None), at=at)
    with pytest.raises(CodeRefused):
        check(world.lee, phone.shows(at=at), at=at)
    check(world.lee, phone.code(at=at), at=at)


def test_enrolment__looked_at_again__shows_the_same_key_here_and_another_elsewhere(world: World) -> None:
    here, there = session_of(world.lee, second_factor_at=None), session_of(world.lee, second_factor_at=None)

    def key(session: UserSession, *, at: datetime = NOON) -> str:
        return second_factor.begin_enrolment(user=world.lee, session=session, at=at, **WHENCE).key

    first = key(here)
    assert key(here) == first
    other = key(there)  # perhaps somebody who has the password: they shall not know what the phone at hand shows
    assert other != first
    kept = key(here)
    assert kept not in (first, other)
    with pytest.raises(second_factor.EnrolmentClosed):
        second_factor.confirm_enrolment(
            user=world.lee, session=there, code=Phone(other).shows(at=NOON), at=NOON, **WHENCE
        )
    assert key(here, at=NOON + timedelta(hours=1, seconds=1)) != kept


def test_enrolment__wrong_code__nothing_changes_and_the_right_one_still_confirms(world: World) -> None:
    session, at = session_of(world.lee, second_factor_at=None), timezone.now()
    begun = second_factor.begin_enrolment(user=world.lee, session=session, at=at, **WHENCE)
    with pytest.raises(CodeRefused):
        second_factor.confirm_enrolment(user=world.lee, session=session, code="000000", at=at, **WHENCE)
    assert not second_factor.is_enrolled(world.lee)
    assert not RecoveryCode.objects.exists()
    second_factor.confirm_enrolment(user=world.lee, session=session, code=Phone(begun.key).code(at=at), at=at, **WHENCE)
    assert second_factor.is_enrolled(world.lee)


ACTS: list[Callable[..., Any]] = [
    second_factor.begin_enrolment,
    second_factor.replace_recovery_codes,
    second_factor.remove_factor,
]


@pytest.mark.seed("S3.1")
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_change__of_a_factor__needs_one_that_was_given_within_five_minutes(
    world: World, act: Callable[..., Any]
) -> None:
    phone_of(world.mia)
    session, at = session_of(world.mia), timezone.now()
    later = at + timedelta(minutes=5, seconds=1)
    for stale, when in ((session, later), (session_of(world.mia, second_factor_at=None), at)):
        with pytest.raises(StepUpRequired):
            act(user=world.mia, session=stale, at=when, **WHENCE)
    renew_verification(session, is_second_factor=True, at=later)
    act(user=world.mia, session=session, at=later, **WHENCE)


def test_replacement__until_it_is_confirmed__the_old_app_works(world: World) -> None:
    old, at = phone_of(world.lee), timezone.now()
    session = session_of(world.lee)
    begun = second_factor.begin_enrolment(user=world.lee, session=session, at=at, **WHENCE)
    check(world.lee, old.code(at=at), at=at)
    new = Phone(begun.key)
    second_factor.confirm_enrolment(user=world.lee, session=session, code=new.code(at=at), at=at, **WHENCE)
    with pytest.raises(CodeRefused):
        check(world.lee, old.code(at=at), at=at)
    check(world.lee, new.code(at=at), at=at)


@pytest.mark.seed("S3.1")
def test_recovery_codes__each_once_and_none_after_they_were_replaced(world: World) -> None:
    at, session = timezone.now(), session_of(world.lee, second_factor_at=None)
    _phone, codes = enrolled(world.lee, session, at=at)
    check(world.lee, codes[0].lower().replace("-", " "), at=at)
    with pytest.raises(CodeRefused):
        check(world.lee, codes[0], at=at)
    assert AccountMail.objects.filter(kind="code_used", user=world.lee).count() == 1
    fresh = second_factor.replace_recovery_codes(user=world.lee, session=session, at=at, **WHENCE)
    assert not set(codes) & set(fresh)
    with pytest.raises(CodeRefused):
        check(world.lee, codes[1], at=at)
    for code in fresh:
        check(world.lee, code, at=at)
    state = second_factor.factor_state(world.lee)
    assert state
    assert state.codes_left == 0


def test_recovery_code__of_somebody_else__refused(world: World) -> None:
    at = timezone.now()
    _phone, codes = enrolled(world.lee, session_of(world.lee, second_factor_at=None), at=at)
    phone_of(world.stone)
    with pytest.raises(CodeRefused):
        check(world.stone, codes[0], at=at)
    check(world.lee, codes[0], at=at)


def test_removal__where_a_role_or_a_policy_asks_for_it__refused_and_else_done(world: World) -> None:
    at = timezone.now()
    phone_of(world.lee)
    with pytest.raises(second_factor.FactorNeeded):
        second_factor.remove_factor(user=world.lee, session=session_of(world.lee), at=at, **WHENCE)
    phone_of(world.mia)
    here, there = session_of(world.mia), session_of(world.mia)
    practice = OrganizationSettings.objects.filter(organization=world.practice)
    with platform("test"):
        practice.update(requires_second_factor=True)
    with pytest.raises(second_factor.FactorNeeded):
        second_factor.remove_factor(user=world.mia, session=here, at=at, **WHENCE)
    with platform("test"):
        practice.update(requires_second_factor=False)
    second_factor.remove_factor(user=world.mia, session=here, at=at, **WHENCE)
    assert not second_factor.is_enrolled(world.mia)
    there.refresh_from_db()
    here.refresh_from_db()
    assert (there.end_reason, here.end_reason, here.second_factor_at) == (SessionEnd.FACTOR_CHANGED, "", None)
    assert AccountMail.objects.filter(kind="factor_removed", user=world.mia).count() == 1


@pytest.mark.seed("S3.1")
def test_session__of_who_has_a_factor__does_not_begin_without_it(world: World) -> None:
    begin = {"user": world.mia, "kind": SessionKind.BROWSER, "user_agent": "", "at": timezone.now(), **WHENCE}
    start_session(second_factor_at=None, **begin)
    phone_of(world.mia)
    with pytest.raises(SecondFactorRequired):
        start_session(second_factor_at=None, **begin)
    start_session(second_factor_at=timezone.now(), **begin)
    assert UserSession.objects.filter(user=world.mia).count() == 2


# --- what is stored --------------------------------------------------------------------------------------------------
def everything_stored() -> str:
    """Every row of every table of ours, as text."""
    found = []
    with platform("test"), connection.cursor() as cursor:
        for model in apps.get_models():
            if model._meta.managed and model._meta.db_table in connection.introspection.table_names(cursor):
                cursor.execute(f'SELECT row::text FROM "{model._meta.db_table}" row')
                found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


@pytest.mark.seed("S3.1")
def test_seed_and_codes__in_every_table_and_log__nowhere_in_clear(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    at = timezone.now()
    phone, codes = enrolled(world.lee, session_of(world.lee, second_factor_at=None), at=at)
    check(world.lee, codes[0], at=at)
    check(world.lee, phone.code(at=at), at=at)
    stored = everything_stored()
    assert str(world.lee.pk) in stored
    authenticator = Authenticator.objects.get()
    for secret in (authenticator.key, phone.seed.hex(), *codes, *(code.replace("-", "") for code in codes)):
        for text in (stored, caplog.text):
            assert secret.lower() not in text.lower()


def test_seed__copied_into_another_row__does_not_open(world: World) -> None:
    phone_of(world.lee)
    phone_of(world.stone)
    Authenticator.objects.filter(user=world.stone).update(seed=Authenticator.objects.get(user=world.lee).seed)
    check(world.lee, Phone(Authenticator.objects.get(user=world.lee).key).code(), at=timezone.now())
    with pytest.raises(RecordUnreadable):
        check(world.stone, "123456")


def test_trail__of_a_life_of_a_factor__holds_together(world: World) -> None:
    at = timezone.now()
    session = session_of(world.mia, second_factor_at=None)
    _phone, codes = enrolled(world.mia, session, at=at)
    check(world.mia, codes[0], at=at)
    second_factor.note_codes_kept(user=world.mia, at=at, **WHENCE)
    second_factor.remove_factor(user=world.mia, session=session, at=at, **WHENCE)
    assert actions(world.mia) == [
        "second_factor.begun",
        "second_factor.enrolled",
        "second_factor.code_used",
        "second_factor.codes_kept",
        "second_factor.removed",
    ]
    call_command("verify_audit")


# --- what an attacker with half of it gets ---------------------------------------------------------------------------
def test_step_up__by_the_password_of_who_has_a_factor__opens_nothing(world: World) -> None:
    phone_of(world.lee)
    client = browser(world.lee)
    long_ago = timezone.now() - timedelta(hours=1)
    UserSession.objects.filter(user=world.lee).update(verified_at=long_ago, second_factor_at=long_ago)
    changed = submit(client, "/profile/password/", current_password=PASSWORD, password="an entirely other horse")
    assert changed.status_code == 302
    assert client.get("/profile/second-factor/enrol/")["Location"].startswith("/verify/")
    assert UserSession.objects.get(user=world.lee, ended_at=None).verified_at == long_ago


def test_first_enrolment__in_a_browser_left_alone__asks_for_the_password(world: World) -> None:
    client = browser(world.mia)
    here = "/profile/second-factor/enrol/"
    UserSession.objects.filter(user=world.mia).update(
        verified_at=timezone.now() - timedelta(minutes=6), second_factor_at=None
    )
    assert client.get(here)["Location"].startswith("/verify/")
    assert not Authenticator.objects.filter(user=world.mia).exists()
    UserSession.objects.filter(user=world.mia).update(verified_at=timezone.now())
    shown = read(client.get(here)).tree.all("code", id="key")[0].text
    # Who needs six minutes to install an app loses nothing: the key stays the same and its first code counts.
    UserSession.objects.filter(user=world.mia).update(verified_at=timezone.now() - timedelta(minutes=6))
    assert read(client.get(here)).tree.all("code", id="key")[0].text == shown
    assert read(submit(client, here, code=Phone(shown).code())).heading == "Keep your recovery codes"


def test_guesses_at_the_factor__between_right_passwords__are_five_in_all(world: World) -> None:
    phone_of(world.lee)
    now, wrong = timezone.now(), 0
    for _round in range(5):
        for _try in range(4):
            try:
                check_second_factor(user=world.lee, code="000000", at=now, **WHENCE)
            except CodeRefused:
                wrong += 1
            except Locked:
                break
        with suppress(Locked):
            confirm_password(user=world.lee, password=PASSWORD, at=now, **WHENCE)
    assert wrong == 5


def test_session__of_a_password_that_was_changed_while_it_was_checked__does_not_begin(world: World) -> None:
    checked = User.objects.get(pk=world.mia.pk)
    User.objects.filter(pk=world.mia.pk).update(password=hash_password("an entirely other horse"))
    facts: dict[str, Any] = {"kind": SessionKind.BROWSER, "user_agent": "", "second_factor_at": None, **WHENCE}
    with pytest.raises(CredentialsChanged):
        start_session(user=checked, at=timezone.now(), **facts)
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    with pytest.raises(CredentialsChanged):
        start_session(user=User.objects.get(pk=world.mia.pk), at=timezone.now(), **facts)
    assert not UserSession.objects.filter(user=world.mia).exists()


def test_password__the_same_again__refused(world: World) -> None:
    page = read(submit(browser(world.mia), "/profile/password/", current_password=PASSWORD, password=PASSWORD), 422)
    assert page.errors == {"password": ["This is the password that you have. Choose another one."]}
