"""What time does to agreements, with a moved clock: reminders at 90, 60, 30, 7 and 0 days, once each, and the end."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AccountMail
from healthivr.celery import app
from healthivr.testing.world import World
from invitations.tests import acts as invitation_acts
from organizations.agreements.models import BaaReminder, BusinessAssociateAgreement
from organizations.agreements.reminders import OFFSETS, sweep_agreements
from organizations.agreements.services import months_later
from organizations.tenancy import platform

from .acts import agreement, agreements, without_agreement

DAY = timedelta(days=1)


def only_the_practice(world: World, *, signed_at: datetime, months: int = 12) -> BusinessAssociateAgreement:
    """Leave one agreement in the world, signed at a moment."""
    without_agreement(world.strange_practice)
    without_agreement(world.practice)
    return agreement(world.practice, signed_at=signed_at, term_months=months)


def reminders() -> list[tuple[int, datetime | None]]:
    """Return every reminder: its offset, and when it was mailed."""
    with platform("test"):
        return list(BaaReminder.objects.order_by("-offset").values_list("offset", "sent_at"))


@pytest.mark.seed("S2.19", "S2.26")
def test_sweep__twice_a_day_for_a_year_and_a_week__five_reminders_each_once_and_then_the_end(world: World) -> None:
    start = timezone.now()
    row = only_the_practice(world, signed_at=start)
    expires = months_later(start, 12)
    at, found = start, {}
    while at < expires + 7 * DAY:
        for moment in (at, at + timedelta(hours=11)):
            before = set(reminders())
            sweep_agreements(at=moment)
            for offset, _sent in set(reminders()) - before:
                found[offset] = moment
        at += DAY
    assert sorted(found, reverse=True) == [90, 60, 30, 7, 0] == list(OFFSETS)
    for offset, moment in found.items():
        assert timedelta(0) <= moment - (expires - offset * DAY) < timedelta(hours=13)
    assert all(sent == found[offset] for offset, sent in reminders())
    mails = AccountMail.objects.filter(kind__startswith="agreement_")
    # Lee runs the practice, Ana the platform; Omar, Mia and the stranger get nothing.
    assert Counter(mails.values_list("kind", "user__first_name")) == {
        ("agreement_ending", "Jun"): 4,
        ("agreement_ending", "Ana"): 4,
        ("agreement_ended", "Jun"): 1,
        ("agreement_ended", "Ana"): 1,
    }
    (ended,) = agreements(world.practice)
    assert (ended.pk, ended.status, ended.ended_at) == (row.pk, "expired", row.expires)
    events = Counter(invitation_acts.actions(world.practice))
    assert (events["agreement.end_announced"], events["agreement.expired"]) == (5, 1)


@pytest.mark.parametrize(
    ("offset", "seconds", "is_due"),
    [(offset, seconds, seconds >= 0) for offset in OFFSETS for seconds in (-1, 0, 1)],
)
def test_sweep__around_each_offset__from_that_very_moment(
    world: World, offset: int, seconds: int, is_due: bool
) -> None:
    row = only_the_practice(world, signed_at=timezone.now())
    at = row.expires - offset * DAY + timedelta(seconds=seconds)  # type: ignore[operator]
    sweep_agreements(at=at)
    assert (offset in dict(reminders())) is is_due


@pytest.mark.seed("S2.19")
def test_sweep__after_an_outage__the_most_urgent_alone_is_mailed(world: World) -> None:
    row = only_the_practice(world, signed_at=timezone.now())
    at = row.expires - 20 * DAY  # type: ignore[operator]
    assert sweep_agreements(at=at) == 1
    assert reminders() == [(90, None), (60, None), (30, at)]
    assert AccountMail.objects.filter(kind="agreement_ending").count() == 2
    assert sweep_agreements(at=at + DAY) == 0
    assert AccountMail.objects.filter(kind="agreement_ending").count() == 2


def test_sweep__agreement_of_a_month__is_not_said_to_end_in_ninety_days(world: World) -> None:
    row = only_the_practice(world, signed_at=timezone.now(), months=1)
    sweep_agreements(at=timezone.now())
    at = row.expires - timedelta(hours=1)  # type: ignore[operator]
    sweep_agreements(at=at)
    days = (row.expires - row.signed_at).days  # type: ignore[operator]
    assert [offset for offset, _sent in reminders()] == [offset for offset in (30, 7) if offset < days]


def test_sweep__draft_terminated_or_replaced__says_nothing(world: World) -> None:
    row = only_the_practice(world, signed_at=timezone.now())
    at = row.expires - DAY  # type: ignore[operator]
    with platform("test"):
        BusinessAssociateAgreement.objects.update(status="terminated", ended_at=at, end_reason="We part.")
    agreement(world.practice, draft=True)
    assert sweep_agreements(at=at) == 0
    assert reminders() == []


def test_worker__asked_for_every_task_of_the_schedule__knows_it(settings: Any) -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)
