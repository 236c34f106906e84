"""Django admin in a browser: ours in colour, and readable at its width."""

from collections.abc import Callable
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from e2e.conftest import PHONE
from e2e.test_screenshots import RULES
from healthivr.testing.world import World

LIST = "/admin/invitations/userinvitation/"


def test_invitations__at_1280__every_column_stands_on_the_screen(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    ana = browser_of()
    sign_in_as(ana, committed_world.ana)
    ana.goto(site + LIST)
    expect(ana.locator("#result_list .field-whom", has_text=committed_world.invitation.email)).to_be_visible()
    expect(ana.locator("#result_list .field-expires_at").first).to_be_in_viewport(ratio=1)
    assert ana.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('.results'))")


def test_look__in_light_and_dark__our_page_and_ink_and_accent(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    ana = browser_of()
    sign_in_as(ana, committed_world.ana)
    ana.goto(f"{site}/admin/")
    link = ana.get_by_role("link", name="People")
    themes: list[tuple[Literal["light", "dark"], str, str]] = [
        ("light", "255, 255, 255", "35, 68, 179"),
        ("dark", "16, 19, 24", "157, 181, 255"),
    ]
    for theme, page, accent in themes:
        ana.emulate_media(color_scheme=theme)
        expect(ana.locator("body")).to_have_css("background-color", f"rgb({page})")
        expect(link).to_have_css("color", f"rgb({accent})")
    expect(ana.get_by_role("link", name="healthivr platform administration").locator("img")).to_be_visible()


def test_trail__on_a_phone__scrolls_within_itself_and_not_the_page(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    ana = browser_of(viewport=PHONE)
    sign_in_as(ana, committed_world.ana)
    ana.goto(f"{site}/admin/accounts/user/{committed_world.ana.pk}/history/")
    expect(ana.get_by_role("region", name="Trail")).to_be_visible()
    assert ana.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_access__of_list_and_trail__axe_finds_nothing(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], dark: bool
) -> None:
    ana = browser_of(dark=dark)
    sign_in_as(ana, committed_world.ana)
    for path in (f"{LIST}?q=nurse", f"/admin/accounts/user/{committed_world.ana.pk}/history/"):
        ana.goto(site + path)
        # Without preload: of a sheet that imports another, axe writes an inline copy, which our policy refuses.
        found = Axe().run(ana, options={"runOnly": RULES, "preload": False}).response["violations"]
        assert not [f"{path} {rule['id']} {rule['nodes'][0]['html'][:120]}" for rule in found]
