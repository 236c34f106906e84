"""/o/<organization>/people/: who belongs to the organization."""

import pytest

from healthivr.testing.factories import MembershipFactory, UserFactory
from healthivr.testing.pages import Page, browser, read
from healthivr.testing.world import World
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform

HERE = "/o/lee-family-practice/people/"


def names(page: Page) -> list[str]:
    """Return whom the list names, in its order."""
    return [cell.all("a")[0].text for cell in page.tree.with_class("list-main")]


def test_people__administrator__everybody_by_name_with_role_and_flag(world: World) -> None:
    page = read(browser(world.lee).get(HERE))
    assert page.heading == "People"
    assert names(page) == ["Omar Haddad", "Jun Lee", "Mia Novak"]
    rows = {row.all("a")[0].text: row.text for body in page.tree.all("tbody") for row in body.all("tr")}
    assert "Office administrator" in rows["Omar Haddad"]
    assert "mia@example.org" in rows["Mia Novak"]
    assert "Doctor" in rows["Jun Lee"]
    with platform("test"):
        mia = Membership.objects.get(user=world.mia)
    assert page.links["Mia Novak"] == f"{HERE}{mia.pk}/"
    assert page.links["Invite somebody"] == "/o/lee-family-practice/invitations/new/"
    assert "Stone" not in page.text


def test_people__former_and_deactivated_people__not_listed(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(status="ended", ended_at=world.invitation.created_at)
    type(world.mia).objects.filter(pk=world.mia.pk).update(is_active=False)
    assert names(read(browser(world.lee).get(HERE))) == ["Jun Lee"]


@pytest.mark.parametrize("role", ["office_admin", "doctor", "support", "privacy_officer"])
def test_people__role_that_may_see_them__sees_them(world: World, role: str) -> None:
    with platform("test"):
        user = MembershipFactory(organization=world.practice, role=Role(role)).user
    assert len(names(read(browser(user).get(HERE)))) == 4


@pytest.mark.seed("S0.15")
def test_people__who_may_not__403_inside_404_outside_sign_in_for_nobody(world: World) -> None:
    read(browser(world.lee).get(HERE))
    page = read(browser(world.mia).get(HERE), 403)
    assert "Omar" not in page.text
    read(browser(world.stone).get(HERE), 404)
    assert browser().get(HERE)["Location"] == f"/sign-in/?next={HERE}"
    assert browser(world.lee).get("/o/no-such-place/people/").status_code == 404
    assert browser(world.lee).post(HERE).status_code in (403, 405)


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "text", ["<b>x</b>", "<script>alert(1)</script>", "{{ 7|add:7 }}", "{% now 'Y' %}", "a&b&amp;"]
)
def test_people__markup_or_template_syntax_in_a_name__plain_text(world: World, text: str) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=UserFactory(first_name=text, last_name="Zeta"))
    page = read(browser(world.lee).get(HERE), 200, text)
    assert names(page)[-1] == f"{text} Zeta"
