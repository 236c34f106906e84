"""/profile/license/: a doctor's own license, and the ways to it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import PractitionerCredential
from accounts.tests.practitioners import acts
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.seed("S3.51")]
HERE = "/profile/license/"


def typed(**changes: Any) -> dict[str, Any]:
    facts = acts.license_facts(**changes)
    return {name: str(value) for name, value in facts.items()}


def test_license__submitted__said_so_and_it_waits(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get(HERE))
    assert (page.heading, page.buttons) == ("Your license", ["Submit license"])
    response = submit(client, HERE, **typed())
    assert (response.status_code, response["Location"]) == (302, HERE)
    page = read(client.get(HERE))
    assert page.notices == ["Your license is submitted. We mail you as soon as it is checked."]
    assert "Being checked" in page.main
    assert page.values["npi"] == acts.NPI
    assert page.values["license_number"] == "MD 12345"
    assert page.values["license_expires_on"] == acts.in_a_year().isoformat()


@pytest.mark.parametrize(
    ("approved", "notice", "lead"),
    [
        (False, "Nothing changed: this is the license that we are checking.", "opens as soon as we have checked yours"),
        (True, "Nothing changed: this is the license that we have approved.", "is open to you"),
    ],
)
def test_license__the_same_again__says_that_nothing_changed(
    world: World, approved: bool, notice: str, lead: str
) -> None:
    client = browser(world.lee)
    submit(client, HERE, **typed())
    if approved:
        acts.decide(world, "approve", PractitionerCredential.objects.get(user=world.lee))
    client.get(HERE)  # reads the first notice
    submit(client, HERE, **typed())
    page = read(client.get(HERE))
    assert page.notices == [notice]
    assert lead in page.main


def test_license__suspended__says_that_it_is_closed(world: World) -> None:
    acts.decide(world, "suspend", acts.submit(world.lee))
    page = read(browser(world.lee).get(HERE))
    assert "is closed until we have approved yours" in page.main


def test_license__every_field_wrong__each_said_at_its_field_and_nothing_typed_lost(world: World) -> None:
    wrong = {"npi": "1234567890", "license_number": "<b>", "license_state": "", "license_expires_on": "tomorrow"}
    page = read(submit(browser(world.lee), HERE, **wrong), 422, "<b>")
    assert set(page.errors) == set(wrong)
    assert {name: page.values[name] for name in ("npi", "license_number", "license_expires_on")} == {
        name: wrong[name] for name in ("npi", "license_number", "license_expires_on")
    }
    assert not PractitionerCredential.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"), [({"license_expires_on": "2020-01-01"}, "license_expires_on"), ({}, "npi")]
)
def test_license__what_only_the_service_knows__said_at_its_field(
    world: World, changes: dict[str, Any], field: str
) -> None:
    acts.submit(world.stone)
    page = read(submit(browser(world.lee), HERE, **typed(**changes)), 422)
    assert list(page.errors) == [field]
    assert "Stone" not in page.text


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        ("approved", "Approved through"),
        ("rejected", "The board knows no such number."),
        ("suspended", "The board knows no such number."),
    ],
)
def test_license__decided__says_where_it_stands_and_what_next(world: World, standing: str, words: str) -> None:
    act = {"approved": "approve", "rejected": "reject", "suspended": "suspend"}[standing]
    acts.decide(world, act, acts.submit(world.lee))
    page = read(browser(world.lee).get(HERE))
    assert words in page.main
    assert page.buttons == ["Submit again"]


def test_license__over_by_date_before_the_sweep__suspended(world: World) -> None:
    acts.put(acts.approved(world), "approved", until=timezone.now() - timedelta(seconds=1))
    page = read(browser(world.lee).get(HERE))
    assert "Suspended" in page.main
    assert "has reached its last day" in page.main


def test_license__renewal_waits__says_that_the_approval_holds(world: World) -> None:
    acts.approved(world)
    acts.submit(world.lee, license_number="MD 2")
    assert "your earlier approval holds" in read(browser(world.lee).get(HERE)).main


def test_license__of_who_is_no_doctor__403_and_no_way_to_it(world: World) -> None:
    assert "License" in read(browser(world.lee).get("/profile/")).main
    page = read(browser(world.mia).get(HERE), 403)
    assert "Only doctors" in page.text
    assert "License" not in read(browser(world.mia).get("/profile/")).main


def test_profile__of_a_doctor__says_where_the_license_stands(world: World) -> None:
    assert "Nothing submitted yet" in read(browser(world.lee).get("/profile/")).main
    acts.approved(world)
    page = read(browser(world.lee).get("/profile/"))
    assert "Approved" in page.main
    assert page.links["See your license"] == HERE


def test_welcome__of_a_doctor__says_to_submit_the_license_until_it_is_submitted(world: World) -> None:
    welcome = f"/o/{world.practice.slug}/welcome/"
    words = "Submit your license, so that it is approved by the time you need it"
    assert read(browser(world.lee).get(welcome)).links[words] == HERE
    assert words not in read(browser(world.mia).get(welcome)).links
    acts.decide(world, "reject", acts.submit(world.lee))
    assert words in read(browser(world.lee).get(welcome)).links
    acts.submit(world.lee)
    assert words not in read(browser(world.lee).get(welcome)).links


def test_member_page__of_a_doctor__administrators_see_the_standing_and_nothing_else(world: World) -> None:
    people = read(browser(world.lee).get(f"/o/{world.practice.slug}/people/"))
    here = people.links["Jun Lee"]
    assert "Not submitted yet" in read(browser(world.lee).get(here)).main
    acts.approved(world)
    page = read(browser(world.lee).get(here))
    assert "License Approved" in page.main
    assert acts.NPI not in page.text
    assert "12345" not in page.text
    assert "License" not in read(browser(world.omar).get(here)).main
    assert "License" not in read(browser(world.lee).get(people.links["Mia Novak"])).main


def test_overview__of_a_doctor__leads_to_the_license_until_it_is_submitted(world: World) -> None:
    overview = f"/o/{world.practice.slug}/"
    assert read(browser(world.lee).get(overview)).links["Submit your license"] == HERE
    assert "Submit your license" not in read(browser(world.mia).get(overview)).links
    acts.decide(world, "reject", acts.submit(world.lee))
    page = read(browser(world.lee).get(overview))
    assert page.links["See why, and what to do"] == HERE
    assert "Your license was not approved. Prescribing" in page.main
    assert "not with us yet" not in page.main
    acts.submit(world.lee, license_number="MD 2")
    page = read(browser(world.lee).get(overview))
    assert "Your license" not in page.main


def test_license__expired_day_without_a_state__both_said_at_once(world: World) -> None:
    day = timezone.now().date() - timedelta(days=3)
    page = read(submit(browser(world.lee), HERE, **typed(license_state="", license_expires_on=day)), 422)
    assert set(page.errors) == {"license_state", "license_expires_on"}
    assert page.errors["license_expires_on"][0].startswith("This license has expired.")
