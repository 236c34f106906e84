"""A session that is about to end, and one that has: nobody loses what they typed."""

import re
from collections.abc import Callable
from datetime import timedelta

from playwright.sync_api import Page, expect

from accounts.models import User, UserSession
from healthivr.testing.world import World
from organizations.models import OrganizationSettings
from organizations.tenancy import platform


def leave_alone(user: User, minutes: int) -> None:
    """Let everybody's last act have happened that much longer ago, on the server."""
    for session in UserSession.objects.filter(user=user, ended_at=None):
        session.last_seen_at -= timedelta(minutes=minutes)
        session.save(update_fields=["last_seen_at"])


def test_session__about_to_end_then_over__asked_first_and_what_was_typed_is_kept(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.mia)
    page.clock.install()
    page.goto(f"{site}/profile/")
    page.get_by_label("First name").fill("Amelia")
    dialog = page.locator("#session")
    expect(dialog).to_be_hidden()

    leave_alone(committed_world.mia, 14)
    page.clock.fast_forward("13:05")
    expect(dialog.get_by_role("heading", name="Are you still there?")).to_be_visible()
    expect(dialog.locator("[data-session=left]")).to_have_text(re.compile(r"^(1:00|0:[45]\d)$"))
    page.keyboard.press("Enter")  # the button has the focus
    expect(dialog).to_be_hidden()
    assert UserSession.objects.get(user=committed_world.mia).ended_at is None

    leave_alone(committed_world.mia, 16)
    page.clock.fast_forward("14:00")
    expect(dialog.get_by_role("heading", name="You are signed out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    with page.context.expect_page() as opened:
        dialog.get_by_role("link", name="Sign in in a new tab").click()
    second = opened.value
    sign_in_as(second, committed_world.mia)
    page.bring_to_front()
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("First name")).to_have_value("Amelia")
    page.get_by_role("button", name="Save profile").click()
    expect(page.get_by_text("Your profile is saved.")).to_be_visible()
    assert User.objects.get(pk=committed_world.mia.pk).first_name == "Amelia"


def test_session__over_and_somebody_else_signs_in__the_page_is_not_theirs(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.mia)
    page.clock.install()
    page.goto(f"{site}/profile/")
    page.get_by_label("First name").fill("Amelia")
    leave_alone(committed_world.mia, 16)
    page.clock.fast_forward("14:00")
    dialog = page.locator("#session")
    expect(dialog.get_by_role("heading", name="You are signed out")).to_be_visible()
    with page.context.expect_page() as opened:
        dialog.get_by_role("link", name="Sign in in a new tab").click()
    sign_in_as(opened.value, committed_world.omar)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.get_by_label("First name")).to_have_value("Omar")
    expect(dialog).to_be_hidden()


def test_session__idle_time_made_shorter_meanwhile__an_open_page_warns(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.mia)
    page.clock.install()
    page.goto(f"{site}/profile/")
    with platform("test"):
        OrganizationSettings.objects.filter(organization=committed_world.practice).update(idle_minutes=5)
    leave_alone(committed_world.mia, 4)
    page.clock.fast_forward("01:05")
    expect(page.locator("#session").get_by_role("heading", name="Are you still there?")).to_be_visible()


def test_session__over_in_one_of_two_windows__signed_in_beside_it_goes_on_by_itself(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None]
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.mia)
    page.clock.install()
    page.goto(f"{site}/profile/")
    page.get_by_label("First name").fill("Amelia")
    leave_alone(committed_world.mia, 16)
    page.clock.fast_forward("14:00")
    dialog = page.locator("#session")
    expect(dialog.get_by_role("heading", name="You are signed out")).to_be_visible()
    # Nothing tells this window: it neither gets the focus nor becomes visible.
    page.evaluate("window.addEventListener('focus', (event) => event.stopImmediatePropagation(), true)")
    second = page.context.new_page()
    sign_in_as(second, committed_world.mia)
    page.clock.fast_forward("00:06")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("First name")).to_have_value("Amelia")
