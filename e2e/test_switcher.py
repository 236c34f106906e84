"""The organization switcher with many organizations: a search, the keyboard, and a phone."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from accounts.models import User
from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.world import World
from organizations.roles import Role
from organizations.tenancy import platform

pytestmark = [pytest.mark.browser]


def join_many(user: User) -> None:
    with platform("test"):
        for number in range(10):
            organization = OrganizationFactory(name=f"Clinic {number}", slug=f"clinic-{number}")
            MembershipFactory(organization=organization, user=user, role=Role.DOCTOR)


@pytest.mark.seed("S2.30")
@pytest.mark.parametrize("width", [1280, 390])
def test_switcher__many_organizations__found_by_typing_and_reached_by_keyboard_alone(
    committed_world: World,
    site: str,
    browser_of: Callable[..., Page],
    width: int,
) -> None:
    join_many(committed_world.lee)
    page = browser_of()
    client = Client()
    client.force_login(committed_world.lee)
    name = settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])
    page.goto(f"{site}/o/lee-family-practice/people/")
    page.set_viewport_size({"width": width, "height": 800})
    if width == 390:
        page.get_by_role("button", name="Menu").click()
        expect(page.locator("#rail.show:not(.showing)")).to_be_visible()
    summary = page.locator(".switcher summary")
    summary.focus()
    page.keyboard.press("Enter")
    search = page.get_by_label("Find an organization")
    expect(search).to_be_focused()
    assert page.locator(".rail").evaluate("rail => rail.scrollWidth <= rail.clientWidth")
    page.keyboard.type("nothing such")
    expect(page.get_by_text("None of yours has such a name.")).to_be_visible()
    search.fill("clinic 7")
    expect(page.locator(".switcher .menu-item:visible")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site}/o/clinic-7/")
    page.go_back()
    expect(page.locator(".switcher-name").first).to_have_text("Lee Family Practice")
    expect(page.get_by_text("Mia Novak").first).to_be_visible()
