"""Draining 2,000 queued deliveries with the Procfile's worker, against one reused smtplib connection to the same sink."""

import smtplib
import socket
import sys
import time

from django.db import connection
from django.utils import timezone

from bench.measure import Ratio, report
from bench.scratch import make_invitations, make_practice, queue_deliveries, running, scratch_database, worker
from healthivr.embedded.state import ROOT
from invitations.delivery import hint_relay
from invitations.messages import compose
from invitations.models import Delivery
from organizations.models import Membership
from organizations.tenancy import platform

MAILS = 2000
ROUNDS = 5


def main() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = [sys.executable, str(ROOT / "bench" / "sink.py"), str(port)]
    with scratch_database(), running(sink, until=lambda: answers(port)):
        doctor = make_practice()
        with worker(EMAIL_URL=f"smtp://127.0.0.1:{port}"):
            drain(doctor, "warm")
            mails = written(doctor)
            send(port, mails)
            ours, plain = [], []
            for number in range(ROUNDS):
                plain.append(send(port, mails))
                ours.append(drain(doctor, f"round{number}-"))
    return report(Ratio("draining 2,000 mails / one smtplib connection", ours, plain, "mails/s", at_least=0.5))


def answers(port: int) -> bool:
    """Say whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def drain(doctor: Membership, mark: str) -> float:
    """Queue mails and give the worker one hint, as a request does. Returns mails a second until the last is noted as
    sent."""
    make_invitations(doctor.organization, doctor.user, MAILS, mark=mark)
    queue_deliveries(doctor.organization_id, mark=mark)
    began = time.perf_counter()
    hint_relay()
    while waiting():
        time.sleep(0.01)
    return MAILS / (time.perf_counter() - began)


def waiting() -> bool:
    """Say whether a mail has not left yet."""
    with platform("bench"), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM invitation_deliveries WHERE status IN ('queued', 'sending'))")
        return bool(cursor.fetchone()[0])


def written(doctor: Membership) -> list[tuple[str, bytes]]:
    """Return the same mails, written before the clock starts."""
    with platform("bench"):
        deliveries = Delivery.objects.select_related("invitation__organization", "invitation__invited_by")
        composed = [compose(delivery, at=timezone.now()) for delivery in deliveries[:MAILS]]
    return [(recipient, message) for message, recipient in composed]


def send(port: int, mails: list[tuple[str, bytes]]) -> float:
    """Send them over one connection. Returns mails a second."""
    began = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as connection_:
        for recipient, message in mails:
            connection_.sendmail("noreply@example.org", [recipient], message)
    return len(mails) / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
