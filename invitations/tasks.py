"""Background work on invitations. Arguments are ids or nothing: a broker keeps them in clear."""

from celery import shared_task
from django.utils import timezone

from organizations.tenancy import platform

from . import delivery, expiry, seats


@shared_task(name="invitations.tasks.relay_deliveries")
def relay_deliveries() -> int:
    """Send what is due; hinted after each creation, and every few seconds by beat."""
    return delivery.relay_due_deliveries()


@shared_task(name="invitations.tasks.expire_overdue")
def expire_overdue() -> int:
    """Record that overdue invitations have expired, 200 at a time."""
    total = 0
    while True:
        with platform("expiry sweep"):
            count = expiry.expire_overdue(at=timezone.now())
        total += count
        if count == 0:
            return total


@shared_task(name="invitations.tasks.reconcile_seats")
def reconcile_seats() -> int:
    """Compare every seat counter with what it counts, and correct it; nightly."""
    return seats.reconcile_seats(at=timezone.now())
