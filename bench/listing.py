"""The list page of fifty: among a million rows against among a thousand, any depth against the first page, and that of
somebody who sees only what they sent themselves, while their colleagues send a million. And the overview."""

import sys
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bench.measure import Ratio, milliseconds, report
from bench.scratch import analyze, make_invitations, make_practice, scratch_database
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
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    with scratch_database():
        doctor = make_practice()
        client = Client()
        client.force_login(doctor.user)
        colleague = Client()
        colleague.force_login(make_colleague(doctor).user)
        first = reverse("invitations:list", args=[doctor.organization.slug])
        make_invitations(doctor.organization, doctor.user, FEW, mark="few")
        analyze()
        few, own_few = measure(client, first), measure(colleague, first)
        overview = reverse("organizations:overview", args=[doctor.organization.slug])
        overview_few = measure(client, overview)
        make_invitations(doctor.organization, doctor.user, SOME - FEW, mark="some")
        analyze()
        overview_many = measure(client, overview)
        make_invitations(doctor.organization, doctor.user, MANY - SOME, mark="many")
        analyze()
        many, own_many = measure(client, first), measure(colleague, first)
        deep = measure(client, f"{first}?cursor={deep_cursor(doctor)}")
        one_query(client, first)
        one_query(colleague, first)
    return report(
        Ratio("list of 50, 1,000,000 / 1,000 rows", many, few, "ms", at_most=1.15),
        Ratio("list of 50, page 10,000 / first page", deep, many, "ms", at_most=1.3),
        Ratio("own list, among 1,000,000 / 1,000 rows", own_many, own_few, "ms", at_most=1.15),
        Ratio("overview, 200,000 / 1,000 rows", overview_many, overview_few, "ms", at_most=3),
    )


def make_colleague(doctor: Membership) -> Membership:
    """Make somebody of the practice who sees only what they sent, which is nothing yet: the slowest list of all for
    whoever looks for it among the others'."""
    with platform("bench"):
        return MembershipFactory(organization=doctor.organization, role=Role.OFFICE_ADMIN)


def deep_cursor(doctor: Membership) -> str:
    """Return the cursor of a page in the middle of a million rows."""
    with tenant(doctor.organization):
        at = timezone.now() - timedelta(seconds=MANY // 2)
        row = UserInvitation.objects.filter(created_at__lte=at).order_by("-created_at", "-pk").first()
    assert row is not None
    return write_cursor(_position(row), backwards=False)


def measure(client: Client, address: str) -> list[float]:
    """Open a page, over and over."""

    def opened() -> None:
        assert client.get(address).status_code == 200

    opened()
    return [milliseconds(opened, times=CALLS) for _round in range(ROUNDS)]


def one_query(client: Client, address: str) -> None:
    """The list asks the table once, and never counts."""
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    statements = [query["sql"] for query in queries if '"user_invitations"' in query["sql"]]
    assert len(statements) == 1, statements
    assert "COUNT(" not in statements[0].upper()


if __name__ == "__main__":
    sys.exit(main())
