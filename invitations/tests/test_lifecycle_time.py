"""Time: one rule in SQL and one on the row, equal at the boundary, whatever the sweep has recorded."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.outbox import DeliveryStatus
from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from invitations.acceptance import open_invitation
from invitations.errors import InvitationClosed
from invitations.models import StatusWord, UserInvitation
from invitations.selectors import Filters, invitation_page, overview
from invitations.states import Status
from organizations.models import OrganizationSettings
from organizations.tenancy import platform, tenant

from . import acts

WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)


@pytest.mark.seed("S0.17", "S4.6")
@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_boundary__row_and_queryset__agree(world: World, seconds: int) -> None:
    invitation = world.invitation
    at = invitation.expires_at + timedelta(seconds=seconds)
    is_over = seconds >= 0
    with tenant(world.practice):
        assert UserInvitation.objects.open(at=at).exists() is invitation.is_open(at=at) is not is_over
        assert UserInvitation.objects.overdue(at=at).exists() is invitation.is_expired(at=at) is is_over
    assert invitation.current_status(at=at) == (Status.EXPIRED if is_over else Status.PENDING)


def in_every_state(world: World, at: datetime) -> list[UserInvitation]:
    """Make an invitation for each lifecycle state and, while pending, each state of delivery: all due at `at`."""
    closed: dict[str, Any] = {"closed_at": at - WEEK}
    rows: list[dict[str, Any]] = [
        {"status": Status.EXPIRED, **closed},
        {"status": Status.CANCELLED, **closed},
        {"status": Status.DECLINED, **closed},
        {"status": Status.ACCEPTED, "accepted_at": at - WEEK, "accepted_by": world.mia, **closed},
        *({"delivery_status": status, "sent_at": at - WEEK} for status in DeliveryStatus.values),
    ]
    return [
        InvitationFactory(
            organization=world.practice,
            invited_by=world.lee,
            email=f"row{number}@example.org",
            created_at=at - WEEK,
            expires_at=at,
            **row,
        )
        for number, row in enumerate(rows)
    ]


@pytest.mark.seed("S4.6")
@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_status_word__every_state__the_filter_finds_what_the_row_shows(world: World, seconds: int) -> None:
    boundary = timezone.now() + timedelta(days=30)
    at = boundary + timedelta(seconds=seconds)
    with platform("test"):
        rows = in_every_state(world, boundary)
        mine = UserInvitation.objects.filter(pk__in=[row.pk for row in rows])
        found = {word: set(mine.with_status(word, at=at)) for word in StatusWord}
    shown = {word: {row for row in rows if row.status_word(at=at) == word} for word in StatusWord}
    assert found == shown
    assert sum(len(rows) for rows in found.values()) == len(rows)
    assert len(found[StatusWord.EXPIRED]) == (1 if seconds < 0 else 1 + len(DeliveryStatus.values))


@pytest.mark.seed("S0.16")
@pytest.mark.parametrize(
    ("delivery", "word"),
    [
        ("queued", "pending"),
        ("sending", "pending"),
        ("cancelled", "pending"),
        ("sent", "sent"),
        ("deferred", "sent"),
        ("delivered", "sent"),
        ("complained", "sent"),
        ("unknown", "sent"),
        ("failed", "failed"),
        ("bounced", "failed"),
        ("rejected", "failed"),
        ("disabled", "failed"),
    ],
)
def test_status_word__open__says_what_became_of_the_mail(delivery: str, word: str) -> None:
    at = timezone.now()
    invitation = UserInvitation(status=Status.PENDING, delivery_status=delivery, expires_at=at + SECOND)
    assert invitation.status_word(at=at) == word


def test_status_word__each_delivery_status__has_a_row_in_the_test_above() -> None:
    rows = next(
        mark.args[1]
        for mark in test_status_word__open__says_what_became_of_the_mail.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    )
    assert {delivery for delivery, _word in rows} == set(DeliveryStatus.values)


@pytest.mark.seed("S0.17")
def test_accept__a_second_before_seven_days__ok(world: World) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at)
    accepted = acts.accept(invitation, at=at + WEEK - SECOND)
    assert accepted.user.email == "nora@example.org"
    assert acts.fresh(invitation).accepted_at == at + WEEK - SECOND


@pytest.mark.seed("S0.17", "S4.6")
@pytest.mark.parametrize("late", [timedelta(0), SECOND])
def test_accept__seven_days_and_later__gone_and_nothing_written(world: World, late: timedelta) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), at=at)
    open_invitation(token=acts.token_of(invitation), at=at + WEEK - SECOND)
    with acts.nothing_written(), pytest.raises(InvitationClosed) as refusal:
        acts.accept(invitation, at=at + WEEK + late)
    assert refusal.value.code == "invitation_expired"
    with pytest.raises(InvitationClosed):
        open_invitation(token=acts.token_of(invitation), at=at + WEEK + late)
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.decline(invitation, at=at + WEEK + late)


@pytest.mark.seed("S4.6")
def test_list_and_overview__overdue_and_unswept__expired_without_waiting_for_the_sweep(world: World) -> None:
    actor = world.actor(world.lee)
    invitation = acts.invite(actor, at=timezone.now() - WEEK)
    at = invitation.expires_at
    before = at - SECOND
    with tenant(world.practice):
        page = invitation_page(actor=actor, filters=Filters(status="expired"), at=at)
        assert invitation in page.items
        assert invitation not in invitation_page(actor=actor, filters=Filters(status="expired"), at=before).items
        assert invitation in invitation_page(actor=actor, filters=Filters(status="pending"), at=before).items
        soon = Filters(attention="expiring")
        assert invitation in invitation_page(actor=actor, filters=soon, at=before).items
        assert invitation not in invitation_page(actor=actor, filters=soon, at=at).items
        assert overview(actor=actor, at=before).open == overview(actor=actor, at=at).open + 1
    assert acts.fresh(invitation).status == "pending"  # nobody has swept


@pytest.mark.seed("S4.6", "S4.11")
def test_overdue__unswept__blocks_neither_its_address_nor_its_seat(world: World) -> None:
    actor = world.actor(world.lee)
    at = timezone.now()
    overdue = acts.invite(actor, at=at)
    with platform("test"):
        used = OrganizationSettings.objects.get(organization=world.practice).seats_used
    acts.set_seat_limit(world.practice, used)
    second = acts.invite(actor, at=overdue.expires_at)
    assert acts.fresh(overdue).status == "expired"
    assert acts.fresh(second).status == "pending"
    assert acts.seats_used(world.practice) <= used
