"""The page that explains the API, in a fresh tab."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import DESKTOP, PHONE
from healthivr.testing.world import World

DOCS = "/api/v1/docs/"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_error_code__its_address_opened__row_marked_and_in_view_once_the_endpoints_are_drawn(
    transactional_db: None, site: str, browser_of: Callable[..., Page], viewport: dict[str, int]
) -> None:
    page = browser_of(viewport=viewport)
    warnings: list[str] = []
    page.on("console", lambda line: warnings.append(line.text) if line.type in ("warning", "error") else None)
    page.goto(f"{site}{DOCS}#not_found")
    expect(page.locator("#swagger-ui .opblock").last).to_be_visible()
    row = page.locator("tr#not_found")
    expect(row).to_be_in_viewport(ratio=1)
    expect(row).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    assert page.evaluate("location.hash") == "#not_found"
    assert not warnings

    page.get_by_role("link", name="Endpoints").click()
    expect(page.get_by_role("heading", name="Endpoints")).to_be_in_viewport()
    page.locator(".opblock-summary-control").first.click()  # what grows now does not throw the reader back
    expect(page.get_by_role("button", name="Try it out")).to_be_in_viewport()


def test_endpoint__opened_and_its_address_sent_to_a_colleague__open_there_too(
    transactional_db: None, site: str, browser_of: Callable[..., Page]
) -> None:
    page = browser_of()
    page.goto(site + DOCS)
    page.locator("#operations-invitations-invitations_cancel .opblock-summary-control").click()
    address = page.url
    assert "#/" in address

    colleague = browser_of()
    colleague.goto(address)
    expect(colleague.locator(".opblock.is-open")).to_have_count(1)
    expect(colleague.locator(".opblock-delete.is-open")).to_be_in_viewport()


def test_request__tried_out_by_somebody_signed_in__answered_and_its_code_explained(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    page.goto(site + DOCS)
    post = page.locator("#operations-invitations-invitations_create")
    post.locator(".opblock-summary-control").click()
    post.get_by_role("button", name="Try it out").click()
    post.locator("textarea").fill('{"invitation_type": "medical_staff", "email": "nobody"}')
    post.get_by_role("button", name="Execute").click()
    expect(post.locator(".live-responses-table")).to_contain_text("email_malformed")
    page.get_by_role("link", name="Back to healthivr").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
