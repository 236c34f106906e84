"""Names and tables that are larger than the room that is kept for them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import ApiKey, User
from accounts.tests.practitioners.acts import submit
from healthivr.testing.factories import InvitationFactory
from healthivr.testing.world import World
from organizations.models import Membership, Organization
from organizations.scopes import Scope
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


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_one_long_word__every_page_of_people_and_organizations__no_wider_than_the_window(
    committed_world: World,
    site: str,
    browser_of: Callable[..., Page],
    sign_in_as: Callable[..., None],
    width: int,
) -> None:
    world, now = committed_world, timezone.now()
    people = (world.lee, world.omar, world.mia, world.ana)
    names = {"first_name": "W" * 100, "last_name": "M" * 100}
    User.objects.filter(pk__in=[person.pk for person in people]).update(**names)
    Organization.objects.filter(pk__in=[world.practice.pk, world.platform.pk]).update(name="W" * 120)
    with platform("test"):
        memberships = {row.user_id: row for row in Membership.objects.filter(user__in=[person.pk for person in people])}
        Membership.objects.filter(user__in=(world.omar, world.mia)).update(upline=world.lee, invited_by=world.lee)
        sent = InvitationFactory(organization=world.practice, invited_by=world.lee, sent=True, **names)
    ApiKey.objects.create(
        user=world.lee,
        organization=world.practice,
        name="W" * 60,
        prefix="W" * 13,
        digest="0" * 64,
        scopes=[Scope.INVITATIONS_READ],
        is_second_factor=True,
        created_at=now,
        expires_at=now + timedelta(days=30),
    )
    credential = submit(world.lee)
    practice = f"{site}/o/{world.practice.slug}/"
    person = memberships[world.mia.pk]
    home = f"{site}/o/{world.platform.slug}/"
    pages = {
        world.lee: [
            *(practice + path for path in ("", "welcome/", "people/", "people/review/", "settings/", "agreements/")),
            *(practice + path for path in ("agreements/sign/", "compliance/", "invitations/", "people/?shown=ended")),
            f"{practice}invitations/{sent.pk}/",
            f"{practice}people/{person.pk}/",
            f"{practice}people/{person.pk}/end/",
            f"{practice}people/leave/{world.mia.pk}/",
            *(f"{site}/profile/{path}" for path in ("", "sessions/", "keys/", "keys/new/", "license/")),
        ],
        world.ana: [
            *(home + path for path in ("", "people/", "organizations/", "practitioners/", "agreements/")),
            *(home + path for path in ("compliance/", "settings/", f"organizations/{world.practice.pk}/")),
            f"{home}organizations/{world.practice.pk}/deactivate/",
            f"{home}practitioners/{credential.pk}/",
        ],
    }
    wide = []
    for somebody, addresses in pages.items():
        page = browser_of(viewport={"width": width, "height": 800})
        sign_in_as(page, somebody)
        for address in addresses:
            answer = page.goto(address)
            assert answer
            assert answer.status == 200, address
            found = page.evaluate(
                """() => {
                  const right = (part) => part ? part.getBoundingClientRect().right : 0;
                  const box = (name) => document.querySelector(name)?.getBoundingClientRect();
                  const crumbs = box(".crumbs"), end = box(".top-bar-end");
                  const beside = Boolean(crumbs) && crumbs.top < end.bottom && end.top < crumbs.bottom;
                  const last = Math.max(0, ...[...document.querySelectorAll(".crumbs li")].map(right));
                  return [document.documentElement.scrollWidth, beside && last > end.left + 1];
                }"""
            )
            if found != [width, False]:
                wide.append((address.removeprefix(site), found))
    assert not wide
