"""Two at once: one signs, the other is told; the sweep in two workers announces once."""

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AccountMail
from healthivr.testing.world import World
from invitations.tests.acts import at_once
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.agreements.reminders import sweep_agreements
from organizations.agreements.services import AgreementStillRuns, sign_agreement
from organizations.tenancy import tenant

from .acts import agreement, agreements, signature, without_agreement


@pytest.mark.seed("S2.18")
def test_sign__four_times_at_once__one_agreement_and_three_told_so(committed_world: World) -> None:
    without_agreement(committed_world.practice)
    actor, body = committed_world.actor(committed_world.lee), signature(committed_world.practice)

    def sign() -> BusinessAssociateAgreement:
        with tenant(committed_world.practice):
            return sign_agreement(actor=actor, at=timezone.now(), **body)

    found = Counter(type(outcome) for outcome in at_once(*[sign] * 4))
    assert found == {BusinessAssociateAgreement: 1, AgreementStillRuns: 3}
    assert [row.status for row in agreements(committed_world.practice)] == ["signed"]


@pytest.mark.seed("S2.19")
def test_sweep__four_workers_at_once__announced_once(committed_world: World) -> None:
    without_agreement(committed_world.practice)
    without_agreement(committed_world.strange_practice)
    now = timezone.now()
    agreement(committed_world.practice, expires=now + timedelta(days=6))
    outcomes = at_once(*[lambda: sweep_agreements(at=now)] * 4)
    assert sum(outcome for outcome in outcomes if isinstance(outcome, int)) == 1, outcomes
    assert AccountMail.objects.filter(kind="agreement_ending").count() == 2  # to Lee and to Ana
