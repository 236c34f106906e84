"""Sending mail by SMTP: one connection for a batch, and what the server's answer means."""

import smtplib
import ssl
from binascii import b2a_qp
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
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
) -> bytes:
    """Return a multipart/alternative message, ready to be sent. `message_id` is the part before the @; the same id for
    each attempt at one delivery lets mailboxes drop a duplicate. There is no List-Unsubscribe: an invitation is no list.

    Written out by hand, since the standard library's classes parse every header again and take longer than sending
    does (bench/delivering.py).
    """
    if not f"{to}{reply_to}{message_id}".isprintable():
        raise ValueError("a line break in a header")
    boundary = f"=_{message_id}"  # quoted-printable text cannot contain "=_" (RFC 2045 6.7)
    headers = {
        "From": _from_header(settings.DEFAULT_FROM_EMAIL),
        "To": to,
        "Subject": Header(" ".join(subject.split()), header_name="Subject").encode(),
        "Date": format_datetime(at),
        "Message-ID": f"<{message_id}@{urlsplit(settings.BASE_URL).hostname}>",
        "Auto-Submitted": "auto-generated",
        **({"Reply-To": reply_to} if reply_to else {}),
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{boundary}"',
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    for kind, content in (("plain", text), ("html", html)):
        lines += ["", f"--{boundary}", f'Content-Type: text/{kind}; charset="utf-8"']
        lines += ["Content-Transfer-Encoding: quoted-printable", "", _quoted_printable(content)]
    lines += [f"--{boundary}--", ""]
    return "\n".join(lines).replace("\n", "\r\n").encode("ascii")


@lru_cache(maxsize=8)
def _from_header(address: str) -> str:
    return formataddr(parseaddr(address))


@lru_cache(maxsize=8)
def _sender(address: str) -> str:
    return parseaddr(address)[1]


def _quoted_printable(text: str) -> str:
    """Return text in lines of 76 ASCII characters at most (RFC 2045 6.7)."""
    return b2a_qp("\n".join(text.splitlines()).encode() + b"\n").decode("ascii")


class MailConnection:
    """One SMTP connection, opened at the first message and reopened when the server dropped it."""

    def __init__(self) -> None:
        self._smtp: smtplib.SMTP | None = None

    def _open(self) -> smtplib.SMTP:
        if self._smtp is None:
            if not settings.EMAIL_HOST:
                raise MailNotConfigured
            where = {"host": settings.EMAIL_HOST, "port": settings.EMAIL_PORT, "timeout": settings.EMAIL_TIMEOUT}
            if settings.EMAIL_USE_SSL:
                smtp: smtplib.SMTP = smtplib.SMTP_SSL(context=ssl.create_default_context(), **where)
            else:
                smtp = smtplib.SMTP(**where)
            if settings.EMAIL_USE_TLS:
                smtp.starttls(context=ssl.create_default_context())
            if settings.EMAIL_HOST_USER:
                smtp.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
            self._smtp = smtp
        return self._smtp

    def send(self, message: bytes, *, to: str) -> None:
        """Hand one message to the server. Raises SendFailed, or MailNotConfigured when no relay is set."""
        for attempt in (1, 2):
            try:
                self._open().sendmail(_sender(settings.DEFAULT_FROM_EMAIL), [to], message)
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
