"""/i/decline/: saying no, and why."""

import pytest
from django.test import Client

from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts

from .test_accept_pages import go_on, link

DECLINE, DONE = "/i/decline/", "/i/decline/done/"


@pytest.mark.parametrize("reason", ["not_me", "not_wanted", "other"])
def test_decline__with_a_reason__done_inviter_told_and_the_link_is_dead(world: World, reason: str) -> None:
    client, token = browser(), acts.token_of(world.invitation)
    assert go_on(client, world.invitation, act="decline") == DECLINE
    page = read(client.get(DECLINE))
    assert page.heading == "Decline the invitation"
    assert "Lee Family Practice is told that you declined" in page.main
    assert page.options("reason") == ["not_me", "not_wanted", "other"]
    response = submit(client, DECLINE, to=DECLINE, reason=reason)
    assert (response.status_code, response["Location"]) == (302, DONE)
    assert response.cookies["invitation"].value == ""
    done = read(client.get(DONE))
    assert done.heading == "You declined the invitation"
    assert token not in done.text
    row = acts.fresh(world.invitation)
    assert (row.status, acts.trail(world.practice)[-1].reason) == ("declined", reason)
    assert acts.deliveries(row, purpose="declined") == ["queued"]
    assert acts.seats_used(world.practice) == 3
    assert read(client.get(link(token)), 410).heading == "This invitation was declined"
    assert read(client.get(DECLINE), 404).heading == "No invitation is open here any more"


@pytest.mark.parametrize("reason", ["", "because", "\0", "x" * 5000])
def test_decline__without_a_reason_that_we_know__said_at_the_field_and_still_open(world: World, reason: str) -> None:
    client = browser()
    go_on(client, world.invitation, act="decline")
    with acts.nothing_written():
        page = read(submit(client, DECLINE, to=DECLINE, reason=reason), 422, *[reason] * bool(reason.strip("\0")))
    assert list(page.errors) == ["reason"]
    if not reason:
        assert page.errors["reason"] == ["Choose a reason."]
    assert submit(client, DECLINE, to=DECLINE, reason="other").status_code == 302


def test_decline__signed_in_with_another_address__possible_for_the_holder_of_the_link(world: World) -> None:
    client = browser(world.stone)
    assert read(client.get(link(world.invitation)), 403).heading == "You are signed in with another address"
    client.cookies["invitation"] = acts.token_of(world.invitation)
    assert submit(client, DECLINE, to=DECLINE, reason="not_me").status_code == 302
    assert acts.fresh(world.invitation).status == "declined"


def test_decline__thought_better_of__back_to_the_accept_page(world: World) -> None:
    client = browser()
    go_on(client, world.invitation, act="decline")
    page = read(client.get(DECLINE))
    assert read(client.get(page.links["Go back and accept instead"])).heading == "Create your account"


def test_decline__without_a_link__404_page(world: World) -> None:
    assert read(browser().get(DECLINE), 404).heading == "No invitation is open here any more"
    assert read(Client().post(DECLINE, {"token": "A" * 43, "reason": "other"}), 404)


def test_decline__twice__the_second_time_410(world: World) -> None:
    token = acts.token_of(world.invitation)
    client = Client()
    assert client.post(DECLINE, {"token": token, "reason": "other"}).status_code == 302
    with acts.nothing_written():
        page = read(client.post(DECLINE, {"token": token, "reason": "other"}), 410)
    assert page.heading == "This invitation was declined"
