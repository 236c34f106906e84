"""/o/<organization>/: what needs attention, and numbers that each open the list they count."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.pages import Page, browser, read
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from organizations.models import OrganizationSettings
from organizations.roles import Role
from organizations.tenancy import platform

HERE = "/o/lee-family-practice/"


def make(world: World, **values: Any) -> None:
    """Make an invitation of the practice."""
    if values.get("status") == "accepted":
        values = {"accepted_by": world.mia, "closed_at": timezone.now(), **values}
    with platform("test"):
        InvitationFactory(**{"organization": world.practice, "invited_by": world.lee, **values})


def fill(world: World) -> None:
    """Make invitations in every state."""
    now = timezone.now()
    for status in ("failed", "bounced"):
        make(world, delivery_status=status)
    sent = now - timedelta(days=5, hours=1)
    make(world, sent=True, created_at=sent, sent_at=sent, expires_at=now + timedelta(hours=47))
    make(world, sent=True, expires_at=now + timedelta(hours=47))  # an administrator's, just sent: as long as it gets
    make(world, sent=True)
    make(world, delivery_status="sending")
    make(world, delivery_status="disabled")
    make(world, overdue=True)
    make(world, overdue=True, delivery_status="failed")
    make(world, cancelled=True)
    make(world, status="accepted", accepted_at=now - timedelta(days=29), created_at=now - timedelta(days=30))
    old = now - timedelta(days=40)
    make(world, status="accepted", accepted_at=old, created_at=old - timedelta(hours=1), expires_at=old + timedelta(1))


def counted(page: Page) -> dict[str, tuple[int, str]]:
    """Return each number of the page with the address of its list."""
    figures = {
        label: (int(link.with_class("figure-number")[0].text), link["href"])
        for link in page.tree.with_class("figure-link")
        if not (label := link.with_class("figure-label")[0].text).startswith("Usual time")
    }
    attention = {
        item.all("strong")[0].text.split(" ", 1)[1]: (
            int(item.all("strong")[0].text.split()[0]),
            item.all("a")[0]["href"],
        )
        for box in page.tree.with_class("attention")
        for item in box.all("li")
        if item.all("a")
    }
    return {**figures, **attention}


@pytest.mark.seed("S0.9")
def test_overview__every_number__opens_the_list_that_it_counts(world: World) -> None:
    fill(world)
    client = browser(world.lee)
    numbers = counted(read(client.get(HERE)))
    assert {name: number for name, (number, _address) in numbers.items()} == {
        "Open now": 8,
        "Accepted in 30 days": 1,
        "Expire soon": 1,
        "Not delivered": 3,
        "invitations did not arrive": 3,
        "invitation expires soon": 1,
        "e-mails are waiting to be sent": 2,
    }
    for name, (number, address) in numbers.items():
        page = read(client.get(address))
        assert len(page.tree.with_class("list-main")) == number, name


def test_overview__colleague_with_own_invitations__counts_those_alone(world: World) -> None:
    fill(world)
    make(world, invited_by=world.omar, sent=True)
    numbers = counted(read(browser(world.omar).get(HERE)))
    assert numbers["Open now"][0] == 1
    assert numbers["Not delivered"][0] == 0


def test_overview__more_than_anybody_counts__says_so_and_stops_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invitations.selectors.COUNTED_AT_MOST", 2)
    fill(world)
    page = read(browser(world.lee).get(HERE))
    numbers = [number.text for number in page.tree.with_class("figure-number")]
    assert numbers == ["2+", "1", "24 hours", "1", "2+"]
    assert "2+ invitations did not arrive" in page.main
    assert "2 e-mails are waiting to be sent" in page.main


def test_overview__mail_not_set_up__needs_attention_and_nobody_is_told_to_wait(world: World) -> None:
    with platform("test"):
        UserInvitation.objects.filter(organization=world.practice).update(delivery_status="disabled")
    client = browser(world.lee)
    page = read(client.get(HERE))
    assert "1 invitation did not arrive" in page.main
    assert "They leave by themselves" not in page.main
    listed = read(client.get(f"{HERE}invitations/"))
    assert [badge.text for badge in listed.tree.with_class("list-status")] == ["Not delivered"]


def test_overview__time_to_accept__the_median_in_words_or_that_nobody_has(world: World) -> None:
    def shown() -> tuple[str, str]:
        [figure] = [
            link for link in read(browser(world.lee).get(HERE)).tree.with_class("figure-link") if "Usual" in link.text
        ]
        assert figure["href"] == f"{HERE}invitations/?attention=accepted"
        return figure.with_class("figure-number")[0].text, figure.with_class("figure-label")[0].text

    assert shown() == ("", "Usual time to accept: nobody accepted in 30 days")
    now = timezone.now()
    for hours in (1, 3, 50):
        make(world, status="accepted", accepted_at=now, created_at=now - timedelta(hours=hours))
    assert shown() == ("3 hours", "Usual time to accept (median)")


def test_overview__nothing_to_do__says_so(world: World) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=world.invitation.pk).update(delivery_status="sent", sent_at=timezone.now())
    page = read(browser(world.lee).get(HERE))
    assert "Nothing: every open invitation is on its way, or waits for its answer." in page.main


def test_overview__nothing_open_and_expired_ones_wait__not_called_done(world: World) -> None:
    with platform("test"):
        past = timezone.now() - timedelta(days=1)
        UserInvitation.objects.filter(pk=world.invitation.pk).update(created_at=past - timedelta(1), expires_at=past)
    make(world, status="accepted", accepted_at=timezone.now())
    page = read(browser(world.lee).get(HERE))
    assert "Nothing: no invitation is open." in page.main
    assert "on its way" not in page.main


def test_rail__of_a_platform_administrator_in_an_organization_of_others__says_so(world: World) -> None:
    said = "You are here as platform administrator."
    client = browser(world.ana)
    assert said in read(client.get(HERE)).text
    assert said not in read(client.get("/o/platform/")).text
    assert said not in read(browser(world.lee).get(HERE)).text
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.ana, role=Role.MEDICAL_STAFF)
    assert said not in read(client.get(HERE)).text


def test_overview__nobody_invited_yet__the_first_step(world: World) -> None:
    with platform("test"):
        UserInvitation.objects.all()._raw_delete("default")  # the database cascades
    page = read(browser(world.lee).get(HERE))
    assert "Nobody is invited yet" in page.main
    assert page.links["Invite somebody"] == f"{HERE}invitations/new/"


def test_overview__role_without_invitations__a_page_and_only_what_it_may_open(world: World) -> None:
    fill(world)
    page = read(browser(world.mia).get(HERE))
    assert "You are in Lee Family Practice" in page.main
    (rail,) = page.tree.all("nav", aria_label="Main")
    assert [link.text for link in rail.all("a")] == ["Overview", "Organization", "Your profile"]
    assert counted(page) == {}
    (rail,) = read(browser(world.lee).get(HERE)).tree.all("nav", aria_label="Main")
    assert [link.text for link in rail.all("a")] == [
        "Overview",
        "Invitations",
        "People",
        "Agreements",
        "Compliance",
        "Organization",
        "Your profile",
    ]


def test_overview__may_not_invite__no_word_of_invitations_until_allowed_or_there_is_one_to_see(world: World) -> None:
    def rail() -> list[str]:
        page = read(browser(world.omar).get(HERE))
        assert ("You are in Lee Family Practice" in page.main) is ("Invitations" not in page.text)
        return [link.text for link in page.tree.all("nav", aria_label="Main")[0].all("a")]

    assert rail() == ["Overview", "People", "Organization", "Your profile"]
    acts.allow_staff_to_invite(world.practice)
    assert "Invitations" in rail()
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=False)
    assert "Invitations" not in rail()
    make(world, invited_by=world.omar, sent=True)
    assert "Invitations" in rail()


def test_overview__every_page_of_the_rail__opens(world: World) -> None:
    with platform("test"):
        people = [MembershipFactory(organization=world.practice, role=role).user for role in Role if role != "admin"]
    for user in people:
        client = browser(user)
        (rail,) = read(client.get(HERE)).tree.all("nav", aria_label="Main")
        for link in rail.all("a"):
            assert client.get(link["href"]).status_code == 200, (user, link["href"])


@pytest.mark.seed("S0.24")
def test_overview__who_may_not__404_outside_and_sign_in_for_nobody(world: World) -> None:
    read(browser(world.lee).get(HERE))
    read(browser(world.stone).get(HERE), 404)
    read(browser(world.lee).get("/o/no-such-place/"), 404)
    assert browser().get(HERE)["Location"] == f"/sign-in/?next={HERE}"


def test_menu__of_somebody__says_their_roles_and_once_that_they_administer(world: World) -> None:
    for person, organization, words in (
        (world.lee, world.practice.slug, "Doctor, administrator"),
        (world.mia, world.practice.slug, "Medical staff"),
        (world.ana, world.platform.slug, "Administrator"),
    ):
        page = read(browser(person).get(f"/o/{organization}/"))
        [head] = page.tree.with_class("menu-head")
        assert head.with_class("small-text")[-1].text == words
