"""What the overview counts. Built beside running work: no write waits for it."""

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("invitations", "0002_own_list"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        AddIndexConcurrently(
            model_name="userinvitation",
            index=models.Index(
                fields=["organization", "delivery_status", "expires_at"],
                condition=Q(status="pending"),
                name="invitation_open",
            ),
        ),
        AddIndexConcurrently(
            model_name="userinvitation",
            index=models.Index(
                fields=["organization", "sent_at", "invited_by"],
                condition=Q(sent_at__isnull=False),
                name="invitation_sent",
            ),
        ),
        AddIndexConcurrently(
            model_name="userinvitation",
            index=models.Index(
                fields=["organization", "accepted_at", "invited_by"],
                condition=Q(accepted_at__isnull=False),
                name="invitation_accepted",
            ),
        ),
    ]
