"""/o/<platform>/practitioners/: the queue, one license, and the decisions."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import PractitionerCredential, UserSession
from accounts.tests.practitioners import acts
from healthivr.testing.factories import MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.pages import Page, browser, parse, read, submit
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from organizations.tenancy import platform

pytestmark = [pytest.mark.django_db, pytest.mark.seed("S3.51")]
ACTS = ("approve", "reject", "suspend")


def at(world: World, rest: str = "") -> str:
    return f"/o/{world.platform.slug}/practitioners/{rest}"


def look(world: World, rest: str = "", status: int = 200) -> Page:
    return read(browser(world.ana).get(at(world, rest)), status)


def names(page: Page) -> list[str]:
    return [cell.all("a")[0].text for cell in page.tree.with_class("list-main")]


def doctors(count: int) -> list[PractitionerCredential]:
    """Make doctors who wait, the first longest."""
    now, made = timezone.now(), []
    with platform("test"):
        practice = OrganizationFactory(seats=200)
        for number in range(count):
            user = UserFactory(first_name=f"Doc{number:03d}", last_name="Who")
            MembershipFactory(organization=practice, user=user)
            made.append(user)
    return [
        acts.submit(user, npi=acts.npi_number(1000 + number), at=now - timedelta(minutes=count - number))
        for number, user in enumerate(made)
    ]


# --- the list --------------------------------------------------------------------------------------------------------
def test_queue__empty__says_what_it_is_for(world: World) -> None:
    assert "No doctor has submitted a license yet" in look(world).main


def test_queue__several__those_who_wait_first_the_longest_wait_on_top(world: World) -> None:
    first, second, third = doctors(3)
    acts.decide(world, "approve", first)
    assert names(look(world)) == ["Doc001 Who", "Doc002 Who", "Doc000 Who"]
    acts.decide(world, "reject", second)
    assert names(look(world)) == ["Doc002 Who", "Doc000 Who", "Doc001 Who"]
    assert third


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?status=pending", ["Ida Stone"]),
        ("?status=approved", []),
        ("?status=suspended", ["Jun Lee"]),
        ("?status=rejected", []),
        ("?state=NV", ["Ida Stone"]),
        ("?state=CA&status=suspended", ["Jun Lee"]),
        ("?text=ida", ["Ida Stone"]),
        ("?text=jun+l", ["Jun Lee"]),
        ("?text=STONE%40", ["Ida Stone"]),
        (f"?text={acts.NPI}", ["Jun Lee"]),
        ("?text=123", []),
        ("?text=%25", []),
    ],
)
def test_queue__filters_in_the_address__what_fits_by_what_is_true_now(
    world: World, query: str, found: list[str]
) -> None:
    acts.put(acts.approved(world), "approved", until=timezone.now() - timedelta(seconds=1))  # no sweep has been there
    acts.submit(world.stone, npi=acts.npi_number(2), license_state="NV")
    assert names(look(world, query)) == found
    assert sorted(names(look(world))) == ["Ida Stone", "Jun Lee"]


def test_queue__paged__every_row_once_and_back(world: World) -> None:
    made = doctors(60)
    acts.decide(world, "approve", made[0])
    client = browser(world.ana)
    page = read(client.get(at(world, "?size=25")))
    seen = names(page)
    while "Next" in page.links:
        page = read(client.get(page.links["Next"]))
        seen += names(page)
    assert seen == [f"Doc{number:03d} Who" for number in (*range(1, 60), 0)]
    back = read(client.get(page.links["Previous"]))
    assert names(back) == seen[25:50]


@pytest.mark.parametrize("cursor", ["x", "bzJ8", "b3w1fGJsYXxibGE"])
def test_queue__damaged_cursor__400_page_with_a_way_on(world: World, cursor: str) -> None:
    acts.submit(world.lee)
    assert "Start again from the first page" in look(world, f"?cursor={cursor}", status=400).main


@pytest.mark.parametrize("count", [2, 60])
def test_queue__whatever_its_length__one_query_and_no_count(
    world: World, statements: Callable[[], AbstractContextManager[Statements]], count: int
) -> None:
    doctors(count)
    client = browser(world.ana)
    client.get(at(world))
    with statements() as asked:
        page = read(client.get(at(world)))
    assert len(names(page)) == min(count, 50)
    everything = [sql for found in asked.by_kind.values() for sql in found]
    assert len([sql for sql in everything if "accounts_practitionercredential" in sql]) == 1
    assert not [sql for sql in everything if "COUNT(" in sql.upper()]


def test_queue__asked_by_htmx__the_results_alone(world: World) -> None:
    acts.submit(world.lee)
    response = browser(world.ana).get(at(world), headers={"HX-Request": "true"})
    part = parse(response.content.decode())
    assert "lee@example.org" in part.text
    assert not part.all("html", "h1", "form")


def test_rail__names_the_queue__on_the_platform_only(world: World) -> None:
    assert look(world).links["Practitioners"] == at(world)
    elsewhere = read(browser(world.ana).get(f"/o/{world.practice.slug}/"))
    assert "Practitioners" not in elsewhere.links
    assert browser(world.ana).get(f"/o/{world.practice.slug}/practitioners/").status_code == 404


def test_overview__doctors_wait__says_how_many_and_leads_to_them(world: World) -> None:
    acts.submit(world.lee)
    here = f"/o/{world.platform.slug}/"
    page = read(browser(world.ana).get(here))
    assert "1 doctor waits for approval" in page.main
    acts.submit(world.stone, npi=acts.npi_number(2))
    assert "2 doctors wait for approval" in read(browser(world.ana).get(here)).main
    assert "approval" not in read(browser(world.lee).get(f"/o/{world.practice.slug}/")).main


# --- one license -----------------------------------------------------------------------------------------------------
def test_detail__its_story__from_the_trail_newest_first_with_names_and_reasons(world: World) -> None:
    credential = acts.decide(world, "reject", acts.submit(world.lee), reason="The <b>date</b> is wrong.")
    acts.submit(world.lee, license_expires_on=acts.in_a_year() + timedelta(days=3))
    page = read(browser(world.ana).get(at(world, f"{credential.pk}/")), 200, "The <b>date</b> is wrong.")
    titles = [title.text for title in page.tree.with_class("timeline-title")]
    assert titles == ["Submitted again", "Rejected", "Submitted"]
    assert "The <b>date</b> is wrong." in page.main
    assert "Changed: Expires on" in page.main
    assert "by Ana Ruiz" in page.main
    assert acts.NPI in page.main


@pytest.mark.parametrize(
    ("standing", "links"),
    [
        ("pending", {"Approve", "Reject", "Suspend"}),
        ("approved", {"Suspend"}),
        ("rejected", {"Suspend"}),
        ("suspended", set()),
    ],
)
def test_detail__offers__what_can_be_decided_and_the_rest_leads_back(
    world: World, standing: str, links: set[str]
) -> None:
    credential = acts.put(acts.submit(world.lee), standing)
    page = look(world, f"{credential.pk}/")
    assert {"Approve", "Reject", "Suspend"} & set(page.links) == links
    for act in ACTS:
        response = browser(world.ana).get(at(world, f"{credential.pk}/{act}/"))
        assert response.status_code == (200 if act.capitalize() in links else 302)


def test_detail__ones_own__offers_nothing_and_a_forged_decision_is_403(world: World) -> None:
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.ana)
    own = acts.submit(world.ana)
    page = look(world, f"{own.pk}/")
    assert "This is your own license" in page.main
    assert not {"Approve", "Reject", "Suspend"} & set(page.links)
    client = browser(world.ana)
    client.get(at(world))
    token = client.cookies["csrftoken"].value
    response = client.post(at(world, f"{own.pk}/approve/"), {"submission": 1, "csrfmiddlewaretoken": token})
    assert response.status_code == 403
    assert acts.fresh(own).standing == "pending"


# --- deciding --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("act", "heading", "said"),
    [
        ("approve", "Approve the license of Jun Lee?", "The license of Jun Lee is approved. We mail the doctor."),
        (
            "reject",
            "Reject the license of Jun Lee?",
            "The license of Jun Lee is rejected. We mail the doctor, who can correct it.",
        ),
        ("suspend", "Suspend Jun Lee?", "Jun Lee is suspended. We mail the doctor."),
    ],
)
def test_decide__confirmed__done_and_said(world: World, act: str, heading: str, said: str) -> None:
    credential = acts.submit(world.lee)
    here = at(world, f"{credential.pk}/{act}/")
    page = look(world, f"{credential.pk}/{act}/")
    assert page.heading == heading
    assert acts.NPI in page.main
    client = browser(world.ana)
    values: dict[str, Any] = {} if act == "approve" else {"reason": "No such number."}
    response = submit(client, here, **values)
    assert (response.status_code, response["Location"]) == (302, at(world, f"{credential.pk}/"))
    assert read(client.get(response["Location"])).notices == [said]
    assert acts.fresh(credential).decided_by == world.ana


@pytest.mark.parametrize("act", ["reject", "suspend"])
@pytest.mark.parametrize("reason", ["", "\u202e", "x" * 501])
def test_decide__without_a_fitting_reason__said_at_its_field_and_kept(world: World, act: str, reason: str) -> None:
    credential = acts.submit(world.lee)
    page = read(submit(browser(world.ana), at(world, f"{credential.pk}/{act}/"), reason=reason), 422)
    assert list(page.errors) == ["reason"]
    assert page.values["reason"] == reason
    assert acts.fresh(credential).standing == "pending"


def test_decide__submitted_anew_meanwhile__led_to_what_is_there_now(world: World) -> None:
    credential = acts.submit(world.lee)
    acts.submit(world.lee, license_number="MD 999")
    client = browser(world.ana)
    response = submit(client, at(world, f"{credential.pk}/approve/"), submission="1")
    page = read(client.get(response["Location"]))
    assert page.notices == ["The doctor has submitted something else in the meantime. Look at it, then decide."]
    assert "MD 999" in page.main
    assert acts.fresh(credential).standing == "pending"


def test_decide__proof_too_old__nothing_decided_until_it_is_fresh(world: World) -> None:
    credential = acts.submit(world.lee)
    client = browser(world.ana)
    here = at(world, f"{credential.pk}/approve/")
    client.get(here)
    UserSession.objects.filter(user=world.ana).update(verified_at=timezone.now() - timedelta(minutes=6))
    response = submit(client, here)
    assert response.status_code in (302, 403)
    assert acts.fresh(credential).standing == "pending"
    UserSession.objects.filter(user=world.ana).update(verified_at=timezone.now())
    assert submit(client, here).status_code == 302
    assert acts.fresh(credential).standing == "approved"
