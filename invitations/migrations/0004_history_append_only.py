"""The application adds to the history and changes nothing of it. What the database does itself when an invitation is
purged, it does as the owner of the table."""

from django.db import migrations

ROLES = "healthivr, healthivr_platform"


class Migration(migrations.Migration):
    dependencies = [("invitations", "0003_overview")]
    operations = [
        migrations.RunSQL(
            f"REVOKE UPDATE, DELETE ON invitation_history FROM {ROLES}",
            reverse_sql=f"GRANT UPDATE, DELETE ON invitation_history TO {ROLES}",
        )
    ]
