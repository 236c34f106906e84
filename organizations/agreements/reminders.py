"""What time does to agreements: their end is announced ahead, once each, and those that ran out are recorded so."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q
from django.dispatch import Signal

from audit import services as audit
from organizations.models import Organization
from organizations.seats import lock_free_seats
from organizations.selectors import system_actor
from organizations.tenancy import platform

from .models import BaaReminder, BusinessAssociateAgreement
from .states import AgreementEvent, AgreementStatus, next_status

#: How many days before its end an agreement is announced to end (checklist S2.19).
OFFSETS = (90, 60, 30, 7, 0)

#: Sent inside the transaction in which a reminder was made, with `agreement`, `offset` and `at`. Rooms above mail the
#: administrators of both parties.
reminder_due = Signal()


def due_offsets(agreement: BusinessAssociateAgreement, *, at: datetime) -> list[int]:
    """Return the offsets whose moment has come since the signature, furthest first: what was signed for twenty days was
    never ninety away from its end."""
    if agreement.expires is None or agreement.signed_at is None:
        return []
    moments = {offset: agreement.expires - timedelta(days=offset) for offset in OFFSETS}
    return [offset for offset, moment in moments.items() if agreement.signed_at < moment <= at]


def sweep_agreements(*, at: datetime) -> int:
    """Announce every end that is due, and record every agreement that has run out. Returns how many were announced.

    May run as often as one likes and beside itself; an organization that is busy is left to the next run.
    """
    announced = 0
    for agreement_id, organization_id in _to_look_at(at=at):
        with platform("what time does to agreements", is_logged=False):
            organization = Organization.objects.filter(pk=organization_id)
            if lock_free_seats(organizations=organization.values("pk"), limit=1):
                announced += _look_at(agreement_id, at=at)
    return announced


def _to_look_at(*, at: datetime) -> Iterable[tuple[UUID, UUID]]:
    """Yield what has something to announce or to record, the most urgent first."""
    near = BusinessAssociateAgreement.objects.filter(
        status=AgreementStatus.SIGNED, expires__lte=at + timedelta(days=max(OFFSETS))
    ).annotate(announced=ArrayAgg("reminders__offset", filter=Q(reminders__isnull=False), default=[]))
    with platform("whose agreements end soon"):
        rows = list(near.order_by("expires", "pk"))
    for agreement in rows:
        is_over = agreement.current_status(at=at) == AgreementStatus.EXPIRED
        if is_over or set(due_offsets(agreement, at=at)) - set(agreement.announced):  # type: ignore[attr-defined]
            yield agreement.pk, agreement.organization_id


def _look_at(agreement_id: UUID, *, at: datetime) -> bool:
    """Announce and record what is true of one agreement whose organization is locked."""
    agreement = (
        BusinessAssociateAgreement.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organization")
        .filter(pk=agreement_id, status=AgreementStatus.SIGNED)
        .first()
    )
    if agreement is None:  # replaced or terminated in this moment
        return False
    has_announced = _announce(agreement, at=at)
    if agreement.current_status(at=at) == AgreementStatus.EXPIRED:
        agreement.status = next_status(AgreementStatus.SIGNED, AgreementEvent.EXPIRE)
        agreement.ended_at, agreement.updated_at = agreement.expires, at
        agreement.save(update_fields=["status", "ended_at", "updated_at"])
        audit.record(
            actor=system_actor("agreements"),
            action="agreement.expired",
            target=agreement,
            changes={"status": [AgreementStatus.SIGNED, AgreementStatus.EXPIRED]},
        )
    return has_announced


def _announce(agreement: BusinessAssociateAgreement, *, at: datetime) -> bool:
    """Note every offset that is due, and mail the most urgent: after an outage nobody gets three mails at once."""
    known = set(BaaReminder.objects.filter(agreement=agreement).values_list("offset", flat=True))
    new = [offset for offset in due_offsets(agreement, at=at) if offset not in known]
    if not new:
        return False
    urgent = min(new)
    BaaReminder.objects.bulk_create(
        BaaReminder(
            organization_id=agreement.organization_id,
            agreement=agreement,
            offset=offset,
            sent_at=at if offset == urgent else None,
            created_at=at,
        )
        for offset in new
    )
    audit.record(
        actor=system_actor("agreements"),
        action="agreement.end_announced",
        target=agreement,
        detail={"days": str(urgent)},
    )
    reminder_due.send(sender=BusinessAssociateAgreement, agreement=agreement, offset=urgent, at=at)
    return True
