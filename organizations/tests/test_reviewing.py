"""The review of access: kept or ended, signed, and flagged after 90 days."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User, UserSession
from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.actor import Actor, StepUpRequired
from organizations.granting import OwnAccount
from organizations.models import REVIEW_EVERY, Membership
from organizations.rank import Outranked
from organizations.reviewing import review_membership
from organizations.roles import Role
from organizations.services import LastAdministrator
from organizations.tenancy import platform, tenant


def membership_of(user: User) -> Membership:
    with platform("test"):
        return Membership.objects.get(user=user)


def review(actor: Actor, who: User, verdict: str, *, reason: str = "", at: datetime | None = None) -> Membership:
    membership_id = membership_of(who).pk
    with tenant(actor.organization):
        return review_membership(
            actor=actor, membership_id=membership_id, verdict=verdict, reason=reason, at=at or timezone.now()
        )


def events(world: World) -> list[AuditEvent]:
    with tenant(world.practice):
        return list(AuditEvent.objects.order_by("sequence"))


@pytest.fixture
def officer(world: World) -> Actor:
    """A privacy officer of the practice, who runs nobody."""
    with platform("test"):
        user = MembershipFactory(organization=world.practice, role=Role.PRIVACY_OFFICER).user
    return replace(world.actor(world.omar), user=user, roles=frozenset({Role.PRIVACY_OFFICER}), is_org_admin=False)


@pytest.mark.seed("S2.21", "S2.26")
def test_review__kept__signed_with_name_and_time(world: World, officer: Actor, now: datetime) -> None:
    session = session_of(world.mia)
    review(officer, world.mia, "keep", at=now)
    row = membership_of(world.mia)
    assert (row.status, row.reviewed_at, row.reviewed_by) == ("active", now, officer.user)
    assert UserSession.objects.get(pk=session.pk).ended_at is None
    (event,) = events(world)
    assert (event.action, event.actor_id, event.target_id) == ("membership.reviewed", officer.user_id, str(row.pk))
    assert event.detail == {"user": str(world.mia.pk), "role": "medical_staff", "verdict": "keep"}


@pytest.mark.seed("S2.21")
def test_review__ended__access_is_over_and_the_trail_says_by_what(world: World, officer: Actor, now: datetime) -> None:
    session = session_of(world.mia)
    review(officer, world.mia, "end", reason="On leave since May", at=now)
    assert (membership_of(world.mia).status, membership_of(world.mia).ended_at) == ("ended", now)
    assert UserSession.objects.get(pk=session.pk).end_reason == "membership_ended"
    event = next(event for event in events(world) if event.action == "membership.ended")
    assert (event.reason, event.detail["by"]) == ("On leave since May", "access review")


def test_review__without_verdict_or_reason_or_right_or_of_oneself_or_elsewhere__refused(
    world: World, officer: Actor, now: datetime
) -> None:
    for verdict, reason in (("", ""), ("perhaps", ""), ("end", ""), ("end", " \u200b ")):
        with pytest.raises(Malformed):
            review(officer, world.mia, verdict, reason=reason)
    assert officer.user
    for actor in (officer, world.actor(world.lee)):
        assert actor.user
        for verdict in ("keep", "end"):
            with pytest.raises(OwnAccount):
                review(actor, actor.user, verdict, reason="x")
    with pytest.raises(NotPermitted):
        review(world.actor(world.omar), world.mia, "keep")
    for membership_id in (membership_of(world.stone).pk, uuid4()):
        with tenant(world.practice), pytest.raises(NotFound):
            review_membership(actor=officer, membership_id=membership_id, verdict="keep", at=now)
    assert events(world) == []
    review(officer, world.mia, "keep")


def test_review__that_would_end_the_last_administrator__refused(world: World) -> None:
    with pytest.raises(LastAdministrator):
        review(world.actor(world.ana, world.practice), world.lee, "end", reason="gone")
    assert membership_of(world.lee).status == "active"


@pytest.mark.seed("S2.21", "S2.24")
def test_review__by_who_runs_nobody__ends_nobody_who_runs_the_organization(world: World, officer: Actor) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.PRIVACY_OFFICER, is_org_admin=True)
        nurse = Membership.objects.get(user=world.mia, role=Role.MEDICAL_STAFF)
    for row in (membership_of(second), nurse):
        with tenant(world.practice), pytest.raises(Outranked):
            review_membership(actor=officer, membership_id=row.pk, verdict="end", reason="gone", at=timezone.now())
    assert membership_of(second).status == "active"
    review(officer, second, "keep")
    review(world.actor(world.lee), second, "end", reason="gone")
    assert membership_of(second).status == "ended"


@pytest.mark.seed("S2.21", "S2.24")
def test_review__at_the_platform_by_its_privacy_officer__ends_no_administrator(world: World, officer: Actor) -> None:
    with platform("test"):
        MembershipFactory(organization=world.platform, role=Role.ADMIN, is_org_admin=True)
        support = MembershipFactory(organization=world.platform, role=Role.SUPPORT).user
        MembershipFactory(organization=world.platform, user=officer.user, role=Role.PRIVACY_OFFICER)
    there = replace(officer, organization=world.platform)
    session = session_of(world.ana)
    with pytest.raises(Outranked):
        review(there, world.ana, "end", reason="gone")
    assert membership_of(world.ana).status == "active"
    assert UserSession.objects.get(pk=session.pk).ended_at is None
    review(there, world.ana, "keep")
    review(there, support, "end", reason="gone")
    assert membership_of(support).status == "ended"


@pytest.mark.seed("S2.21", "S2.24")
def test_review__ended_by_who_runs_nobody__needs_a_fresh_proof(world: World, officer: Actor, now: datetime) -> None:
    stale = replace(officer, verified_at=now - timedelta(minutes=6))
    review(stale, world.mia, "keep", at=now)
    with pytest.raises(StepUpRequired):
        review(stale, world.mia, "end", reason="gone", at=now)
    assert membership_of(world.mia).status == "active"
    review(replace(officer, verified_at=now - timedelta(minutes=4)), world.mia, "end", reason="gone", at=now)
    assert membership_of(world.mia).status == "ended"


def test_review__signed_by_its_own_person_or_nobody__refused_by_the_database(world: World, now: datetime) -> None:
    row = membership_of(world.mia)
    for reviewer in (world.mia, None):
        with platform("test"), pytest.raises(IntegrityError), transaction.atomic():
            Membership.objects.filter(pk=row.pk).update(reviewed_at=now, reviewed_by=reviewer)


@pytest.mark.seed("S2.21")
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("is_reviewed", [True, False])
def test_unreviewed__at_the_boundary__row_and_list_agree(
    world: World, now: datetime, before: bool, is_reviewed: bool
) -> None:
    last = now - REVIEW_EVERY + timedelta(seconds=1 if before else 0)
    with platform("test"):
        rows = Membership.objects.filter(user=world.mia)
        rows.update(started_at=last)
        if is_reviewed:
            rows.update(started_at=last - timedelta(days=400), reviewed_at=last, reviewed_by=world.lee)
        assert rows.get().is_unreviewed(at=now) is not before
        assert rows.unreviewed(at=now).exists() is not before
        rows.update(status="ended", ended_at=now)
        assert not rows.unreviewed(at=now).exists()
