"""/o/<organization>/people/<id>/: one person, and what may be done about their membership."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.factories import InvitationFactory, MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform

PEOPLE = "/o/lee-family-practice/people/"


def membership(world: World, user: User) -> Membership:
    """Return somebody's membership in the practice."""
    with platform("test"):
        return Membership.objects.get(user=user, organization=world.practice)


def here(world: World, user: User, act: str = "") -> str:
    """Return the address of somebody's page, or of an act on it."""
    return f"{PEOPLE}{membership(world, user).pk}/{act}"


#: What an administrator of the practice may do about one of its staff, beside administration.
ACTS = ["Change the role", "Give the role", "Start the reset"]


@pytest.mark.parametrize(("act", "field"), [("password/", "reset-reason"), ("deactivate/", "switch-reason")])
def test_acts_that_ask_why__without_a_reason__said_on_top_and_at_the_field(world: World, act: str, field: str) -> None:
    client, there = browser(world.ana), here(world, world.mia, act)
    with acts.nothing_written():
        page = read(submit(client, here(world, world.mia), to=there, reason=" "), 422)
    said = "Nothing was done: say why. The reason goes into the audit trail."
    assert page.title == "Error: Mia Novak · healthivr"
    assert page.summary == [said]
    assert page.errors == {field: [said]}
    assert page.links[said] == f"#{field}"
    (form,) = page.tree.all("form", action=there)
    assert "novalidate" in form.attributes
    assert submit(client, here(world, world.mia), to=there, reason="A lost phone").status_code == 302


