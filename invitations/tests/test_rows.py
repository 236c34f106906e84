"""What a row is called, in logs, in the trail and in Django admin: its id, and never a person."""

import pytest

from healthivr.testing.world import World
from invitations.models import Delivery, InvitationBatch, InvitationHistory
from organizations.tenancy import platform

from . import acts


@pytest.mark.seed("S0.37")
def test_name_of_a_row__any__its_id_and_nobody(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), first_name="Nora", last_name="Quist", message="Welcome")
    acts.decline(invitation)
    with platform("test"):
        rows = [
            (invitation, f"invitation {invitation.pk}"),
            (batch := InvitationBatch.objects.create(organization=world.practice), f"batch {batch.pk}"),
            (InvitationHistory.objects.get(), f"decline {invitation.pk}"),
            (mail := Delivery.objects.get(purpose="declined"), f"declined delivery {mail.pk}"),
        ]
    for row, name in rows:
        assert str(row) == name
        assert not any(word in repr(row).lower() for word in ("nora", "quist", "welcome"))
