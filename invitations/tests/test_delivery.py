"""Delivery over real SMTP: what leaves, what is tried again, what is not, and who is told."""

import asyncio
import smtplib
import socket
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from accounts.outbox import BACK_OFF, LEASE, RUN_SECONDS
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.embedded.processes import wait_until
from healthivr.testing.factories import InvitationFactory
from healthivr.testing.mail import PickyServer
from healthivr.testing.world import World
from invitations import delivery
from invitations.delivery import claim_batch, hint_relay, outbox_age, relay_due_deliveries
from invitations.expiry import expire_overdue
from invitations.models import Delivery, StatusWord, UserInvitation
from invitations.services import (
    cancel_invitation,
    create_invitation,
    renew_invitation,
    resend_invitation,
    update_invitation,
)
from invitations.tasks import relay_deliveries
from organizations.tenancy import platform, tenant

from . import acts

TO = "nora@example.org"


def relay() -> int:
    """Send what is due, as a worker does."""
    try:
        return relay_due_deliveries()
    finally:
        acts.assert_seats_are_counted()


def received(sink: MailSink, to: str = TO) -> list[Any]:
    """Return the mails that reached an address, oldest first."""
    return [
        mail
        for mail in map(acts.parsed, sink.messages())
        if to in [address.strip() for address in str(mail["X-Envelope-To"]).split(",")]
    ]


def attempts(invitation: UserInvitation, *, purpose: str = "invitation") -> list[Delivery]:
    with platform("test"):
        return list(Delivery.objects.filter(invitation=invitation, purpose=purpose).order_by("created_at", "pk"))


def let_time_pass() -> None:
    """Make due whatever waits for a back-off or a lease to end."""
    with platform("test"):
        Delivery.objects.filter(status__in=["queued", "sending"]).update(next_try_at=timezone.now())


def word(invitation: UserInvitation) -> str:
    return acts.fresh(invitation).status_word(at=timezone.now()).value


# --- sent ------------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.25", "S0.26", "S0.23")
def test_relay__queued__sent_once_and_written_down(world: World, mail_sink: MailSink) -> None:
    invitation = acts.invite(world.actor(world.lee), first_name="Nora")
    assert word(invitation) == StatusWord.PENDING
    before = timezone.now()
    assert relay() == 1
    assert relay() == 0
    (mail,) = received(mail_sink)
    assert f"/i/{acts.token_of(invitation)}/" in acts.plain_text(mail)
    row = acts.fresh(invitation)
    assert (row.status, row.delivery_status, row.send_count) == ("pending", "sent", 1)
    assert row.sent_at is not None
    assert before <= row.sent_at <= timezone.now()
    (attempt,) = attempts(invitation)
    assert (attempt.status, attempt.finished_at, attempt.attempt) == ("sent", row.sent_at, 1)
    assert word(invitation) == StatusWord.SENT
    event = acts.trail(world.practice)[-1]
    assert (event.action, event.actor_name, event.target_id) == ("invitation.sent", "relay", str(invitation.pk))
    acts.accept(invitation)


@pytest.mark.seed("S4.3")
def test_relay__never_run__the_invitation_can_be_accepted(world: World) -> None:
    acts.accept(acts.invite(world.actor(world.lee)))


