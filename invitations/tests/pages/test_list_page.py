"""/o/<organization>/invitations/."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.pages import Page, browser, parse, read
from healthivr.testing.world import World
from invitations.models import UserInvitation
from organizations.roles import Role
from organizations.tenancy import platform

HERE = "/o/lee-family-practice/invitations/"


def rows(page: Page) -> list[str]:
    """Return what the list says of each invitation, in its order."""
    return [row.text for body in page.tree.all("tbody") for row in body.all("tr")]


def who(page: Page) -> list[str]:
    """Return whom each row names."""
    return [cell.all("a")[0].text for cell in page.tree.with_class("list-main")]


def make(world: World, **values: Any) -> UserInvitation:
    """Make an invitation of the practice."""
    with platform("test"):
        return InvitationFactory(**{"organization": world.practice, "invited_by": world.lee, **values})


def look(world: World, query: str = "", *, status: int = 200) -> Page:
    """Open the list as the practice's administrator."""
    return read(browser(world.lee).get(HERE + query), status)


# --- who sees what ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.5", "S0.27")
def test_list__administrator__who_as_what_where_it_stands_and_by_whom(world: World) -> None:
    make(world, first_name="Nora", last_name="Quist", email="nora@example.org", sent=True, invited_by=world.omar)
    page = look(world)
    assert page.heading == "Invitations"
    first, second = rows(page)
    assert who(page) == ["Nora Quist", "new.nurse@example.org"]
    for words in ("nora@example.org", "Medical staff", "Sent", "in 7 days", "Omar Haddad"):
        assert words in first
    for words in ("Waiting to be sent", "Jun Lee"):
        assert words in second
    assert page.links["new.nurse@example.org"] == f"{HERE}{world.invitation.pk}/"
    assert "stone" not in page.text.lower()
    assert "other@example.org" not in page.text


def test_list__without_the_right_to_see_all__own_ones_only(world: World) -> None:
    make(world, email="of.omar@example.org", invited_by=world.omar)
    assert who(look(world)) == ["of.omar@example.org", "new.nurse@example.org"]
    assert who(read(browser(world.omar).get(HERE))) == ["of.omar@example.org"]


@pytest.mark.seed("S0.15")
def test_list__role_without_the_right__403_page(world: World) -> None:
    assert look(world)
    page = read(browser(world.mia).get(HERE), 403)
    assert "not allowed" in page.heading
    assert "new.nurse" not in page.text


def test_list__another_organization_s__404_like_one_that_does_not_exist(world: World) -> None:
    client = browser(world.stone)
    assert client.get("/o/stone-clinic/invitations/").status_code == 200
    assert (
        read(client.get(HERE), 404).main.split()[:-1] == read(client.get("/o/none/invitations/"), 404).main.split()[:-1]
    )


def test_list__nobody_signed_in__to_sign_in_and_back(world: World) -> None:
    response = Client().get(HERE + "?status=sent")
    assert (response.status_code, response["Location"]) == (
        302,
        "/sign-in/?next=/o/lee-family-practice/invitations/%3Fstatus%3Dsent",
    )


def test_list__administrator_who_does_not_invite__no_button_to_invite(world: World) -> None:
    assert "Invite somebody" in look(world).links
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    page = read(browser(boss).get(HERE))
    assert who(page) == ["new.nurse@example.org"]
    assert "Invite somebody" not in page.links


@pytest.mark.seed("S0.20", "S4.25")
@pytest.mark.parametrize(
    "name", ["<b>Bold</b>", "<script>alert(1)</script>", "{{ 7|add:7 }}", "{% now 'Y' %}", "&amp;"]
)
def test_list__markup_or_template_syntax_in_a_name__plain_text(world: World, name: str) -> None:
    make(world, first_name=name, last_name="Quist", message=name)
    response = browser(world.lee).get(HERE)
    assert who(read(response, 200, name))[0] == f"{name} Quist"


@pytest.mark.parametrize("how", ["overdue", "expired"])
def test_list__expired_invitation__since_its_end_and_not_since_somebody_noticed(world: World, how: str) -> None:
    made = make(world, **{how: True})
    end = timezone.now() - timedelta(hours=5)
    with platform("test"):
        UserInvitation.objects.filter(pk=made.pk).update(expires_at=end)
    first = next(row for row in rows(look(world)) if made.email in row)
    assert "Expired 5 hours ago" in first


# --- empty -----------------------------------------------------------------------------------------------------------
def test_list__empty__says_what_it_is_for_and_the_first_step(world: World) -> None:
    with platform("test"):
        UserInvitation.objects.all()._raw_delete("default")  # the database cascades
    page = look(world)
    assert rows(page) == []
    assert "Nobody is invited yet" in page.main
    assert page.links["Invite somebody"] == f"{HERE}new/"
    assert page.main.count("Invite somebody") == 1
    assert not page.tree.with_class("filters"), "there is nothing to filter"


