"""Sending the mails of accounts. Few and far between, so one at a time; the busy outbox is invitations/delivery.py."""

import time
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings
from django.utils import formats, timezone, translation

from healthivr.kernel.ids import new_id
from healthivr.kernel.mail import (
    MailConnection,
    MailNotConfigured,
    SendFailed,
    ServerUnusable,
    build_message,
    mail_connection,
)

from .agreement_mail import AGREEMENT_MAILS, agreement_values
from .links import LINKS, email_link_path
from .mail import write_mail
from .models import AccountMail, AccountMailKind, EmailChange, User
from .outbox import LEASE, RUN_SECONDS, DeliveryStatus, due, outcome
from .role_mail import ROLE_MAILS, role_values

log = structlog.get_logger(__name__)


def hint_account_mail() -> None:
    """Tell a worker that there is mail; without Redis it waits for the sweep."""
    try:
        current_app.send_task("accounts.tasks.relay_account_mail", ignore_result=True, retry=False)
    except Exception as error:  # noqa: BLE001  every transport has errors of its own; none may fail a committed request
        log.warning("relay_hint_lost", reason=type(error).__name__)


def relay_due_account_mail(*, at: datetime) -> int:
    """Send every account mail that is due, until the server is unusable or RUN_SECONDS are over: the next run goes on.
    Returns how many left."""
    started, sent = time.monotonic(), 0
    with mail_connection() as connection, suppress(ServerUnusable):
        while mail := _claim(at=timezone.now()):
            sent += _send(connection, mail)
            if time.monotonic() - started > RUN_SECONDS:
                hint_account_mail()
                break
    return sent


def _claim(*, at: datetime) -> AccountMail | None:
    claim = new_id()
    candidate = AccountMail.objects.filter(due(at=at)).order_by("next_try_at").values_list("pk", "next_try_at").first()
    if candidate is None:
        return None
    pk, next_try_at = candidate
    taken = AccountMail.objects.filter(due(at=at), pk=pk, next_try_at=next_try_at).update(
        status=DeliveryStatus.SENDING, claim=claim, next_try_at=at + LEASE
    )
    return AccountMail.objects.select_related("user").get(pk=pk) if taken else _claim(at=at)


def _send(connection: MailConnection, mail: AccountMail) -> bool:
    user = mail.user
    assert user is not None  # rows of nobody are made closed
    values = _values(mail, user)
    if values is None:
        _finish(mail, DeliveryStatus.CANCELLED)
        return False
    written = write_mail(f"accounts/email/{mail.kind}", values, language=user.language)
    to = _recipient(mail, user)
    message = build_message(
        to=to,
        subject=written.subject,
        text=written.text,
        html=written.html,
        message_id=mail.pk.hex,
        at=timezone.now(),
    )
    try:
        connection.send(message, to=to)
    except MailNotConfigured:
        _finish(mail, DeliveryStatus.DISABLED)
        return False
    except SendFailed as failure:
        _try_later(mail, failure)
        if isinstance(failure, ServerUnusable):
            raise
        return False
    _finish(mail, DeliveryStatus.SENT)
    return True


def _values(mail: AccountMail, user: User) -> dict[str, str] | None:
    """Return what a mail says; links and days are looked up now, for the row holds ids and numbers only. None when it is
    not so any more: then it is not sent."""
    kind = AccountMailKind(mail.kind)
    if kind in ROLE_MAILS:
        return role_values(mail, user)
    if kind in AGREEMENT_MAILS:
        return agreement_values(mail, user)
    facts = {name: str(value) for name, value in mail.facts.items()}
    change_id = facts.pop("email_change", "")
    if kind == AccountMailKind.EMAIL_CONFIRM:  # no name: the mailbox may be a stranger's
        return {"url": settings.BASE_URL + email_link_path(change_id)}
    path = facts.pop("path", "") or LINKS[kind](user)
    values = {"first_name": user.first_name, **facts, "url": settings.BASE_URL + path}
    if kind == AccountMailKind.LICENSE_EXPIRING:
        values["last_day"] = _last_day(user)
    return values


def _recipient(mail: AccountMail, user: User) -> str:
    """Return where a mail goes: to its person, but where an address changes to the new one first, and to the old one in
    the end."""
    if mail.kind not in (AccountMailKind.EMAIL_CONFIRM, AccountMailKind.EMAIL_CHANGED):
        return user.email
    change = EmailChange.objects.get(pk=mail.facts["email_change"])
    return change.new_email if mail.kind == AccountMailKind.EMAIL_CONFIRM else change.old_email


def _last_day(user: User) -> str:
    """Return the last day of somebody's license in their language."""
    with translation.override(user.language):
        return formats.date_format(user.practitioner_credential.license_expires_on, "SHORT_DATE_FORMAT")


def _finish(mail: AccountMail, status: DeliveryStatus, *, reason: str = "") -> None:
    AccountMail.objects.filter(pk=mail.pk, claim=mail.claim, status=DeliveryStatus.SENDING).update(
        status=status, reason=reason, finished_at=timezone.now()
    )


def _try_later(mail: AccountMail, failure: SendFailed) -> None:
    at = timezone.now()
    status, retry_at = outcome(failure, attempt=mail.attempt, at=at)
    _finish(mail, status, reason=failure.reason)
    if retry_at:
        AccountMail.objects.create(
            kind=mail.kind,
            user=mail.user,
            facts=mail.facts,
            attempt=mail.attempt + 1,
            next_try_at=retry_at,
            created_at=at,
        )


def account_mail_age(*, at: datetime) -> timedelta:
    """Return how long the oldest due mail has been waiting; nothing waiting is zero."""
    oldest = (
        AccountMail.objects.filter(due(at=at)).order_by("next_try_at").values_list("next_try_at", flat=True).first()
    )
    return at - oldest if oldest else timedelta(0)
