"""Invitations of who may not invite any more: which they are, who takes them over, and that they can be accepted then."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from audit.models import AuditEvent
from healthivr.kernel.errors import NotFound, NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory, UserFactory
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from invitations.adoption import adopt_invitation, entitled_heir, heirs_for
from invitations.entitlement import inviter_is_entitled, orphans
from invitations.errors import (
    HeirNotEntitled,
    InviterNotEntitled,
    InviterStillEntitled,
    NotYourInvitation,
    RoleNotAllowed,
)
from invitations.models import InvitationHistory, UserInvitation
from invitations.selectors import Filters, invitation_page, overview
from invitations.states import IllegalTransition
from organizations.actor import Actor
from organizations.granting import change_role
from organizations.models import Membership, OrganizationSettings
from organizations.roles import INVITATION_TYPES, OrganizationKind, Role
from organizations.tenancy import platform, tenant

from . import acts


def adopt(actor: Actor, invitation: UserInvitation) -> UserInvitation:
    with tenant(actor.organization):
        return adopt_invitation(actor=actor, invitation_id=invitation.pk, at=timezone.now())


def end(user: User) -> None:
    with platform("test"):
        Membership.objects.filter(user=user).update(status="ended", ended_at=timezone.now())
    acts.count_seats_anew()


@pytest.fixture
def runner(world: World) -> Actor:
    """A second administrator of the practice, a doctor like Dr. Lee."""
    with platform("test"):
        user = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
    acts.count_seats_anew()
    return replace(world.actor(world.lee), user=user)


# --- adopting --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13")
def test_adopt__after_the_inviter_left__same_link_is_accepted_under_the_new_upline(world: World, runner: Actor) -> None:
    end(world.lee)
    with pytest.raises(InviterNotEntitled):
        acts.accept(world.invitation)
    before = acts.fresh(world.invitation)
    adopted = adopt(runner, world.invitation)
    assert (adopted.invited_by_id, adopted.upline_id) == (runner.user_id, runner.user_id)
    now = acts.fresh(world.invitation)
    assert (now.token_hash, now.expires_at, now.status, now.send_count) == (
        before.token_hash,
        before.expires_at,
        "pending",
        before.send_count,
    )
    accepted = acts.accept(world.invitation)
    with platform("test"):
        membership = Membership.objects.get(user=accepted.user)
        history = InvitationHistory.objects.get(invitation=world.invitation, event="adopt")
    assert (membership.invited_by, membership.upline) == (runner.user, runner.user)
    assert (history.by, history.token_hash) == (runner.user, None)
    with tenant(world.practice):
        event = AuditEvent.objects.get(action="invitation.adopted")
    assert event.changes == {"invited_by": [str(world.lee.pk), str(runner.user_id)]}


@pytest.mark.seed("S2.12")
def test_adopt__after_a_demotion__lists_say_so_until_somebody_does(world: World, runner: Actor, now: datetime) -> None:
    with platform("test"):
        omars = InvitationFactory(organization=world.practice, invited_by=world.omar, upline=world.omar)
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=True)
        omar = Membership.objects.get(user=world.omar)
    acts.count_seats_anew()

    def waiting() -> tuple[list[Any], int]:
        with tenant(world.practice):
            page = invitation_page(actor=runner, filters=Filters(attention="orphaned"), at=timezone.now())
            return [row.pk for row in page.items], overview(actor=runner, at=timezone.now()).orphaned

    assert waiting() == ([], 0)
    with tenant(world.practice):
        change_role(actor=runner, membership_id=omar.pk, role="medical_staff", at=timezone.now())
    assert waiting() == ([omars.pk], 1)
    with pytest.raises(InviterNotEntitled):
        acts.accept(omars)
    adopt(runner, omars)
    assert waiting() == ([], 0)
    acts.accept(omars)


def test_adopt__while_the_inviter_may_invite__nothing_to_adopt(world: World, runner: Actor) -> None:
    with acts.nothing_written(), pytest.raises(InviterStillEntitled):
        adopt(runner, world.invitation)
    end(world.lee)
    adopt(runner, world.invitation)


def test_adopt__closed_or_by_who_may_not_invite_or_elsewhere__refused(world: World, runner: Actor) -> None:
    end(world.lee)
    office = replace(runner, roles=frozenset({Role.OFFICE_ADMIN}))
    with platform("test"):
        cancelled = InvitationFactory(organization=world.practice, invited_by=world.lee, cancelled=True)
        overdue = InvitationFactory(organization=world.practice, invited_by=world.lee, overdue=True)
    with acts.nothing_written():
        with pytest.raises(RoleNotAllowed):
            adopt(office, world.invitation)
        with pytest.raises(NotYourInvitation):
            adopt(replace(runner, is_org_admin=False), world.invitation)
        with pytest.raises(NotPermitted):
            adopt(world.actor(world.mia), world.invitation)
        for closed in (cancelled, overdue):
            with pytest.raises(IllegalTransition):
                adopt(runner, closed)
        with pytest.raises(NotFound):
            adopt(runner, world.strange_invitation)
    adopt(runner, world.invitation)


# --- the list and the rule are one -----------------------------------------------------------------------------------
def test_orphans__of_every_kind_of_inviter__those_that_acceptance_refuses(world: World) -> None:
    at = timezone.now()
    with platform("test"):
        place = world.practice
        inviters = [
            MembershipFactory(organization=place, role=role, is_org_admin=flag).user
            for role in (Role.DOCTOR, Role.OFFICE_ADMIN, Role.MEDICAL_STAFF, Role.IVR_COMPANY)
            for flag in (False, True)
        ]
        gone = MembershipFactory(organization=place, role=Role.DOCTOR, status="ended", ended_at=at).user
        off = MembershipFactory(organization=place, role=Role.DOCTOR, user=UserFactory(is_active=False)).user
        inviters += [world.ana, world.stone, gone, off]
        made = [
            InvitationFactory(organization=place, invited_by=inviter, invitation_type=kind)
            for inviter in inviters
            for kind in INVITATION_TYPES
        ]
        InvitationFactory(organization=place, invited_by=gone, overdue=True)
        InvitationFactory(organization=place, invited_by=gone, cancelled=True)
    for staff_may_invite in (False, True):
        with platform("test"):
            OrganizationSettings.objects.update(staff_may_invite=staff_may_invite)
            refused = {row.pk for row in made if not inviter_is_entitled(row, at=at)}
        with tenant(place):
            found = UserInvitation.objects.open(at=at).filter(orphans(organization=place))
            assert {row.pk for row in found} == refused
        assert 0 < len(refused) < len(made)


def test_orphans__with_more_inviters__as_many_statements(
    world: World, statements: Callable[[], AbstractContextManager[Statements]]
) -> None:
    def asked() -> int:
        with tenant(world.practice), statements() as made:
            orphans(organization=world.practice)
        return len(made.domain)

    before = asked()
    with platform("test"):
        for _number in range(5):
            user = MembershipFactory(organization=world.practice, role=Role.DOCTOR).user
            InvitationFactory(organization=world.practice, invited_by=user)
    assert asked() == before


# --- heirs -----------------------------------------------------------------------------------------------------------
def test_heirs__who_may_invite_for_every_role__and_nobody_else(world: World, runner: Actor) -> None:
    with tenant(world.practice):

        def names(*roles: Role, actor: Actor = runner) -> set[User]:
            return set(heirs_for(actor=actor, leaver_id=world.lee.pk, roles=set(roles)))

        assert names(Role.MEDICAL_STAFF) == {runner.user}
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=True)
        assert names(Role.MEDICAL_STAFF) == {runner.user, world.omar}
        assert names(Role.MEDICAL_STAFF, Role.OFFICE_ADMIN) == {runner.user}
        assert names() == set()
        ana = world.actor(world.ana, world.practice)
        assert names(Role.DOCTOR, actor=ana) == {world.ana}
        for heir in (world.lee, world.mia, world.stone):
            with pytest.raises(HeirNotEntitled):
                entitled_heir(actor=runner, leaver_id=world.lee.pk, heir_id=heir.pk, roles={Role.MEDICAL_STAFF})
        assert world.practice.kind == OrganizationKind.PRACTICE
