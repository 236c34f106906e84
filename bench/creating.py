"""Creating by API while the worker's mail server sleeps ten seconds, against one that answers at once."""

import sys
from itertools import count

from django.conf import settings
from django.test import Client

from bench.measure import Ratio, milliseconds, report
from bench.scratch import mail_sink, make_practice, scratch_database, worker
from organizations.models import Membership

ROUNDS, CALLS = 7, 20
_numbers = count()


def main() -> int:
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "1000000/m")
    ours: list[float] = []
    other: list[float] = []
    with scratch_database():
        doctor = make_practice()
        client = Client()
        client.force_login(doctor.user)
        for side, delay in ((other, 0), (ours, 10)):
            with mail_sink(delay=delay) as port, worker(EMAIL_URL=f"smtp://127.0.0.1:{port}"):
                create(client, doctor)
                side += [milliseconds(lambda: create(client, doctor), times=CALLS) for _round in range(ROUNDS)]
    return report(Ratio("creating, mail server asleep / awake", ours, other, "ms", at_most=1.1))


def create(client: Client, doctor: Membership) -> None:
    """Invite one more person."""
    body = {"invitation_type": "medical_staff", "email": f"invitee{next(_numbers)}@example.org"}
    response = client.post("/api/v1/invitations/", body, content_type="application/json")
    assert response.status_code == 201, response.content


if __name__ == "__main__":
    sys.exit(main())