def test_list__nothing_fits__says_which_filters_to_drop(world: World) -> None:
    page = look(world, "?status=accepted&text=nobody")
    assert rows(page) == []
    assert "No invitation fits these filters" in page.main
    assert page.links["Remove the filter Status: Accepted"] == f"{HERE}?text=nobody"
    assert page.links["Remove the filter Name or e-mail begins with: nobody"] == f"{HERE}?status=accepted"
    assert page.links["Clear filters"] == HERE
    assert page.main.count("Clear filters") == 1


# --- filters ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.5")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["old", "sent", "office", "new.nurse"]),
        ("?text=OFF", ["office"]),
        ("?status=sent", ["sent"]),
        ("?status=cancelled", ["old"]),
        ("?invitation_type=office_admin", ["office"]),
        ("?since=2026-03-08&until=2026-03-08", ["old"]),
        ("?until=2026-03-07", []),
        ("?since=2026-03-09&status=cancelled", []),
        ("?attention=open", ["sent", "office", "new.nurse"]),
        ("?attention=expiring", ["sent"]),
        ("?attention=accepted", []),
        ("?attention=nonsense", ["old", "sent", "office", "new.nurse"]),
    ],
)
def test_list__filters_in_the_address__what_fits_and_the_form_says_so(
    world: World, query: str, found: list[str]
) -> None:
    now = timezone.now()
    make(world, email="office@example.org", invitation_type=Role.OFFICE_ADMIN)
    make(
        world,
        email="sent@example.org",
        sent=True,
        sent_at=now - timedelta(days=5),
        created_at=now,
        expires_at=now + timedelta(hours=47),
    )
    # Three in the morning of the 9th in UTC is still the 8th in New York, where Dr. Lee looks.
    night = now.fromisoformat("2026-03-09T03:00:00+00:00")
    make(world, email="old@example.org", created_at=night, cancelled=True)
    page = look(world, query)
    assert sorted(who(page)) == sorted(f"{name}@example.org" for name in found)
    for pair in query.removeprefix("?").split("&") if query else []:
        name, value = pair.split("=")
        assert page.values[name] == value


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("nora", ["Nora McAdam"]),
        ("MCA", ["Nora McAdam"]),
        ("nora  mca", ["Nora McAdam"]),
        ("Élo", ["Éloïse Ito"]),
        ("éLO", ["Éloïse Ito"]),
        ("zz.top@", ["Nora McAdam"]),
        ("ora", []),
        ("adam", []),
        ("example.org", []),
        ("%", []),
        ("_", []),
        ("   ", ["Éloïse Ito", "Nora McAdam", "new.nurse@example.org"]),
        ("n", ["Nora McAdam", "new.nurse@example.org"]),
    ],
)
def test_list__beginning_of_a_name_or_an_address__whoever_it_fits(world: World, typed: str, found: list[str]) -> None:
    make(world, first_name="Nora", last_name="McAdam", email="zz.top@example.org")
    make(world, first_name="Éloïse", last_name="Ito", email="eloise@example.org")
    assert who(look(world, f"?{urlencode({'text': typed})}")) == found


def test_list__from_after_to__said_at_its_field_also_to_htmx(world: World) -> None:
    query = "?since=2026-12-01&until=2026-11-30"
    page = look(world, query)
    assert page.errors == {
        "since": ["This is after “Created to”. Choose an earlier day."],
    }
    assert page.links["Remove the filter Created to: Nov 30, 2026"] == HERE + "?since=2026-12-01"
    client = browser(world.lee)
    part = parse(client.get(HERE + query, headers={"HX-Request": "true"}).content.decode())
    (said,) = part.all(id="id_since_said", hx_swap_oob="true")
    assert "This is after" in said.text
    part = parse(client.get(HERE + "?since=2026-12-01", headers={"HX-Request": "true"}).content.decode())
    (said,) = part.all(id="id_since_said", hx_swap_oob="true")
    assert said.text == ""


def test_list__from_and_to_the_same_day__no_mistake(world: World) -> None:
    assert look(world, "?since=2026-12-01&until=2026-12-01").errors == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?status=open", "status"),
        ("?invitation_type=owner", "invitation_type"),
        ("?invitation_type=sales", "invitation_type"),  # cannot be sent from a practice
        ("?since=yesterday", "since"),
        ("?until=2026-02-30", "until"),
        (f"?text={'x' * 255}", "text"),
    ],
)
def test_list__filter_that_means_nothing__said_at_its_field_and_nothing_is_filtered(
    world: World, query: str, field: str
) -> None:
    page = look(world, query)
    assert who(page) == ["new.nurse@example.org"]
    assert list(page.errors) == [field]


@pytest.mark.parametrize(
    "query",
    [
        "?until=9999-12-31",
        "?since=0001-01-01",
        "?since=9999-12-31&until=0001-01-01",
        "?size=0",
        "?size=-1",
        "?size=1000000",
        "?size=x",
        "?attention=" + "x" * 500,
        "?text=%F0%9F%92%A9",
        "?text=%ff",
        "?text=%25_\\",
        "?status=sent&status=failed",
        "?since=٢٠٢٦-٠١-٠١",
        "?unknown=1",
    ],
)
def test_list__junk_in_the_address__a_page(world: World, query: str) -> None:
    assert look(world, query).heading == "Invitations"


