"""What happens at the same moment: real threads, each with a connection of its own, on committed rows."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.outbox import LEASE
from audit.models import AuditEvent
from audit.verification import verify_chain
from healthivr.embedded.mail_sink import MailSink
from healthivr.kernel.errors import DomainError
from healthivr.testing.database import superuser
from healthivr.testing.factories import PASSWORD, InvitationFactory, password_hash
from healthivr.testing.races import race
from healthivr.testing.world import World
from healthivr.views import http_status
from invitations import acceptance, delivery, tasks
from invitations.acceptance import request_new_link
from invitations.expiry import expire_overdue
from invitations.models import Delivery, InvitationHistory, UserInvitation
from invitations.services import cancel_invitation, create_invitation, resend_invitation
from invitations.states import Status
from invitations.tests.acts import (
    STRANGER,
    assert_seats_are_counted,
    at_once,
    count_seats_anew,
    fresh,
    seats_used,
    set_seat_limit,
    token_of,
)
from organizations.models import Membership, Organization
from organizations.tenancy import platform, tenant

SignIn = Callable[[User], Client]
ROUNDS = 50


@pytest.fixture(autouse=True)
def _whole_afterwards(transactional_db: None) -> Any:
    """Whoever wins, every seat is counted and no chain is broken."""
    yield
    assert_seats_are_counted()
    with platform("test"):
        assert verify_chain()[2] == []


@pytest.fixture
def quick_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing a password would give the rival a head start of 20 ms."""
    monkeypatch.setattr(acceptance, "hash_password", lambda raw: password_hash())


def loser_is_told(result: object) -> None:
    """Demand a conflict or a closed link: nothing else may come of losing."""
    assert isinstance(result, DomainError), repr(result)
    assert http_status(result) in (HTTPStatus.CONFLICT, HTTPStatus.GONE)


def at_some_moment(act: Callable[[], Any], *, within: float = 0.002) -> Callable[[], Any]:
    """Do something up to two milliseconds later (or `within` seconds), so that each side wins some rounds."""
    pause = random.random() * within

    def later() -> Any:
        time.sleep(pause)
        return act()

    return later


