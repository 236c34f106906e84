"""/o/<organization>/settings/: what the organization is called and allows."""

import pytest
from django.test import Client

from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts
from organizations.models import Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

HERE = "/o/lee-family-practice/settings/"
UNCHANGED = {"idle_minutes": "15", "requires_second_factor": "", "invitation_hours": "", "email_domains": ""}


def test_settings__administrator__saved_and_said_so(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get(HERE))
    assert page.values == {"organization_name": "Lee Family Practice", "staff_may_invite": "", **UNCHANGED}
    assert "4 of 25" in page.main
    response = submit(client, HERE, organization_name=" Lee  & Sons <Practice> ", staff_may_invite="on")
    assert (response.status_code, response["Location"]) == (302, HERE)
    page = read(client.get(HERE), 200, "Lee & Sons <Practice>")
    assert page.notices == ["The organization's settings are saved."]
    assert page.values == {"organization_name": "Lee & Sons <Practice>", "staff_may_invite": "on", **UNCHANGED}
    assert Organization.objects.get(pk=world.practice.pk).slug == "lee-family-practice"
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).staff_may_invite
    assert acts.actions(world.practice) == ["organization.updated"]
    submit(client, HERE, staff_may_invite=None)
    assert read(client.get(HERE), 200, "Lee & Sons <Practice>").values["staff_may_invite"] == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "Enter the name of the organization."),
        ("  ", "Enter the name of the organization."),
        ("x", "2 to 120 characters"),
        ("x" * 121, "Enter the name of the organization, 2 to 120 characters."),
        ("x\0y", "Null characters are not allowed."),
    ],
)
def test_settings__name_that_is_none__said_at_its_field_and_what_was_typed_stays(
    world: World, name: str, message: str
) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, HERE, organization_name=name, staff_may_invite="on"), 422)
    assert message in page.errors["organization_name"][0]
    assert page.values["organization_name"].replace("\ufffd", "\0") == name
    assert page.values["staff_may_invite"] == "on"


POLICIES = {
    "idle_minutes": "7",
    "requires_second_factor": "on",
    "invitation_hours": "36",
    "email_domains": "Example.org\n@clinic.example\n",
}


@pytest.mark.seed("S2.26")
def test_settings__policies__saved_shown_and_in_the_trail(world: World) -> None:
    client = browser(world.lee)
    assert submit(client, HERE, **POLICIES).status_code == 302
    values = read(client.get(HERE)).values
    assert {field: values[field] for field in POLICIES} == {
        **POLICIES,
        "email_domains": "clinic.example\nexample.org",
    }
    (event,) = acts.trail(world.practice)
    assert event.changes == {
        "idle_minutes": ["15", "7"],
        "requires_second_factor": ["false", "true"],
        "invitation_hours": ["", "36"],
        "email_domains": ["", "clinic.example example.org"],
    }
    page = read(browser(world.mia).get(HERE))  # who may not change it reads it
    assert "after 7 minutes" in page.main
    assert "36 hours at most" in page.main
    assert "clinic.example, example.org" in page.main
    assert submit(client, HERE, invitation_hours="", email_domains="", requires_second_factor=None).status_code == 302
    assert "every domain" in read(browser(world.mia).get(HERE)).main


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("idle_minutes", "4", "5 to 30"),
        ("idle_minutes", "31", "5 to 30"),
        ("idle_minutes", "", "5 to 30"),
        ("idle_minutes", "soon", "5 to 30"),
        ("invitation_hours", "0", "1 to 720"),
        ("invitation_hours", "721", "1 to 720"),
        ("invitation_hours", "1.5", "1 to 720"),
        ("email_domains", "example.org\nnora@clinic.example", "“nora@clinic.example” is no domain"),
    ],
)
def test_settings__policy_that_is_none__said_at_its_field_and_what_was_typed_stays(
    world: World, field: str, typed: str, message: str
) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, HERE, organization_name="Other", **{field: typed}), 422)
    assert message in page.errors[field][0]
    assert (page.values[field], page.values["organization_name"]) == (typed, "Other")


@pytest.mark.seed("S0.24")
def test_settings__posted_with_more_than_the_form_has__changes_nothing_else(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get(HERE))
    forged = {
        **page.values,
        "organization_name": "Renamed",
        "slug": "stone-clinic",
        "kind": "platform",
        "state": "inactive",
        "parent": str(world.strange_practice.pk),
        "organization": str(world.strange_practice.pk),
        "plan": "unlimited",
        "seat_limit": "100000",
        "seats_used": "0",
    }
    before = Organization.objects.values("slug", "kind", "state", "parent").get(pk=world.practice.pk)
    client = Client()
    client.force_login(world.lee)
    assert client.post(HERE, {name: value for name, value in forged.items() if value}).status_code == 302
    assert Organization.objects.get(pk=world.practice.pk).name == "Renamed"
    assert Organization.objects.values("slug", "kind", "state", "parent").get(pk=world.practice.pk) == before
    with platform("test"):
        settings = OrganizationSettings.objects.get(organization=world.practice)
        assert (settings.plan, settings.seat_limit, settings.seats_used) == ("standard", 25, 4)
        assert Organization.objects.get(pk=world.strange_practice.pk).name == "Stone Clinic"


