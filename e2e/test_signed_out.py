"""Somebody whose session ends while they fill in a form."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from healthivr.testing.world import World


def test_signed_out_while_typing__told_at_once_then_led_back_to_the_form(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    lee = browser_of()
    sign_in_as(lee, committed_world.lee)
    form = f"{site}/o/lee-family-practice/invitations/new/"
    lee.goto(form)
    expect(lee.frame_locator("#preview iframe").get_by_role("heading", level=1)).to_be_visible()
    lee.context.clear_cookies(name="sessionid")

    lee.get_by_label("E-mail address").fill("nora@example.org")
    expect(lee.get_by_role("alert")).to_have_text("You have been signed out. Open this page again and sign in.")
    expect(lee.locator("#preview iframe")).to_be_visible()
    expect(lee.get_by_label("E-mail address")).to_have_value("nora@example.org")

    lee.get_by_role("button", name="Send invitation").click()
    expect(lee.get_by_text("You are signed out, and nothing was sent.")).to_be_visible()
    sign_in = lee.url
    assert "/sign-in/?next=" in sign_in
    lee.get_by_label("E-mail address").fill("lee@example.org")
    lee.get_by_label("Password", exact=True).fill("not the password")
    lee.get_by_role("button", name="Sign in").click()
    expect(lee.get_by_text("The e-mail address or the password is not right.").first).to_be_visible()
    assert lee.locator("input[name=next]").input_value() == "/o/lee-family-practice/invitations/new/"