# --- what it shows ---------------------------------------------------------------------------------------------------
def test_member__administrator__facts_and_acts(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(invited_by=world.lee, upline=world.omar)
    page = read(browser(world.lee).get(here(world, world.mia)))
    assert page.heading == "Mia Novak"
    for words in ("mia@example.org", "Medical staff", "Administrator No", "Jun Lee"):
        assert words in page.main
    assert "Upline" not in page.main, "a practice has no sales chain"
    assert "Reset second factor" not in page.links, "there is none to reset"
    assert page.buttons == ["Make administrator", *ACTS]
    assert page.links["End all access"] == f"{PEOPLE}leave/{world.mia.pk}/"


def test_member__somebody_who_only_sees_people__facts_and_no_acts(world: World) -> None:
    page = read(browser(world.omar).get(here(world, world.mia)))
    assert page.heading == "Mia Novak"
    assert page.buttons == []
    assert "End all access" not in page.links
    assert "Last sign-in" not in page.main


@pytest.mark.seed("S0.24")
@pytest.mark.parametrize("act", ["", "end/"])
def test_member__who_may_not__403_inside_404_outside_and_for_ids_of_others(world: World, act: str) -> None:
    read(browser(world.lee).get(here(world, world.mia, act)))
    read(browser(world.mia).get(here(world, world.omar, act)), 403)
    read(browser(world.omar).get(here(world, world.mia, act)), 403 if act else 200)  # sees people, manages none
    read(browser(world.stone).get(here(world, world.mia, act)), 404)
    with platform("test"):
        foreign = Membership.objects.get(user=world.stone).pk
    for identifier in (foreign, uuid4(), "x", "1"):
        read(browser(world.lee).get(f"{PEOPLE}{identifier}/{act}"), 404)
    assert browser().get(here(world, world.mia, act)).status_code == 302


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("text", ["<b>x</b>", "{{ 7|add:7 }}", "{% now 'Y' %}", "{name}", "%s"])
def test_member__markup_or_template_syntax_in_a_name__plain_text_on_every_page(world: World, text: str) -> None:
    User.objects.filter(pk=world.mia.pk).update(first_name=text, last_name="Novak")
    client = browser(world.lee)
    assert read(client.get(here(world, world.mia)), 200, text).heading == f"{text} Novak"
    assert read(client.get(here(world, world.mia, "end/")), 200, text).heading == (
        f"End the membership of {text} Novak?"
    )
    address = here(world, world.mia)
    response = submit(client, address, to=here(world, world.mia, "administrator/"), is_org_admin="yes")
    assert read(client.get(response["Location"]), 200, text).notices[0].startswith(f"{text} Novak now runs")


# --- administrators --------------------------------------------------------------------------------------------------
def test_change_administrator__made_and_taken_away__said_so_each_time(world: World) -> None:
    client, address = browser(world.lee), here(world, world.mia)
    act = here(world, world.mia, "administrator/")
    response = submit(client, address, to=act, is_org_admin="yes")
    assert (response.status_code, response["Location"]) == (302, address)
    page = read(client.get(address))
    assert page.notices == ["Mia Novak now runs the organization: its people, its settings and all of its invitations."]
    assert page.buttons == ["Take administration away", *ACTS]
    assert membership(world, world.mia).is_org_admin
    submit(client, address, to=act, is_org_admin="no")
    page = read(client.get(address))
    assert page.notices == ["Mia Novak no longer runs the organization. The role stays as it was."]
    assert not membership(world, world.mia).is_org_admin


def test_take_administration_away__before_it_happens__the_page_says_to_whom_and_what_stays(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
    client = browser(world.lee)
    page = read(client.get(here(world, world.omar)))
    step = next(details for details in page.tree.all("main")[0].all("details") if details.all("button"))
    assert "open" not in step.attributes, "asks first"
    assert step.all("summary")[0].text == "Take administration away…"
    assert "Omar Haddad can no longer change the people and the settings of Lee Family Practice" in step.text
    assert "What Omar Haddad may do as Office administrator stays." in step.text
    assert [button.text for button in step.all("button")] == ["Take administration away"] == page.buttons[:1]
    own = read(client.get(here(world, world.lee)))
    assert own.buttons == ["Give up administration"]
    assert "Only another administrator can give it back to you." in own.main


def test_make_administrator__before_it_happens__the_page_says_what_it_gives(world: World) -> None:
    page = read(browser(world.lee).get(here(world, world.omar)))
    step = next(details for details in page.tree.all("main")[0].all("details") if details.all("button"))
    assert "open" not in step.attributes, "asks first"
    assert step.all("summary")[0].text == "Make administrator…"
    assert "Omar Haddad can change the people, the settings and all invitations of Lee Family Practice" in step.text
    assert "What Omar Haddad may do as Office administrator stays." in step.text
    assert [button.text for button in step.all("button")] == ["Make administrator"] == page.buttons[:1]


def test_member__administration_comes_with_the_role__neither_offered_nor_taken(world: World) -> None:
    with platform("test"):
        ana = Membership.objects.get(user=world.ana).pk
        patient = MembershipFactory(organization=world.practice, role=Role.PATIENT).pk
    assert read(browser(world.ana).get(f"/o/platform/people/{ana}/")).buttons == []
    assert read(browser(world.lee).get(f"{PEOPLE}{patient}/")).buttons == ["Give the role", "Start the reset"]


def test_change_administrator__the_last_one__refused_on_the_page(world: World) -> None:
    client, address = browser(world.lee), here(world, world.lee)
    with acts.nothing_written():
        response = submit(client, address, to=here(world, world.lee, "administrator/"), is_org_admin="no")
    assert response["Location"] == address
    assert read(client.get(address)).notices[0].startswith("This person is the only administrator")
    assert membership(world, world.lee).is_org_admin


def test_change_administrator__one_s_own_taken_away__led_to_a_page_that_still_opens(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
    client = browser(world.lee)
    response = submit(client, here(world, world.lee), to=here(world, world.lee, "administrator/"), is_org_admin="no")
    assert response["Location"] == "/o/lee-family-practice/"
    assert "Jun Lee no longer runs the organization." in read(client.get(response["Location"])).notices[0]


@pytest.mark.parametrize(("act", "sent"), [("administrator/", {"is_org_admin": "yes"}), ("end/", {"reason": "x"})])
def test_acts__who_may_not__403_404_and_nothing_done(world: World, act: str, sent: dict[str, str]) -> None:
    for person, status in ((world.omar, 403), (world.mia, 403), (world.stone, 404)):
        client = Client()
        client.force_login(person)
        read(client.post(here(world, world.mia, act), sent), status)
    now = membership(world, world.mia)
    assert (now.is_org_admin, now.status) == (False, "active")
    client = Client()
    client.force_login(world.lee)
    assert client.post(here(world, world.mia, act), sent).status_code == 302


@pytest.mark.seed("S0.20", "S4.24")
@pytest.mark.parametrize(("act", "sent"), [("administrator/", {"is_org_admin": "yes"}), ("end/", {"reason": "x"})])
def test_acts__posted_without_csrf_token__403_page_and_nothing_done(
    world: World, act: str, sent: dict[str, str]
) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(client.post(here(world, world.mia, act), sent), 403)
    assert page.heading == "We could not confirm this form"


def test_change_administrator__opened_as_a_page__405(world: World) -> None:
    assert browser(world.lee).get(here(world, world.mia, "administrator/")).status_code == 405


# --- the end of a membership -----------------------------------------------------------------------------------------
def test_end__opened__says_what_will_happen_to_whom_and_changes_nothing(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(client.get(here(world, world.mia, "end/")))
    assert page.heading == "End the membership of Mia Novak?"
    assert "Mia Novak loses access to Lee Family Practice as Medical staff at once." in page.main
    assert page.links["Go back"] == here(world, world.mia)


def test_end__of_somebody_whose_invitations_are_open__says_how_many_and_that_nobody_can_accept_them(
    world: World,
) -> None:
    client, address = browser(world.lee), here(world, world.omar, "end/")
    assert "still open" not in read(client.get(address)).main
    own: dict[str, Any] = {"organization": world.practice, "invited_by": world.omar}
    with platform("test"):
        InvitationFactory(**own)
        for closed in ("overdue", "cancelled"):
            InvitationFactory(**own, **{closed: True})
        InvitationFactory(organization=world.strange_practice, invited_by=world.omar)
    assert "1 invitation that Omar Haddad sent is still open. Nobody can accept it afterwards" in (
        read(client.get(address)).main
    )
    with platform("test"):
        InvitationFactory(**own)
    assert "2 invitations that Omar Haddad sent are still open." in read(client.get(address)).main
    assert "1 invitation that you sent is still open." in read(client.get(here(world, world.lee, "end/"))).main
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.omar, role=Role.SUPPORT)
        first = Membership.objects.get(user=world.omar, role=Role.OFFICE_ADMIN).pk
    assert "still open" not in read(client.get(f"{PEOPLE}{first}/end/")).main


@pytest.mark.seed("S2.13")
def test_end__one_of_two_roles__the_page_speaks_of_the_role_and_says_what_stays(world: World) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.practice, user=world.mia, role=Role.PRIVACY_OFFICER)
        MembershipFactory(organization=world.strange_practice, user=world.mia, role=Role.LAB_TECH)
        first = Membership.objects.get(user=world.mia, role=Role.MEDICAL_STAFF)
    acts.count_seats_anew()
    client, address = browser(world.lee), f"{PEOPLE}{second.pk}/end/"
    page = read(client.get(address))
    assert page.heading == "End the role Privacy officer of Mia Novak?"
    assert "What stays here: Medical staff" in page.main
    assert "Lab" not in page.main
    assert "End this role" in page.buttons
    submit(client, address, reason="Handed over")
    page = read(client.get(PEOPLE))
    assert page.notices == [
        "Mia Novak is no longer Privacy officer in Lee Family Practice. What else they are here stays."
    ]
    assert "mia@example.org" in page.main
    last = read(client.get(f"{PEOPLE}{first.pk}/end/"))
    assert last.heading == "End the membership of Mia Novak?"
    assert "What stays here" not in last.main
    assert "End membership" in last.buttons
    acts.assert_seats_are_counted()


def test_end__one_of_one_s_own_roles__speaks_of_the_role_and_not_of_leaving(world: World) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.practice, user=world.lee, role=Role.PRIVACY_OFFICER)
    page = read(browser(world.lee).get(f"{PEOPLE}{second.pk}/end/"))
    assert page.heading == "End the role Privacy officer of Jun Lee?"
    assert "End this role" in page.buttons
    assert "Leave" not in page.buttons


def test_end__with_a_reason__ended_said_so_and_gone_from_the_list(world: World) -> None:
    client, address = browser(world.lee), here(world, world.mia, "end/")
    response = submit(client, address, reason="Moved to <Boston> {{ now }}")
    assert (response.status_code, response["Location"]) == (302, PEOPLE)
    page = read(client.get(PEOPLE))
    assert page.notices == [
        "Mia Novak no longer belongs to Lee Family Practice. To bring them back, invite them again."
    ]
    assert "mia@example.org" not in page.main
    assert acts.trail(world.practice)[-1].reason == "Moved to <Boston> {{ now }}"
    assert read(browser(world.mia).get("/o/lee-family-practice/"), 404)
    read(client.get(address), 404)


@pytest.mark.parametrize(
    ("reason", "message"), [("", "Say why the membership ends."), (" ", "Say why"), ("x" * 501, "at most 500")]
)
def test_end__without_a_proper_reason__said_at_its_field_and_kept(world: World, reason: str, message: str) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, here(world, world.mia, "end/"), reason=reason), 422)
    assert message in page.errors["reason"][0]
    assert page.values["reason"] == reason


