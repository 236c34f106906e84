"""Sending mail by SMTP: one connection for a batch, and what the server's answer means."""

import re
import smtplib
import ssl
from binascii import b2a_qp
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from urllib.parse import urlsplit

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

MAX_REASON = 200
#: Whatever stands around an @.
_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>,;]+>?")
_POLICY = re.compile(r"5\d\d 5\.7\.")
#: "Service not available, closing transmission channel" (RFC 5321 3.8).
CLOSING = 421


class SendFailed(Exception):
    """The server did not take a message, and may take it later (RFC 5321 4.2.1: 4yz, time-out, lost connection). `reason`
    is its answer without addresses."""

    def __init__(self, reason: str) -> None:
        super().__init__("send failed")
        self.reason = reason[:MAX_REASON]


class AddressRefused(SendFailed):
    """The recipient was refused for good (5yz to RCPT): sending to this address again cannot help. Not for 5.7.z,
    "security or policy" (RFC 3463 3.8): many servers say only there that they take no mail from us."""


class MessageRefused(SendFailed):
    """The message was refused for good (5yz to DATA): for what it says or whence it comes; the mailbox may be well."""


class ServerUnusable(SendFailed):
    """The server is away, or refuses us: greeting, HELO, STARTTLS, AUTH, MAIL FROM. That says nothing about the message
    or its recipient, whatever the code, and holds for every other message as well."""


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
        "Subject": _subject_header(" ".join(subject.split())),
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


@lru_cache(maxsize=256)
def _subject_header(subject: str) -> str:
    return Header(subject, header_name="Subject").encode()


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
            try:
                self._smtp = _connect()
            except smtplib.SMTPResponseException as refusal:  # its text may repeat our name or address there
                raise _unusable(f"{type(refusal).__name__} {refusal.smtp_code}") from None
            except (OSError, smtplib.SMTPException) as error:
                raise _unusable(type(error).__name__) from None
        return self._smtp

    def send(self, message: bytes, *, to: str) -> None:
        """Hand one message to the server. Raises SendFailed or what it is more precisely, and MailNotConfigured when no
        relay is set."""
        for is_last in (False, True):
            smtp = self._open()
            try:
                smtp.sendmail(_sender(settings.DEFAULT_FROM_EMAIL), [to], message)
                return
            except smtplib.SMTPServerDisconnected:
                # An idle connection the server closed is no failure of this message; a second one in a row is.
                self.close()
                if is_last:
                    raise SendFailed("the mail server closed the connection") from None
            except smtplib.SMTPSenderRefused as refusal:
                self.close()
                if is_last or refusal.smtp_code != CLOSING:  # enough over this connection: the next one may do
                    raise _unusable(f"{type(refusal).__name__} {refusal.smtp_code}") from None
            except smtplib.SMTPRecipientsRefused as refusal:
                self._reset()
                code, text = next(iter(refusal.recipients.values()))
                answer = _answer(code, text, to)
                is_final = _is_final(code) and not _POLICY.match(answer)
                raise (AddressRefused if is_final else SendFailed)(answer) from None
            except smtplib.SMTPResponseException as refusal:
                self._reset()
                kind = MessageRefused if _is_final(refusal.smtp_code) else SendFailed
                raise kind(_answer(refusal.smtp_code, refusal.smtp_error, to)) from None
            except (OSError, smtplib.SMTPException) as error:
                self.close()
                raise SendFailed(f"connection lost ({type(error).__name__})") from None

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


def _connect() -> smtplib.SMTP:
    """Open a session, up to where it takes messages; or leave no connection behind."""
    where = {"host": settings.EMAIL_HOST, "port": settings.EMAIL_PORT, "timeout": settings.EMAIL_TIMEOUT}
    with ExitStack() as undo:
        if settings.EMAIL_USE_SSL:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(context=ssl.create_default_context(), **where)
        else:
            smtp = smtplib.SMTP(**where)
        undo.callback(smtp.close)
        smtp.ehlo_or_helo_if_needed()
        if settings.EMAIL_USE_TLS:
            smtp.starttls(context=ssl.create_default_context())
        if settings.EMAIL_HOST_USER:
            smtp.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
        smtp.ehlo_or_helo_if_needed()  # once more after STARTTLS, which forgets the first
        undo.pop_all()
    return smtp


def _unusable(why: str) -> ServerUnusable:
    log.error("mail_server_unusable", why=why)  # somebody who runs healthivr must look: no mail leaves
    return ServerUnusable(f"mail server not reachable ({why})")


def _is_final(code: int) -> bool:
    return 500 <= code < 600


def _answer(code: int, text: bytes | str, to: str) -> str:
    """Return a server's words in one printable line. Servers repeat the address, and some name the one that it moved to
    (551); a reason is shown, logged and kept in the trail for good, so it must not carry any."""
    answer = text.decode(errors="replace") if isinstance(text, bytes) else text
    answer = _ADDRESS.sub("the address", answer.replace(to, "the address"))
    line = " ".join("".join(c if c.isprintable() else " " for c in answer).split())
    return f"{code} {line}"


@contextmanager
def mail_connection() -> Iterator[MailConnection]:
    """Open one connection for a batch of messages."""
    connection = MailConnection()
    try:
        yield connection
    finally:
        connection.close()
