"""/o/<organization>/organizations/: the tree, one of it, and what who runs them all does there."""

import pytest

from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts
from organizations.models import Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

HERE = "/o/platform/organizations/"


def address(organization: Organization, act: str = "") -> str:
    return f"{HERE}{organization.pk}/{act}"


@pytest.mark.seed("S2.17", "S2.30")
def test_directory__platform__all_with_state_and_who_runs_nothing(world: World) -> None:
    with platform("test"):
        OrganizationFactory(name="Alone <b>", state="active")
        OrganizationFactory(name="Closed", state="inactive")
    page = read(browser(world.ana).get(HERE), 200, "Alone <b>")
    rows = [row.text for body in page.tree.all("tbody") for row in body.all("tr")]
    assert [row.split(" below")[0] for row in rows][:2] == ["Alone <b> Nobody runs it", "Closed"]
    assert any("Closed" in row and "Switched off" in row for row in rows)
    assert any("Lee Family Practice" in row and "Active" in row and " 3 " in row for row in rows)
    assert page.links["Create an organization"] == f"{HERE}new/"
    assert page.links["Lee Family Practice"] == address(world.practice)


@pytest.mark.seed("S2.17")
def test_figures__each_that_leads_somewhere__is_how_many_its_filter_lists(world: World) -> None:
    with platform("test"):
        OrganizationFactory(name="Alone")
        OrganizationFactory(name="Closed", state="inactive")
        chp = OrganizationFactory(name="Program", kind="chp")
        runner = MembershipFactory(organization=chp, role=Role.CHP_ADMIN, is_org_admin=True).user
        below = OrganizationFactory(name="Below", parent=chp)
        MembershipFactory(organization=below, role=Role.DOCTOR, is_org_admin=True)
    for user, here, expected, rest in (
        (world.ana, HERE, (7, 6, 1, 1), "7 People"),
        (runner, f"/o/{chp.slug}/organizations/", (2, 2, 0, 0), "2 People"),
    ):
        client = browser(user)
        page = read(client.get(here))
        (line,) = page.tree.with_class("figures-line")
        found = {link.text: link["href"] for link in line.all("a")}
        labels = ("Organizations", "Active", "Switched off", "Nobody runs it")
        addresses = (here, f"{here}?state=active", f"{here}?state=inactive", f"{here}?state=unrun")
        assert found == {
            f"{number} {label}": href for number, label, href in zip(expected, labels, addresses, strict=True)
        }
        for text, href in found.items():
            assert len(read(client.get(href)).tree.with_class("list-main")) == int(text.split()[0]), text
        assert rest in line.text
        assert ("Seats taken" in line.text) is (user == world.ana)
        assert "figures-line" not in client.get(here, headers={"HX-Request": "true"}).text


