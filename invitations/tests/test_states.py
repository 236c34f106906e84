"""The lifecycle: a table, and services that obey it whatever the order of events."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from accounts.models import User
from healthivr.kernel.errors import NotFound
from healthivr.testing.factories import InvitationFactory, UserFactory
from healthivr.testing.world import World
from invitations.errors import AlreadyAccepted, InvitationClosed, LinkReplaced
from invitations.expiry import expire_overdue
from invitations.lifecycle import advance
from invitations.models import UserInvitation
from invitations.services import cancel_invitation, renew_invitation, resend_invitation, update_invitation
from invitations.states import MESSAGES, Event, IllegalTransition, Status, next_status
from invitations.tokens import digest_of, new_nonce
from organizations.tenancy import platform, tenant

from . import acts

#: What the specification says (invitations.md 4.1), written down a second time.
ALLOWED = {
    ("pending", "accept"): "accepted",
    ("pending", "decline"): "declined",
    ("pending", "cancel"): "cancelled",
    ("pending", "expire"): "expired",
    ("pending", "resend"): "pending",
    ("pending", "update"): "pending",
    ("pending", "adopt"): "pending",
    ("expired", "renew"): "pending",
}
PAIRS = list(itertools.product(Status, Event))
TERMINAL = ("accepted", "declined", "cancelled")


@pytest.mark.seed("S0.16")
@pytest.mark.parametrize(("status", "event"), PAIRS)
def test_table__every_pair__is_decided(status: Status, event: Event) -> None:
    if (status, event) in ALLOWED:
        assert next_status(status, event) == ALLOWED[status, event]
        return
    with pytest.raises(IllegalTransition) as refusal:
        next_status(status, event)
    assert refusal.value.extra == {"invitation_status": status.value}
    assert refusal.value.message == MESSAGES[status]


def in_state(world: World, status: Status) -> UserInvitation:
    """Make an invitation that has come to a state."""
    traits: dict[Status, dict[str, Any]] = {
        Status.PENDING: {},
        Status.EXPIRED: {"expired": True},
        Status.CANCELLED: {"cancelled": True},
        Status.DECLINED: {"declined": True},
        Status.ACCEPTED: {
            "status": Status.ACCEPTED,
            "closed_at": timezone.now(),
            "accepted_at": timezone.now(),
            "accepted_by": world.mia,
        },
    }
    with platform("test"):
        return InvitationFactory(organization=world.practice, invited_by=world.lee, **traits[status])


@pytest.mark.seed("S0.16")
@pytest.mark.parametrize(("status", "event"), PAIRS)
def test_advance__every_pair__moves_or_raises_and_writes_nothing(world: World, status: Status, event: Event) -> None:
    invitation = in_state(world, status)
    changes: dict[str, Any] = {"accepted_by_id": world.mia.pk} if event == Event.ACCEPT else {}
    if event in (Event.RENEW, Event.RESEND):
        nonce = new_nonce()
        changes = {
            "token_nonce": nonce,
            "token_hash": digest_of(nonce),
            "expires_at": timezone.now() + timedelta(days=7),
        }
    with platform("test"):
        if (status, event) in ALLOWED:
            assert advance(invitation, event, at=timezone.now(), by_id=world.lee.pk, **changes)
            assert acts.fresh(invitation).status == ALLOWED[status, event] == invitation.status
            assert acts.history(invitation) == [event.value]
            return
        with acts.nothing_written(), pytest.raises(IllegalTransition):
            advance(invitation, event, at=timezone.now(), by_id=world.lee.pk, **changes)


def test_advance__row_moved_meanwhile__false_and_nothing_written(world: World) -> None:
    invitation = in_state(world, Status.PENDING)
    as_read_by_another = acts.fresh(invitation)
    with platform("test"):
        assert advance(invitation, Event.CANCEL, at=timezone.now(), by_id=world.lee.pk)
        with acts.nothing_written():
            assert not advance(as_read_by_another, Event.DECLINE, at=timezone.now(), by_id=None)
    assert as_read_by_another.status == Status.PENDING  # the caller reads again and says what is true


def test_advance__link_replaced_meanwhile__false_and_nothing_written(world: World) -> None:
    invitation = in_state(world, Status.PENDING)
    as_read_by_another = acts.fresh(invitation)
    nonce = new_nonce()
    with platform("test"):
        assert advance(
            invitation, Event.RESEND, at=timezone.now(), by_id=None, token_nonce=nonce, token_hash=digest_of(nonce)
        )
        with acts.nothing_written():
            assert not advance(
                as_read_by_another, Event.ACCEPT, at=timezone.now(), by_id=None, accepted_by_id=world.mia.pk
            )


@pytest.mark.parametrize("event", [Event.ACCEPT, Event.DECLINE])
def test_advance__overdue_by_the_invitee__false_and_nothing_written(world: World, event: Event) -> None:
    invitation = in_state(world, Status.PENDING)
    changes: dict[str, Any] = {"accepted_by_id": world.mia.pk} if event == Event.ACCEPT else {}
    with platform("test"):
        with acts.nothing_written():
            assert not advance(invitation, event, at=invitation.expires_at, by_id=None, **changes)
        in_time = invitation.expires_at - timedelta(microseconds=1)
        assert advance(invitation, event, at=in_time, by_id=None, **changes)


# --- random lives ----------------------------------------------------------------------------------------------------
class Life:
    """An invitation's life by the services, beside what the specification says of it."""

    def __init__(self, world: World, invitee: User) -> None:
        self.world, self.invitee = world, invitee
        self.actor = world.actor(world.lee)
        self.at: datetime = timezone.now()
        self.invitation = acts.invite(self.actor, email=invitee.email, at=self.at)
        self.status, self.events = "pending", list[str]()
        self.expires_at = self.at + timedelta(days=7)

    def live(self, step: str) -> None:
        """Do one thing, and compare."""
        self.at += timedelta(minutes=1)
        if step == "wait":
            self.at += timedelta(days=8)
        else:
            self._do(step)
        row = acts.fresh(self.invitation)
        assert row.status == self.status
        assert row.current_status(at=self.at) == self._seen()
        assert acts.history(row) == self.events
        assert sum(event in ("accept", "decline", "cancel") for event in self.events) <= 1
        assert (row.accepted_at is not None) == (row.status == "accepted")
        assert len(acts.memberships(self.invitee)) == (1 if row.status == "accepted" else 0)

    def _seen(self) -> str:
        """Where it stands for everybody, swept or not."""
        return "expired" if self.status == "pending" and self.at >= self.expires_at else self.status

    def _do(self, step: str) -> None:
        if step == "sweep":
            with platform("test"):
                expire_overdue(at=self.at)
            if self.status == "pending" and self._seen() == "expired":
                self._move("expire")
            return
        services: dict[str, tuple[str, Callable[[], object]]] = {
            "accept": ("accept", lambda: acts.accept(self.invitation, user=self.invitee, at=self.at)),
            "decline": ("decline", lambda: acts.decline(self.invitation, at=self.at)),
            "cancel": ("cancel", lambda: self._staff(cancel_invitation)),
            "renew": ("renew", lambda: self._staff(renew_invitation)),
            "resend": ("renew" if self._seen() == "expired" else "resend", lambda: self._staff(resend_invitation)),
            "rename": ("update", lambda: self._staff(update_invitation, first_name=f"Nora {self.at:%d %H %M}")),
            "extend": ("update", lambda: self._staff(update_invitation, expires_in_hours=72)),
        }
        event, service = services[step]
        if (self._seen(), event) not in ALLOWED:
            with acts.nothing_written(), pytest.raises((IllegalTransition, InvitationClosed, AlreadyAccepted)):
                service()
            return
        dead_link = acts.token_of(self.invitation)
        service()
        if self.status == "pending" and event == "renew":
            self._move("expire")  # nobody had swept it
        self._move(event)
        if step in ("renew", "resend", "extend"):
            self.expires_at = acts.fresh(self.invitation).expires_at
            assert self.expires_at > self.at + timedelta(days=2)
            with acts.nothing_written(), pytest.raises(LinkReplaced):
                acts.accept(dead_link, user=self.invitee, at=self.at)

    def _move(self, event: str) -> None:
        self.status = ALLOWED[self.status, event]
        self.events.append(event)

    def _staff(self, service: Callable[..., object], **values: Any) -> None:
        acts.act(service, actor=self.actor, invitation_id=self.invitation.pk, at=self.at, **values)


