"""Giving and changing roles: the table, the step-up, the periods, and the last administrator of the platform."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.models import User, UserSession
from audit.models import AuditEvent
from healthivr.kernel.errors import DomainError, Malformed, NotFound, NotPermitted
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.actor import Actor, StepUpRequired
from organizations.agreements.gate import BaaRequired
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.granting import (
    OwnAccount,
    RoleNotGrantable,
    can_change_role,
    change_role,
    grant_role,
    grantable_roles,
)
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role, may_grant
from organizations.services import AlreadyMember, LastAdministrator, membership_ended, roles_changed
from organizations.tenancy import platform, tenant

#: domain.md 3.1 and the issue, written down a second time: what an administrator of each role gives in their own kind of
#: organization.
EXPECTED = {
    ("admin", "platform"): ["admin", "marketer", "support", "privacy_officer"],
    ("admin", "practice"): [
        *("doctor", "office_admin", "medical_staff", "pharmacist", "lab_tech", "privacy_officer"),
    ],
    ("chp_admin", "chp"): ["privacy_officer"],
    ("master_distributor", "master_distributor"): ["privacy_officer"],
    ("distributor", "distributor"): ["sales", "privacy_officer"],
    ("sales", "distributor"): ["privacy_officer"],
    ("doctor", "practice"): ["office_admin", "medical_staff", "pharmacist", "lab_tech", "privacy_officer"],
    ("office_admin", "practice"): ["medical_staff", "lab_tech", "privacy_officer"],
    ("medical_staff", "practice"): ["privacy_officer"],
    ("ivr_company", "ivr_company"): ["ivr_company", "privacy_officer"],
    ("shipping_logistics", "logistics"): ["shipping_logistics", "privacy_officer"],
    ("pharmacist", "pharmacy"): ["pharmacist", "privacy_officer"],
    ("lab_tech", "lab"): ["lab_tech", "privacy_officer"],
    ("privacy_officer", "payer"): ["privacy_officer"],
}


def membership_of(user: User, status: str = "active") -> Membership:
    with platform("test"):
        return Membership.objects.get(user=user, status=status)


def change(actor: Actor, who: User, role: str, *, at: datetime | None = None) -> Membership:
    membership_id = membership_of(who).pk
    with tenant(actor.organization):
        return change_role(
            actor=actor, membership_id=membership_id, role=role, reason="New tasks", at=at or timezone.now()
        )


def grant(actor: Actor, user_id: UUID, role: str) -> Membership:
    with tenant(actor.organization):
        return grant_role(actor=actor, user_id=user_id, role=role, at=timezone.now())


def events(organization: Organization, action: str) -> list[AuditEvent]:
    with tenant(organization):
        return list(AuditEvent.objects.filter(action=action))


# --- the table -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.12")
@pytest.mark.parametrize(("role", "kind"), EXPECTED)
def test_grantable__by_an_administrator_of_each_role__as_the_table_says(role: str, kind: str) -> None:
    own, place = frozenset({Role(role)}), OrganizationKind(kind)
    granted = [other.value for other in Role if may_grant(own, other, place, is_org_admin=True)]
    assert sorted(granted) == sorted(EXPECTED[role, kind])


@pytest.mark.seed("S2.12")
def test_grantable__by_nobody_but_the_platform__doctor_and_admin_and_never_patient() -> None:
    for own in set(Role) - {Role.ADMIN}:
        for kind in OrganizationKind:
            for role in (Role.DOCTOR, Role.ADMIN, Role.CHP_ADMIN):
                assert not may_grant(frozenset({own}), role, kind, is_org_admin=True)
    for role in (Role.PATIENT, Role.PROXY):
        assert not may_grant(frozenset({Role.ADMIN}), role, OrganizationKind.PRACTICE, is_org_admin=True)


def test_grantable__without_running_people__nothing(world: World) -> None:
    assert Role.MEDICAL_STAFF in grantable_roles(actor=world.actor(world.lee))
    assert grantable_roles(actor=replace(world.actor(world.lee), is_org_admin=False)) == []
    assert grantable_roles(actor=world.actor(world.omar)) == []


def test_can_change__own_or_one_above__no(world: World) -> None:
    lee = world.actor(world.lee)
    assert can_change_role(actor=lee, membership=membership_of(world.mia))
    assert not can_change_role(actor=lee, membership=membership_of(world.lee))
    omar = replace(world.actor(world.omar), is_org_admin=True)
    assert not can_change_role(actor=omar, membership=membership_of(world.lee))


# --- changing --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.12", "S2.26")
def test_change__by_the_administrator__one_period_ends_and_the_next_begins_and_sessions_are_over(
    world: World, now: datetime
) -> None:
    session = session_of(world.mia)
    other = session_of(world.omar)
    old = membership_of(world.mia)
    with platform("test"):
        Membership.objects.filter(pk=old.pk).update(upline=world.lee, invited_by=world.omar)
        seats = OrganizationSettings.objects.get(organization=world.practice).seats_used
    heard: list[str] = []

    def leaving(**kwargs: object) -> None:
        heard.append("left")

    membership_ended.connect(leaving)
    try:
        new = change(world.actor(world.lee), world.mia, "office_admin", at=now)
    finally:
        membership_ended.disconnect(leaving)
    ended = membership_of(world.mia, "ended")
    assert (ended.pk, ended.role, ended.ended_at) == (old.pk, "medical_staff", now)
    assert membership_of(world.mia).pk == new.pk
    assert (new.role, new.started_at, new.upline, new.invited_by) == ("office_admin", now, world.lee, world.omar)
    assert UserSession.objects.get(pk=session.pk).end_reason == "role_changed"
    assert UserSession.objects.get(pk=other.pk).ended_at is None
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seats_used == seats
    (event,) = events(world.practice, "membership.role_changed")
    assert event.changes == {"role": ["medical_staff", "office_admin"]}
    assert event.detail == {"user": str(world.mia.pk), "ended": str(old.pk)}
    assert (event.target_id, event.reason, event.actor_id) == (str(new.pk), "New tasks", world.lee.pk)
    assert heard == []


def test_change__of_an_administrator_by_the_platform__keeps_running_the_organization(world: World) -> None:
    new = change(world.actor(world.ana, world.practice), world.lee, "office_admin")
    assert (new.role, new.is_org_admin) == ("office_admin", True)


def test_change__to_the_present_role__nothing_happens(world: World) -> None:
    session = session_of(world.mia)
    assert change(world.actor(world.lee), world.mia, "medical_staff").pk == membership_of(world.mia).pk
    assert events(world.practice, "membership.role_changed") == []
    assert UserSession.objects.get(pk=session.pk).ended_at is None


@pytest.mark.seed("S2.12")
@pytest.mark.parametrize(
    ("by", "who", "role", "error"),
    [
        ("lee", "mia", "doctor", RoleNotGrantable),  # at one's own
        ("lee", "mia", "admin", RoleNotGrantable),  # above
        ("lee", "mia", "pharmacy", Malformed),
        ("lee", "lee", "office_admin", OwnAccount),
        ("omar", "lee", "medical_staff", RoleNotGrantable),  # a lower role demotes a higher one (CVE-2026-4916)
        ("mia", "omar", "medical_staff", RoleNotGrantable),
        ("ana", "mia", "sales", RoleNotGrantable),  # nobody sells in a practice
        ("ana", "mia", "patient", RoleNotGrantable),
    ],
)
def test_change__against_the_table__refused_and_nothing_written(
    world: World, by: str, who: str, role: str, error: type[DomainError]
) -> None:
    actor = replace(world.actor(getattr(world, by), world.practice), is_org_admin=True)
    with pytest.raises(error):
        change(actor, getattr(world, who), role)
    assert events(world.practice, "membership.role_changed") == []
    change(world.actor(world.lee), world.mia, "office_admin")


def test_change__without_the_right_or_the_step_up_or_elsewhere__refused(world: World, now: datetime) -> None:
    with pytest.raises(NotPermitted):
        change(world.actor(world.omar), world.mia, "lab_tech")
    stale = replace(world.actor(world.lee), verified_at=now - timedelta(minutes=6))
    for actor in (stale, replace(stale, verified_at=None)):
        with pytest.raises(StepUpRequired):
            change(actor, world.mia, "lab_tech", at=now)
    for membership_id in (membership_of(world.stone).pk, uuid4()):
        with tenant(world.practice), pytest.raises(NotFound):
            change_role(actor=world.actor(world.lee), membership_id=membership_id, role="lab_tech", at=now)
    change(replace(stale, verified_at=now - timedelta(minutes=4)), world.mia, "lab_tech", at=now)


def test_change__to_a_role_that_the_person_has_beside__already_member(world: World) -> None:
    first = membership_of(world.mia)
    grant(world.actor(world.lee), world.mia.pk, "privacy_officer")
    with tenant(world.practice), pytest.raises(AlreadyMember):
        change_role(actor=world.actor(world.lee), membership_id=first.pk, role="privacy_officer", at=timezone.now())


def test_change__refused_by_whoever_hears_of_it__nothing_happened(world: World) -> None:
    def refusing(**kwargs: object) -> None:
        raise NotPermitted

    roles_changed.connect(refusing)
    try:
        with pytest.raises(NotPermitted):
            change(world.actor(world.lee), world.mia, "lab_tech")
    finally:
        roles_changed.disconnect(refusing)
    assert membership_of(world.mia).role == "medical_staff"


@pytest.mark.seed("S2.18")
def test_change_and_grant__to_patient_data_without_an_agreement__refused_save_for_who_works_with_it_already(
    world: World,
) -> None:
    with platform("test"):
        officer = MembershipFactory(organization=world.practice, role=Role.PRIVACY_OFFICER).user
        BusinessAssociateAgreement.objects.filter(organization=world.practice).delete()
    lee = world.actor(world.lee)
    with pytest.raises(BaaRequired):
        change(lee, officer, "medical_staff")
    with pytest.raises(BaaRequired):
        grant(lee, officer.pk, "lab_tech")
    change(lee, world.mia, "lab_tech")
    grant(lee, world.mia.pk, "medical_staff")


# --- giving a further role -------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.12")
def test_grant__privacy_officer_beside_the_role__no_seat_and_sessions_are_over(world: World) -> None:
    session = session_of(world.omar)
    with platform("test"):
        before = OrganizationSettings.objects.get(organization=world.practice).seats_used
    made = grant(world.actor(world.lee), world.omar.pk, "privacy_officer")
    assert (made.role, made.is_org_admin, made.invited_by) == ("privacy_officer", False, world.lee)
    with platform("test"):
        roles = Membership.objects.active().filter(user=world.omar).values_list("role", flat=True)
        assert set(roles) == {"office_admin", "privacy_officer"}
        assert OrganizationSettings.objects.get(organization=world.practice).seats_used == before
    assert UserSession.objects.get(pk=session.pk).end_reason == "role_changed"
    (event,) = events(world.practice, "membership.created")
    assert event.detail["role"] == "privacy_officer"


def test_grant__to_oneself_or_a_stranger_or_twice_or_too_much__refused(world: World) -> None:
    lee = world.actor(world.lee)
    grant(lee, world.omar.pk, "privacy_officer")
    for user, role, error in (
        (world.lee, "privacy_officer", OwnAccount),
        (world.stone, "privacy_officer", NotFound),
        (world.omar, "privacy_officer", AlreadyMember),
        (world.omar, "doctor", RoleNotGrantable),
        (world.omar, "", Malformed),
    ):
        with pytest.raises(error):
            grant(lee, user.pk, role)
    with pytest.raises(NotPermitted):
        grant(world.actor(world.omar), world.mia.pk, "privacy_officer")
    with pytest.raises(StepUpRequired):
        grant(replace(lee, verified_at=None), world.mia.pk, "privacy_officer")


# --- the platform's last administrator -------------------------------------------------------------------------------
@pytest.mark.seed("S2.13")
def test_change__of_an_admin_to_support__only_while_another_admin_stays(world: World) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    acting = replace(world.actor(world.ana, world.platform), user=second)
    new = change(acting, world.ana, "support")
    assert (new.role, new.is_org_admin) == ("support", False)
    ana = world.actor(world.ana, world.platform)  # as she was a moment ago, in a request under way
    with pytest.raises(LastAdministrator):
        change(ana, second, "support")


@pytest.mark.seed("S2.13")
def test_change__two_admins_demote_each_other_at_once__one_stays(committed_world: World) -> None:
    world = committed_world
    with platform("test"):
        second = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    ana = world.actor(world.ana, world.platform)
    for _round in range(5):
        outcomes = race(
            lambda: change(ana, second, "support"),
            lambda: change(replace(ana, user=second), world.ana, "support"),
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LastAdministrator", "Membership"]
        with platform("test"):
            assert Membership.objects.administrators().filter(organization=world.platform).count() == 1
            for user in (world.ana, second):
                Membership.objects.filter(user=user, status="active").update(role="admin", is_org_admin=True)
