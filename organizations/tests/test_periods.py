"""Since when people belong to an organization, whatever they were in it, and what became of an earlier role."""

import csv
import io
from datetime import datetime, timedelta

import pytest
from django.utils import formats, timezone

from accounts.people.review import export_access
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.pages import browser, read
from healthivr.testing.world import World
from organizations.granting import change_role
from organizations.models import Membership
from organizations.periods import add_member_since
from organizations.roles import Role
from organizations.tenancy import platform, tenant

PEOPLE = "/o/lee-family-practice/people/"


def changed(world: World, *, at: datetime, began: datetime) -> tuple[Membership, Membership]:
    """Change what Mia is; return what she was and what she is."""
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(started_at=began)
        old = Membership.objects.get(user=world.mia)
    with tenant(world.practice):
        new = change_role(
            actor=world.actor(world.lee), membership_id=old.pk, role="lab_tech", reason="Works in the <lab> now", at=at
        )
    return old, new


@pytest.mark.parametrize(
    ("periods", "since"),
    [
        ([(90, None)], 90),
        ([(90, 30), (30, None)], 90),
        ([(90, 30), (29, None)], 29),
        ([(90, 80), (60, 30), (40, 20), (20, None)], 60),
        ([(90, None), (60, 30), (10, None)], 90),
        ([(90, 20), (60, 50), (20, None)], 90),
    ],
)
def test_since__periods_that_touch_and_that_do_not__the_last_unbroken_stretch(
    world: World, now: datetime, periods: list[tuple[int, int | None]], since: int
) -> None:
    roles = [Role.MEDICAL_STAFF, Role.LAB_TECH, Role.PRIVACY_OFFICER, Role.PHARMACIST]
    with platform("test"):
        for elsewhere, user in ((world.strange_practice, world.mia), (world.practice, world.stone)):
            MembershipFactory(
                organization=elsewhere, user=user, role=Role.LAB_TECH, started_at=now - timedelta(days=400)
            )
        Membership.objects.filter(user=world.mia, organization=world.practice).delete()
        for role, (began, ended) in zip(roles, periods, strict=False):
            MembershipFactory(
                organization=world.practice,
                user=world.mia,
                role=role,
                started_at=now - timedelta(days=began),
                ended_at=None if ended is None else now - timedelta(days=ended),
                status="active" if ended is None else "ended",
            )
    with tenant(world.practice):
        rows = list(Membership.objects.filter(user=world.mia, organization=world.practice, status="active"))
        add_member_since(rows)
    assert {row.member_since for row in rows} == {now - timedelta(days=since)}  # type: ignore[attr-defined]


def test_pages__after_a_changed_role__say_since_when_and_why(world: World) -> None:
    at, began = timezone.now(), timezone.now() - timedelta(days=800)
    _old, new = changed(world, at=at, began=began)
    client = browser(world.lee)
    page = read(client.get(f"{PEOPLE}{new.pk}/"), 200, "Works in the <lab> now")
    facts = dict(zip([e.text for e in page.tree.all("dt")], [e.text for e in page.tree.all("dd")], strict=True))
    assert facts["Member since"] != facts["In this role since"]
    assert str(began.year) in facts["Member since"]
    assert facts["Role changed"] == f"From Medical staff, by {world.lee.get_full_name()} Works in the <lab> now"
    listed = next(row for row in read(client.get(PEOPLE)).tree.all("tr") if "mia@example.org" in row.text)
    assert began.isoformat()[:10] in str([time["datetime"] for time in listed.all("time")])
    with tenant(world.practice):
        table = export_access(actor=world.actor(world.lee), at=at)
    rows = {row[1]: row for row in csv.reader(io.StringIO(table.removeprefix("\ufeff")))}
    assert rows["mia@example.org"][5] == formats.date_format(timezone.localtime(began), "DATETIME_FORMAT")
    omar = read(browser(world.omar).get(f"{PEOPLE}{new.pk}/"))
    assert "Member since" in omar.main
    assert "Works in the" not in omar.main, "why is for those who run the people"


def test_page__of_a_role_that_was_changed__leads_to_the_present_one_of_this_organization_only(world: World) -> None:
    at = timezone.now()
    old, new = changed(world, at=at, began=at - timedelta(days=9))
    client = browser(world.lee)
    assert client.get(f"{PEOPLE}{old.pk}/")["Location"] == f"{PEOPLE}{new.pk}/"
    assert browser(world.stone).get(f"/o/{world.strange_practice.slug}/people/{old.pk}/").status_code == 404
    with platform("test"):
        Membership.objects.filter(pk=new.pk).update(status="ended", ended_at=at)
    assert client.get(f"{PEOPLE}{old.pk}/").status_code == 404
