"""A mail server that takes everything and keeps nothing: `python bench/sink.py PORT [SECONDS]`, in a process of its own.

SECONDS is how long it lets a message wait for its answer. It stores nothing, so what is measured is the sender.
"""

import asyncio
import sys

from aiosmtpd.smtp import SMTP


class Sink:
    """Answers for each message after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        self.delay = delay

    async def handle_DATA(self, server: SMTP, session: object, envelope: object) -> str:
        if self.delay:
            await asyncio.sleep(self.delay)
        return "250 OK"


async def serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(delay), hostname="localhost"), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0))