STEPS = ("accept", "decline", "cancel", "renew", "resend", "rename", "extend", "wait", "sweep")


@pytest.mark.seed("S0.16")
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=some.lists(some.sampled_from(STEPS), min_size=3, max_size=9))
def test_lives__any_order_of_events__one_end_and_a_true_history(world: World, steps: list[str]) -> None:
    with transaction.atomic():
        invitee = UserFactory(email="nora@example.org")
        life = Life(world, invitee)
        for step in steps:
            life.live(step)
        transaction.set_rollback(True)


@pytest.mark.seed("S0.16")
@pytest.mark.parametrize("end", ["accept", "decline", "cancel"])
@pytest.mark.parametrize("step", [step for step in STEPS if step != "wait"])
def test_ended__each_further_event__refused_and_nothing_written(world: World, end: str, step: str) -> None:
    life = Life(world, UserFactory(email="nora@example.org"))
    life.live("rename")
    life.live(end)
    assert life.status in TERMINAL
    life.live(step)
    life.live("wait")
    life.live(step)
    assert life.events == ["update", end]


def test_services__organization_of_somebody_else__not_found(world: World) -> None:
    stone = world.actor(world.stone)
    with tenant(world.strange_practice):
        update_invitation(actor=stone, invitation_id=world.strange_invitation.pk, first_name="Own", at=timezone.now())
    for service in (cancel_invitation, resend_invitation, renew_invitation, update_invitation):
        with acts.nothing_written(), pytest.raises(NotFound):
            acts.act(service, actor=stone, invitation_id=world.invitation.pk)
