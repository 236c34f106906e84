"""Reads of the trail."""

from datetime import datetime
from uuid import UUID

from django.db.models import Model

from .models import AuditEvent, Outcome


def changes_of(target: Model, *, organization_id: UUID, action: str) -> list[dict[str, list[str]]]:
    """Return what each act of one kind changed in a record, oldest first: fields with `[before, after]`, masked as they
    were recorded. Asked in a door."""
    acts = AuditEvent.objects.filter(
        organization_id=organization_id,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        action=action,
        outcome=Outcome.SUCCESS,
    )
    return list(acts.order_by("sequence").values_list("changes", flat=True))


def last_at(target: Model, *, organization_id: UUID, action: str) -> datetime | None:
    """Return when an act of one kind last happened to a record. Asked in a door."""
    acts = AuditEvent.objects.filter(
        organization_id=organization_id,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        action=action,
        outcome=Outcome.SUCCESS,
    )
    return acts.order_by("-sequence").values_list("recorded", flat=True).first()


def events_of(target: Model, *, organization_id: UUID) -> list[AuditEvent]:
    """Return every act on a record that succeeded, oldest first. Asked in a door."""
    acts = AuditEvent.objects.filter(
        organization_id=organization_id,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        outcome=Outcome.SUCCESS,
    )
    return list(acts.order_by("sequence"))


def acts_on(*, target_id: str, organization_id: UUID, action: str) -> list[AuditEvent]:
    """Return the acts of one kind on a record, in an organization's trail, the latest first. Asked in a door."""
    acts = AuditEvent.objects.filter(
        organization_id=organization_id, target_id=target_id, action=action, outcome=Outcome.SUCCESS
    )
    return list(acts.order_by("-sequence"))


def targets_of(*, target_ids: list[str], organization_id: UUID, action: str) -> set[str]:
    """Return which of some records an act of one kind is about, in an organization's trail. Asked in a door."""
    acts = AuditEvent.objects.filter(
        organization_id=organization_id, target_id__in=target_ids, action=action, outcome=Outcome.SUCCESS
    )
    return set(acts.values_list("target_id", flat=True))
