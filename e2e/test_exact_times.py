"""The exact times of a list: on hover, by keyboard and on paper, without a Tab stop for each."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from organizations.tenancy import platform

from .conftest import PHONE

pytestmark = [pytest.mark.browser]


@pytest.fixture
def invitations(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> Page:
    """The list of a practice that sent three invitations."""
    with platform("test"):
        for number in range(2):
            InvitationFactory(
                organization=committed_world.practice,
                invited_by=committed_world.lee,
                email=f"person{number}@example.org",
            )
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    page.goto(f"{site}/o/lee-family-practice/invitations/")
    return page


def shown(page: Page) -> int:
    """Return how many exact times can be seen."""
    return sum((box.bounding_box() or {"height": 0})["height"] > 10 for box in page.locator(".moment-exact").all())


def test_list__by_keyboard__a_row_with_the_focus_shows_its_times_until_escape(invitations: Page) -> None:
    assert shown(invitations) == 0
    invitations.locator("form.filters button").focus()
    invitations.keyboard.press("Tab")
    first, second = invitations.locator(".list-main a").nth(0), invitations.locator(".list-main a").nth(1)
    expect(first).to_be_focused()
    assert shown(invitations) == 2
    invitations.keyboard.press("Escape")
    assert shown(invitations) == 0
    invitations.keyboard.press("Tab")
    expect(second).to_be_focused()  # no time is a stop between two rows
    assert shown(invitations) == 2
    invitations.keyboard.press("Shift+Tab")
    assert shown(invitations) == 2, "sent away is not sent away for ever"


def test_list__by_mouse__the_time_under_it_until_escape(invitations: Page) -> None:
    invitations.locator(".moment").first.hover()
    assert shown(invitations) == 1
    expect(invitations.locator(".moment-exact").first).to_contain_text(re.compile("E[SD]T"))
    invitations.keyboard.press("Escape")
    assert shown(invitations) == 0


def test_list__on_paper_and_on_a_phone__exact_times_fit(invitations: Page) -> None:
    invitations.emulate_media(media="print")
    assert shown(invitations) == invitations.locator(".moment").count() == 6
    invitations.emulate_media(media="screen")
    invitations.set_viewport_size(PHONE)
    invitations.locator(".list-main a").first.focus()
    invitations.keyboard.press("Shift")  # the keyboard's focus, as if one had come by it
    assert invitations.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