def test_end__the_last_administrator__said_on_top_and_nothing_done(world: World) -> None:
    client = browser(world.lee)
    assert read(client.get(here(world, world.lee, "end/"))).heading == "Leave Lee Family Practice?"
    with acts.nothing_written():
        page = read(submit(client, here(world, world.lee, "end/"), reason="Retiring"), 422)
    assert page.summary[0].startswith("This person is the only administrator")
    assert page.values["reason"] == "Retiring"


def test_end__one_s_own__signed_out_and_told_why(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
    client = browser(world.lee)
    response = submit(client, here(world, world.lee, "end/"), reason="Retiring")
    assert response["Location"] == "/"
    page = read(client.get("/", follow=True))
    assert page.heading == "Sign in"
    assert page.notices == ["You were signed out because a membership or role of yours ended. Sign in to go on."]


@pytest.mark.parametrize("junk", ["\0", "x" * 100_000, "\u202e", "💩"])
def test_end__junk__never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    response = client.post(here(world, world.mia, "end/"), {"reason": junk})
    assert response.status_code in (302, 422)
    for sent in ({}, {"is_org_admin": junk}, {"is_org_admin": ["yes", "no"]}):
        user = UserFactory()
        with platform("test"):
            MembershipFactory(organization=world.practice, user=user, role=Role.MEDICAL_STAFF)
        assert client.post(here(world, user, "administrator/"), sent).status_code == 302


def test_end__membership_elsewhere__stays(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=OrganizationFactory(slug="elsewhere"), user=world.mia)
    submit(browser(world.lee), here(world, world.mia, "end/"), reason="x")
    response: Any = browser(world.mia).get("/")
    assert response["Location"] == "/o/elsewhere/"
