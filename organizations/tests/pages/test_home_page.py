"""/: the only organization, a choice among several, or a word when there is none. And the switcher of every page."""

import pytest

from healthivr.testing.factories import MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.pages import browser, read
from healthivr.testing.world import World
from organizations.models import Membership, Organization
from organizations.tenancy import platform


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
