"""A doctor submits a license, corrects it, renews it."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import PractitionerCredential
from accounts.practitioners.errors import NotAPractitioner, NpiFixed, NpiInUse
from accounts.practitioners.regions import ZONES, Region, end_of_day
from healthivr.kernel.errors import DomainError, Malformed
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.world import World
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform

from . import acts

pytestmark = [pytest.mark.django_db, pytest.mark.seed("S3.51")]


def test_submit__first_time__pending_and_one_event_that_masks_the_number(world: World) -> None:
    credential = acts.submit(world.lee, npi=" 1234-567 893", license_number=" md  12345 ")
    row = acts.fresh(credential)
    assert (row.npi, row.license_number, row.standing, row.submission) == (acts.NPI, "MD 12345", "pending", 1)
    assert row.approved_until is None
    (event,) = acts.trail(credential)
    assert (event.action, event.actor_id) == ("practitioner.submitted", world.lee.pk)
    assert event.changes["license_number"][1] == "•••"
    assert "12345" not in str(event.changes["license_number"])
    assert event.changes["license_state"][1] == "CA"


@pytest.mark.parametrize("who", ["omar", "mia", "ana"])
def test_submit__by_who_is_no_doctor__refused(world: World, who: str) -> None:
    acts.submit(world.lee)
    with pytest.raises(NotAPractitioner):
        acts.submit(getattr(world, who), npi=acts.npi_number(5))
    assert PractitionerCredential.objects.count() == 1


def test_submit__by_who_was_a_doctor__refused(world: World) -> None:
    with platform("test"):
        mine = MembershipFactory(organization=world.practice, user=world.mia, role=Role.DOCTOR)
    acts.submit(world.mia)
    with platform("test"):
        Membership.objects.filter(pk=mine.pk).update(status="ended", ended_at=timezone.now())
    with pytest.raises(NotAPractitioner):
        acts.submit(world.mia, license_number="MD 2")


@pytest.mark.parametrize(
    ("field", "typed", "code"),
    [
        ("npi", "1234567890", "npi"),
        ("npi", "", "npi"),
        ("license_number", "", "license_number"),
        ("license_number", "- . /", "license_number"),
        ("license_number", "x" * 31, "license_number"),
        ("license_number", "12\u202e34", "license_number"),
        ("license_number", "<b>12</b>", "license_number"),
        ("license_state", "XX", "license_state"),
        ("license_state", "ca", "license_state"),
        ("license_expires_on", date(1, 1, 1), "license_expires_on"),
        ("license_expires_on", date.max, "license_expires_on"),
        ("license_expires_on", date(2020, 1, 1), "license_expired"),
    ],
)
def test_submit__a_value_that_cannot_be__refused_at_its_field_and_nothing_stored(
    world: World, field: str, typed: Any, code: str
) -> None:
    with pytest.raises(DomainError) as refused:
        acts.submit(world.lee, **{field: typed})
    assert (refused.value.code, refused.value.field) == (code, field)
    assert not PractitionerCredential.objects.exists()


def test_submit__npi_of_somebody_else__refused_without_saying_whose(world: World, settings: Any) -> None:
    settings.SUPPORT_EMAIL = "help@example.org"
    acts.submit(world.stone)
    with pytest.raises(NpiInUse) as refused:
        acts.submit(world.lee)
    said = str(refused.value.message) + str(refused.value.extra)
    assert "help@example.org" in said
    assert not {"Ida", "Stone", "stone@example.org"} & set(said.split())
    assert not PractitionerCredential.objects.filter(user=world.lee).exists()


def test_submit__the_same_again__nothing_written(world: World) -> None:
    credential = acts.approved(world)
    acts.submit(world.lee)
    assert acts.fresh(credential).standing == "approved"
    assert acts.actions(credential) == ["submitted", "approved"]


def test_submit__the_same_again_after_a_rejection__pending_again(world: World) -> None:
    credential = acts.decide(world, "reject", acts.submit(world.lee))
    acts.submit(world.lee)
    row = acts.fresh(credential)
    assert (row.standing, row.submission, row.reason, row.decided_by) == ("pending", 2, "", None)


def test_renewal__while_approved__pending_and_the_approval_holds_until_its_day(world: World) -> None:
    credential = acts.approved(world)
    until = credential.approved_until
    acts.submit(world.lee, license_expires_on=acts.in_a_year() + timedelta(days=365))
    row = acts.fresh(credential)
    assert (row.standing, row.approved_until) == ("pending", until)
    assert until
    assert row.is_approved(at=until - timedelta(seconds=1))
    assert not row.is_approved(at=until)
    acts.decide(world, "approve", row)
    assert acts.fresh(credential).approved_until == row.license_ends_at > until


def test_renewal__with_another_npi_while_approved__refused(world: World) -> None:
    credential = acts.approved(world)
    with pytest.raises(NpiFixed) as refused:
        acts.submit(world.lee, npi=acts.npi_number(7))
    assert refused.value.field == "npi"
    assert acts.fresh(credential).npi == acts.NPI
    acts.decide(world, "suspend", credential)
    acts.submit(world.lee, npi=acts.npi_number(7))
    assert acts.fresh(credential).npi == acts.npi_number(7)


def test_regions__every_one__has_a_clock() -> None:
    assert set(ZONES) == set(Region.values)
    assert len(Region) == 56


def test_end_of_day__in_california_and_guam__midnight_there() -> None:
    assert end_of_day(date(2027, 6, 30), "CA").isoformat() == "2027-07-01T00:00:00-07:00"
    assert end_of_day(date(2027, 12, 31), "CA").isoformat() == "2028-01-01T00:00:00-08:00"
    assert end_of_day(date(2027, 6, 30), "GU").isoformat() == "2027-07-01T00:00:00+10:00"


@pytest.mark.parametrize(
    "change",
    [
        {"npi": "1234567890"},
        {"license_state": "XX"},
        {"license_number": ""},
        {"standing": "retired"},
        {"standing": "approved"},
        {"standing": "suspended", "approved_until": timezone.now(), "decided_at": timezone.now()},
        {"standing": "rejected"},
    ],
)
def test_database__a_row_that_no_service_makes__refused(world: World, change: dict[str, Any]) -> None:
    row = PractitionerCredential.objects.filter(pk=acts.submit(world.lee).pk)
    assert row.update(license_number="MD 2") == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        row.update(**change)


def test_database__decided_by_oneself_or_refused_by_somebody_without_a_reason__refused(world: World) -> None:
    row = PractitionerCredential.objects.filter(pk=acts.submit(world.lee).pk)
    decided = {"standing": "rejected", "decided_at": timezone.now(), "decided_by": world.ana, "reason": "Because."}
    assert row.update(**decided) == 1
    for change in ({"decided_by": world.lee}, {"reason": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            row.update(**change)


def test_submit__malformed__is_said_before_anything_is_asked_of_the_database(world: World) -> None:
    with pytest.raises(Malformed):
        acts.submit(world.lee, npi="x")
