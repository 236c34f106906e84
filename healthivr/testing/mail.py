"""Real SMTP servers for tests."""

import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
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


class _Conversation(StreamRequestHandler):
    """One client's conversation with a PickyServer."""

    server: "PickyServer"

    def _say(self, step: str, usual: str) -> bool:
        reply = self.server.refusals.get(step, usual)
        self.wfile.write(f"{reply}\r\n".encode())
        return reply == usual

    def handle(self) -> None:
        self.server.opened += 1
        self._say("greeting", "220 picky.example.org")
        while line := self.rfile.readline():
            step = line.split()[0].decode().upper()
            if step == "EHLO":
                self._say("EHLO", "250-picky.example.org\r\n250-STARTTLS\r\n250 AUTH PLAIN")
            elif step == "AUTH":
                self._say("AUTH", "235 2.7.0 Welcome")
            elif step == "DATA":
                if self._say("DATA", "354 Go on"):
                    while self.rfile.readline() != b".\r\n":
                        pass
                    self.server.taken += self._say("message", "250 OK")
            else:
                self._say(step, "250 OK")
        self.server.closed += 1  # the client went: its end is closed


class PickyServer(ThreadingTCPServer):
    """A mail server that refuses at any step: `refusals` is greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, or message
    (what follows DATA) -> the reply. `opened` and `closed` count connections, `taken` messages."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.refusals: dict[str, str] = {}
        self.opened = self.closed = self.taken = 0


@pytest.fixture
def picky_server(settings: Any) -> Iterator[PickyServer]:
    """A mail server that refuses what it is told to, and settings that send there with a password."""
    with PickyServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), name="picky server", daemon=True).start()
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "sender@example.org", "secret"
        yield server
        server.shutdown()
