"""Accepting an invitation, at the service."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from audit.models import AuditEvent
from healthivr.testing.factories import PASSWORD
from healthivr.testing.world import World
from invitations.acceptance import Visitor, accept_invitation
from invitations.errors import AlreadyAccepted
from invitations.models import Delivery
from invitations.services import create_invitation
from invitations.tokens import derive_token
from organizations.models import Membership, OrganizationSettings
from organizations.tenancy import platform, tenant

STRANGER = Visitor(None, "192.0.2.7", "test-request")


@pytest.mark.seed("S0.2", "S0.11")
def test_accept__new_person__user_membership_notice_and_trail(world: World) -> None:
    at = timezone.now()
    with tenant(world.practice):
        invitation = create_invitation(
            actor=world.actor(world.lee), invitation_type="office_admin", email="Nora@Example.org ", at=at
        )
    accepted = accept_invitation(
        token=derive_token(invitation.token_nonce),
        visitor=STRANGER,
        password=PASSWORD,
        first_name="Nora",
        last_name="Quist",
        at=at + timedelta(minutes=5),
    )
    user = User.objects.get(email="nora@example.org")
    assert accepted.user == user
    assert (user.invited_by, user.invitation_id) == (world.lee, invitation.pk)
    assert user.invitation_accepted_at == at + timedelta(minutes=5)
    with platform("test"):
        membership = Membership.objects.get(user=user)
        assert (membership.organization, membership.role) == (world.practice, "office_admin")
        assert OrganizationSettings.objects.get(organization=world.practice).seats_used == 5
        assert set(Delivery.objects.filter(invitation=invitation).values_list("purpose", flat=True)) == {
            "invitation",
            "accepted",
        }
        actions = list(
            AuditEvent.objects.filter(organization_id=world.practice.pk)
            .order_by("sequence")
            .values_list("action", flat=True)
        )
    assert actions == ["invitation.created", "invitation.accepted", "user.created", "membership.created"]
    with pytest.raises(AlreadyAccepted):
        accept_invitation(
            token=derive_token(invitation.token_nonce),
            visitor=STRANGER,
            password=PASSWORD,
            first_name="N",
            last_name="Q",
            at=at + timedelta(minutes=6),
        )


def test_accept__founding_doctor__practice_below_the_sender(world: World) -> None:
    at = timezone.now()
    sales = world.member("sales", "distributor")
    with tenant(sales.organization):
        invitation = create_invitation(actor=sales, invitation_type="doctor", email="doc@example.org", at=at)
    accepted = accept_invitation(
        token=derive_token(invitation.token_nonce),
        visitor=STRANGER,
        password=PASSWORD,
        first_name="Dora",
        last_name="Doc",
        organization_name="Hill Street Practice",
        at=at + timedelta(minutes=5),
    )
    assert accepted.has_founded
    assert accepted.organization.parent == sales.organization
    with platform("test"):
        membership = Membership.objects.get(user=accepted.user)
        assert membership.is_org_admin
        assert membership.upline == sales.user
        assert OrganizationSettings.objects.get(organization=accepted.organization).seats_used == 1
