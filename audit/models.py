"""The audit store: one append-only table, a gapless hash chain per organization, yearly partitions.

Ids and not foreign keys: the trail imports nobody and outlives what it describes. Rows come in through the database
function `audit_append` alone (migration 0001); the application has no right to insert, change or delete here.
"""

from django.db import models


class Outcome(models.TextChoices):
    """FHIR R4 AuditEvent.outcome."""

    SUCCESS = "0", "success"
    REFUSED = "4", "refused"
    ERROR = "8", "error"


class AuditEvent(models.Model):
    """One act: who, what, to which record, from where, why, and how it ended (FHIR R4 AuditEvent)."""

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField()
    sequence = models.BigIntegerField()
    recorded = models.DateTimeField()
    action = models.CharField(max_length=60)
    outcome = models.CharField(max_length=2, choices=Outcome)
    actor_id = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=10)  # person, system or anonymous
    actor_name = models.CharField(max_length=60)  # of a system actor; persons are named by their id alone
    role = models.CharField(max_length=30)
    on_behalf_of_id = models.UUIDField(null=True)
    target_type = models.CharField(max_length=60)
    target_id = models.CharField(max_length=60)
    patient_id = models.UUIDField(null=True)
    changes = models.JSONField()
    detail = models.JSONField()
    reason = models.TextField()
    purpose_of_use = models.CharField(max_length=20)
    address = models.CharField(max_length=45)
    request_id = models.CharField(max_length=36)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "audit_event"
        ordering = ["organization_id", "sequence"]

    def __str__(self) -> str:
        return f"{self.action} {self.id}"


class AuditHead(models.Model):
    """Where an organization's chain ends; locked while events are added."""

    organization_id = models.UUIDField(primary_key=True)
    sequence = models.BigIntegerField()
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "audit_head"

    def __str__(self) -> str:
        return f"head {self.organization_id}"
