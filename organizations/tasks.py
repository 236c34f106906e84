"""Background work on organizations."""

from celery import shared_task
from django.utils import timezone

from .agreements.reminders import sweep_agreements as sweep


@shared_task(name="organizations.tasks.sweep_agreements")
def sweep_agreements() -> int:
    """Announce the end of agreements and record those that have run out; every hour by beat."""
    return sweep(at=timezone.now())
