"""/o/<organization>/compliance/: a score that is computed anew from evidence."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Authenticator, User
from healthivr.testing.pages import Page, browser, read
from healthivr.testing.world import World
from organizations.compliance import compliance_of
from organizations.models import Membership
from organizations.tenancy import platform, tenant

from .acts import agreement, without_agreement

HERE = "/o/lee-family-practice/compliance/"


def points(world: World) -> dict[str, tuple[int, int]]:
    """Return each point: how many of how many meet it."""
    with tenant(world.practice):
        found = compliance_of(actor=world.actor(world.lee), at=timezone.now())
    return {point.code: (point.met, point.of) for point in found.points}


def score(page: Page) -> int:
    return int(page.tree.with_class("figure-number")[0].text.split()[0])


@pytest.mark.seed("S2.21", "S2.30")
def test_compliance__each_piece_of_evidence__moves_the_score_at_once(world: World) -> None:
    now = timezone.now()
    client = browser(world.lee)
    Authenticator.objects.all().delete()
    User.objects.update(last_login=now)
    people = [world.lee, world.omar, world.mia]
    assert points(world) == {
        "agreement": (1, 1),
        "access_reviews": (3, 3),
        "second_factor": (0, 3),
        "stale_accounts": (3, 3),
    }
    assert score(read(client.get(HERE))) == 70  # 4 + 2 + 1 of 10
    for number, person in enumerate(people, start=1):
        Authenticator.objects.create(user=person, seed=b"", created_at=now, confirmed_at=now, codes_kept_at=now)
        assert points(world)["second_factor"] == (number, 3)
    assert score(read(client.get(HERE))) == 100
    without_agreement(world.practice)
    page = read(client.get(HERE))
    assert score(page) == 60
    assert page.links["Read and sign the agreement"] == "/o/lee-family-practice/agreements/"
    agreement(world.practice)
    with platform("test"):
        Membership.objects.filter(organization=world.practice).update(started_at=now - timedelta(days=91))
    assert points(world)["access_reviews"] == (0, 3)
    page = read(client.get(HERE))
    assert score(page) == 80
    assert "3 memberships were not reviewed for 90 days." in page.main
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(reviewed_at=now, reviewed_by=world.lee)
    assert points(world)["access_reviews"] == (1, 3)
    User.objects.filter(pk=world.mia.pk).update(last_login=now - timedelta(days=90))
    User.objects.filter(pk=world.omar.pk).update(last_login=None)
    assert points(world)["stale_accounts"] == (1, 3)
    assert "2 people have not signed in for 90 days." in read(client.get(HERE)).main


def test_compliance__somebody_who_half_set_up_a_factor_or_of_another_organization__counts_not(world: World) -> None:
    now = timezone.now()
    Authenticator.objects.all().delete()
    Authenticator.objects.create(user=world.omar, seed=b"", created_at=now)
    Authenticator.objects.create(user=world.stone, seed=b"", created_at=now, confirmed_at=now, codes_kept_at=now)
    assert points(world)["second_factor"] == (0, 3)


@pytest.mark.seed("S2.21", "S2.24")
def test_compliance__who_may_not_see_it__403(world: World) -> None:
    assert browser(world.lee).get(HERE).status_code == 200
    for person in (world.omar, world.mia):
        assert browser(person).get(HERE).status_code == 403
