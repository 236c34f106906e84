"""Agreements, their documents, and the reminders of their end."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID, new_id
from organizations.tenancy import SameOrganization, TenantModel

from .clauses import Clause
from .states import OPEN, STORED, AgreementStatus


class Direction(models.TextChoices):
    """What the organization is in the agreement; its counterpart is the other."""

    COVERED_ENTITY = "covered_entity", _("Covered entity")
    BUSINESS_ASSOCIATE = "business_associate", _("Business associate (subcontractor)")


class MediaType(models.TextChoices):
    """What a document can be: an uploaded PDF, or the text of the standard agreement."""

    PDF = "application/pdf", _("PDF")
    TEXT = "text/plain", _("Text")


class AgreementDocument(TenantModel):
    """The bytes that were agreed to, and their digest. The application adds rows and changes none (migration 0009)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    content = models.BinaryField()
    media_type = models.CharField(max_length=20, choices=MediaType)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [
            *TenantModel.Meta.constraints,
            models.CheckConstraint(condition=Q(media_type__in=MediaType.values), name="document_media_type_known"),
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="document_sha256_hex"),
            models.CheckConstraint(condition=Q(size__gt=0), name="document_not_empty"),
        ]

    def __str__(self) -> str:
        return f"document {self.pk}"


class AgreementQuerySet(models.QuerySet["BusinessAssociateAgreement"]):
    def in_force(self, *, at: datetime) -> "AgreementQuerySet":
        """Those that hold at a moment, whatever a sweep has recorded."""
        return self.filter(status=AgreementStatus.SIGNED, effective__lte=at, expires__gt=at)

    def overdue(self, *, at: datetime) -> "AgreementQuerySet":
        """Those that have run out and are not recorded so."""
        return self.filter(status=AgreementStatus.SIGNED, expires__lte=at)

    def open(self) -> "AgreementQuerySet":
        """Those that are prepared and not signed."""
        return self.filter(status__in=OPEN)