@pytest.mark.seed("S2.17")
def test_directory__filters_in_the_address__each_can_be_dropped_and_none_fits(world: World) -> None:
    client = browser(world.ana)
    page = read(client.get(f"{HERE}?text=lee&kind=practice&state=active"))
    assert [cell.text for cell in page.tree.with_class("list-main")] == ["Lee Family Practice below healthivr platform"]
    assert page.links["Clear filters"] == HERE
    page = read(client.get(f"{HERE}?text=nowhere"))
    assert "No organization fits these filters" in page.main
    assert page.links["Show all organizations"] == HERE
    part = client.get(f"{HERE}?text=lee", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "Lee Family Practice" in part.text
    assert (part["Vary"], "no-store" in part["Cache-Control"]) == ("HX-Request, Accept-Language, Cookie", True)
    for junk in ("?text=" + "x" * 121, "?kind=planet", "?state=off", "?size=7"):
        assert client.get(HERE + junk).status_code == 200
    assert client.get(f"{HERE}?cursor=@@").status_code in (302, 400)


@pytest.mark.seed("S4.19")
def test_directory__many__pages_by_name(world: World) -> None:
    with platform("test"):
        for number in range(60):
            OrganizationFactory(kind="lab", name=f"Lab {number:02}")
    client = browser(world.ana)
    page = read(client.get(f"{HERE}?kind=lab&size=25"))
    seen = [cell.text.split(" Nobody")[0] for cell in page.tree.with_class("list-main")]
    while "Next" in page.links:
        page = read(client.get(page.links["Next"]))
        seen += [cell.text.split(" Nobody")[0] for cell in page.tree.with_class("list-main")]
    assert seen == [f"Lab {number:02}" for number in range(60)]


@pytest.mark.seed("S2.17", "S2.24")
def test_directory__who_runs_a_program__own_and_below_names_and_counts_never_people(world: World) -> None:
    boss = world.member(Role.CHP_ADMIN, OrganizationKind.CHP, is_org_admin=True)
    with platform("test"):
        below = OrganizationFactory(kind="master_distributor", name="Master & Co", parent=boss.organization)
        hidden = MembershipFactory(organization=below, role=Role.MASTER_DISTRIBUTOR, is_org_admin=True).user
    client = browser(boss.user)
    here = f"/o/{boss.organization.slug}/organizations/"
    page = read(client.get(here))
    assert "Organizations below" in page.links
    assert "Create an organization" not in page.links
    page = read(client.get(page.links["Master & Co"]), 200, "Master & Co")
    assert hidden.email not in page.text
    assert hidden.last_name not in page.main
    assert "Seats" not in page.main
    assert page.buttons == []
    assert "Stone Clinic" not in page.text
    assert client.get(f"{here}{world.practice.pk}/").status_code == 404
    assert client.get(f"{here}{below.pk}/plan/").status_code == 403
    assert client.get(f"{here}new/").status_code == 403
    assert (
        "Organizations below" not in read(browser(world.lee).get("/o/lee-family-practice/")).links
    )  # nothing lies below


@pytest.mark.seed("S2.17")
def test_create__by_the_platform__made_and_led_to_it(world: World) -> None:
    client = browser(world.ana)
    values = {"organization_name": "Hill Street", "kind": "practice", "slug": "hill-street", "seat_limit": "7"}
    response = submit(client, f"{HERE}new/", **values)
    made = Organization.objects.get(slug="hill-street")
    assert (response.status_code, response["Location"]) == (302, address(made))
    page = read(client.get(address(made)), 200, "Hill Street")
    assert page.notices == [
        "Hill Street is created. Invite somebody as Doctor: by accepting they become its administrator."
    ]
    assert "0 of 7" in page.main
    assert page.links["Its people"] == "/o/hill-street/people/"
    assert page.links["Invite the first person"] == "/o/hill-street/invitations/new/?role=doctor"
    assert "as Doctor and accepts first becomes its administrator" in page.main


def test_create__kinds_offered__those_that_somebody_can_be_invited_into(world: World) -> None:
    client = browser(world.ana)
    (choice,) = read(client.get(f"{HERE}new/")).tree.all("select", name="kind")
    offered = {option["value"] for option in choice.all("option")} - {""}
    assert offered == {"chp", "master_distributor", "distributor", "practice", "ivr_company", "logistics"}


def test_pages__of_an_organization_that_nobody_can_be_invited_into__offer_no_invitation(world: World) -> None:
    with platform("test"):
        pharmacy = OrganizationFactory(kind="pharmacy", name="Corner Pharmacy", slug="corner-pharmacy")
    client = browser(world.ana)
    page = read(client.get(address(pharmacy)))
    assert "nobody can be invited into an organization of this kind" in page.main
    assert "Invite the first person" not in page.links
    assert "Invite somebody" not in read(client.get("/o/corner-pharmacy/people/")).links
    assert "Invite somebody" in read(client.get("/o/lee-family-practice/people/")).links


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("organization_name", "", "Enter the name"),
        ("kind", "", "Choose a kind"),
        ("slug", "stone-clinic", "Another organization has this short name"),
        ("slug", "No Slug", "small letters"),
        ("seat_limit", "0", "1 to 100,000"),
        ("plan", "a b", "letters, digits"),
    ],
)
def test_create__what_cannot_be__said_at_its_field_and_nothing_typed_is_lost(
    world: World, field: str, typed: str, message: str
) -> None:
    values = {"organization_name": "Hill Street", "kind": "practice", "slug": "hill", "seat_limit": "7", field: typed}
    with acts.nothing_written():
        page = read(submit(browser(world.ana), f"{HERE}new/", **values), 422)
    assert message in page.errors[field][0]
    assert {name: page.values[name] for name in values} == values


