"""Two at once: real threads on committed rows."""

from functools import partial

import pytest
from django.utils import timezone

from accounts.models import PractitionerCredential
from accounts.practitioners.errors import NpiInUse
from accounts.practitioners.services import record_expired_licenses
from accounts.practitioners.states import IllegalDecision
from healthivr.kernel.errors import Conflict, DomainError
from healthivr.testing.races import race
from healthivr.testing.world import World
from healthivr.views import http_status

from . import acts

pytestmark = [pytest.mark.seed("S3.51"), pytest.mark.django_db(transaction=True)]
ROUNDS = 10


@pytest.mark.parametrize("other", ["approve", "reject"])
def test_decisions__two_at_once__one_wins_and_the_other_gets_409(committed_world: World, other: str) -> None:
    for number in range(ROUNDS):
        credential = acts.submit(committed_world.lee, license_number=f"MD {number}")
        outcomes = race(
            partial(acts.decide, committed_world, "approve", credential),
            partial(acts.decide, committed_world, other, credential),
        )
        lost = [outcome for outcome in outcomes if isinstance(outcome, DomainError)]
        won = [outcome for outcome in outcomes if isinstance(outcome, PractitionerCredential)]
        assert (len(won), [type(error) for error in lost]) == (1, [IllegalDecision]), outcomes
        assert http_status(lost[0]) == 409
        assert acts.fresh(credential).standing == won[0].standing
        assert acts.actions(credential)[-2:] == ["submitted", won[0].standing]


def test_approve__while_the_doctor_submits_something_else__never_approves_what_nobody_saw(
    committed_world: World,
) -> None:
    for number in range(ROUNDS):
        credential = acts.submit(committed_world.lee, license_number=f"MD {number}")
        seen = acts.fresh(credential)
        race(
            partial(acts.decide, committed_world, "approve", credential, submission=seen.submission),
            partial(acts.submit, committed_world.lee, license_number=f"MD {number} B"),
        )
        row = acts.fresh(credential)
        assert (row.license_number, row.standing) == (f"MD {number} B", "pending")


def test_submit__two_persons_with_one_npi_at_once__one_has_it(committed_world: World) -> None:
    outcomes = race(partial(acts.submit, committed_world.lee), partial(acts.submit, committed_world.stone))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NpiInUse", "PractitionerCredential"]
    assert issubclass(NpiInUse, Conflict)
    assert PractitionerCredential.objects.count() == 1


def test_submit__twice_at_once_by_one_person__one_row(committed_world: World) -> None:
    outcomes = race(*[partial(acts.submit, committed_world.lee)] * 3)
    assert not [o for o in outcomes if not isinstance(o, PractitionerCredential | Conflict)], outcomes
    assert PractitionerCredential.objects.count() == 1
    (credential,) = PractitionerCredential.objects.all()
    assert acts.actions(credential) == ["submitted"]


def test_sweep__four_at_once__each_recorded_once(committed_world: World) -> None:
    credential = acts.approved(committed_world)
    acts.put(credential, "approved", until=timezone.now())
    outcomes = race(*[partial(record_expired_licenses, at=timezone.now())] * 4)
    assert sum(outcomes) == 1
    assert acts.actions(credential).count("expired") == 1
