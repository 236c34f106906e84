"""What a doctor says of their license, and what was decided about it."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When

from accounts.practitioners.regions import Region
from accounts.practitioners.states import Standing
from healthivr.kernel.ids import new_id

#: In the queue what waits comes first, what waits longest before the rest.
RANK = Case(When(standing=Standing.PENDING, then=Value(0)), default=Value(1), output_field=models.SmallIntegerField())


class PractitionerCredentialQuerySet(models.QuerySet["PractitionerCredential"]):
    def approved(self, *, at: datetime) -> "PractitionerCredentialQuerySet":
        """Whose approval holds: given, not taken back, and not over by date, whatever the sweep has recorded."""
        return self.filter(approved_until__gt=at)

    def over(self, *, at: datetime) -> "PractitionerCredentialQuerySet":
        """Whose approval is over by date, which nobody has recorded yet."""
        return self.filter(approved_until__lte=at)

    def unreminded(self, days: int) -> "PractitionerCredentialQuerySet":
        """Who was not reminded yet of the end of the approval so many days before it."""
        return self.filter(Q(reminded_days=None) | Q(reminded_days__gt=days))

    def standing_as(self, standing: str, *, at: datetime) -> "PractitionerCredentialQuerySet":
        """Where `standing_at` is `standing`."""
        overdue = Q(standing=Standing.APPROVED, approved_until__lte=at)
        if standing == Standing.SUSPENDED:
            return self.filter(Q(standing=standing) | overdue)
        return self.filter(~overdue, standing=standing)


class PractitionerCredential(models.Model):
    """The license that a doctor practices with (FHIR VerificationResult). Global, like the person: it holds in every
    practice where they work (docs/adr/0012-practitioner-credentials.md).

    `standing` is about what was last submitted; `approved_until` about what was last approved. A renewal that is still
    being checked leaves an approval in force until its day.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="practitioner_credential")
    npi = models.CharField(max_length=10)
    license_number = models.CharField(max_length=30)
    license_state = models.CharField(max_length=2, choices=Region)
    #: The last day on which it holds, as it is printed.
    license_expires_on = models.DateField()
    #: When that day is over where the license comes from.
    license_ends_at = models.DateTimeField()
    standing = models.CharField(max_length=10, choices=Standing, default=Standing.PENDING)
    approved_until = models.DateTimeField(null=True)
    #: How many times something was submitted: whoever decides says what they looked at.
    submission = models.PositiveIntegerField(default=1)
    submitted_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    #: Nobody where time decided.
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    reason = models.CharField(max_length=500, blank=True)
    #: The last reminder of the approval's end: so many days before it.
    reminded_days = models.PositiveSmallIntegerField(null=True)

    objects = PractitionerCredentialQuerySet.as_manager()

    class Meta:
        verbose_name = "practitioner credential"
        verbose_name_plural = "practitioner credentials"
        constraints = [
            models.UniqueConstraint(fields=["npi"], name="credential_npi_once"),
            models.CheckConstraint(
                condition=Func(F("npi"), function="npi_is_valid", output_field=models.BooleanField()),
                name="credential_npi_valid",
            ),
            models.CheckConstraint(condition=Q(license_state__in=Region.values), name="credential_state_known"),
            models.CheckConstraint(condition=Q(standing__in=Standing.values), name="credential_standing_known"),
            models.CheckConstraint(condition=~Q(license_number=""), name="credential_has_license"),
            models.CheckConstraint(
                condition=~Q(standing=Standing.APPROVED) | Q(approved_until=F("license_ends_at")),
                name="credential_approved_until_license_ends",
            ),
            models.CheckConstraint(
                condition=~Q(standing=Standing.SUSPENDED) | Q(approved_until=None),
                name="credential_suspended_is_not_approved",
            ),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(standing__in=[Standing.REJECTED, Standing.SUSPENDED]) | ~Q(reason=""),
                name="credential_refusal_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(standing=Standing.PENDING) | Q(decided_at__isnull=False),
                name="credential_decided_has_time",
            ),
            models.CheckConstraint(condition=~Q(decided_by=F("user")), name="credential_not_decided_by_oneself"),
        ]
        indexes = [
            models.Index(RANK, "submitted_at", "id", name="credential_queue"),
            models.Index(
                fields=["approved_until"], condition=Q(approved_until__isnull=False), name="credential_approved_until"
            ),
        ]

    def __str__(self) -> str:
        return f"credential {self.pk}"

    def is_approved(self, *, at: datetime) -> bool:
        """Say whether the approval holds."""
        return self.approved_until is not None and self.approved_until > at

    def standing_at(self, at: datetime) -> Standing:
        """Return where the license stands: an approval that is over suspends, whether or not the sweep has been there."""
        if self.standing == Standing.APPROVED and not self.is_approved(at=at):
            return Standing.SUSPENDED
        return Standing(self.standing)
