"""The list page of fifty: among a million rows against among a thousand, any depth against the first page, and that of
somebody who sees only what they sent themselves, while their colleagues send a million. And the overview."""

import sys
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bench.measure import Ratio, report
from bench.scratch import analyze, make_invitations, make_practice, scratch_database
from bench.turns import in_turns, serve, sides
from healthivr.testing.factories import MembershipFactory
from invitations.models import UserInvitation
from invitations.selectors import _position
from organizations.models import Membership
from organizations.paging import write_cursor
from organizations.roles import Role
from organizations.tenancy import platform, tenant

FEW, SOME, MANY = 1_000, 200_000, 1_000_000
ROUNDS, CALLS = 9, 10


def main() -> int:
    with sides("bench.listing", FEW, SOME, MANY) as (few, some, many):
        first, deep, own, overview = in_turns(
            ROUNDS,
            (partial(many, "list"), partial(few, "list")),
            (partial(many, "deep"), partial(many, "list")),
            (partial(many, "own"), partial(few, "own")),
            (partial(some, "overview"), partial(few, "overview")),
        )
    return report(
        Ratio("list of 50, 1,000,000 / 1,000 rows", *first, "ms", at_most=1.15),
        Ratio("list of 50, page 10,000 / first page", *deep, "ms", at_most=1.3),
        Ratio("own list, among 1,000,000 / 1,000 rows", *own, "ms", at_most=1.15),
        Ratio("overview, 200,000 / 1,000 rows", *overview, "ms", at_most=3),
    )


def be_a_side(rows: int) -> None:
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "1000000/m")
    with scratch_database():
        doctor = make_practice()
        client, colleague = Client(), Client()
        client.force_login(doctor.user)
        colleague.force_login(make_colleague(doctor).user)
        make_invitations(doctor.organization, doctor.user, rows, mark="row")
        analyze()
        first = reverse("invitations:list", args=[doctor.organization.slug])
        deep = f"{first}?cursor={cursor_of_the_middle(doctor, rows)}"
        overview = reverse("organizations:overview", args=[doctor.organization.slug])
        one_query(client, first)
        one_query(colleague, first)
        serve(
            {
                "list": lambda: opened(client, first),
                "deep": lambda: opened(client, deep),
                "own": lambda: opened(colleague, first),
                "overview": lambda: opened(client, overview),
            },
            times=CALLS,
        )


def opened(client: Client, address: str) -> None:
    """Open a page."""
    assert client.get(address).status_code == 200


def make_colleague(doctor: Membership) -> Membership:
    """Make somebody of the practice who sees only what they sent, which is nothing yet: the slowest list of all for
    whoever looks for it among the others'."""
    with platform("bench"):
        return MembershipFactory(organization=doctor.organization, role=Role.OFFICE_ADMIN)


def cursor_of_the_middle(doctor: Membership, rows: int) -> str:
    """Return the cursor of a page in the middle of all rows."""
    with tenant(doctor.organization):
        at = timezone.now() - timedelta(seconds=rows // 2)
        row = UserInvitation.objects.filter(created_at__lte=at).order_by("-created_at", "-pk").first()
    assert row is not None
    return write_cursor(_position(row), backwards=False)


def one_query(client: Client, address: str) -> None:
    """The list asks the table once, and never counts."""
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    statements = [query["sql"] for query in queries if '"user_invitations"' in query["sql"]]
    assert len(statements) == 1, statements
    assert "COUNT(" not in statements[0].upper()


if __name__ == "__main__":
    if sys.argv[1:]:
        be_a_side(int(sys.argv[1]))
    else:
        sys.exit(main())
