"""A mail server for development and tests: takes what it is sent, keeps it as files, delivers nothing.

`python -m healthivr.embedded.mail_sink --port N --folder DIR [--delay SECONDS]`; tests use `MailSink` in their own
process. The page that shows the mails reads the same folder (MAIL_FOLDER).
"""

import argparse
import asyncio
import os
import secrets
import signal
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
#: What a recipient's address must contain to be refused, and the answer it gets.
REFUSALS = {
    "refuse-550": "550 5.1.1 There is no such mailbox",
    "refuse-451": "451 4.3.0 Try again later",
    "mailbox-full": "552 5.2.2 The mailbox is full",
}
MOST_BYTES = 20 * 1024 * 1024


class MailSink:
    """A mail server in a thread of this process; use it with `with`.

    `refusals` (part of an address -> SMTP reply) and `delay` (seconds before a message is answered for) may be
    changed while it runs. `port` is the port it listens on, a free one unless given.
    """

    def __init__(
        self, folder: Path, *, port: int = 0, refusals: Mapping[str, str] = REFUSALS, delay: float = 0
    ) -> None:
        self.folder = folder
        self.port = port
        self.refusals = dict(refusals)
        self.delay = delay
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail sink", daemon=True)

    @property
    def url(self) -> str:
        """The address for EMAIL_URL."""
        return f"smtp://{HOST}:{self.port}"

    def messages(self) -> list[bytes]:
        """Return what was accepted so far, oldest first, each with an X-Envelope-To header on top."""
        return [path.read_bytes() for path in sorted(self.folder.glob("*.eml"))]

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(self._answer, HOST, self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _hang_up(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _answer(self) -> SMTP:
        return SMTP(self, hostname="localhost", data_size_limit=MOST_BYTES, enable_SMTPUTF8=True)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer for one recipient: a refusal if the address asks for one."""
        for part, reply in self.refusals.items():
            if part in address:
                return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message, then answer for it."""
        await asyncio.sleep(self.delay)
        header = f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n".encode()
        path = self.folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.eml"
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(header + (envelope.original_content or b""))
        part.replace(path)  # who reads the folder never sees half a mail
        return f"250 OK {path.name}"


def main() -> None:
    """Run the sink until it is told to stop."""
    parser = argparse.ArgumentParser(prog="mail_sink", description="Take mail and keep it as files.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0, help="seconds before a message is answered for")
    options = parser.parse_args()
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # in every thread, so that sigwait gets them
    with MailSink(options.folder, port=options.port, delay=options.delay) as sink:
        print(f"Taking mail at {sink.url}, process {os.getpid()}", flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
