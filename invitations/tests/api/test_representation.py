"""What the API shows of an invitation is written by hand, and is what DRF would show of the same fields."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from rest_framework.serializers import ModelSerializer

from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from invitations.api.serializers import InvitationSerializer
from invitations.models import UserInvitation
from organizations.tenancy import platform, tenant


@pytest.mark.parametrize("trait", ["overdue", "expired", "cancelled", "declined", "sent"])
def test_invitation__in_every_state__shown_as_drf_shows_its_fields(world: World, now: datetime, trait: str) -> None:
    with platform("test"):
        made = InvitationFactory(organization=world.practice, invited_by=world.lee, **{trait: True})
    with tenant(world.practice):
        invitation = UserInvitation.objects.select_related("invited_by").get(pk=made.pk)
        invitation.accepted_at = timezone.now().replace(microsecond=0) - timedelta(days=1)
        serializer = InvitationSerializer(invitation, context={"at": now})
        shown = dict(serializer.data)
        assert shown == dict(ModelSerializer.to_representation(serializer, invitation))
    assert list(shown) == InvitationSerializer.Meta.fields
    assert shown["accepted_at"].endswith("Z")
