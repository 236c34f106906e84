"""Background work on accounts."""

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from . import addresses, delivery, registry
from .practitioners import services as practitioners


@shared_task(name="accounts.tasks.relay_account_mail")
def relay_account_mail() -> int:
    """Send account mails that are due; hinted after each request, and every few seconds by beat."""
    return delivery.relay_due_account_mail(at=timezone.now())


@shared_task(name="accounts.tasks.clear_expired_sessions")
def clear_expired_sessions() -> None:
    """Delete browser sessions that have ended, and old wishes to change an address."""
    call_command("clearsessions")
    addresses.forget_email_changes(at=timezone.now())


@shared_task(name="accounts.tasks.end_overdue_sessions")
def end_overdue_sessions() -> int:
    """Write down which sessions are over; every minute, by beat."""
    return registry.end_overdue_sessions(at=timezone.now())


@shared_task(name="accounts.tasks.watch_licenses")
def watch_licenses() -> int:
    """Record which doctors' approvals are over by date, in batches, and remind those whose end is near."""
    total = 0
    while count := practitioners.record_expired_licenses(at=timezone.now()):
        total += count
    while practitioners.remind_of_licenses(at=timezone.now()):
        pass
    return total