class BusinessAssociateAgreement(TenantModel):
    """One agreement between an organization and its counterpart, for a time (FHIR Contract). Kept for good: a renewal is
    another row, and what was signed is not changed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    counterpart = models.ForeignKey(
        "organizations.Organization",
        models.PROTECT,
        related_name="+",
        db_index=False,
        default=PLATFORM_ORGANIZATION_ID,
    )
    direction = models.CharField(max_length=20, choices=Direction)
    status = models.CharField(max_length=10, choices=[(s.value, s.label) for s in STORED])
    version = models.CharField(max_length=40)
    #: Whether it is the platform's own text, which its administrators offer to everybody.
    is_standard = models.BooleanField()
    document = models.ForeignKey(AgreementDocument, models.PROTECT, related_name="+", db_constraint=False)
    clauses = ArrayField(models.CharField(max_length=30, choices=Clause), default=list)
    #: Within how many days the business associate reports a breach.
    breach_sla_days = models.PositiveSmallIntegerField()
    term_months = models.PositiveSmallIntegerField()
    effective = models.DateTimeField(null=True)
    expires = models.DateTimeField(null=True)
    next_review = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    #: Who sent it: the signature of the platform's side.
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False)
    signer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False)
    signer_name = models.CharField(max_length=200, blank=True, default="")
    signer_title = models.CharField(max_length=100, blank=True, default="")
    signed_at = models.DateTimeField(null=True)
    #: When it stopped to hold before its time, or was recorded as over.
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False)
    end_reason = models.CharField(max_length=500, blank=True, default="")
    renews = models.ForeignKey("self", models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    updated_at = models.DateTimeField()

    objects = AgreementQuerySet.as_manager()

    class Meta(TenantModel.Meta):
        verbose_name = _("business associate agreement")
        verbose_name_plural = _("business associate agreements")
        constraints = [
            *TenantModel.Meta.constraints,
            SameOrganization(field="document", name="agreement_document_same_organization"),
            SameOrganization(field="renews", name="agreement_renews_same_organization"),
            models.UniqueConstraint(
                fields=["organization", "counterpart"],
                condition=Q(status=AgreementStatus.SIGNED),
                name="agreement_one_signed_a_pair",
            ),
            models.UniqueConstraint(
                fields=["organization", "counterpart"],
                condition=Q(status__in=OPEN),
                name="agreement_one_open_a_pair",
            ),
            models.CheckConstraint(condition=~Q(organization=F("counterpart")), name="agreement_has_two_parties"),
            models.CheckConstraint(condition=Q(status__in=STORED), name="agreement_status_known"),
            models.CheckConstraint(condition=Q(direction__in=Direction.values), name="agreement_direction_known"),
            models.CheckConstraint(condition=Q(expires__gt=F("effective")), name="agreement_expires_after_effective"),
            models.CheckConstraint(condition=Q(clauses__contained_by=Clause.values), name="agreement_clauses_known"),
            # Whatever was signed once says by whom, when, until when, and that all that the rule demands is in it.
            models.CheckConstraint(
                condition=~Q(
                    status=AgreementStatus.SIGNED,
                )
                | Q(
                    signed_at__isnull=False,
                    effective__isnull=False,
                    expires__isnull=False,
                    signer__isnull=False,
                    clauses__contains=Clause.values,
                )
                & ~Q(signer_name="")
                & ~Q(signer_title=""),
                name="agreement_signed_is_complete",
            ),
            models.CheckConstraint(
                condition=Q(signed_at__isnull=False, expires__isnull=False)
                | Q(signed_at=None, expires=None, effective=None),
                name="agreement_term_begins_with_signature",
            ),
            models.CheckConstraint(
                condition=Q(status__in=(AgreementStatus.EXPIRED, AgreementStatus.TERMINATED), ended_at__isnull=False)
                | ~Q(status__in=(AgreementStatus.EXPIRED, AgreementStatus.TERMINATED)) & Q(ended_at=None),
                name="agreement_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status=AgreementStatus.TERMINATED) | ~Q(end_reason=""),
                name="agreement_terminated_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(breach_sla_days__gte=1, breach_sla_days__lte=60), name="agreement_breach_1_to_60_days"
            ),
            models.CheckConstraint(
                condition=Q(term_months__gte=1, term_months__lte=60), name="agreement_term_1_to_60_months"
            ),
        ]
        indexes = [
            models.Index(fields=["expires"], condition=Q(status="signed"), name="agreement_running_out"),
        ]

    def __str__(self) -> str:
        return f"agreement {self.pk}"

    def is_in_force(self, *, at: datetime) -> bool:
        """Say whether it holds at a moment; the same as AgreementQuerySet.in_force."""
        if self.status != AgreementStatus.SIGNED or self.effective is None or self.expires is None:
            return False
        return self.effective <= at < self.expires

    def current_status(self, *, at: datetime) -> AgreementStatus:
        """Return where it stands at a moment: over once its time is over."""
        if self.status == AgreementStatus.SIGNED and self.expires is not None and at >= self.expires:
            return AgreementStatus.EXPIRED
        return AgreementStatus(self.status)

    def days_left(self, *, at: datetime) -> int | None:
        """Return how many whole days it still holds; 0 once it is over, None before it was signed."""
        return max(0, (self.expires - at) // timedelta(days=1)) if self.expires else None


class BaaReminder(TenantModel):
    """That the end of an agreement was announced so many days ahead. Once each, whatever happens."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agreement = models.ForeignKey(
        BusinessAssociateAgreement, models.PROTECT, related_name="reminders", db_index=False, db_constraint=False
    )
    offset = models.PositiveSmallIntegerField()
    #: When it was mailed; None where a more urgent one went out in its stead.
    sent_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        verbose_name = _("reminder of an agreement")
        verbose_name_plural = _("reminders of agreements")
        constraints = [
            *TenantModel.Meta.constraints,
            SameOrganization(field="agreement", name="reminder_agreement_same_organization"),
            models.UniqueConstraint(fields=["agreement", "offset"], name="reminder_once_an_offset"),
        ]

    def __str__(self) -> str:
        return f"reminder {self.pk}"
