"""Administration on the platform is the role Admin, and patients administer nothing: an administrator of the platform who
was none of its Admins could end them all, and nobody could sign in to Django admin or invite an Admin again."""

import uuid

from django.conf import settings
from django.db import migrations, models

CONFORM = """
UPDATE organizations_membership SET is_org_admin = (role = 'admin')
    WHERE organization_id = '00000000-0000-7000-8000-000000000001' AND is_org_admin <> (role = 'admin');
UPDATE organizations_membership SET is_org_admin = false WHERE role IN ('patient', 'proxy') AND is_org_admin;
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0002_rules_of_the_tree"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(CONFORM, reverse_sql=migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("organization", uuid.UUID("00000000-0000-7000-8000-000000000001")), _negated=True),
                    models.Q(("is_org_admin", True), ("role", "admin")),
                    models.Q(models.Q(("role", "admin"), _negated=True), ("is_org_admin", False)),
                    _connector="OR",
                ),
                name="membership_platform_is_run_by_admins",
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_org_admin", False),
                    models.Q(("role__in", ["patient", "proxy"]), _negated=True),
                    _connector="OR",
                ),
                name="membership_patients_run_nothing",
            ),
        ),
    ]
