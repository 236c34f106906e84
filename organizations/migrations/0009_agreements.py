"""Business associate agreements, their documents, and the reminders of their end."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import healthivr.kernel.ids
import organizations.tenancy

ROLES = "healthivr, healthivr_platform"


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0008_access_review"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AgreementDocument",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=healthivr.kernel.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("content", models.BinaryField()),
                (
                    "media_type",
                    models.CharField(choices=[("application/pdf", "PDF"), ("text/plain", "Text")], max_length=20),
                ),
                ("sha256", models.CharField(max_length=64)),
                ("size", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField()),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.organization",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="BusinessAssociateAgreement",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=healthivr.kernel.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "direction",
                    models.CharField(
                        choices=[
                            ("covered_entity", "Covered entity"),
                            ("business_associate", "Business associate (subcontractor)"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("sent", "Waiting for a signature"),
                            ("signed", "In force"),
                            ("expired", "Ended"),
                            ("terminated", "Terminated"),
                        ],
                        max_length=10,
                    ),
                ),
                ("version", models.CharField(max_length=40)),
                ("is_standard", models.BooleanField()),
                (
                    "clauses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("permitted_uses", "Permitted uses and disclosures"),
                                ("safeguards", "Safeguards"),
                                ("reporting", "Reporting of incidents and breaches"),
                                ("subcontractors", "Subcontractors"),
                                ("access", "Access of individuals"),
                                ("amendment", "Amendment"),
                                ("accounting", "Accounting of disclosures"),
                                ("delegated_duties", "Duties carried out for the covered entity"),
                                ("books_and_records", "Books and records"),
                                ("return_or_destroy", "Return or destruction"),
                                ("termination", "Termination for cause"),
                            ],
                            max_length=30,
                        ),
                        default=list,
                        size=None,
                    ),
                ),
                ("breach_sla_days", models.PositiveSmallIntegerField()),
                ("term_months", models.PositiveSmallIntegerField()),
                ("effective", models.DateTimeField(null=True)),
                ("expires", models.DateTimeField(null=True)),
                ("next_review", models.DateTimeField(null=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("signer_name", models.CharField(blank=True, default="", max_length=200)),
                ("signer_title", models.CharField(blank=True, default="", max_length=100)),
                ("signed_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("end_reason", models.CharField(blank=True, default="", max_length=500)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "counterpart",
                    models.ForeignKey(
                        db_index=False,
                        default=uuid.UUID("00000000-0000-7000-8000-000000000001"),
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.organization",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.agreementdocument",
                    ),
                ),
                (
                    "ended_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.organization",
                    ),
                ),
                (
                    "renews",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.businessassociateagreement",
                    ),
                ),
                (
                    "sent_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "signer",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "business associate agreement",
                "verbose_name_plural": "business associate agreements",
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="BaaReminder",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=healthivr.kernel.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("offset", models.PositiveSmallIntegerField()),
                ("sent_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="organizations.organization",
                    ),
                ),
                (
                    "agreement",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reminders",
                        to="organizations.businessassociateagreement",
                    ),
                ),
            ],
            options={
                "verbose_name": "reminder of an agreement",
                "verbose_name_plural": "reminders of agreements",
                "abstract": False,
            },
        ),
        migrations.AddConstraint(
            model_name="agreementdocument",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="agreementdocument_in_organization"),
        ),
        migrations.AddConstraint(
            model_name="agreementdocument",
            constraint=organizations.tenancy.RowLevelSecurity(name="agreementdocument_rls"),
        ),
        migrations.AddConstraint(
            model_name="agreementdocument",
            constraint=models.CheckConstraint(
                condition=models.Q(("media_type__in", ["application/pdf", "text/plain"])),
                name="document_media_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="agreementdocument",
            constraint=models.CheckConstraint(
                condition=models.Q(("sha256__regex", "^[0-9a-f]{64}$")), name="document_sha256_hex"
            ),
        ),
        migrations.AddConstraint(
            model_name="agreementdocument",
            constraint=models.CheckConstraint(condition=models.Q(("size__gt", 0)), name="document_not_empty"),
        ),
        migrations.AddIndex(
            model_name="businessassociateagreement",
            index=models.Index(
                condition=models.Q(("status", "signed")), fields=["expires"], name="agreement_running_out"
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.UniqueConstraint(
                fields=("organization", "id"), name="businessassociateagreement_in_organization"
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=organizations.tenancy.RowLevelSecurity(name="businessassociateagreement_rls"),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=organizations.tenancy.SameOrganization(
                field="document", name="agreement_document_same_organization"
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=organizations.tenancy.SameOrganization(
                field="renews", name="agreement_renews_same_organization"
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "signed")),
                fields=("organization", "counterpart"),
                name="agreement_one_signed_a_pair",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ("draft", "sent"))),
                fields=("organization", "counterpart"),
                name="agreement_one_open_a_pair",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("organization", models.F("counterpart")), _negated=True),
                name="agreement_has_two_parties",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ("draft", "sent", "signed", "expired", "terminated"))),
                name="agreement_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("direction__in", ["covered_entity", "business_associate"])),
                name="agreement_direction_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires__gt", models.F("effective"))), name="agreement_expires_after_effective"
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "clauses__contained_by",
                        [
                            "permitted_uses",
                            "safeguards",
                            "reporting",
                            "subcontractors",
                            "access",
                            "amendment",
                            "accounting",
                            "delegated_duties",
                            "books_and_records",
                            "return_or_destroy",
                            "termination",
                        ],
                    )
                ),
                name="agreement_clauses_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "signed"), _negated=True),
                    models.Q(
                        (
                            "clauses__contains",
                            [
                                "permitted_uses",
                                "safeguards",
                                "reporting",
                                "subcontractors",
                                "access",
                                "amendment",
                                "accounting",
                                "delegated_duties",
                                "books_and_records",
                                "return_or_destroy",
                                "termination",
                            ],
                        ),
                        ("effective__isnull", False),
                        ("expires__isnull", False),
                        ("signed_at__isnull", False),
                        ("signer__isnull", False),
                        models.Q(("signer_name", ""), _negated=True),
                        models.Q(("signer_title", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="agreement_signed_is_complete",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("expires__isnull", False), ("signed_at__isnull", False)),
                    models.Q(("effective", None), ("expires", None), ("signed_at", None)),
                    _connector="OR",
                ),
                name="agreement_term_begins_with_signature",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", False), ("status__in", ("expired", "terminated"))),
                    models.Q(models.Q(("status__in", ("expired", "terminated")), _negated=True), ("ended_at", None)),
                    _connector="OR",
                ),
                name="agreement_ended_has_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "terminated"), _negated=True),
                    models.Q(("end_reason", ""), _negated=True),
                    _connector="OR",
                ),
                name="agreement_terminated_has_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("breach_sla_days__gte", 1), ("breach_sla_days__lte", 60)),
                name="agreement_breach_1_to_60_days",
            ),
        ),
        migrations.AddConstraint(
            model_name="businessassociateagreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("term_months__gte", 1), ("term_months__lte", 60)),
                name="agreement_term_1_to_60_months",
            ),
        ),
        migrations.AddConstraint(
            model_name="baareminder",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="baareminder_in_organization"),
        ),
        migrations.AddConstraint(
            model_name="baareminder",
            constraint=organizations.tenancy.RowLevelSecurity(name="baareminder_rls"),
        ),
        migrations.AddConstraint(
            model_name="baareminder",
            constraint=organizations.tenancy.SameOrganization(
                field="agreement", name="reminder_agreement_same_organization"
            ),
        ),
        migrations.AddConstraint(
            model_name="baareminder",
            constraint=models.UniqueConstraint(fields=("agreement", "offset"), name="reminder_once_an_offset"),
        ),
        # What was agreed to is added to and never changed.
        migrations.RunSQL(
            f"REVOKE UPDATE, DELETE ON organizations_agreementdocument FROM {ROLES}",
            reverse_sql=f"GRANT UPDATE, DELETE ON organizations_agreementdocument TO {ROLES}",
        ),
    ]
