"""The inbox of the development mail sink. Exists in development only: healthivr/urls.py leaves it out elsewhere."""

import re
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.views import mail_frame

SHOWN = 100
NAME = re.compile(r"[0-9TZ.]+-[0-9a-f]{8}")


@dataclass(frozen=True)
class Mail:
    """One mail that the sink took."""

    name: str
    message: EmailMessage

    @property
    def to(self) -> str:
        return str(self.message["X-Envelope-To"] or self.message["To"] or "")

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "")

    @property
    def at(self) -> datetime:
        return datetime.strptime(self.name.partition("-")[0].removesuffix("Z") + "+0000", "%Y%m%dT%H%M%S.%f%z")

    def part(self, kind: str) -> str:
        """Return the text of the part of this kind, `plain` or `html`."""
        body = self.message.get_body((kind,))
        return str(body.get_content()) if body else ""


def _folder() -> Path:
    if settings.MAIL_FOLDER is None:
        raise Http404
    return Path(settings.MAIL_FOLDER)


def _read(path: Path) -> Mail:
    message = BytesParser(policy=policy.default).parsebytes(path.read_bytes())
    assert isinstance(message, EmailMessage)
    return Mail(path.stem, message)


def _named(name: str) -> Mail:
    path = _folder() / f"{name}.eml"
    if not NAME.fullmatch(name) or not path.is_file():
        raise Http404
    return _read(path)


@login_not_required
@require_safe
def mail_list(request: HttpRequest) -> HttpResponse:
    """The latest mails, newest first."""
    paths = sorted(_folder().glob("*.eml"), reverse=True)[:SHOWN]
    return render(request, "development/mail_list.html", {"mails": [_read(path) for path in paths]})


@login_not_required
@require_safe
def mail(request: HttpRequest, name: str) -> HttpResponse:
    """One mail: head, HTML in a sandboxed frame, plain text, and all of its headers."""
    shown = _named(name)
    context = {"mail": shown, "text": shown.part("plain"), "has_html": bool(shown.part("html"))}
    return render(request, "development/mail.html", context | {"headers": list(shown.message.items())})


@login_not_required
@require_safe
def mail_html(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML of one mail, for the frame. Its links lead the whole page where they point."""
    return mail_frame(_named(name).part("html"), links=True)
