"""Who decides about a license, and what a decision does."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.practitioners.errors import OwnCredential, SubmittedAnew
from accounts.practitioners.services import submit_license
from healthivr.kernel.errors import DomainError, Malformed, NotFound, NotPermitted
from healthivr.kernel.ids import new_id
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.world import World
from organizations.actor import StepUpRequired
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

from . import acts

pytestmark = [pytest.mark.django_db, pytest.mark.seed("S3.51")]
ACTS = ("approve", "reject", "suspend")
ENDS = {"approve": "approved", "reject": "rejected", "suspend": "suspended"}


@pytest.mark.parametrize("act", ACTS)
def test_decision__by_an_admin__stored_in_the_trail_and_mailed(world: World, act: str) -> None:
    credential = acts.decide(world, act, acts.submit(world.lee))
    row = acts.fresh(credential)
    assert (row.standing, row.decided_by) == (ENDS[act], world.ana)
    assert (row.approved_until == row.license_ends_at) == (act == "approve")
    event = acts.trail(credential)[-1]
    assert (event.action, event.actor_id, event.detail) == (
        f"practitioner.{ENDS[act]}",
        world.ana.pk,
        {"submission": "1"},
    )
    assert event.changes["standing"] == ["pending", ENDS[act]]
    assert event.reason == row.reason == ("" if act == "approve" else "The board knows no such number.")
    assert acts.mails(world.lee) == [f"license_{ENDS[act]}"]


@pytest.mark.parametrize("act", ACTS)
def test_decision__by_others__refused_and_nothing_written(world: World, act: str) -> None:
    credential = acts.submit(world.lee)
    support = world.member(Role.SUPPORT, OrganizationKind.PLATFORM)
    refused: list[tuple[Any, type[DomainError]]] = [
        (world.actor(world.omar), NotFound),
        (world.actor(world.stone), NotFound),
        (world.actor(world.ana, world.practice), NotFound),  # the queue is the platform's
        (support, NotPermitted),
    ]
    for actor, error in refused:
        with pytest.raises(error):
            acts.decide(world, act, credential, actor=actor)
    assert acts.actions(credential) == ["submitted"]
    acts.decide(world, act, credential)


@pytest.mark.parametrize("act", ACTS)
def test_decision__about_oneself__refused(world: World, act: str) -> None:
    with platform("test"):
        MembershipFactory(organization=world.strange_practice, user=world.ana, role=Role.DOCTOR)
    own = acts.submit(world.ana)
    with pytest.raises(OwnCredential):
        acts.decide(world, act, own)
    assert acts.fresh(own).standing == "pending"
    acts.decide(world, act, acts.submit(world.lee, npi=acts.npi_number(3)))


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("minutes", [None, 6])
def test_decision__without_a_fresh_proof__step_up_required(world: World, act: str, minutes: int | None) -> None:
    credential = acts.submit(world.lee)
    actor = world.actor(world.ana, world.platform)
    proved = timezone.now() - timedelta(minutes=minutes) if minutes else None
    stale = type(actor)(actor.user, actor.organization, actor.roles, True, verified_at=proved)
    with pytest.raises(StepUpRequired):
        acts.decide(world, act, credential, actor=stale)
    acts.decide(world, act, credential)


@pytest.mark.parametrize("act", ["reject", "suspend"])
@pytest.mark.parametrize("reason", ["", "  \n ", "\u202e", "x" * 501])
def test_refusal__without_a_reason_or_with_a_book__refused(world: World, act: str, reason: str) -> None:
    credential = acts.submit(world.lee)
    with pytest.raises(Malformed) as refused:
        acts.decide(world, act, credential, reason=reason)
    assert refused.value.field == "reason"
    assert acts.actions(credential) == ["submitted"]
    acts.decide(world, act, credential, reason="x" * 500)


@pytest.mark.parametrize("act", ACTS)
def test_decision__about_what_was_replaced_meanwhile__refused(world: World, act: str) -> None:
    credential = acts.submit(world.lee)
    acts.submit(world.lee, license_number="MD 999")
    with pytest.raises(SubmittedAnew):
        acts.decide(world, act, credential, submission=1)
    acts.decide(world, act, credential, submission=2)


def test_decision__about_nobody__not_found(world: World) -> None:
    credential = acts.submit(world.lee)
    with pytest.raises(NotFound):
        acts.decide(world, "approve", credential, credential_id=new_id())


def test_approve__license_over_by_now__refused(world: World) -> None:
    credential = acts.submit(world.lee)
    with pytest.raises(DomainError) as refused:
        acts.decide(
            world,
            "approve",
            credential,
            at=credential.license_ends_at,
            actor=_as_of(world, credential.license_ends_at),
        )
    assert refused.value.code == "license_expired"
    last = credential.license_ends_at - timedelta(seconds=1)
    acts.decide(world, "approve", credential, at=last, actor=_as_of(world, last))


def _as_of(world: World, at: Any) -> Any:
    actor = world.actor(world.ana, world.platform)
    return type(actor)(actor.user, actor.organization, actor.roles, True, verified_at=at)


def test_reject__a_renewal__the_earlier_approval_holds_and_suspending_ends_it(world: World) -> None:
    credential = acts.approved(world)
    until = credential.approved_until
    acts.submit(world.lee, license_number="MD 999")
    acts.decide(world, "reject", credential)
    assert acts.fresh(credential).is_approved(at=timezone.now())
    assert acts.fresh(credential).approved_until == until
    acts.decide(world, "suspend", credential)
    assert not acts.fresh(credential).is_approved(at=timezone.now())


def test_decision__about_somebody_switched_off__not_mailed(world: World) -> None:
    with platform("test"):
        gone = MembershipFactory(organization=world.practice).user
    credential = acts.submit(gone)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    acts.decide(world, "reject", credential)
    assert acts.mails(gone) == []


def test_submit__the_service__takes_nothing_that_decides() -> None:
    assert not {"standing", "approved_until", "decided_by", "reason"} & set(submit_license.__kwdefaults__ or {})
    assert not {"standing", "approved_until", "decided_by", "reason"} & set(submit_license.__annotations__)
