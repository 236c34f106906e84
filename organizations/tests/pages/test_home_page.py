"""/: the only organization, a choice among several, or a word when there is none. And the switcher of every page."""

import re
from typing import Any

import pytest
from django.utils import timezone

from healthivr.testing.factories import MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.pages import browser, read
from healthivr.testing.world import World
from organizations.administration import deactivate_organization
from organizations.models import Membership, Organization
from organizations.tenancy import platform, tenant


def join(world: World, name: str = "Zeta <Clinic>", **values: object) -> Organization:
    """Make Dr. Lee a member of another practice."""
    with platform("test"):
        organization = OrganizationFactory(name=name)
        MembershipFactory(organization=organization, user=world.lee, **values)
    return organization


def test_home__nobody_signed_in__to_sign_in(world: World) -> None:
    assert browser().get("/")["Location"] == "/sign-in/?next=/"


def test_home__one_membership__straight_there(world: World) -> None:
    response = browser(world.mia).get("/")
    assert (response.status_code, response["Location"]) == (302, "/o/lee-family-practice/")


def test_home__two_roles_in_one_organization__straight_there(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.mia, role="office_admin")
    assert browser(world.mia).get("/")["Location"] == "/o/lee-family-practice/"


def test_home__several_memberships__a_choice_by_name_with_the_role(world: World) -> None:
    other = join(world, role="office_admin")
    page = read(browser(world.lee).get("/"), 200, "Zeta <Clinic>")
    assert page.heading == "Choose an organization"
    (choices,) = page.tree.with_class("choice-list")
    assert [(link.text, link["href"]) for link in choices.all("a")] == [
        ("Lee Family Practice Doctor", "/o/lee-family-practice/"),
        ("Zeta <Clinic> Office administrator", f"/o/{other.slug}/"),
    ]
    assert "Stone" not in page.text


def test_home__no_membership__says_so_and_offers_profile_and_sign_out(world: World) -> None:
    nobody = UserFactory(email="nobody@example.org")
    page = read(browser(nobody).get("/"))
    assert page.heading == "You do not belong to an organization"
    assert "nobody@example.org" in page.main
    assert page.links["Your profile"] == "/profile/"
    assert "Sign out" in page.buttons


@pytest.mark.parametrize("several", [False, True])
def test_home__only_organizations_that_are_switched_off__names_them_and_says_whom_to_ask(
    world: World, settings: Any, several: bool
) -> None:
    settings.SUPPORT_EMAIL = "help@example.org"
    assert browser(world.lee).get("/").status_code == 302
    if several:
        Organization.objects.filter(pk=join(world).pk).update(state="inactive")
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    page = read(browser(world.lee).get("/"), 200, "Zeta <Clinic>")
    assert page.heading == ("Your organizations are switched off" if several else "Lee Family Practice is switched off")
    assert ("Lee Family Practice" in page.main, "Zeta <Clinic>" in page.main) == (True, several)
    assert "Ask whoever runs the organization" in page.main
    assert page.links["help@example.org"] == "mailto:help@example.org"
    assert "Stone" not in page.text
    nobody = read(browser(UserFactory(email="nobody@example.org")).get("/"))
    assert nobody.heading == "You do not belong to an organization"


def test_banner__inside_an_organization_that_is_switched_off__since_when_on_every_page(world: World) -> None:
    client = browser(world.ana)
    addresses = ("/o/lee-family-practice/", "/o/lee-family-practice/people/")
    for address in addresses:
        assert "is switched off" not in read(client.get(address)).main
    home = world.actor(world.ana, world.platform)
    with tenant(world.platform):
        deactivate_organization(
            actor=home, organization_id=world.practice.pk, reason="They asked for it.", at=timezone.now()
        )
    for address in addresses:
        page = read(client.get(address))
        assert re.search(r"Lee Family Practice is switched off since \w{3} \d+, \d{4}, \d", page.main)


@pytest.mark.parametrize("how", ["ended", "switched off"])
def test_home__membership_that_gives_no_rights__not_offered(world: World, how: str) -> None:
    other = join(world)
    assert browser(world.lee).get("/").status_code == 200
    if how == "ended":
        with platform("test"):
            Membership.objects.filter(organization=other).update(status="ended", ended_at=other.created_at)
    else:
        Organization.objects.filter(pk=other.pk).update(state="inactive")
    assert browser(world.lee).get("/")["Location"] == "/o/lee-family-practice/"
    page = read(browser(world.lee).get("/o/lee-family-practice/"))
    assert other.name not in page.text
    status = 404 if how == "ended" else 403
    page = read(browser(world.lee).get(f"/o/{other.slug}/"), status)
    if how == "switched off":
        assert "switched off" in page.main


def test_switcher__several_memberships__leads_to_the_others_on_every_page(world: World) -> None:
    client = browser(world.lee)
    assert not read(client.get("/o/lee-family-practice/")).tree.with_class("switcher")
    other = join(world)
    for address in ("/o/lee-family-practice/", "/o/lee-family-practice/people/"):
        (switcher,) = read(client.get(address), 200, "Zeta <Clinic>").tree.with_class("switcher")
        assert [link["href"] for link in switcher.all("a")] == ["/o/lee-family-practice/", f"/o/{other.slug}/"]
        assert [link["href"] for link in switcher.all("a", aria_current="true")] == ["/o/lee-family-practice/"]
    (switcher,) = read(client.get(f"/o/{other.slug}/"), 200, "Zeta <Clinic>").tree.with_class("switcher")
    assert [link["href"] for link in switcher.all("a", aria_current="true")] == [f"/o/{other.slug}/"]


def test_home__posted_to__405(world: World) -> None:
    client = browser(world.lee)
    assert client.head("/").status_code in (302, 405)
    assert client.post("/").status_code == 403
