"""Whose open invitations nobody can accept any more. Built beside running work: no write waits for it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("invitations", "0005_adoption")]
    operations = [
        AddIndexConcurrently(
            model_name="userinvitation",
            index=models.Index(
                fields=["organization", "invited_by", "invitation_type"],
                condition=Q(status="pending"),
                name="invitation_open_inviter",
            ),
        )
    ]
