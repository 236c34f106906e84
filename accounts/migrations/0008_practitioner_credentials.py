"""Doctors' licenses, and the check digit of an NPI as a database function: accounts/practitioners/npi.py in SQL."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import healthivr.kernel.ids

#: Luhn with the prefix 80840, whose digits add 24; of ten digits the first, third, … are doubled.
NPI = """
CREATE FUNCTION npi_is_valid(npi text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT npi ~ '^[12][0-9]{9}$' AND (24 + sum(
        CASE WHEN n % 2 = 0 THEN digit WHEN digit > 4 THEN 2 * digit - 9 ELSE 2 * digit END)) % 10 = 0
    FROM (SELECT n, ascii(substr(npi, n, 1)) - 48 AS digit FROM generate_series(1, 10) n) digits
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_running_people"),
    ]

    operations = [
        migrations.RunSQL(NPI, reverse_sql="DROP FUNCTION npi_is_valid(text)"),
        migrations.AlterField(
            model_name="accountmail",
            name="kind",
            field=models.CharField(
                choices=[
                    ("password_reset", "Password reset"),
                    ("locked", "Sign-in locked"),
                    ("reset_forced", "Password reset by an administrator"),
                    ("leaver_receipt", "Receipt: somebody left"),
                    ("license_approved", "License approved"),
                    ("license_rejected", "License rejected"),
                    ("license_suspended", "License suspended"),
                    ("license_expired", "License expired"),
                    ("license_expiring", "License expires soon"),
                ],
                max_length=30,
            ),
        ),
        migrations.CreateModel(
            name="PractitionerCredential",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=healthivr.kernel.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("npi", models.CharField(max_length=10)),
                ("license_number", models.CharField(max_length=30)),
                (
                    "license_state",
                    models.CharField(
                        choices=[
                            ("AL", "Alabama"),
                            ("AK", "Alaska"),
                            ("AS", "American Samoa"),
                            ("AZ", "Arizona"),
                            ("AR", "Arkansas"),
                            ("CA", "California"),
                            ("CO", "Colorado"),
                            ("CT", "Connecticut"),
                            ("DE", "Delaware"),
                            ("DC", "District of Columbia"),
                            ("FL", "Florida"),
                            ("GA", "Georgia"),
                            ("GU", "Guam"),
                            ("HI", "Hawaii"),
                            ("ID", "Idaho"),
                            ("IL", "Illinois"),
                            ("IN", "Indiana"),
                            ("IA", "Iowa"),
                            ("KS", "Kansas"),
                            ("KY", "Kentucky"),
                            ("LA", "Louisiana"),
                            ("ME", "Maine"),
                            ("MD", "Maryland"),
                            ("MA", "Massachusetts"),
                            ("MI", "Michigan"),
                            ("MN", "Minnesota"),
                            ("MS", "Mississippi"),
                            ("MO", "Missouri"),
                            ("MT", "Montana"),
                            ("NE", "Nebraska"),
                            ("NV", "Nevada"),
                            ("NH", "New Hampshire"),
                            ("NJ", "New Jersey"),
                            ("NM", "New Mexico"),
                            ("NY", "New York"),
                            ("NC", "North Carolina"),
                            ("ND", "North Dakota"),
                            ("MP", "Northern Mariana Islands"),
                            ("OH", "Ohio"),
                            ("OK", "Oklahoma"),
                            ("OR", "Oregon"),
                            ("PA", "Pennsylvania"),
                            ("PR", "Puerto Rico"),
                            ("RI", "Rhode Island"),
                            ("SC", "South Carolina"),
                            ("SD", "South Dakota"),
                            ("TN", "Tennessee"),
                            ("TX", "Texas"),
                            ("UT", "Utah"),
                            ("VT", "Vermont"),
                            ("VA", "Virginia"),
                            ("VI", "Virgin Islands"),
                            ("WA", "Washington"),
                            ("WV", "West Virginia"),
                            ("WI", "Wisconsin"),
                            ("WY", "Wyoming"),
                        ],
                        max_length=2,
                    ),
                ),
                ("license_expires_on", models.DateField()),
                ("license_ends_at", models.DateTimeField()),
                (
                    "standing",
                    models.CharField(
                        choices=[
                            ("pending", "Being checked"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("suspended", "Suspended"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("approved_until", models.DateTimeField(null=True)),
                ("submission", models.PositiveIntegerField(default=1)),
                ("submitted_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("reminded_days", models.PositiveSmallIntegerField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="practitioner_credential",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "practitioner credential",
                "verbose_name_plural": "practitioner credentials",
                "indexes": [
                    models.Index(
                        models.Case(
                            models.When(standing="pending", then=models.Value(0)),
                            default=models.Value(1),
                            output_field=models.SmallIntegerField(),
                        ),
                        models.F("submitted_at"),
                        models.F("id"),
                        name="credential_queue",
                    ),
                    models.Index(
                        condition=models.Q(("approved_until__isnull", False)),
                        fields=["approved_until"],
                        name="credential_approved_until",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("npi",), name="credential_npi_once"),
                    models.CheckConstraint(
                        condition=models.Func(
                            models.F("npi"), function="npi_is_valid", output_field=models.BooleanField()
                        ),
                        name="credential_npi_valid",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "license_state__in",
                                [
                                    "AL",
                                    "AK",
                                    "AS",
                                    "AZ",
                                    "AR",
                                    "CA",
                                    "CO",
                                    "CT",
                                    "DE",
                                    "DC",
                                    "FL",
                                    "GA",
                                    "GU",
                                    "HI",
                                    "ID",
                                    "IL",
                                    "IN",
                                    "IA",
                                    "KS",
                                    "KY",
                                    "LA",
                                    "ME",
                                    "MD",
                                    "MA",
                                    "MI",
                                    "MN",
                                    "MS",
                                    "MO",
                                    "MT",
                                    "NE",
                                    "NV",
                                    "NH",
                                    "NJ",
                                    "NM",
                                    "NY",
                                    "NC",
                                    "ND",
                                    "MP",
                                    "OH",
                                    "OK",
                                    "OR",
                                    "PA",
                                    "PR",
                                    "RI",
                                    "SC",
                                    "SD",
                                    "TN",
                                    "TX",
                                    "UT",
                                    "VT",
                                    "VA",
                                    "VI",
                                    "WA",
                                    "WV",
                                    "WI",
                                    "WY",
                                ],
                            )
                        ),
                        name="credential_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("standing__in", ["pending", "approved", "rejected", "suspended"])),
                        name="credential_standing_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("license_number", ""), _negated=True), name="credential_has_license"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("standing", "approved"), _negated=True),
                            ("approved_until", models.F("license_ends_at")),
                            _connector="OR",
                        ),
                        name="credential_approved_until_license_ends",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("standing", "suspended"), _negated=True),
                            ("approved_until", None),
                            _connector="OR",
                        ),
                        name="credential_suspended_is_not_approved",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("decided_by", None),
                            models.Q(("standing__in", ["rejected", "suspended"]), _negated=True),
                            models.Q(("reason", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="credential_refusal_has_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("standing", "pending"), ("decided_at__isnull", False), _connector="OR"),
                        name="credential_decided_has_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("decided_by", models.F("user")), _negated=True),
                        name="credential_not_decided_by_oneself",
                    ),
                ],
            },
        ),
    ]
