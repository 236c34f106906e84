"""Sending mail by SMTP: one connection for a batch, and what the server's answer means."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import urlsplit

from django.conf import settings

MAX_REASON = 200


class SendFailed(Exception):
    """The server did not take a message. `reason` is its answer without addresses; `is_permanent` says that trying
    again cannot help (RFC 5321 4.2.1: 5yz), else it may (4yz, time-out, lost connection)."""

    def __init__(self, reason: str, *, is_permanent: bool) -> None:
        super().__init__("send failed")
        self.reason = reason[:MAX_REASON]
        self.is_permanent = is_permanent


class MailNotConfigured(Exception):
    """There is no mail relay to send through."""


def build_message(
    *, to: str, subject: str, text: str, html: str, message_id: str, reply_to: str = "", at: datetime
) -> EmailMessage:
    """Return a multipart/alternative message. `message_id` is the part before the @; the same id for each attempt at
    one delivery lets mailboxes drop a duplicate. There is no List-Unsubscribe: an invitation is no list."""
    name, sender = parseaddr(settings.DEFAULT_FROM_EMAIL)
    message = EmailMessage()
    message["From"] = Address(display_name=name, addr_spec=sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}@{urlsplit(settings.BASE_URL).hostname}>"
    message["Auto-Submitted"] = "auto-generated"
    if reply_to:
        message["Reply-To"] = Address(addr_spec=reply_to)
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message


class MailConnection:
    """One SMTP connection, opened at the first message and reopened when the server dropped it."""

    def __init__(self) -> None:
        self._smtp: smtplib.SMTP | None = None

    def _open(self) -> smtplib.SMTP:
        if self._smtp is None:
            if not settings.EMAIL_HOST:
                raise MailNotConfigured
            where = {"host": settings.EMAIL_HOST, "port": settings.EMAIL_PORT, "timeout": settings.EMAIL_TIMEOUT}
            context = ssl.create_default_context()
            smtp = smtplib.SMTP_SSL(context=context, **where) if settings.EMAIL_USE_SSL else smtplib.SMTP(**where)
            if settings.EMAIL_USE_TLS:
                smtp.starttls(context=context)
            if settings.EMAIL_HOST_USER:
                smtp.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
            self._smtp = smtp
        return self._smtp

    def send(self, message: EmailMessage, *, to: str) -> None:
        """Hand one message to the server. Raises SendFailed, or MailNotConfigured when no relay is set."""
        for attempt in (1, 2):
            try:
                self._open().sendmail(parseaddr(str(message["From"]))[1], [to], message.as_bytes(policy=_SMTP_POLICY))
                return
            except smtplib.SMTPServerDisconnected:
                # An idle connection the server closed is no failure of this message; a second one in a row is.
                self.close()
                if attempt == 2:
                    raise SendFailed("the mail server closed the connection", is_permanent=False) from None
            except smtplib.SMTPRecipientsRefused as refusal:
                code, text = next(iter(refusal.recipients.values()))
                self._reset()
                raise _failure(code, text, to) from None
            except smtplib.SMTPResponseException as refusal:
                self._reset()
                raise _failure(refusal.smtp_code, refusal.smtp_error, to) from None
            except (OSError, smtplib.SMTPException) as error:
                self.close()
                raise SendFailed(f"mail server not reachable ({type(error).__name__})", is_permanent=False) from None

    def _reset(self) -> None:
        """Make the connection ready for the next message after a refusal, or give it up."""
        with suppress(smtplib.SMTPException, OSError):
            if self._smtp is not None:
                self._smtp.rset()
                return
        self.close()

    def close(self) -> None:
        """Say goodbye. Never raises."""
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
            self._smtp = None


_SMTP_POLICY = EmailMessage().policy.clone(linesep="\r\n", cte_type="7bit")


def _failure(code: int, text: bytes | str, to: str) -> SendFailed:
    answer = text.decode(errors="replace") if isinstance(text, bytes) else text
    # Servers repeat the address in their answer; a reason is shown and logged, so it must not carry one.
    answer = answer.replace(to, "the address")
    return SendFailed(f"{code} {' '.join(answer.split())}", is_permanent=500 <= code < 600)


@contextmanager
def mail_connection() -> Iterator[MailConnection]:
    """Open one connection for a batch of messages."""
    connection = MailConnection()
    try:
        yield connection
    finally:
        connection.close()