def test_create__two_mistakes__both_said_at_once(world: World) -> None:
    values = {"organization_name": "Hill Street", "kind": "practice", "slug": "Bad Slug!", "seat_limit": "-3"}
    page = read(submit(browser(world.ana), f"{HERE}new/", **values), 422)
    assert set(page.errors) == {"slug", "seat_limit"}


def test_seats__many__with_separators(world: World) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(seat_limit=10_000)
    assert "4 of 10,000" in read(browser(world.ana).get(address(world.practice))).main
    assert "4 of 10,000" in read(browser(world.lee).get("/o/lee-family-practice/settings/")).main


def test_create__below_what_has_no_place_for_it__said_at_its_field(world: World) -> None:
    with platform("test"):
        chp = OrganizationFactory(kind="chp", name="Program")
    values = {"organization_name": "Hill Street", "kind": "practice", "parent": str(chp.pk)}
    page = read(submit(browser(world.ana), f"{HERE}new/", **values), 422)
    assert "cannot stand below" in page.errors["parent"][0]


@pytest.mark.seed("S2.17", "S4.11")
def test_plan__fewer_seats_than_in_use__said_at_the_field(world: World) -> None:
    client = browser(world.ana)
    here = address(world.practice, "plan/")
    page = read(submit(client, here, seat_limit="3"), 422)
    assert page.errors["seat_limit"] == ["4 seats are in use. End memberships or cancel invitations first."]
    assert page.values["seat_limit"] == "3"
    assert submit(client, here, seat_limit="4", plan="small").status_code == 302
    page = read(client.get(address(world.practice)))
    assert "4 of 4" in page.main
    assert "Plan: small" in page.main
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seat_limit == 4


@pytest.mark.seed("S2.17")
def test_switch_off_and_on__says_what_happens_to_whom_and_asks_why(world: World) -> None:
    client, lee = browser(world.ana), browser(world.lee)
    here = address(world.practice, "deactivate/")
    page = read(client.get(here))
    assert "3 people lose access with their next click." in page.main
    assert "1 open invitation cannot be accepted until it is switched on again." in page.main
    read(lee.get("/o/lee-family-practice/people/"))
    with acts.nothing_written():
        page = read(submit(client, here, reason=" "), 422)
    assert page.errors["reason"] == ["Say why the organization is switched off."]
    assert submit(client, here, reason="They closed.").status_code == 302
    assert read(lee.get("/o/lee-family-practice/people/"), 403)
    page = read(client.get(address(world.practice)))
    assert "Switched off" in page.main
    assert submit(client, address(world.practice), to=f"{address(world.practice)}activate/").status_code == 302
    read(lee.get("/o/lee-family-practice/people/"))
    assert acts.actions(world.practice) == ["organization.deactivated", "access.refused", "organization.activated"]


def test_platform__itself__cannot_be_switched_off(world: World) -> None:
    client = browser(world.ana)
    assert "Switch off" not in read(client.get(address(world.platform))).main
    page = read(submit(client, address(world.platform, "deactivate/"), reason="No."), 422)
    assert "cannot be switched off" in page.main
    assert Organization.objects.get(pk=world.platform.pk).state == "active"


def test_invite_the_first_person__leads_to_the_form_with_the_role_that_runs_it(world: World) -> None:
    with platform("test"):
        made = OrganizationFactory(kind="practice", name="Hill Street", slug="hill-street")
    client = browser(world.ana)
    form = read(client.get(read(client.get(address(made))).links["Invite the first person"]))
    assert form.values["invitation_type"] == "doctor"
    assert read(client.get("/o/hill-street/invitations/new/?role=admin")).values["invitation_type"] == ""
