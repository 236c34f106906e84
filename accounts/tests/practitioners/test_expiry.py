"""What time decides: who is approved at which moment, what the sweep records, and whom it reminds."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import PractitionerCredential
from accounts.practitioners.errors import PractitionerNotApproved
from accounts.practitioners.selectors import require_approved_practitioner
from accounts.practitioners.services import record_expired_licenses, remind_of_licenses
from accounts.practitioners.states import Standing
from accounts.tasks import watch_licenses
from healthivr.testing.world import World
from organizations.tenancy import tenant

from . import acts

pytestmark = [pytest.mark.django_db, pytest.mark.seed("S3.51")]


@pytest.mark.parametrize(("seconds", "holds"), [(-1, True), (0, False), (1, False)])
def test_approval__around_its_end__python_sql_and_the_gate_agree_without_a_sweep(
    world: World, seconds: int, holds: bool
) -> None:
    credential = acts.approved(world)
    at = credential.license_ends_at + timedelta(seconds=seconds)
    rows = PractitionerCredential.objects.filter(pk=credential.pk)
    row = rows.get()
    assert row.is_approved(at=at) is holds
    assert rows.approved(at=at).exists() is holds
    assert rows.over(at=at).exists() is not holds
    assert row.standing_at(at) == (Standing.APPROVED if holds else Standing.SUSPENDED)
    for standing in Standing:
        assert rows.standing_as(standing, at=at).exists() is (standing == row.standing_at(at))
    with tenant(world.practice):
        if holds:
            assert require_approved_practitioner(world.actor(world.lee), at) == row
        else:
            with pytest.raises(PractitionerNotApproved) as refused:
                require_approved_practitioner(world.actor(world.lee), at)
            assert refused.value.extra == {"practitioner_status": "suspended"}


@pytest.mark.parametrize("standing", ["none", "pending", "rejected", "suspended"])
def test_gate__without_approval__says_where_it_stands(world: World, standing: str) -> None:
    if standing != "none":
        acts.put(acts.submit(world.lee), standing)
    with tenant(world.practice), pytest.raises(PractitionerNotApproved) as refused:
        require_approved_practitioner(world.actor(world.lee), timezone.now())
    assert (refused.value.code, refused.value.extra) == (
        "practitioner_not_approved",
        {"practitioner_status": standing},
    )


def test_gate__approval_of_a_colleague__is_not_ones_own(world: World) -> None:
    acts.approved(world)
    with tenant(world.practice), pytest.raises(PractitionerNotApproved):
        require_approved_practitioner(world.actor(world.omar), timezone.now())


def test_sweep__over_by_date__recorded_once_by_a_named_actor_and_mailed_once(world: World) -> None:
    credential = acts.approved(world)
    at = credential.license_ends_at
    assert record_expired_licenses(at=at - timedelta(seconds=1)) == 0
    assert [record_expired_licenses(at=at) for _time in range(2)] == [1, 0]
    row = acts.fresh(credential)
    assert (row.standing, row.approved_until, row.decided_at, row.decided_by) == ("suspended", None, at, None)
    event = acts.trail(credential)[-1]
    assert (event.action, event.actor_kind, event.actor_name) == ("practitioner.expired", "system", "license sweep")
    assert event.changes["standing"] == ["approved", "suspended"]
    assert acts.mails(world.lee) == ["license_approved", "license_expired"]


def test_sweep__renewal_waits__the_approval_ends_and_the_renewal_still_waits(world: World) -> None:
    credential = acts.approved(world)
    until = credential.approved_until
    assert until
    acts.submit(world.lee, license_expires_on=acts.in_a_year() + timedelta(days=365))
    assert record_expired_licenses(at=until) == 1
    row = acts.fresh(credential)
    assert (row.standing, row.approved_until) == ("pending", None)
    assert acts.trail(credential)[-1].changes.keys() == {"approved_until"}


def test_sweep__after_it__the_doctor_submits_a_renewed_license_and_is_approved_again(world: World) -> None:
    credential = acts.approved(world)
    record_expired_licenses(at=credential.license_ends_at)
    acts.submit(world.lee, license_expires_on=acts.in_a_year() + timedelta(days=365))
    acts.decide(world, "approve", credential)
    assert acts.fresh(credential).is_approved(at=credential.license_ends_at)


def test_reminders__thirty_and_seven_days_before__once_each(world: World) -> None:
    credential = acts.approved(world)
    end = credential.license_ends_at
    sent = [
        remind_of_licenses(at=end - timedelta(**before))
        for before in (
            {"days": 30, "seconds": 1},
            {"days": 30},
            {"days": 29},
            {"days": 7, "seconds": 1},
            {"days": 7},
            {"days": 6},
            {"seconds": 1},
            {"seconds": 0},
        )
    ]
    assert sent == [0, 1, 0, 0, 1, 0, 0, 0]
    assert acts.mails(world.lee) == ["license_approved", "license_expiring", "license_expiring"]


def test_reminders__missed_for_a_month__one_mail(world: World) -> None:
    credential = acts.approved(world)
    assert remind_of_licenses(at=credential.license_ends_at - timedelta(days=2)) == 1


def test_reminders__renewal_waits__none(world: World) -> None:
    credential = acts.approved(world)
    near = credential.license_ends_at - timedelta(days=3)
    acts.submit(world.lee, license_number="MD 999")
    assert remind_of_licenses(at=near) == 0


def test_task__due__does_both(world: World) -> None:
    over = acts.approved(world)
    acts.put(over, "approved", until=timezone.now())
    near = timezone.now().date() + timedelta(days=5)
    acts.approved(world, world.stone, npi=acts.npi_number(4), license_expires_on=near)
    assert watch_licenses() == 1
    assert acts.mails(world.lee)[-1] == "license_expired"
    assert acts.mails(world.stone)[-1] == "license_expiring"
