"""A person with a phone: sets up the second factor through its page, and types the codes that the app shows."""

from playwright.sync_api import Page, expect

from healthivr.testing.factors import Phone


def enrol(page: Page) -> Phone:
    """Go through enrolment from its page on, up to where one was going. Returns the phone."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up your second factor")
    phone = Phone(page.locator("#key").inner_text())
    page.get_by_label("Code that the app shows now").fill(phone.code())
    page.get_by_role("button", name="Confirm and go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keep your recovery codes")
    page.get_by_role("button", name="I have kept them. Go on").click()
    page.wait_for_url(lambda url: "/second-factor/" not in url)
    return phone


def give_code(page: Page, phone: Phone) -> None:
    """Take the second step of signing in."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Second step")
    page.get_by_label("Code from your authenticator app").fill(phone.code())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in/" not in url)
