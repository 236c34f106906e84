"""The pages of licenses as people see them: as e2e/test_screenshots.py looks at all others."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page

from accounts.models import User
from accounts.tests.practitioners import acts
from healthivr.testing.factories import MembershipFactory, UserFactory
from healthivr.testing.world import World
from organizations.tenancy import platform

from .test_screenshots import Look, look  # noqa: F401  a fixture

pytestmark = [pytest.mark.browser]


def signed_in(page: Page, user: User, site: str) -> Page:
    """Give a browser the session of somebody who has proved twice who they are."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])
    return page


@pytest.mark.seed("S3.51")
def test_looks__license__in_every_standing(
    committed_world: World,
    browser_of: Callable[..., Page],
    site: str,
    look: Look,  # noqa: F811
) -> None:
    world = committed_world
    page = signed_in(browser_of(), world.lee, site)
    page.goto("/profile/license/")
    look(page, "license-none")
    page.get_by_role("button", name="Submit license").click()
    look(page, "license-errors")
    credential = acts.submit(world.lee)
    page.goto("/profile/license/")
    look(page, "license-pending")
    acts.decide(world, "reject", credential, reason="The board lists this number for another person.")
    page.goto("/profile/license/")
    look(page, "license-rejected")
    acts.submit(world.lee)
    acts.decide(world, "approve", credential)
    page.goto("/profile/license/")
    look(page, "license-approved")
    page.goto("/profile/")
    look(page, "license-profile")


@pytest.mark.seed("S3.51")
def test_looks__queue_and_decisions__of_the_platform(
    committed_world: World,
    browser_of: Callable[..., Page],
    site: str,
    look: Look,  # noqa: F811
) -> None:
    world = committed_world
    page = signed_in(browser_of(), world.ana, site)
    here = f"/o/{world.platform.slug}/practitioners/"
    page.goto(here)
    look(page, "practitioners-empty")
    credential = acts.submit(world.lee, at=timezone.now() - timedelta(days=2))
    acts.decide(world, "reject", credential, reason="The board lists this number for another person.")
    acts.submit(world.lee, license_number="MD 54321")
    acts.approved(world, world.stone, npi=acts.npi_number(2), license_state="NV")
    with platform("test"):
        third = UserFactory(first_name="Wilhelmina", last_name="Featherstonehaugh-Cholmondeley")
        MembershipFactory(organization=world.practice, user=third)
    acts.decide(world, "suspend", acts.submit(third, npi=acts.npi_number(3), license_state="MP"))
    for name, path in {
        "list": "",
        "none-fit": "?status=pending&state=AK",
        "detail": f"{credential.pk}/",
        "approve": f"{credential.pk}/approve/",
        "reject": f"{credential.pk}/reject/",
        "suspend": f"{credential.pk}/suspend/",
    }.items():
        page.goto(here + path)
        look(page, f"practitioners-{name}")
    page.goto(f"/o/{world.platform.slug}/")
    look(page, "practitioners-overview")
