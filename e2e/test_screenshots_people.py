"""The pages about people as their administrators see them: as e2e/test_screenshots.py looks at all others."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from healthivr.testing.factories import MembershipFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform

from .test_screenshots import Look, look  # noqa: F401  a fixture
from .test_screenshots_licenses import signed_in

pytestmark = [pytest.mark.browser]


@pytest.mark.seed("S2.13", "S3.50")
def test_looks__people__list_person_review_leaving_and_several_at_once(
    committed_world: World,
    browser_of: Callable[..., Page],
    site: str,
    look: Look,  # noqa: F811
) -> None:
    world = committed_world
    with platform("test"):
        second = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
        Membership.objects.filter(user=world.mia).update(started_at=timezone.now() - timedelta(days=120))
    session_of(world.mia, user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/140.0")
    page = signed_in(browser_of(), second, site)
    here = "/o/lee-family-practice/people/"
    page.goto(here)
    page.get_by_label("Choose Mia Novak").check()
    expect(page.locator("[data-bulk-count]")).to_have_text("1 person chosen")
    look(page, "people-chosen")
    page.locator("#bulk-act").select_option("reset")
    page.get_by_role("button", name="Continue").click()
    look(page, "people-bulk")
    page.goto(here)
    page.get_by_role("link", name="Mia Novak").click()
    look(page, "people-person")
    page.goto(f"{here}review/")
    look(page, "people-review")
    page.goto(f"{here}leave/{world.lee.pk}/")
    look(page, "people-leave")
    page.get_by_label("Reason").fill("Retires")
    page.get_by_role("button", name="End all access now").click()
    look(page, "people-receipt")
