"""Somebody else was faster, between our read and our write: each service says what is true now and writes nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.testing.world import World
from invitations import acceptance, mailing, services
from invitations.errors import AlreadyAccepted, InvitationClosed, LinkReplaced
from invitations.models import Delivery, UserInvitation
from invitations.services import cancel_invitation, renew_invitation, resend_invitation, update_invitation
from invitations.states import IllegalTransition
from invitations.tokens import digest_of, new_nonce
from organizations.tenancy import platform

from . import acts

Meanwhile = Callable[..., None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have columns change in the moment after a service has read the row."""

    def change(**columns: Any) -> None:
        def after(read: Callable[..., Any]) -> Callable[..., Any]:
            def reading(*args: Any, **kwargs: Any) -> Any:
                found = read(*args, **kwargs)
                row = found[0] if isinstance(found, tuple) else found
                with platform("test"):
                    UserInvitation.objects.filter(pk=row.pk).update(**columns)
                return found

            return reading

        monkeypatch.setattr(services, "invitation_to_manage", after(services.invitation_to_manage))
        monkeypatch.setattr(acceptance, "_look_up", after(acceptance._look_up))

    return change


def taken_back(invitation: UserInvitation) -> dict[str, str]:
    """Return what the tables hold but for the row that the other one changed."""
    return {table: digest for table, digest in acts.contents().items() if table != "user_invitations"}


@pytest.mark.seed("S4.20", "S0.16")
@pytest.mark.parametrize(
    ("service", "values"),
    [
        (update_invitation, {"first_name": "Late"}),
        (update_invitation, {"expires_in_hours": 24}),
        (resend_invitation, {}),
        (cancel_invitation, {}),
    ],
)
def test_staff__declined_in_this_moment__told_so_and_nothing_written(
    world: World, meanwhile: Meanwhile, service: Callable[..., object], values: dict[str, Any]
) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee, "office_admin", email="mia@example.org")  # a member's: no seat moves along
    before = taken_back(invitation)
    meanwhile(status="declined", closed_at=timezone.now())
    with pytest.raises(IllegalTransition) as refusal:
        acts.act(service, actor=lee, invitation_id=invitation.pk, **values)
    assert refusal.value.extra == {"invitation_status": "declined"}
    assert taken_back(invitation) == before


@pytest.mark.seed("S4.20")
def test_renew__renewed_by_another_in_this_moment__told_that_it_is_open(world: World, meanwhile: Meanwhile) -> None:
    lee = world.actor(world.lee)
    at = timezone.now()
    invitation = acts.invite(lee, "office_admin", email="mia@example.org", at=at - timedelta(days=8))
    nonce = new_nonce()
    meanwhile(token_nonce=nonce, token_hash=digest_of(nonce), expires_at=at + timedelta(days=7))
    before = taken_back(invitation)
    with pytest.raises(IllegalTransition) as refusal:
        acts.act(renew_invitation, actor=lee, invitation_id=invitation.pk, at=at)
    assert refusal.value.extra == {"invitation_status": "pending"}
    assert taken_back(invitation) == before


@pytest.mark.seed("S4.20", "S0.11")
@pytest.mark.parametrize(
    ("state", "error", "code"),
    [
        ("cancelled", InvitationClosed, "invitation_cancelled"),
        ("expired", InvitationClosed, "invitation_expired"),
        ("accepted", AlreadyAccepted, "invitation_accepted"),
    ],
)
@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_invitee__closed_in_this_moment__told_so_and_nothing_written(
    world: World, meanwhile: Meanwhile, answer: str, state: str, error: type[Exception], code: str
) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    token, before = acts.token_of(invitation), taken_back(invitation)
    accepted = {"accepted_at": timezone.now(), "accepted_by": world.mia} if state == "accepted" else {}
    meanwhile(status=state, closed_at=timezone.now(), **accepted)
    with pytest.raises(error) as refusal:
        acts.accept(token, user=world.mia) if answer == "accept" else acts.decline(token)
    assert refusal.value.code == code  # type: ignore[attr-defined]
    assert taken_back(invitation) == before


@pytest.mark.seed("S0.8")
@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_invitee__link_replaced_in_this_moment__told_so_and_nothing_written(
    world: World, meanwhile: Meanwhile, answer: str
) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    token, before = acts.token_of(invitation), taken_back(invitation)
    nonce = new_nonce()
    meanwhile(token_nonce=nonce, token_hash=digest_of(nonce))
    with pytest.raises(LinkReplaced):
        acts.accept(token, user=world.mia) if answer == "accept" else acts.decline(token)
    assert taken_back(invitation) == before


def test_new_link__closed_in_this_moment__told_so_and_nothing_written(world: World, meanwhile: Meanwhile) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    with platform("test"):
        Delivery.objects.update(status=DeliveryStatus.SENT)
    token, before = acts.token_of(invitation), taken_back(invitation)
    meanwhile(status="cancelled", closed_at=timezone.now())
    with pytest.raises(IllegalTransition):
        acts.ask_for_new_link(token)
    assert taken_back(invitation) == before


def test_accept__not_moved_for_no_reason_that_shows__a_conflict_and_nothing_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = acts.invite(world.actor(world.lee))
    monkeypatch.setattr(acceptance, "advance", lambda *args, **kwargs: False)
    with acts.nothing_written(), pytest.raises(AlreadyAccepted):
        acts.accept(invitation)


@pytest.mark.parametrize("act", ["create", "renew", "accept"])
def test_constraint__of_another_kind__is_a_bug_and_not_a_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    lee = world.actor(world.lee)
    expired = acts.invite(lee, email="late@example.org", at=timezone.now() - timedelta(days=8))
    invitation = acts.invite(lee)

    def violate(*args: Any, **kwargs: Any) -> None:
        raise IntegrityError("another_constraint")

    monkeypatch.setattr(services, "queue_mail", violate)
    monkeypatch.setattr(mailing, "queue_mail", violate)
    monkeypatch.setattr(acceptance, "queue_notice", violate)
    attempts = {
        "create": lambda: acts.invite(lee, email="other@example.org"),
        "renew": lambda: acts.act(renew_invitation, actor=lee, invitation_id=expired.pk),
        "accept": lambda: acts.accept(invitation),
    }
    with acts.nothing_written(), pytest.raises(IntegrityError):
        attempts[act]()
