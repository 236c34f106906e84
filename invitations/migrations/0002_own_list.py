"""The list of those who see only what they sent. Built beside running work: no write waits for it."""

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("invitations", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        AddIndexConcurrently(
            model_name="userinvitation",
            index=models.Index(fields=["organization", "invited_by", "-created_at", "-id"], name="invitation_own_list"),
        ),
    ]
