"""Names and tables that are larger than the room that is kept for them."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from organizations.models import Organization
from organizations.tenancy import platform

from .conftest import PHONE

pytestmark = [pytest.mark.browser]


@pytest.mark.parametrize(
    ("first", "last"), [("W" * 100, "Lee"), ("Maria Guadalupe Esperanza", "Villanueva de la Cruz y Montenegro")]
)
def test_long_name_of_a_person__every_width__cut_off_in_the_bar_and_the_page_is_no_wider(
    committed_world: World,
    site: str,
    browser_of: Callable[..., Page],
    sign_in_as: Callable[..., None],
    first: str,
    last: str,
) -> None:
    User.objects.filter(pk=committed_world.lee.pk).update(first_name=first, last_name=last)
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    for width in (1280, 1000, 600, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        bar = page.locator(".top-bar").bounding_box()
        assert bar
        assert bar["height"] < 130, "the bar keeps its height"
    expect(page.locator(".person-name")).to_have_attribute("title", f"{first} {last}")


def test_long_name_of_an_organization__rail__three_lines_and_the_whole_in_its_title(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    name = "<b>" + "Hillside Wound Care and Limb Preservation " * 2 + "M" * 33
    Organization.objects.filter(pk=committed_world.practice.pk).update(name=name)
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    shown = page.locator(".switcher-name").first
    box = shown.bounding_box()
    assert box
    assert box["height"] < 65
    expect(shown).to_have_attribute("title", name)
    expect(page.locator(".rail .initial").first).to_have_text("b")


def test_overview__as_table_on_a_phone__columns_keep_their_headings(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    with platform("test"):
        InvitationFactory(organization=committed_world.practice, invited_by=committed_world.lee, sent=True)
    page = browser_of(viewport=PHONE)
    sign_in_as(page, committed_world.lee)
    page.get_by_text("Show as table").click()
    headings, row = page.locator(".by-day thead th"), page.locator(".by-day tbody tr").first.locator("th, td")
    for column, word in enumerate(("Day", "Sent", "Accepted")):
        heading, cell = headings.nth(column), row.nth(column)
        expect(heading).to_have_text(word)
        above, below = heading.bounding_box(), cell.bounding_box()
        assert above
        assert below
        assert (above["x"], above["width"]) == (below["x"], below["width"])
        assert above["height"] > 10, "to be seen, not only to be heard"