def test_relay__many__oldest_first_over_one_connection_a_batch(
    world: World, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.MAIL_BATCH_SIZE = 4
    opened = []

    class Counted(smtplib.SMTP):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            opened.append(1)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("healthivr.kernel.mail.smtplib.SMTP", Counted)
    at = timezone.now() - timedelta(minutes=1)
    for number in range(8):
        acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org", at=at + timedelta(seconds=number))
    assert relay() == 8
    assert len(opened) == 2
    order = [str(acts.parsed(raw)["To"]) for raw in mail_sink.messages()]
    assert order == [f"person{number}@new.example.org" for number in range(8)]


def test_relay__two_relays_at_once__each_mail_once(committed_world: World, mail_sink: MailSink, settings: Any) -> None:
    world = committed_world
    settings.MAIL_BATCH_SIZE = 3
    for number in range(20):
        acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org")
    results = acts.at_once(*[relay_due_deliveries] * 4)
    assert sum(results) == 20  # type: ignore[arg-type]
    order = [str(acts.parsed(raw)["To"]) for raw in mail_sink.messages()]
    assert sorted(order) == sorted(f"person{number}@new.example.org" for number in range(20))


def test_relay__each_result__committed_before_the_next_mail_is_begun(
    committed_world: World, mail_sink: MailSink
) -> None:
    world = committed_world
    first, second = (acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org") for number in (1, 2))
    keep, seen = mail_sink.handle_DATA, []

    def look() -> None:
        with connection.cursor() as cursor:  # of another thread: it sees what is committed
            cursor.execute("SET ROLE healthivr_platform")
            cursor.execute("SELECT id, delivery_status, send_count FROM user_invitations")
            seen.append({row[0]: row[1:] for row in cursor.fetchall()})
        connection.close()

    async def watched(*arguments: Any) -> str:
        await asyncio.to_thread(look)
        return await keep(*arguments)

    mail_sink.handle_DATA = watched  # type: ignore[method-assign]
    assert relay() == 2
    assert [(state[first.pk], state[second.pk]) for state in seen] == [
        (("sending", 0), ("sending", 0)),
        (("sent", 1), ("sending", 0)),
    ]


# --- tried again -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.18", "S0.26")
def test_relay__three_times_later_then_taken__sent_once_and_counted_four(world: World, mail_sink: MailSink) -> None:
    invitation = acts.invite(world.actor(world.lee))
    mail_sink.refusals = {TO: "451 4.3.0 Try again later"}
    for number in range(3):
        at = timezone.now()
        assert relay() == 0
        row = acts.fresh(invitation)
        assert (row.delivery_status, row.send_count, row.sent_at) == ("queued", number + 1, None)
        assert word(invitation) == StatusWord.PENDING
        failed, waiting = attempts(invitation)[-2:]
        assert (failed.status, failed.reason) == ("failed", "451 4.3.0 Try again later")
        assert (waiting.status, waiting.attempt) == ("queued", number + 2)
        assert timedelta(0) <= waiting.next_try_at - at - BACK_OFF[number] < timedelta(seconds=20)
        assert relay() == 0  # not before its time
        let_time_pass()
    mail_sink.refusals = {}
    assert relay() == 1
    let_time_pass()
    assert relay() == 0
    assert len(received(mail_sink)) == 1
    row = acts.fresh(invitation)
    assert (row.delivery_status, row.send_count) == ("sent", 4)
    assert [attempt.status for attempt in attempts(invitation)] == ["failed", "failed", "failed", "sent"]
    assert acts.deliveries(invitation, purpose="failed") == []
    assert acts.actions(world.practice) == ["invitation.created", *["invitation.failed"] * 3, "invitation.sent"]


def test_back_off__within_a_day_and_longer_each_time() -> None:
    assert list(BACK_OFF) == sorted(BACK_OFF)
    assert sum(BACK_OFF, timedelta(0)) < timedelta(days=1)


def test_relay__never_taken__given_up_and_the_inviter_told_once(world: World, mail_sink: MailSink) -> None:
    invitation = acts.invite(world.actor(world.lee), expires_in_hours=720)
    mail_sink.refusals = {TO: "451 4.3.0 Try again later"}
    for _attempt in range(len(BACK_OFF) + 3):
        relay()
        let_time_pass()
    assert acts.deliveries(invitation) == ["failed"] * (len(BACK_OFF) + 1)
    row = acts.fresh(invitation)
    assert (row.status, row.delivery_status, row.send_count) == ("pending", "failed", len(BACK_OFF) + 1)
    assert word(invitation) == StatusWord.FAILED
    (told,) = received(mail_sink, "lee@example.org")
    assert told["Subject"] == f"Your invitation to {TO} did not arrive"
    assert "451 4.3.0 Try again later" in acts.plain_text(told)
    assert received(mail_sink) == []
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=invitation.pk)
    mail_sink.refusals = {}
    relay()
    assert word(invitation) == StatusWord.SENT


@pytest.mark.seed("S0.34")
def test_relay__server_down__kept_and_sent_when_it_is_back(world: World, mail_sink: MailSink, settings: Any) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = nobody.getsockname()[1]  # bound, and nobody listens
        invitation = acts.invite(world.actor(world.lee))
        other = acts.invite(world.actor(world.lee), email="other@example.org")
        assert relay() == 0
    assert [attempt.reason for attempt in attempts(invitation)] == [
        "mail server not reachable (ConnectionRefusedError)",
        "",
    ]
    settings.EMAIL_PORT = mail_sink.port
    let_time_pass()
    assert relay() == 2
    assert (word(invitation), word(other)) == (StatusWord.SENT, StatusWord.SENT)


def test_relay__server_hangs_up_between_two_mails__second_goes_over_a_new_connection(
    world: World, mail_sink: MailSink
) -> None:
    at = timezone.now()
    acts.invite(world.actor(world.lee), email="first@example.org", at=at - timedelta(seconds=2))
    acts.invite(world.actor(world.lee), at=at - timedelta(seconds=1))
    keep = mail_sink.handle_DATA

    async def hang_up(server: Any, session: Any, envelope: Any) -> str:
        answer = await keep(server, session, envelope)
        if "first@example.org" in envelope.rcpt_tos:
            server.loop.call_later(0.05, server.transport.close)
        return answer

    mail_sink.handle_DATA = hang_up  # type: ignore[method-assign]
    assert relay() == 2
    assert len(received(mail_sink)) == len(received(mail_sink, "first@example.org")) == 1


# --- refused for good ------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.26")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("550 5.1.1 There is no such mailbox", "550 5.1.1 There is no such mailbox"),
        (f"550 5.1.1 <{TO}>: unknown user", "550 5.1.1 <the address>: unknown user"),
        ("552 5.2.2 The mailbox is full", "552 5.2.2 The mailbox is full"),
        ("550 5.1.1 " + "x" * 300, "550 5.1.1 " + "x" * 190),
    ],
)
def test_relay__refused_for_good__bounced_at_once_and_the_inviter_told(
    world: World, mail_sink: MailSink, answer: str, reason: str
) -> None:
    invitation = acts.invite(world.actor(world.lee))
    mail_sink.refusals = {TO: answer}
    assert relay() == 1  # the word to the inviter
    let_time_pass()
    assert relay() == 0
    (attempt,) = attempts(invitation)
    assert (attempt.status, attempt.reason) == ("bounced", reason)
    row = acts.fresh(invitation)
    assert (row.status, row.delivery_status, row.send_count) == ("pending", "bounced", 1)
    assert word(invitation) == StatusWord.FAILED
    (told,) = received(mail_sink, "lee@example.org")
    assert reason[:40] in acts.plain_text(told)
    events = acts.trail(world.practice)
    assert [event.action for event in events] == ["invitation.created", "invitation.bounced"]
    assert events[-1].detail["reason"] == reason
    assert TO not in str(vars(events[-1]))