def test_list__time_zone_east_of_utc_and_the_first_day_there_is__a_page(world: World) -> None:
    type(world.lee).objects.filter(pk=world.lee.pk).update(time_zone="Pacific/Auckland")
    world.lee.refresh_from_db()
    for query in ("?since=0001-01-01", "?until=0001-01-01", "?until=9999-12-31"):
        assert look(world, query).heading == "Invitations"


def test_list__on_a_phone__filters_are_folded_away_until_one_is_set(world: World) -> None:
    (folded,) = look(world).tree.with_class("filters-toggle")
    assert "open" not in folded.attributes
    (unfolded,) = look(world, "?status=sent").tree.with_class("filters-toggle")
    assert "open" in unfolded.attributes


# --- pages -----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.5", "S4.19")
def test_list__more_than_a_page__older_and_newer_keep_filter_and_size(world: World) -> None:
    with platform("test"):
        InvitationFactory.create_batch(60, organization=world.practice, invited_by=world.lee, sent=True)
    first = look(world, "?status=sent&size=25")
    assert len(rows(first)) == 25
    assert "Newer" not in first.links
    second = look(world, first.links["Older"].removeprefix(HERE))
    third = look(world, second.links["Older"].removeprefix(HERE))
    assert len(rows(third)) == 10
    assert "Older" not in third.links
    everybody = who(first) + who(second) + who(third)
    assert len(set(everybody)) == 60
    assert "new.nurse@example.org" not in everybody
    assert third.values["status"] == "sent"
    back = look(world, third.links["Newer"].removeprefix(HERE))
    assert who(back) == who(second)
    assert [size for size in ("25", "50", "100") if size in first.links] == ["50", "100"]
    assert len(rows(look(world, first.links["100"].removeprefix(HERE)))) == 60


@pytest.mark.parametrize(("count", "is_asked"), [(25, False), (26, True)])
def test_list__all_of_it_on_the_shortest_page__not_asked_how_many_rows(
    world: World, count: int, is_asked: bool
) -> None:
    with platform("test"):
        InvitationFactory.create_batch(count - 1, organization=world.practice, invited_by=world.lee)
    page = look(world)
    assert len(rows(page)) == count
    assert ("Rows per page" in page.main) is is_asked
    assert ("25" in look(world, "?size=100").links) is is_asked


@pytest.mark.parametrize("who", ["lee", "omar", "mia"])
def test_list__opened_by_anybody__asks_the_table_once_and_counts_nothing(world: World, who: str) -> None:
    client = browser(getattr(world, who))
    client.get(HERE)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(HERE).status_code in (200, 403)
    asked = [query["sql"] for query in queries if '"user_invitations"' in query["sql"]]
    assert len(asked) <= 1
    assert not [statement for statement in asked if "COUNT(" in statement.upper()]


def test_list__fifty_rows__no_stop_at_a_time_and_the_exact_one_is_there(world: World) -> None:
    page = look(world)
    (table,) = page.tree.all("table")
    assert not [element for element in table.all() if "tabindex" in element.attributes]
    moments = table.with_class("moment-exact")
    assert len(moments) == 2
    for moment in moments:
        assert re.fullmatch(r"\(\w{3} \d+, \d{4}, \d+:\d\d [AP]M E[SD]T\)", moment.text)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%C3%A9", "bnwyMDI2LTAxLTAx"])
def test_list__damaged_cursor__400_page_with_a_way_on(world: World, cursor: str) -> None:
    page = look(world, f"?status=sent&cursor={cursor}&size=25", status=400)
    assert "Start again from the first page" in page.main
    assert page.links["Go to the first page"] == f"{HERE}?status=sent&size=25"
    assert look(world, page.links["Go to the first page"].removeprefix(HERE)).heading == "Invitations"


# --- htmx ------------------------------------------------------------------------------------------------------------
def test_list__asked_by_htmx__the_results_alone(world: World) -> None:
    client = browser(world.lee)
    response = client.get(HERE, headers={"HX-Request": "true"})
    part = parse(response.content.decode())
    assert "new.nurse@example.org" in part.text
    assert not part.all("html", "h1", "form")
    assert "HX-Request" in response["Vary"]
    whole = client.get(HERE, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert read(whole).heading == "Invitations"


def test_list__posted_to__405(world: World) -> None:
    assert Client().post(HERE).status_code == 302
    client = Client()
    client.force_login(world.lee)
    assert client.post(HERE).status_code == 405


def test_list__of_somebody_whose_role_does_not_invite__told_whom_to_ask(world: World) -> None:
    page = read(browser(world.omar).get(HERE))
    assert page.tree.all("main")[0].all("h2")[0].text == "Your role does not invite here"
    assert "Ask an administrator of your organization" in page.main
    assert "You have not invited" not in page.main
    assert "Invite the people you work with" not in page.main
