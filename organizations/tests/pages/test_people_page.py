"""/o/<organization>/people/: who belongs to the organization."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.lockout import reserve_guess
from healthivr.testing.factories import MembershipFactory, UserFactory
from healthivr.testing.pages import Page, browser, parse, read
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from organizations.models import Membership, OrganizationSettings
from organizations.paging import write_cursor
from organizations.roles import Role
from organizations.tenancy import platform

HERE = "/o/lee-family-practice/people/"


def names(page: Page) -> list[str]:
    """Return whom the list names, in its order."""
    return [cell.all("a", "strong")[0].text for cell in page.tree.with_class("list-main")]


def look(world: World, query: str = "", status: int = 200) -> Page:
    """Return the list as Dr. Lee sees it; `query` is what follows the path."""
    return read(browser(world.lee).get(f"{HERE}{query.removeprefix(HERE)}"), status)


def fill(world: World, count: int) -> None:
    """Add members, several of whom bear the same name."""
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(seat_limit=500)
        for number in range(count):
            user = UserFactory(first_name="Kim", last_name=f"Able {number // 4:02}", email=f"kim{number}@example.org")
            MembershipFactory(organization=world.practice, user=user, role=Role.MEDICAL_STAFF)


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


def figures(page: Page) -> dict[str, str]:
    """Return the line of numbers above the list: what each says, and where it leads."""
    lines = page.tree.with_class("figures-line")
    return {link.text: link["href"] for line in lines for link in line.all("a")}


@pytest.mark.seed("S2.11")
@pytest.mark.parametrize("who", ["lee", "ana"])
def test_figures__each__is_how_many_people_its_filter_lists(world: World, who: str) -> None:
    """For the platform's administrator too, who sees people everywhere elsewhere, and counts no more than is listed."""
    now = timezone.now()
    with platform("test"):
        for number in range(2):
            left = MembershipFactory(organization=world.practice, status="ended", ended_at=now).user
            if number:  # gone from here, and switched off: no matter of this organization
                type(left).objects.filter(pk=left.pk).update(is_active=False)
        off = MembershipFactory(organization=world.practice).user
        type(off).objects.filter(pk=off.pk).update(is_active=False)
        old = now - timedelta(days=91)
        Membership.objects.filter(user__in=[world.mia, world.omar]).update(started_at=old)
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.PRIVACY_OFFICER)
    for address in ("mia@example.org", off.email, left.email):
        for _guess in range(5):
            reserve_guess(email=address, known_browser="", at=now)
    client = browser(getattr(world, who))
    found = figures(read(client.get(HERE)))
    assert found == {
        "3 Members now": HERE,
        "1 Sign-in locked": f"{HERE}?status=locked",
        "2 Access not reviewed for 90 days": f"{HERE}?status=unreviewed",
        "1 Switched off": f"{HERE}?status=deactivated",
        "2 Former members": f"{HERE}?status=ended",
    }
    for text, href in found.items():
        assert len(set(names(read(client.get(href))))) == int(text.split()[0]), text


@pytest.mark.seed("S2.11")
def test_figures__of_who_sees_people_and_no_accounts__none(world: World) -> None:
    assert figures(read(browser(world.lee).get(HERE)))
    assert figures(read(browser(world.omar).get(HERE))) == {}


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


# --- filters ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Omar Haddad", "Jun Lee", "Mia Novak"]),
        ("?text=MIA", ["Mia Novak"]),
        ("?text=no", ["Mia Novak"]),
        ("?text=mia++nov", ["Mia Novak"]),
        ("?text=OMAR%40", ["Omar Haddad"]),
        ("?text=example.org", []),
        ("?text=%25", []),
        ("?text=stone", []),
        ("?role=doctor", ["Jun Lee"]),
        ("?role=doctor&text=mia", []),
        ("?status=ended", ["Ida Gone"]),
        ("?status=ended&role=doctor", []),
    ],
)
def test_people__filters_in_the_address__what_fits_and_the_form_says_so(
    world: World, query: str, found: list[str]
) -> None:
    with platform("test"):
        gone = UserFactory(first_name="Ida", last_name="Gone")
        old = {"status": "ended", "ended_at": world.invitation.created_at}
        MembershipFactory(organization=world.practice, user=gone, role=Role.MEDICAL_STAFF, **old)
    page = look(world, query)
    assert names(page) == found
    for pair in query.removeprefix("?").split("&") if query else []:
        name, value = pair.split("=")
        assert page.values[name] == value.replace("%40", "@").replace("%25", "%").replace("++", "  ")


def test_people__nobody_fits__says_which_filters_to_drop(world: World) -> None:
    page = look(world, "?role=office_admin&text=nobody")
    assert names(page) == []
    assert "Nobody fits these filters" in page.main
    assert page.links["Remove the filter Role: Office administrator"] == f"{HERE}?text=nobody"
    assert page.links["Clear filters"] == page.links["Show everybody"] == HERE