OURS = [
    ("greeting", "SMTPConnectError"),
    ("EHLO", "SMTPHeloError"),
    ("STARTTLS", "SMTPResponseException"),
    ("AUTH", "SMTPAuthenticationError"),
    ("MAIL", "SMTPSenderRefused"),
]


@pytest.mark.seed("S0.26")
@pytest.mark.parametrize("code", ["454", "554"])
@pytest.mark.parametrize(("step", "why"), OURS)
def test_relay__server_refuses_us__no_address_is_blamed_and_all_leave_once_it_is_put_right(
    world: World, picky_server: PickyServer, settings: Any, caplog: Any, step: str, why: str, code: str
) -> None:
    settings.EMAIL_USE_TLS = step == "STARTTLS"
    at = timezone.now()
    rows = [acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org", at=at) for number in range(3)]
    picky_server.refusals = {step: f"{code} 5.7.8 Not you, sender@example.org"}
    if step == "EHLO":
        picky_server.refusals["HELO"] = picky_server.refusals[step]
    assert relay() == 0
    assert [acts.fresh(row).delivery_status for row in rows] == ["queued"] * 3
    assert [acts.deliveries(row) for row in rows] == [["failed", "queued"], ["queued"], ["queued"]]
    failed, again = attempts(rows[0])
    assert failed.reason == f"mail server not reachable ({why} {code})"
    for waiting in (again, *attempts(rows[1]), *attempts(rows[2])):
        assert timedelta(0) <= waiting.next_try_at - at - BACK_OFF[0] < timedelta(seconds=20)
    assert "invitation.bounced" not in acts.actions(world.practice)
    assert [acts.deliveries(row, purpose="failed") for row in rows] == [[], [], []]
    assert wait_until(lambda: picky_server.closed == picky_server.opened == 1, patience=5)
    assert "mail_server_unusable" in caplog.text
    assert "@" not in caplog.text
    picky_server.refusals, settings.EMAIL_USE_TLS = {}, False
    let_time_pass()
    assert relay() == 3
    assert picky_server.taken == 3


@pytest.mark.seed("S0.26")
@pytest.mark.parametrize("step", ["DATA", "message"])
def test_relay__message_refused_for_good__rejected_the_inviter_told_and_it_can_be_sent_again(
    world: World, picky_server: PickyServer, step: str
) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    picky_server.refusals = {step: f"554 5.7.1 <{TO}> looks like spam"}
    assert relay() == 0
    assert acts.deliveries(invitation) == ["rejected"]
    assert attempts(invitation)[0].reason == "554 5.7.1 <the address> looks like spam"
    assert acts.deliveries(invitation, purpose="failed") == ["rejected"]  # told in the same breath, and refused as well
    assert (acts.fresh(invitation).delivery_status, word(invitation)) == ("rejected", StatusWord.FAILED)
    assert acts.actions(world.practice)[-1] == "invitation.rejected"
    picky_server.refusals = {}
    acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    assert relay() == 1
    assert word(invitation) == StatusWord.SENT


@pytest.mark.parametrize(
    ("step", "reply", "status"),
    [
        ("RCPT", "450 4.2.1 Come back later", "queued"),
        ("RCPT", "550 5.1.1 Nobody here", "bounced"),
        ("RCPT", "554 5.7.1 Relay access denied", "queued"),
        ("DATA", "451 4.3.0 Come back later", "queued"),
        ("message", "452 4.3.1 Come back later", "queued"),
    ],
)
def test_relay__one_mail_refused__the_connection_goes_on_with_the_next(
    world: World, picky_server: PickyServer, step: str, reply: str, status: str
) -> None:
    rows = [acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org") for number in range(2)]
    picky_server.refusals = {step: reply}
    batch = claim_batch(size=10, at=timezone.now())
    assert delivery._send_batch(batch) == (0, True)
    assert [acts.fresh(row).delivery_status for row in rows] == [status] * 2
    assert picky_server.opened == 1


def test_relay__enough_over_this_connection__goes_on_over_the_next(world: World, picky_server: PickyServer) -> None:
    invitation = acts.invite(world.actor(world.lee))
    picky_server.refusals = {"MAIL": "421 4.7.0 Too many messages"}
    assert relay() == 0
    assert picky_server.opened == 2
    assert acts.deliveries(invitation) == ["failed", "queued"]


def test_relay__one_refused_in_a_batch__the_others_leave(world: World, mail_sink: MailSink) -> None:
    mail_sink.refusals = {"refuse-550": "550 5.1.1 no", "refuse-451": "451 4.3.0 later"}
    emails = [
        "a@example.org",
        "refuse-550@example.org",
        "b@example.org",
        "refuse-451@example.org",
        "c@example.org",
    ]
    rows = [acts.invite(world.actor(world.lee), email=email) for email in emails]
    relay()
    assert [acts.fresh(row).delivery_status for row in rows] == ["sent", "bounced", "sent", "queued", "sent"]


def test_relay__notice_bounces__no_further_notice_and_the_invitation_untouched(
    world: World, mail_sink: MailSink
) -> None:
    invitation = acts.invite(world.actor(world.lee))
    relay()
    acts.accept(invitation)
    mail_sink.refusals = {"lee@": "550 5.1.1 no"}
    assert relay() == 0
    let_time_pass()
    assert relay() == 0
    assert acts.deliveries(invitation, purpose="accepted") == ["bounced"]
    assert acts.deliveries(invitation, purpose="failed") == []
    row = acts.fresh(invitation)
    assert (row.delivery_status, row.send_count) == ("sent", 1)
    assert "invitation.bounced" not in acts.actions(world.practice)


def test_relay__notice_not_taken_now__tried_again_with_the_same_words(world: World, mail_sink: MailSink) -> None:
    invitation = acts.invite(world.actor(world.lee))
    relay()
    acts.decline(invitation, reason="not_me")
    mail_sink.refusals = {"lee@": "451 4.3.0 later"}
    assert relay() == 0
    mail_sink.refusals = {}
    let_time_pass()
    assert relay() == 1
    assert acts.deliveries(invitation, purpose="declined") == ["failed", "sent"]
    (told,) = received(mail_sink, "lee@example.org")
    assert "This is not me" in acts.plain_text(told)
    row = acts.fresh(invitation)
    assert (row.delivery_status, row.send_count) == ("sent", 1)


def test_relay__inviter_left_meanwhile__nobody_to_tell(world: World, mail_sink: MailSink) -> None:
    acts.allow_staff_to_invite(world.practice)
    invitation = acts.invite(world.actor(world.omar))
    assert relay() == 1
    acts.decline(invitation)
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    assert relay() == 0
    assert acts.deliveries(invitation, purpose="declined") == ["cancelled"]
    assert received(mail_sink, "omar@example.org") == []


def test_task__relay__sends_what_is_due(world: World, mail_sink: MailSink) -> None:
    acts.invite(world.actor(world.lee))
    assert relay_deliveries() == 1
    assert len(received(mail_sink)) == 1


@pytest.mark.parametrize("purpose", ["accepted", "declined"])
def test_relay__answered__the_inviter_is_told(world: World, mail_sink: MailSink, purpose: str) -> None:
    invitation = acts.invite(world.actor(world.lee))
    relay()
    acts.accept(invitation) if purpose == "accepted" else acts.decline(invitation)
    assert relay() == 1
    (told,) = received(mail_sink, "lee@example.org")
    who = f"Nora Quist ({TO})" if purpose == "accepted" else TO  # by then the account has a name
    assert told["Subject"] == f"{who} {purpose} your invitation"
    assert acts.fresh(invitation).send_count == 1


# --- what must not leave ---------------------------------------------------------------------------------------------
def _cancel(world: World, invitation: UserInvitation) -> None:
    acts.act(cancel_invitation, actor=world.actor(world.lee), invitation_id=invitation.pk)


def _decline(world: World, invitation: UserInvitation) -> None:
    acts.decline(invitation)


def _accept(world: World, invitation: UserInvitation) -> None:
    acts.accept(invitation)


def _run_out(world: World, invitation: UserInvitation) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(
            created_at=timezone.now() - timedelta(days=8), expires_at=timezone.now()
        )


@pytest.mark.parametrize("what_happens", [_cancel, _decline, _accept, _run_out])
@pytest.mark.parametrize("is_claimed", [False, True])
def test_relay__closed_before_its_mail_left__not_mailed(
    world: World, mail_sink: MailSink, what_happens: Any, is_claimed: bool
) -> None:
    invitation = acts.invite(world.actor(world.lee))
    sent = acts.invite(world.actor(world.lee), email="allowed@example.org")
    batch = claim_batch(size=10, at=timezone.now()) if is_claimed else []
    what_happens(world, invitation)
    delivery._send_batch(batch) if is_claimed else relay()
    relay()
    assert received(mail_sink) == []
    assert len(received(mail_sink, "allowed@example.org")) == 1
    assert acts.deliveries(invitation) == ["cancelled"]
    assert acts.fresh(invitation).send_count == 0
    assert acts.fresh(sent).send_count == 1


@pytest.mark.parametrize("is_claimed", [False, True])
def test_relay__link_replaced_before_its_mail_left__only_the_new_one_is_mailed(
    world: World, mail_sink: MailSink, is_claimed: bool
) -> None:
    invitation = acts.invite(world.actor(world.lee))
    batch = claim_batch(size=10, at=timezone.now()) if is_claimed else []
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=invitation.pk)
    if batch:
        assert delivery._send_batch(batch) == (0, True)
    assert relay() == 1
    (mail,) = received(mail_sink)
    assert acts.token_of(invitation) in acts.plain_text(mail)
    assert acts.deliveries(invitation) == ["cancelled", "sent"]
    assert acts.fresh(invitation).send_count == 1


def test_relay__link_replaced_while_its_mail_is_handed_over__the_row_says_what_left(
    committed_world: World, mail_sink: MailSink
) -> None:
    world = committed_world
    invitation = acts.invite(world.actor(world.lee))
    old = acts.token_of(invitation)
    keep, done = mail_sink.handle_DATA, []

    def resend() -> None:
        with tenant(world.practice):
            resend_invitation(actor=world.actor(world.lee), invitation_id=invitation.pk, at=timezone.now())
        connection.close()

    async def replace_meanwhile(*arguments: Any) -> str:
        if not done:
            done.append(True)
            await asyncio.to_thread(resend)
        return await keep(*arguments)

    mail_sink.handle_DATA = replace_meanwhile  # type: ignore[method-assign]
    assert relay() == 2
    first, second = received(mail_sink)
    assert old in acts.plain_text(first)
    assert acts.token_of(invitation) in acts.plain_text(second)
    assert acts.deliveries(invitation) == ["sent", "sent"]
    assert acts.fresh(invitation).delivery_status == "sent"


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("answer", ["451 4.3.0 later", "554 5.6.0 no"])
@pytest.mark.parametrize("closes", [False, True])
def test_relay__link_replaced_while_its_mail_is_refused__not_tried_again_and_nobody_told(
    committed_world: World, mail_sink: MailSink, is_last: bool, answer: str, closes: bool
) -> None:
    world = committed_world
    invitation = acts.invite(world.actor(world.lee))
    with platform("test"):
        Delivery.objects.update(attempt=len(BACK_OFF) + 1 if is_last else 1)
    keep, done = mail_sink.handle_DATA, []

    def act() -> None:
        with tenant(world.practice):
            (cancel_invitation if closes else resend_invitation)(
                actor=world.actor(world.lee), invitation_id=invitation.pk, at=timezone.now()
            )
        connection.close()

    async def replace_meanwhile_and_refuse(*arguments: Any) -> str:
        if not done:
            done.append(True)
            await asyncio.to_thread(act)
            return answer
        return await keep(*arguments)

    mail_sink.handle_DATA = replace_meanwhile_and_refuse  # type: ignore[method-assign]
    relay()
    let_time_pass()
    relay()
    ended = "rejected" if answer.startswith("5") else "failed"
    assert acts.deliveries(invitation) == ([ended] if closes else [ended, "sent"])
    assert acts.deliveries(invitation, purpose="failed") == []
    assert len(received(mail_sink)) == (0 if closes else 1)
    assert acts.fresh(invitation).delivery_status == (ended if closes else "sent")


# --- the copy in the invitation --------------------------------------------------------------------------------------
def test_delivery_status__through_every_act__is_that_of_the_newest_delivery(
    world: World, mail_sink: MailSink, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lee = world.actor(world.lee)
    seen = []

    def see(row: UserInvitation) -> None:
        shown = acts.fresh(row).delivery_status
        assert shown == attempts(row)[-1].status, f"after {seen}"
        seen.append(shown)

    def at(**values: Any) -> dict[str, Any]:
        return {"actor": lee, "invitation_id": invitation.pk, **values}

    invitation = acts.invite(lee)
    see(invitation)
    with monkeypatch.context() as slow:
        slow.setattr(delivery, "BATCH_SECONDS", -1.0)
        batch = claim_batch(size=10, at=timezone.now())
        see(invitation)
        delivery._send_batch(batch)  # gives it back
    see(invitation)
    mail_sink.refusals = {TO: "451 4.3.0 later"}
    relay()  # fails, and is queued again
    see(invitation)
    mail_sink.refusals = {}
    let_time_pass()
    relay()
    see(invitation)
    acts.ask_for_new_link(acts.token_of(invitation))
    see(invitation)
    acts.act(resend_invitation, **at())
    see(invitation)
    batch = claim_batch(size=10, at=timezone.now())
    acts.act(update_invitation, **at(expires_in_hours=24))  # replaces the link of a mail that a worker holds
    see(invitation)
    delivery._send_batch(batch)
    see(invitation)
    acts.act(update_invitation, **at(message="Hello"))
    see(invitation)
    later = timezone.now() + timedelta(days=2)
    with platform("test"):
        assert expire_overdue(at=later) == 1
    see(invitation)
    acts.act(renew_invitation, **at(at=later))
    see(invitation)
    acts.act(cancel_invitation, **at())
    see(invitation)
    for status, answer in (("bounced", {TO: "550 5.1.1 no"}), ("rejected", {}), ("disabled", {}), ("cancelled", {})):
        row = acts.invite(lee)
        mail_sink.refusals = answer
        with monkeypatch.context() as changed:
            if status == "rejected":
                changed.setattr(mail_sink, "handle_DATA", refuse_message)
            if status == "disabled":
                changed.setattr(settings, "EMAIL_HOST", "")
            batch = claim_batch(size=10, at=timezone.now())
            if status == "cancelled":
                acts.decline(row)
            see(row)
            delivery._send_batch(batch)
        see(row)
        assert seen[-1] == status
        if status != "cancelled":
            acts.act(cancel_invitation, actor=lee, invitation_id=row.pk)
        see(row)
    assert seen[:13] == [
        *("queued", "sending", "queued", "queued", "sent", "queued", "queued", "queued", "queued", "queued"),
        *("cancelled", "queued", "cancelled"),
    ]


async def refuse_message(*arguments: Any) -> str:
    return "554 5.6.0 no"


# --- workers that die, and workers that are slow ---------------------------------------------------------------------
def test_lease__worker_died_after_the_claim__sent_by_another_when_it_ends(world: World, mail_sink: MailSink) -> None:
    invitation = acts.invite(world.actor(world.lee))
    at = timezone.now()
    (held,) = claim_batch(size=10, at=at)
    assert held.next_try_at == at + LEASE
    assert relay() == 0
    assert claim_batch(size=10, at=at + LEASE - timedelta(seconds=1)) == []
    let_time_pass()
    assert relay() == 1
    assert len(received(mail_sink)) == 1
    assert acts.fresh(invitation).send_count == 1


def test_lease__worker_was_only_slow__its_mail_is_the_other_s_now(world: World, mail_sink: MailSink) -> None:
    invitation = acts.invite(world.actor(world.lee))
    slow = claim_batch(size=10, at=timezone.now())
    let_time_pass()
    assert relay() == 1
    assert delivery._send_batch(slow) == (0, True)
    assert len(received(mail_sink)) == 1
    assert acts.deliveries(invitation) == ["sent"]
    assert acts.fresh(invitation).send_count == 1


def test_lease__hand_over_takes_longer_than_it__the_other_s_result_stands_and_counts_once(
    committed_world: World, mail_sink: MailSink
) -> None:
    world = committed_world
    invitation = acts.invite(world.actor(world.lee))
    keep, done = mail_sink.handle_DATA, []

    def send_by_another() -> None:
        let_time_pass()
        assert relay_due_deliveries() == 1
        connection.close()

    async def slow(*arguments: Any) -> str:
        if not done:
            done.append(True)
            await asyncio.to_thread(send_by_another)
        return await keep(*arguments)

    mail_sink.handle_DATA = slow  # type: ignore[method-assign]
    relay()
    first, second = received(mail_sink)
    assert first["Message-ID"] == second["Message-ID"]
    assert acts.fresh(invitation).send_count == 1
    assert acts.actions(world.practice) == ["invitation.created", "invitation.sent"]


def test_lease__worker_died_after_the_server_took_it__same_message_id_and_same_link_again(
    world: World, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = acts.invite(world.actor(world.lee))

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(delivery, "_note", die)
        with pytest.raises(KeyboardInterrupt):
            relay_due_deliveries()
    let_time_pass()
    assert relay() == 1
    first, second = received(mail_sink)
    assert first["Message-ID"] == second["Message-ID"]
    assert acts.plain_text(first) == acts.plain_text(second)
    assert acts.deliveries(invitation) == ["sent"]


def test_batch__slow_server__gives_the_rest_back_and_all_leave(
    world: World, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "BATCH_SECONDS", 0.15)
    mail_sink.delay = 0.1
    claims = []
    keep = delivery.claim_batch

    def counted(**arguments: Any) -> list[Delivery]:
        batch = keep(**arguments)
        claims.append(len(batch))
        return batch

    monkeypatch.setattr(delivery, "claim_batch", counted)
    for number in range(5):
        acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org")
    assert relay() == 5
    assert claims[0] == 5
    assert len(claims) > 2  # and what was given back was claimed again
    assert len({str(acts.parsed(raw)["To"]) for raw in mail_sink.messages()}) == 5


def test_run__longer_than_its_time__hints_again_and_leaves_the_rest_unclaimed(
    world: World, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.MAIL_BATCH_SIZE = 2
    hints: list[int] = []
    monkeypatch.setattr(delivery, "hint_relay", lambda: hints.append(1))
    rows = [acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org") for number in range(6)]
    monkeypatch.setattr(delivery, "RUN_SECONDS", 0.15)
    mail_sink.delay = 0.1
    hints.clear()
    assert relay() == 2
    assert len(hints) == 2  # at the first full batch, and at the end
    assert [acts.deliveries(row) for row in rows] == [["sent"]] * 2 + [["queued"]] * 4
    mail_sink.delay = 0
    assert relay() == 4


def test_run__its_time_a_batch_and_the_slowest_mail__end_before_celery_kills(settings: Any) -> None:
    answers = 11  # greeting, EHLO, STARTTLS, EHLO, AUTH twice, MAIL, RCPT, DATA, message, QUIT
    longest = RUN_SECONDS + delivery.BATCH_SECONDS + answers * settings.EMAIL_TIMEOUT
    assert longest < settings.CELERY_TASK_TIME_LIMIT <= LEASE.total_seconds()


# --- what cannot be sent ---------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.4")
def test_relay__mail_not_configured__disabled_and_the_invitation_stands(world: World, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    invitation = acts.invite(world.actor(world.lee))
    assert relay() == 0
    row = acts.fresh(invitation)
    assert (row.delivery_status, row.send_count, row.sent_at) == ("disabled", 0, None)
    assert acts.deliveries(invitation) == ["disabled"]
    assert acts.deliveries(invitation, purpose="failed") == []
    assert word(invitation) == StatusWord.FAILED
    assert acts.actions(world.practice)[-1] == "invitation.disabled"
    acts.accept(invitation)


def test_relay__link_of_a_key_that_is_gone__tried_later_and_holds_nobody_up(world: World, mail_sink: MailSink) -> None:
    at = timezone.now()
    with platform("test"):
        broken = InvitationFactory(
            organization=world.practice,
            invited_by=world.lee,
            email="broken@example.org",
            token_nonce="gone:00",
            token_hash="0" * 64,
        )
        Delivery.objects.create(
            organization=world.practice,
            invitation=broken,
            next_try_at=at - timedelta(days=1),
            created_at=at - timedelta(days=1),
        )
    acts.count_seats_anew()
    behind = acts.invite(world.actor(world.lee))
    assert relay() == 1
    assert word(behind) == StatusWord.SENT
    assert acts.deliveries(broken) == ["failed", "queued"]
    assert "KeyError" in attempts(broken)[0].reason


@pytest.mark.seed("S0.30", "S0.34")
def test_hint__broker_away__logged_and_nothing_fails(
    committed_world: World, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr("invitations.delivery.current_app.send_task", away)
    hint_relay()
    invitation = acts.invite(committed_world.actor(committed_world.lee))
    assert relay() == 1
    assert word(invitation) == StatusWord.SENT


@pytest.mark.seed("S0.30")
def test_hint__given_after_the_commit_only_and_with_no_argument(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, hints = committed_world, []

    def note(name: str, *args: Any, **kwargs: Any) -> None:
        hints.append((name, args, connection.in_atomic_block, set(kwargs) & {"args", "kwargs"}))

    monkeypatch.setattr("invitations.delivery.current_app.send_task", note)
    acts.invite(world.actor(world.lee))
    assert hints == [("invitations.tasks.relay_deliveries", (), False, set())]

    def create_and_fail() -> None:
        with tenant(world.practice):
            create_invitation(
                actor=world.actor(world.lee),
                invitation_type="medical_staff",
                email="never@example.org",
                at=timezone.now(),
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        create_and_fail()
    assert len(hints) == 1


def test_outbox_age__oldest_that_is_due(world: World, mail_sink: MailSink) -> None:
    at = timezone.now()
    assert outbox_age(at=at) == timedelta(0)
    acts.invite(world.actor(world.lee), at=at - timedelta(minutes=10))
    acts.invite(world.actor(world.lee), email="younger@example.org", at=at - timedelta(minutes=1))
    assert outbox_age(at=at) == timedelta(minutes=10)
    relay()
    assert outbox_age(at=at) == timedelta(0)


def test_relay__run_beside_cancels__a_mail_left_or_was_cancelled_never_both(
    committed_world: World, mail_sink: MailSink
) -> None:
    world = committed_world
    lee = world.actor(world.lee)
    rows = [acts.invite(lee, email=f"person{number}@new.example.org") for number in range(10)]

    def cancel(row: UserInvitation) -> UserInvitation:
        with tenant(world.practice):
            return cancel_invitation(actor=lee, invitation_id=row.pk, at=timezone.now())

    results = acts.at_once(relay_due_deliveries, *(partial(cancel, row) for row in rows[::2]))
    assert [result for result in results if isinstance(result, Exception)] == []
    relay()
    arrived = {str(acts.parsed(raw)["To"]) for raw in mail_sink.messages()}
    for row in rows:
        (state,) = acts.deliveries(row)
        assert (state == "sent") == (row.email in arrived), row.email
        assert state in ("sent", "cancelled")


@pytest.mark.parametrize(
    "answer",
    [
        "551 5.1.6 User not local; please try <Jane.Private@hospital.example>, was NORA@EXAMPLE.ORG",
        "550 5.1.1 no \x00 such \x1b[0m box for nora@example.org",
    ],
)
def test_relay__server_that_names_addresses_or_sends_control_characters__kept_in_words_alone(
    world: World, picky_server: PickyServer, answer: str
) -> None:
    picky_server.refusals["RCPT"] = answer
    invitation = acts.invite(world.actor(world.lee))
    relay()
    with platform("test"):
        kept = str(Delivery.objects.get(invitation=invitation, purpose="invitation").reason)
        detail = str(AuditEvent.objects.get(target_id=str(invitation.pk), action="invitation.bounced").detail)
    assert acts.deliveries(invitation, purpose="invitation") == ["bounced"]
    for text in (kept, detail):
        assert answer[:9] in text
        assert "@" not in text
    assert kept.isprintable()
