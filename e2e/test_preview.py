"""The preview of an invitation's e-mail."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from e2e.conftest import DESKTOP, PHONE
from healthivr.testing.world import World


def test_preview__by_keyboard_and_on_a_phone__nothing_dead_to_stop_at_and_as_high_as_its_mail(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    page.goto(f"{site}/o/lee-family-practice/invitations/new/")
    mail = page.frame_locator("iframe[name=preview-frame]")
    expect(mail.get_by_text("See the invitation")).to_be_visible()
    page.get_by_role("link", name="Go back").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_text("The same as plain text")).to_be_focused()

    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        is_as_high_as_its_mail(page)
    page.get_by_label("Note").fill("Welcome.\n" * 20)
    expect(mail.get_by_text("Welcome.").first).to_be_visible()
    is_as_high_as_its_mail(page)


def test_send__while_the_preview_is_refreshed__the_invitation_is_sent(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    """A browser drops a form's submission when the same form is submitted again before it left, into whichever frame."""
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    page.goto(f"{site}/o/lee-family-practice/invitations/new/")
    expect(page.frame_locator("iframe[name=preview-frame]").get_by_text("See the invitation")).to_be_visible()
    page.get_by_text("Medical staff").click()
    page.get_by_label("E-mail address").fill("ben@example.org")
    page.evaluate(
        """() => {
            const form = document.getElementById("invitation");
            form.requestSubmit(form.querySelector(".btn-primary"));
            const frame = document.querySelector("iframe[name=preview-frame]");
            const fresh = frame.cloneNode();
            frame.replaceWith(fresh);
            document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: fresh.parentNode } }));
        }"""
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("ben@example.org")


def is_as_high_as_its_mail(page: Page) -> None:
    """Demand that nothing of the mail has to be scrolled to inside its frame, and that no room is left below it."""
    for _try in range(50):
        mail, around, width = page.locator("iframe[name=preview-frame]").evaluate(
            "frame => [frame.contentDocument.body.getBoundingClientRect().height, frame.clientHeight,"
            " frame.contentDocument.body.clientWidth - frame.clientWidth]"
        )
        if mail > 300 and 0 <= around - mail < 1 and not width:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the mail is {mail} high, and its frame {around}")
