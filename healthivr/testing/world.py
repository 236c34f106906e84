"""The cast. Ana runs the platform; Dr. Lee runs the practice that most tests happen in, with Omar at the front desk and
Mia among the staff. Dr. Stone is the stranger: same role, own practice, own rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from invitations.models import UserInvitation
from organizations.actor import Actor
from organizations.models import Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

from .factories import InvitationFactory, MembershipFactory, OrganizationFactory, UserFactory


@dataclass
class World:
    """Who is there."""

    platform: Organization
    ana: User
    practice: Organization
    lee: User
    omar: User
    mia: User
    invitation: UserInvitation
    strange_practice: Organization
    stone: User
    strange_invitation: UserInvitation

    def actor(self, user: User, organization: Organization | None = None) -> Actor:
        """Return `user` acting in an organization (their practice, unless said otherwise)."""
        where = organization or (self.strange_practice if user == self.stone else self.practice)
        roles = {
            self.ana: Role.ADMIN,
            self.lee: Role.DOCTOR,
            self.stone: Role.DOCTOR,
            self.omar: Role.OFFICE_ADMIN,
            self.mia: Role.MEDICAL_STAFF,
        }
        is_org_admin = user in (self.ana, self.lee, self.stone)
        return Actor(
            user,
            where,
            frozenset({roles[user]}),
            is_org_admin,
            "192.0.2.1",
            "test-request",
            verified_at=timezone.now(),
        )

    def member(self, role: Role, kind: OrganizationKind, **flags: Any) -> Actor:
        """Make somebody of a role in a new organization of a kind, and return them acting there."""
        with platform("test"):
            organization = self.platform if kind == OrganizationKind.PLATFORM else OrganizationFactory(kind=kind)
            membership = MembershipFactory(organization=organization, role=role, **flags)
        return Actor(
            membership.user,
            organization,
            frozenset({role}),
            membership.is_org_admin,
            "192.0.2.1",
            "test-request",
            verified_at=timezone.now(),
        )


def build_world() -> World:
    """Make the cast's rows."""
    with platform("test"):
        home = Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID)
        ana = UserFactory(first_name="Ana", last_name="Ruiz", email="ana@example.org")
        MembershipFactory(organization=home, user=ana, role=Role.ADMIN, is_org_admin=True)
        practice = OrganizationFactory(name="Lee Family Practice", slug="lee-family-practice")
        lee = UserFactory(first_name="Jun", last_name="Lee", email="lee@example.org")
        MembershipFactory(organization=practice, user=lee, role=Role.DOCTOR, is_org_admin=True)
        omar = UserFactory(first_name="Omar", last_name="Haddad", email="omar@example.org")
        MembershipFactory(organization=practice, user=omar, role=Role.OFFICE_ADMIN)
        mia = UserFactory(first_name="Mia", last_name="Novak", email="mia@example.org")
        MembershipFactory(organization=practice, user=mia, role=Role.MEDICAL_STAFF)
        strange = OrganizationFactory(name="Stone Clinic", slug="stone-clinic")
        stone = UserFactory(first_name="Ida", last_name="Stone", email="stone@example.org")
        MembershipFactory(organization=strange, user=stone, role=Role.DOCTOR, is_org_admin=True)
        invitation = InvitationFactory(organization=practice, invited_by=lee, upline=lee, email="new.nurse@example.org")
        foreign = InvitationFactory(organization=strange, invited_by=stone, upline=stone, email="other@example.org")
        OrganizationSettings.objects.filter(organization=practice).update(seats_used=4)
        OrganizationSettings.objects.filter(organization=strange).update(seats_used=2)
    return World(home, ana, practice, lee, omar, mia, invitation, strange, stone, foreign)


@pytest.fixture
def world(db: None) -> World:
    """The cast, in a transaction that is rolled back after the test."""
    return build_world()


@pytest.fixture
def committed_world(transactional_db: None) -> World:
    """The cast, committed: for tests with threads, processes or a browser."""
    return build_world()


@pytest.fixture
def sign_in() -> Callable[[User], Client]:
    """Return a client that is signed in, and that checks CSRF like a browser."""

    def signed_in(user: User) -> Client:
        client = Client(enforce_csrf_checks=False)
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def now() -> datetime:
    """The moment of the test."""
    return timezone.now()