def test_people__roles_to_filter_by__those_that_a_practice_can_have(world: World) -> None:
    assert look(world).options("role") == [
        "",
        "doctor",
        "office_admin",
        "medical_staff",
        "pharmacist",
        "lab_tech",
        "patient",
        "proxy",
        "privacy_officer",
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [("?role=owner", "role"), ("?role=sales", "role"), ("?status=x", "status"), (f"?text={'x' * 255}", "text")],
)
def test_people__filter_that_means_nothing__said_at_its_field_and_nothing_is_filtered(
    world: World, query: str, field: str
) -> None:
    page = look(world, query)
    assert len(names(page)) == 3
    assert list(page.errors) == [field]


@pytest.mark.parametrize("query", ["?size=0", "?size=x", "?text=%ff", "?unknown=1", "?text=%F0%9F%92%A9"])
def test_people__junk_in_the_address__a_page(world: World, query: str) -> None:
    assert look(world, query).heading == "People"


# --- pages -----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.19")
def test_people__more_than_a_page__next_and_previous_keep_filter_and_size_and_name_nobody(world: World) -> None:
    fill(world, 60)
    first = look(world, "?role=medical_staff&size=25")
    assert len(names(first)) == 25
    assert "Previous" not in first.links
    second = look(world, first.links["Next"])
    third = look(world, second.links["Next"])
    assert "Next" not in third.links
    everybody = [address.text for page in (first, second, third) for address in page.tree.with_class("list-second")]
    assert len(everybody) == len(set(everybody)) == 61
    assert names(first) + names(second) + names(third) == sorted(names(first) + names(second) + names(third))
    assert third.values["role"] == "medical_staff"
    assert names(look(world, third.links["Previous"])) == names(second)
    assert names(look(world, second.links["Previous"])) == names(first)
    assert "Able" not in first.links["Next"]
    assert len(names(look(world, first.links["100"]))) == 61


def test_people__whoever_stood_at_the_cursor_has_left__the_list_goes_on_behind_them(world: World) -> None:
    fill(world, 30)
    address = look(world, "?size=25").links["Next"]
    with platform("test"):
        last = Membership.objects.order_by("user__last_name", "user__first_name", "pk").filter(user__first_name="Kim")[
            24
        ]
        Membership.objects.filter(pk=last.pk).update(status="ended", ended_at=world.invitation.created_at)
    assert len(names(look(world, address))) == 8
    with platform("test"):
        Membership.objects.filter(organization=world.practice).exclude(user__first_name="Kim").exclude(
            user=world.lee
        ).update(status="ended", ended_at=world.invitation.created_at)
        behind = Membership.objects.get(user=world.mia).pk
    cursor = write_cursor(str(behind), backwards=False)
    assert browser(world.lee).get(f"{HERE}?size=25&cursor={cursor}")["Location"] == f"{HERE}?size=25"


@pytest.mark.seed("S0.24")
@pytest.mark.parametrize("cursor", ["x", "AAAA", "%C3%A9", "bnw"])
def test_people__damaged_cursor__400_page_with_a_way_on(world: World, cursor: str) -> None:
    assert "Start again from the first page" in look(world, f"?cursor={cursor}", status=400).main
    assert look(world).heading == "People"


@pytest.mark.seed("S4.19")
@pytest.mark.parametrize("count", [3, 120])
def test_people__whatever_their_number__one_query_and_no_count(
    committed_world: World, statements: Callable[[], AbstractContextManager[Statements]], count: int
) -> None:
    fill(committed_world, count)
    client = browser(committed_world.lee)
    client.get(HERE)
    with statements() as asked:
        page = read(client.get(f"{HERE}?text=k"))
    assert len(names(page)) == min(count, 50)
    everything = [sql for found in asked.by_kind.values() for sql in found]
    assert len([sql for sql in everything if "accounts_user" in sql and "LIMIT 51" in sql]) == 1
    # No count of the list; the numbers above it are four while nobody is locked, and the results
    # alone come without.
    assert len([sql for sql in everything if "COUNT(" in sql.upper()]) == 4
    with statements() as part:
        client.get(f"{HERE}?text=k", headers={"HX-Request": "true"})
    assert not [sql for found in part.by_kind.values() for sql in found if "COUNT(" in sql.upper()]
    second = page.links.get("Next")
    if second:
        with statements() as again:
            client.get(second)
        assert again.counts() == asked.counts()


# --- htmx ------------------------------------------------------------------------------------------------------------
def test_people__asked_by_htmx__the_results_alone(world: World) -> None:
    client = browser(world.lee)
    response = client.get(HERE, headers={"HX-Request": "true"})
    part = parse(response.content.decode())
    assert "mia@example.org" in part.text
    assert not part.all("html", "h1")
    assert [form["id"] for form in part.all("form")] == ["bulk"]
    assert "HX-Request" in response["Vary"]
    whole = client.get(HERE, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert read(whole).heading == "People"