def in_practice(world: World, service: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
    """Return an act of Dr. Lee in the practice, in the door that a request opens."""

    def act() -> Any:
        with tenant(world.practice):
            return service(actor=world.actor(world.lee), at=timezone.now(), **arguments)

    return act


def post(world: World, sign_in: SignIn, path: str, body: dict[str, Any]) -> Callable[[], Any]:
    """Return a request by Dr. Lee to the API."""
    client = sign_in(world.lee)

    def request() -> Any:
        headers = {"X-Organization": world.practice.slug}
        return client.post(f"/api/v1/invitations/{path}", json.dumps(body), "application/json", headers=headers)

    return request


# --- accept ----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.11")
def test_accept__fifty_at_once_by_api__one_user_one_membership_and_49_conflicts(committed_world: World) -> None:
    token = token_of(committed_world.invitation)
    before = seats_used(committed_world.practice)
    body = json.dumps({"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"})

    def request(number: int) -> Callable[[], Any]:
        client = Client(REMOTE_ADDR=f"192.0.2.{number}")  # ten a minute from one address (C5)
        return lambda: client.post(f"/api/v1/invitations/accept/{token}/", body, "application/json")

    answers = at_once(*(request(number) for number in range(50)))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    assert {answer.json().get("code") for answer in answers} == {None, "invitation_accepted"}
    user = User.objects.get(email=committed_world.invitation.email)
    with platform("test"):
        assert Membership.objects.filter(user=user).count() == 1
        assert events("invitation.accepted", committed_world.practice) == 1
    assert seats_used(committed_world.practice) == before


@pytest.mark.seed("S4.20")
@pytest.mark.usefixtures("quick_hash")
def test_accept__against_cancel_by_api__one_winner_never_both_and_the_other_is_told(
    committed_world: World, sign_in: SignIn
) -> None:
    set_seat_limit(committed_world.practice, 1000)
    staff = sign_in(committed_world.lee)
    winners = Counter[str]()
    body = json.dumps({"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"})
    for number in range(ROUNDS):
        invitation = open_invitation(committed_world, number)
        invitee = Client(REMOTE_ADDR=f"192.0.2.{number}")  # ten a minute from one address (C5)
        accepting = f"/api/v1/invitations/accept/{token_of(invitation)}/"
        cancelling = f"/api/v1/invitations/{invitation.pk}/"
        accepted, cancelled = at_once(
            at_some_moment(lambda who=invitee, to=accepting: who.post(to, body, "application/json"), within=0.03),
            at_some_moment(lambda to=cancelling: staff.delete(to), within=0.03),
        )
        end = fresh(invitation).status
        answers = (accepted.status_code, cancelled.status_code)
        if end == Status.ACCEPTED:
            assert (answers, cancelled.json()["code"]) == ((201, 409), "illegal_transition")
        else:
            assert (answers, accepted.json()["code"]) == ((410, 200), "invitation_cancelled")
        holds_one_end(invitation, end)
        winners[end] += 1
    assert set(winners) == {Status.ACCEPTED, Status.CANCELLED}, winners


@pytest.mark.usefixtures("quick_hash")
def test_accept__against_expiry__one_winner_and_never_both(committed_world: World) -> None:
    set_seat_limit(committed_world.practice, 1000)
    for number in range(ROUNDS):
        invitation = open_invitation(committed_world, number)
        in_time, too_late = invitation.expires_at - timedelta(seconds=1), invitation.expires_at

        def sweep(at: Any = too_late) -> int:
            with platform("test"):
                return expire_overdue(at=at)

        accepted, expired = at_once(
            at_some_moment(lambda row=invitation, at=in_time: accept_as_invitee(row, at=at)), at_some_moment(sweep)
        )
        is_accepted = isinstance(accepted, acceptance.Accepted)
        if not is_accepted:
            loser_is_told(accepted)
        assert isinstance(expired, int), repr(expired)
        holds_one_end(invitation, "accepted" if is_accepted else "expired")


@pytest.mark.usefixtures("quick_hash")
def test_accept__against_resend__one_link_works_or_the_person_is_in(committed_world: World) -> None:
    set_seat_limit(committed_world.practice, 1000)
    for number in range(ROUNDS):
        invitation = open_invitation(committed_world, number)
        token = token_of(invitation)
        accepted, resent = at_once(
            at_some_moment(lambda row=invitation, token=token: accept_as_invitee(row, token=token)),
            at_some_moment(in_practice(committed_world, resend_invitation, invitation_id=invitation.pk)),
        )
        if isinstance(accepted, acceptance.Accepted):
            loser_is_told(resent)
            holds_one_end(invitation, "accepted")
        else:
            loser_is_told(accepted)
            assert isinstance(resent, UserInvitation)
            assert fresh(invitation).status == Status.PENDING
            assert accept_as_invitee(invitation).is_new_user  # by the link that is mailed now


def test_cancel__against_resend__nobody_waits_for_the_other_for_ever(committed_world: World) -> None:
    set_seat_limit(committed_world.practice, 1000)
    for number in range(ROUNDS):
        invitation = in_practice(
            committed_world, create_invitation, invitation_type="medical_staff", email=f"n{number}@example.org"
        )()
        cancelled, resent = at_once(
            at_some_moment(in_practice(committed_world, cancel_invitation, invitation_id=invitation.pk)),
            at_some_moment(in_practice(committed_world, resend_invitation, invitation_id=invitation.pk)),
        )
        for result in (cancelled, resent):
            if not isinstance(result, UserInvitation):
                loser_is_told(result)
        now = fresh(invitation).status
        assert (now == Status.CANCELLED) == isinstance(cancelled, UserInvitation)
        with platform("test"):
            queued = Delivery.objects.filter(invitation=invitation, status="queued").count()
        assert queued == (now == Status.PENDING)


def test_new_link__asked_five_times_at_once__mailed_once(committed_world: World) -> None:
    invitation = committed_world.invitation

    at_once(*[lambda: request_new_link(token=token_of(invitation), visitor=STRANGER, at=timezone.now())] * 5)

    with platform("test"):
        assert Delivery.objects.filter(invitation=invitation, purpose="invitation").count() == 1


def open_invitation(world: World, number: int) -> UserInvitation:
    """Make an invitation that holds a seat."""
    with platform("test"):
        invitation = InvitationFactory(
            organization=world.practice, invited_by=world.lee, upline=world.lee, email=f"guest{number}@example.org"
        )
    count_seats_anew()
    return invitation


def accept_as_invitee(invitation: UserInvitation, *, token: str = "", at: Any = None) -> acceptance.Accepted:
    """Accept by the link, as a person without an account."""
    return acceptance.accept_invitation(
        token=token or token_of(invitation),
        visitor=STRANGER,
        password=PASSWORD,
        first_name="Nora",
        last_name="Quist",
        at=at or timezone.now(),
    )


def holds_one_end(invitation: UserInvitation, end: str) -> None:
    """Demand that an invitation came to this end, once, in every place that says so."""
    row = fresh(invitation)
    with platform("test"):
        closings = InvitationHistory.objects.filter(invitation=row, event__in=["accept", "cancel", "expire"]).count()
        told = AuditEvent.objects.filter(
            target_id=str(row.pk), action__in=["invitation.accepted", "invitation.cancelled", "invitation.expired"]
        ).values_list("action", flat=True)
        members = Membership.objects.filter(user__email=row.email).count()
        assert row.status == end
        assert closings == 1
        assert list(told) == [f"invitation.{end}"]
        assert members == (end == "accepted")
        assert User.objects.filter(email=row.email).count() == members


# --- seats and duplicates --------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.11")
def test_create__forty_at_once_on_ten_free_seats__exactly_ten(committed_world: World, sign_in: SignIn) -> None:
    used = seats_used(committed_world.practice)
    set_seat_limit(committed_world.practice, used + 10)

    answers = at_once(
        *(
            post(committed_world, sign_in, "", {"invitation_type": "medical_staff", "email": f"n{number}@example.org"})
            for number in range(40)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 30}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"no_seat_left"}
    assert seats_used(committed_world.practice) == used + 10
    with platform("test"):
        assert (
            UserInvitation.objects.filter(email__startswith="n", organization=committed_world.practice)
            .exclude(pk=committed_world.invitation.pk)
            .count()
            == 10
        )


def test_create__twenty_at_once_to_one_address_in_many_spellings__one_row_that_the_others_name(
    committed_world: World, sign_in: SignIn
) -> None:
    used = seats_used(committed_world.practice)
    spellings = ["Nora@Example.org", "nora@example.org", "NORA@EXAMPLE.ORG", " nora@example.org "]

    answers = at_once(
        *(
            post(committed_world, sign_in, "", {"invitation_type": "medical_staff", "email": spellings[number % 4]})
            for number in range(20)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
    (created,) = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    refusals = [answer.json() for answer in answers if answer.status_code == 409]
    assert {(refusal["code"], refusal["existing"]) for refusal in refusals} == {("duplicate_invitation", created)}
    with platform("test"):
        assert UserInvitation.objects.filter(email="nora@example.org").count() == 1
        assert Delivery.objects.filter(invitation=created).count() == 1
    assert seats_used(committed_world.practice) == used + 1


# --- a lock that nobody lets go --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/o/{}/invitations/new/", "application/x-www-form-urlencoded"), ("/api/v1/invitations/", "application/json")],
)
@pytest.mark.parametrize(  # the seats are met in the view, the trail's head just before COMMIT
    "hold",
    [
        "UPDATE organizations_organizationsettings SET seats_used = seats_used WHERE organization_id = %s",
        "INSERT INTO audit_head VALUES (%s, 0, repeat('0', 64))"
        " ON CONFLICT (organization_id) DO UPDATE SET sequence = audit_head.sequence",
    ],
)
def test_create__while_another_holds_a_row_for_too_long__says_busy_and_saves_nothing(
    committed_world: World, sign_in: SignIn, path: str, content_type: str, hold: str
) -> None:
    client = sign_in(committed_world.lee)
    client.raise_request_exception = False
    typed = {"invitation_type": "medical_staff", "email": "n@example.org"}
    body = json.dumps(typed) if content_type.endswith("json") else urlencode(typed)

    def create() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        return client.post(path.format(committed_world.practice.slug), body, content_type)

    with superuser() as rival, rival.transaction(force_rollback=True):
        rival.execute(hold, [committed_world.practice.pk])
        [answer] = race(create)
    with platform("test"):
        assert not UserInvitation.objects.filter(email="n@example.org").exists()

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Nothing was saved" in answer.content.decode()
    if content_type.endswith("json"):
        assert answer.json()["code"] == "busy"


# --- background work beside itself -----------------------------------------------------------------------------------
def test_relay__four_at_once__each_mail_once(
    committed_world: World, mail_sink: MailSink, settings: LazySettings
) -> None:
    settings.MAIL_BATCH_SIZE = 7
    set_seat_limit(committed_world.practice, 1000)
    for number in range(60):
        in_practice(
            committed_world, create_invitation, invitation_type="medical_staff", email=f"n{number}@example.org"
        )()

    sent = at_once(*[delivery.relay_due_deliveries] * 4)

    assert sum(sent) == 60
    with platform("test"):
        assert Delivery.objects.filter(status="sent").count() == 60
        assert events("invitation.sent", committed_world.practice) == 60
        expected = {row.message_id for row in UserInvitation.objects.exclude(sent_at=None)}
    message_ids = [message_id_of(message) for message in mail_sink.messages()]
    assert len(message_ids) == 60
    assert set(message_ids) == expected


def events(action: str, organization: Organization) -> int:
    """Count the events of one kind in an organization's trail, which earlier tests do not share: the trail stays."""
    return AuditEvent.objects.filter(organization_id=organization.pk, action=action).count()


def message_id_of(message: bytes) -> str:
    """Return the part before the @."""
    line = next(line for line in message.decode().splitlines() if line.startswith("Message-ID: "))
    return line.removeprefix("Message-ID: <").partition("@")[0]


def test_lease__longer_than_a_batch_and_its_slowest_mail(settings: LazySettings) -> None:
    answers = 11  # greeting, EHLO, STARTTLS, EHLO, AUTH twice, MAIL, RCPT, DATA, its end, and the connection itself
    assert LEASE.total_seconds() > delivery.BATCH_SECONDS + answers * settings.EMAIL_TIMEOUT


def test_expiry_sweep__four_at_once__each_invitation_expires_once_and_frees_one_seat(committed_world: World) -> None:
    with platform("test"):
        for organization in (committed_world.practice, committed_world.strange_practice):
            set_seat_limit(organization, 1000)
            InvitationFactory.create_batch(30, organization=organization, overdue=True)
    count_seats_anew()
    used = seats_used(committed_world.practice)

    expired = at_once(*[tasks.expire_overdue] * 4)

    assert sum(expired) == 60
    assert seats_used(committed_world.practice) == used - 30
    with platform("test"):
        assert UserInvitation.objects.filter(status=Status.EXPIRED).count() == 60
        assert InvitationHistory.objects.filter(event="expire").count() == 60
        assert events("invitation.expired", committed_world.practice) == 30
        assert events("invitation.expired", committed_world.strange_practice) == 30
