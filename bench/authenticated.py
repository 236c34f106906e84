"""Requests a second of an authenticated API detail (token, registry of sessions, tenant, one query) against those of a
Django view of the same server that does nothing: both behind our middleware, in one gunicorn as in production, in turns.
Beside it, held to nothing: against the same view without any middleware, which no address of ours is."""

import selectors
import socket
import sys
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from accounts.tokens import start_token_session
from bench.measure import Ratio, report
from bench.scratch import analyze, make_invitations, make_practice, running, scratch_database
from bench.turns import in_turns
from healthivr.embedded.state import ROOT
from invitations.models import UserInvitation
from organizations.tenancy import tenant

ROUNDS, SECONDS, CONNECTIONS = 9, 2.0, 8
GUNICORN = Path(sys.executable).with_name("gunicorn")


def main() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with scratch_database():
        doctor = make_practice()
        make_invitations(doctor.organization, doctor.user, 1000, mark="row")
        analyze()
        with tenant(doctor.organization):
            invitation = UserInvitation.objects.order_by("pk")[500]
        tokens = start_token_session(
            user=doctor.user,
            second_factor_at=timezone.now(),
            ip="127.0.0.1",
            user_agent="bench",
            request_id="bench",
            at=timezone.now(),
        )
        host = f"Host: {urlsplit(settings.BASE_URL).netloc}\r\n"
        detail = request(f"/api/v1/invitations/{invitation.pk}/", host, f"Authorization: Bearer {tokens.access}\r\n")
        plain, around = request("/bare/", host), request("/surrounded/", host)
        environment = {
            "ENVIRONMENT": "production",
            "EMAIL_URL": "smtp://127.0.0.1:25",
            "PORT": str(port),
            "RATE_LIMIT_PER_MINUTE": "100000",
        }
        command = [
            str(GUNICORN),
            "--no-control-socket",
            *("--config", str(ROOT / "healthivr" / "gunicorn.conf.py")),
            *("--pythonpath", str(ROOT / "bench"), "served"),
        ]
        with running(command, until=partial(answers, port, detail), **environment):
            ask = partial(per_second, port)
            for warm in (detail, plain, around):
                ask(warm)
            gated, shown = in_turns(
                ROUNDS, (partial(ask, detail), partial(ask, around)), (partial(ask, detail), partial(ask, plain))
            )
    return report(
        Ratio("authenticated detail / bare view, same server", *gated, "requests/s", at_least=0.10),
        Ratio("the same / a view without any middleware", *shown, "requests/s"),
    )


def request(path: str, *headers: str) -> bytes:
    """Return a request as it goes over the line."""
    return f"GET {path} HTTP/1.1\r\n{''.join(headers)}\r\n".encode()


def answers(port: int, sent: bytes) -> bool:
    """Say whether the server answers a request with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(sent)
            return line.recv(65_536).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def per_second(port: int, sent: bytes) -> float:
    """Return how many requests a second are answered, over connections that each send the next one when they have their
    answer. A loop of our own, for a client that thinks takes from the same cores: it reads the length and counts."""
    done = 0
    with selectors.DefaultSelector() as ready:
        lines = [socket.create_connection(("127.0.0.1", port)) for _number in range(CONNECTIONS)]
        try:
            for line in lines:
                ready.register(line, selectors.EVENT_READ, bytearray())
                line.sendall(sent)
            began = time.perf_counter()
            while (spent := time.perf_counter() - began) < SECONDS:
                for key, _events in ready.select(timeout=SECONDS):
                    line, received = key.fileobj, key.data
                    assert isinstance(line, socket.socket)
                    received += line.recv(65_536)
                    if is_whole(received):
                        received.clear()
                        done += 1
                        line.sendall(sent)
            return done / spent
        finally:
            for line in lines:
                line.close()


def is_whole(received: bytearray) -> bool:
    """Say whether an answer is there from its first byte to its last. Anything but 200 ends the measurement."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"answered {head.splitlines()[0].decode()}")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return len(body) >= int(length)


if __name__ == "__main__":
    sys.exit(main())
