"""Draining 2,000 queued deliveries with the Procfile's worker, against one reused smtplib connection to the same sink,
and against django-invitations, which mails inside the request."""

import os
import smtplib
import subprocess
import sys
import tempfile
import time

from django.db import connection
from django.utils import timezone

from bench.measure import Ratio, report
from bench.scratch import mail_sink, make_invitations, make_practice, queue_deliveries, scratch_database, worker
from healthivr.embedded.install import PIP
from healthivr.embedded.state import ROOT
from invitations.delivery import hint_relay
from invitations.messages import compose
from invitations.models import Delivery
from organizations.models import Membership
from organizations.tenancy import platform

MAILS = 2000
ROUNDS = 7
INLINE_MAILS = 500


def main() -> int:
    with tempfile.TemporaryDirectory() as library, scratch_database(), mail_sink() as port:
        install(library)
        doctor = make_practice()
        with worker(EMAIL_URL=f"smtp://127.0.0.1:{port}"):
            drain(doctor, "warm")
            mails = written(doctor)
            send(port, mails)
            ours, plain, inline = [], [], []
            for number in range(ROUNDS):
                plain.append(send(port, mails))
                ours.append(drain(doctor, f"round{number}-"))
                inline.append(send_inline(port, library))
    return report(
        Ratio("draining 2,000 mails / one smtplib connection", ours, plain, "mails/s", at_least=0.5),
        Ratio("draining 2,000 mails / django-invitations", ours, inline, "mails/s"),
    )


def drain(doctor: Membership, mark: str) -> float:
    """Queue mails and give the worker one hint, as a request does. Returns mails a second until the last is noted as
    sent."""
    make_invitations(doctor.organization, doctor.user, MAILS, mark=mark)
    queue_deliveries(doctor.organization_id, mark=mark)
    began = time.perf_counter()
    hint_relay()
    while waiting():
        time.sleep(0.05)  # seldom: what asks takes time from what is measured
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


def install(library: str) -> None:
    """Fetch django-invitations into a folder of its own: its application has the name of ours."""
    options = ["install", "--quiet", "--no-deps", "--require-hashes", "-r", str(ROOT / "bench" / "requirements.txt")]
    subprocess.run([sys.executable, *PIP, *options, "--target", library], check=True)


def send_inline(port: int, library: str) -> float:
    """Let django-invitations create and send some. Returns mails a second."""
    environment = {**os.environ, "PYTHONPATH": library}
    del environment["DJANGO_SETTINGS_MODULE"]
    script = [sys.executable, "-P", str(ROOT / "bench" / "inline.py"), str(port), str(INLINE_MAILS)]
    done = subprocess.run(script, env=environment, cwd=library, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