def test_settings__organization_that_is_no_practice__no_choice_about_staff(world: World) -> None:
    boss = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR, is_org_admin=True)
    page = read(browser(boss.user).get(f"/o/{boss.organization.slug}/settings/"))
    assert list(page.values) == ["organization_name", *UNCHANGED]


def test_settings__members_who_may_only_look__no_form_and_403_when_sent(world: World) -> None:
    for person in (world.omar, world.mia):
        page = read(browser(person).get(HERE))
        assert "Lee Family Practice" in page.main
        assert page.buttons == []
        client = Client()
        client.force_login(person)
        read(client.post(HERE, {"organization_name": "Mine", "staff_may_invite": "on"}), 403)
    assert Organization.objects.get(pk=world.practice.pk).name == "Lee Family Practice"
    with platform("test"):
        assert not OrganizationSettings.objects.get(organization=world.practice).staff_may_invite


@pytest.mark.seed("S0.24")
def test_settings__who_may_not__403_inside_404_outside_sign_in_for_nobody(world: World) -> None:
    with platform("test"):
        patient = MembershipFactory(organization=world.practice, role=Role.PATIENT).user
    read(browser(world.lee).get(HERE))
    read(browser(patient).get(HERE), 403)
    read(browser(world.stone).get(HERE), 404)
    assert browser().get(HERE).status_code == 302
    client = Client()
    client.force_login(world.stone)
    read(client.post(HERE, {"organization_name": "Mine"}), 404)
    assert Organization.objects.get(pk=world.practice.pk).name == "Lee Family Practice"


@pytest.mark.seed("S0.20", "S4.24")
def test_settings__posted_without_csrf_token__403_page_and_nothing_written(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        read(client.post(HERE, {"organization_name": "Other"}), 403)
    assert submit(client, HERE, organization_name="Other").status_code == 302


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "{{ 7|add:7 }}", "{% now 'Y' %}", "a&b&amp;", '"><b>'])
def test_settings__markup_or_template_syntax_in_the_name__plain_text_on_every_page(world: World, text: str) -> None:
    client = browser(world.lee)
    assert submit(client, HERE, organization_name=text).status_code == 302
    for page in ("", "people/", "invitations/", "invitations/new/", "settings/", "welcome/"):
        shown = read(client.get(f"/o/lee-family-practice/{page}"), 200, text)
        assert text in shown.text


def test_settings__organizations_below__names_and_counts_never_people(world: World) -> None:
    with platform("test"):
        chp = OrganizationFactory(kind="chp", name="Health for all", slug="health-for-all")
        boss = MembershipFactory(organization=chp, role=Role.CHP_ADMIN, is_org_admin=True).user
        below = OrganizationFactory(kind="master_distributor", name="Master & Co <x>", parent=chp)
        hidden = MembershipFactory(organization=below, role=Role.MASTER_DISTRIBUTOR).user
    page = read(browser(boss).get("/o/health-for-all/settings/"), 200, "Master & Co <x>")
    assert "Master & Co <x>" in page.main
    assert hidden.email not in page.text
    assert hidden.last_name not in page.main
    assert "Stone Clinic" not in page.text


@pytest.mark.seed("S4.19")
def test_settings__many_organizations_below__the_first_by_name_and_a_search(world: World) -> None:
    here = "/o/health-for-all/settings/"
    with platform("test"):
        chp = OrganizationFactory(kind="chp", name="Health for all", slug="health-for-all")
        boss = MembershipFactory(organization=chp, role=Role.CHP_ADMIN, is_org_admin=True).user
        for number in range(60):
            OrganizationFactory(kind="master_distributor", name=f"Seller {number:02}", parent=chp)
        last = OrganizationFactory(kind="master_distributor", name="Zenith <b> & Sons", parent=chp)
        MembershipFactory(organization=last, role=Role.MASTER_DISTRIBUTOR)
    client = browser(boss)
    page = read(client.get(here))
    listed = [cell.text for cell in page.tree.with_class("list-main")]
    assert listed == [f"Seller {number:02}" for number in range(50)]
    assert "The first 50 by name." in page.main
    page = read(client.get(f"{here}?below=ZENITH"), 200, "Zenith <b> & Sons")
    assert [row.text for body in page.tree.all("tbody") for row in body.all("tr")] == [
        "Zenith <b> & Sons Master distributor 1 1"
    ]
    assert page.values["below"] == "ZENITH"
    page = read(client.get(f"{here}?below=stone"))
    assert "No organization below this one has such a name." in page.main
    assert page.links["Show all organizations"] == here
    for junk in ("x" * 121, "%25", "%ff"):
        assert client.get(f"{here}?below={junk}").status_code == 200


@pytest.mark.parametrize("junk", ["\0", "x" * 100_000, "\u202e\u202d", "💩", "\r\n\r\n"])
def test_settings__junk__never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    for sent in ({"organization_name": junk}, {"organization_name": "Fine", "staff_may_invite": junk}):
        assert client.post(HERE, sent).status_code in (302, 422)
