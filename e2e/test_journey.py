"""The main job, end to end and for real: a browser, PostgreSQL, a Celery worker, SMTP, and a phone."""

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.services import create_setup_link
from audit.models import AuditEvent
from e2e.conftest import PHONE, link_in
from e2e.keyboard import fill_in, press, tab_to
from e2e.second_factor import enrol
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.factors import Phone
from healthivr.testing.world import World
from organizations.tenancy import platform

pytestmark = [pytest.mark.browser]
PASSWORD = "seven quiet otters swim upstream"


def wait_for_mail(mailbox: Callable[[str], list[Any]], address: str, *, count: int = 1, seconds: float = 30) -> Any:
    """Return the newest mail of somebody, once there are `count`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        mails = mailbox(address)
        if len(mails) >= count:
            return mails[-1]
        time.sleep(0.1)
    raise AssertionError(f"{len(mailbox(address))} of {count} mails arrived within {seconds} s")


def enrol_by_keyboard(page: Page) -> None:
    """Set up the second factor without a mouse; the key is read where it stands as text."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up your second factor")
    fill_in(page, "Code that the app shows now", Phone(page.locator("#key").inner_text()).code())
    press(page, "Confirm and go on")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keep your recovery codes")
    press(page, "I have kept them. Go on")


@pytest.mark.seed("S0.27", "S0.23", "S4.14")
def test_first_administrator_invites__invitee_accepts_on_a_phone__trail_shows_every_step(
    site: str, mailbox: Callable[[str], list[Any]], start_worker: Callable[..., Any], browser_of: Callable[..., Page]
) -> None:
    secret = create_setup_link(at=timezone.now())
    start_worker()
    admin = browser_of()

    admin.goto(f"{site}/setup/{secret}/")
    fill_in(admin, "First name", "Ana")
    fill_in(admin, "Last name", "Ruiz")
    fill_in(admin, "E-mail address", "ana@example.org")
    fill_in(admin, "Password", PASSWORD)
    press(admin, "Create your account")
    enrol_by_keyboard(admin)
    expect(admin.get_by_role("heading", level=1)).to_have_text("Overview")

    press(admin, "Invite somebody")
    expect(admin.get_by_role("heading", level=1)).to_have_text("Invite somebody")
    tab_to(admin, "Administrator")
    admin.keyboard.press("Space")
    fill_in(admin, "E-mail address", "Ben.Okafor@Example.org")
    fill_in(admin, "First name", "Ben")
    press(admin, "Send invitation")
    expect(admin.get_by_text("Sent", exact=True).first).to_be_visible(timeout=30_000)

    mail = wait_for_mail(mailbox, "ben.okafor@example.org")
    assert mail.get_content_type() == "multipart/alternative"
    assert "Ana Ruiz" in mail["Subject"]
    link = link_in(mail)
    assert link.startswith(f"{site}/i/")

    phone = browser_of(viewport=PHONE)
    phone.goto(link)
    expect(phone.get_by_role("heading", level=1)).to_contain_text("healthivr platform")
    press(phone, "Continue")
    expect(phone).to_have_url(f"{site}/i/accept/")  # no token in the address any more
    fill_in(phone, "First name", "Ben")
    fill_in(phone, "Last name", "Okafor")
    fill_in(phone, "Password", PASSWORD)
    tab_to(phone, "Accept")
    phone.keyboard.press("Enter")
    enrol(phone)
    expect(phone.get_by_role("heading", level=1)).to_contain_text("You are in")

    notice = wait_for_mail(mailbox, "ana@example.org", count=2)  # the first said that a second factor was set up
    assert "accepted" in notice["Subject"]

    phone.goto(link)
    expect(phone.get_by_role("heading", level=1)).to_be_visible()

    with platform("test"):
        chain = AuditEvent.objects.filter(organization_id=PLATFORM_ORGANIZATION_ID).order_by("sequence")
        actions = list(chain.values_list("action", flat=True))
    story = ["platform.set_up", "invitation.created", "invitation.sent", "invitation.accepted", "membership.created"]
    recent = actions[len(actions) - 1 - actions[::-1].index("platform.set_up") :]
    assert [action for action in recent if action in story] == [
        "platform.set_up",
        "membership.created",
        "invitation.created",
        "invitation.sent",
        "invitation.accepted",
        "membership.created",
    ]
    call_command("verify_audit", stdout=StringIO())


@pytest.mark.seed("S0.8", "S4.15")
def test_cancelled_while_open_on_a_phone__the_invitee_is_told_and_has_a_way_on(
    committed_world: World,
    site: str,
    mailbox: Callable[[str], list[Any]],
    start_worker: Callable[..., Any],
    browser_of: Callable[..., Page],
    sign_in_as: Callable[..., None],
) -> None:
    start_worker()
    lee = browser_of()
    sign_in_as(lee, committed_world.lee)
    lee.goto(f"{site}/o/lee-family-practice/invitations/new/")
    lee.get_by_label("Medical staff").check()
    lee.get_by_label("E-mail address").fill("nina@example.org")
    lee.get_by_role("button", name="Send invitation").click()
    link = link_in(wait_for_mail(mailbox, "nina@example.org"))

    phone = browser_of(viewport=PHONE, dark=True)
    phone.goto(link)
    phone.get_by_role("button", name="Continue").click()
    phone.get_by_label("First name").fill("Nina")
    phone.get_by_label("Last name").fill("Vale")
    phone.get_by_label("Password", exact=True).fill(PASSWORD)

    lee.get_by_role("link", name="Cancel").first.click()
    lee.get_by_label("Reason").fill("Wrong person")
    lee.get_by_role("button", name="Cancel").click()
    expect(lee.get_by_text("Cancelled").first).to_be_visible()

    phone.get_by_role("button", name="Accept").click()
    expect(phone.get_by_role("heading", level=1)).to_contain_text("cancelled")
