"""A real SMTP server for tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from healthivr.embedded.mail_sink import MailSink


@pytest.fixture
def mail_sink(tmp_path: Path, settings: Any) -> Iterator[MailSink]:
    """A sink on a port of its own, and settings that send there."""
    with MailSink(tmp_path / "mail") as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER = ""
        yield sink
