"""Every standing and every event: decided by the table, and by the services in the same way."""

import itertools
from typing import Any

import pytest
from django.utils import timezone

from accounts.practitioners.services import record_expired_licenses
from accounts.practitioners.states import TRANSITIONS, Event, IllegalDecision, Standing, next_standing
from healthivr.testing.world import World

from . import acts

pytestmark = pytest.mark.seed("S3.51")
PAIRS = list(itertools.product(Standing, Event))

#: What must not be possible, said once more in other words than the table's.
IMPOSSIBLE = {
    (Standing.APPROVED, Event.APPROVE),
    (Standing.APPROVED, Event.REJECT),
    (Standing.REJECTED, Event.APPROVE),
    (Standing.REJECTED, Event.REJECT),
    (Standing.SUSPENDED, Event.APPROVE),
    (Standing.SUSPENDED, Event.REJECT),
    (Standing.SUSPENDED, Event.SUSPEND),
    (Standing.SUSPENDED, Event.EXPIRE),
}


@pytest.mark.parametrize(("current", "event"), PAIRS)
def test_next_standing__every_pair__leads_somewhere_or_is_refused(current: Standing, event: Event) -> None:
    if (current, event) in IMPOSSIBLE:
        with pytest.raises(IllegalDecision) as refused:
            next_standing(current, event)
        assert refused.value.extra == {"practitioner_status": current.value}
        assert str(refused.value.message)
    else:
        assert next_standing(current, event) == TRANSITIONS[current, event]
    assert (event == Event.APPROVE) >= (TRANSITIONS.get((current, event)) == Standing.APPROVED)


@pytest.mark.parametrize(("current", "event"), PAIRS)
def test_service__every_pair__as_the_table_says(current: Standing, event: Event, world: World) -> None:
    credential = acts.put(acts.submit(world.lee), current)
    if event == Event.EXPIRE:
        until: Any = timezone.now()
        if current == Standing.SUSPENDED:
            return  # the database holds no suspended row with an approval: test_database__…
        acts.put(credential, current, until=until)
        assert record_expired_licenses(at=timezone.now()) == 1
    elif event == Event.SUBMIT:
        acts.submit(world.lee, license_number="MD 777")
    elif (current, event) in IMPOSSIBLE:
        before, told = acts.fresh(credential), acts.actions(credential)
        with pytest.raises(IllegalDecision):
            acts.decide(world, event.value, credential)
        assert (
            acts.fresh(credential).__dict__.items()
            >= {k: v for k, v in before.__dict__.items() if k != "_state"}.items()
        )
        assert acts.actions(credential) == told
        return
    else:
        acts.decide(world, event.value, credential)
    assert acts.fresh(credential).standing == TRANSITIONS[current, event]
