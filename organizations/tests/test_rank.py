"""An administrator of the platform who joined an organization: its people see them, and do nothing to them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from accounts.models import UserSession
from audit.models import AuditEvent
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.leaving import leave_organization
from invitations.tests.acts import count_seats_anew
from organizations.actor import Actor
from organizations.administration import assign_administrator
from organizations.granting import change_role, grant_role, update_member
from organizations.models import Membership
from organizations.rank import Outranked, require_may_administer
from organizations.reviewing import review_membership
from organizations.roles import Role
from organizations.scopes import Scope
from organizations.services import change_administrator, end_membership
from organizations.tenancy import platform, tenant

Act = Callable[[Actor, Membership, datetime], object]

ACTS: dict[str, Act] = {
    "change the role": lambda actor, row, at: change_role(
        actor=actor, membership_id=row.pk, role=Role.OFFICE_ADMIN, at=at
    ),
    "grant a role": lambda actor, row, at: grant_role(
        actor=actor, user_id=row.user_id, role=Role.PRIVACY_OFFICER, at=at
    ),
    "update": lambda actor, row, at: update_member(actor=actor, user_id=row.user_id, role=Role.OFFICE_ADMIN, at=at),
    "make administrator": lambda actor, row, at: change_administrator(
        actor=actor, membership_id=row.pk, is_org_admin=True, at=at
    ),
    "assign as administrator": lambda actor, row, at: assign_administrator(
        actor=actor, organization_id=actor.organization_id, user_id=row.user_id, at=at
    ),
    "end the membership": lambda actor, row, at: end_membership(
        actor=actor, membership_id=row.pk, reason="left", at=at
    ),
    "leave": lambda actor, row, at: leave_organization(actor=actor, user_id=row.user_id, reason="left", at=at),
    "end in a review": lambda actor, row, at: review_membership(
        actor=actor, membership_id=row.pk, verdict="end", reason="left", at=at
    ),
}


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_act__on_an_administrator_of_the_platform_who_joined__for_their_like_alone(
    world: World, now: datetime, act: Act
) -> None:
    with platform("test"):
        joined = MembershipFactory(organization=world.practice, user=world.ana, role=Role.MEDICAL_STAFF)
        second = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    count_seats_anew()
    session = session_of(world.ana)
    with tenant(world.practice), pytest.raises(Outranked):
        act(world.actor(world.lee), joined, now)
    with tenant(world.practice):
        here = Membership.objects.filter(user=world.ana).values("status", "role", "is_org_admin")
        assert list(here) == [{"status": "active", "role": "medical_staff", "is_org_admin": False}]
        assert not AuditEvent.objects.exists()
        mias = Membership.objects.get(user=world.mia)
    assert UserSession.objects.get(pk=session.pk).ended_at is None
    for actor, row in (
        (world.actor(world.lee), mias),
        (replace(world.actor(world.ana, world.practice), user=second), joined),
    ):
        with tenant(world.practice):
            act(actor, row, now)
        with tenant(world.practice):
            assert AuditEvent.objects.filter(actor_id=actor.user_id).exists()


def test_rank__of_a_key__is_nobodys(world: World) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    ana = world.actor(world.ana, world.platform)
    require_may_administer(ana, second)
    with pytest.raises(Outranked):
        require_may_administer(replace(ana, scopes=frozenset(Scope)), second)
