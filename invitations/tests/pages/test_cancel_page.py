"""/o/<organization>/invitations/<id>/cancel/."""

import pytest
from django.test import Client

from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts
from invitations.tests.api.test_detail import close

from .test_detail_page import here


def test_cancel__opened__says_what_will_happen_to_whom_and_changes_nothing(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(client.get(here(world.invitation, "cancel/")))
        assert client.head(here(world.invitation, "cancel/")).status_code == 200
    assert page.heading == "Cancel the invitation to new.nurse@example.org?"
    assert "The link stops working at once" in page.main
    assert page.buttons == ["Cancel invitation"]
    assert page.links["Go back"] == here(world.invitation)


@pytest.mark.parametrize("reason", ["", "Hired somebody else", "<b>Wrong</b> {{ person }}"])
def test_cancel__confirmed__cancelled_with_its_reason_and_said_so(world: World, reason: str) -> None:
    client = browser(world.lee)
    response = submit(client, here(world.invitation, "cancel/"), reason=reason)
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))
    page = read(client.get(response["Location"]), 200, *[reason] * bool(reason))
    assert page.notices == ["The invitation to new.nurse@example.org is cancelled. Its link does not work any more."]
    assert reason in page.main
    assert acts.fresh(world.invitation).status == "cancelled"
    assert acts.trail(world.practice)[-1].reason == reason


def test_cancel__reason_too_long__said_at_its_field_and_kept(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, here(world.invitation, "cancel/"), reason="x" * 501), 422)
    assert list(page.errors) == ["reason"]
    assert page.values["reason"] == "x" * 501


@pytest.mark.parametrize("how", ["accepted", "declined", "cancelled", "expired", "overdue"])
def test_cancel__closed_meanwhile__led_to_its_page_and_nothing_written(world: World, how: str) -> None:
    client = browser(world.lee)
    close(world.invitation, how)
    with acts.nothing_written():
        response = submit(client, here(world.invitation, "cancel/"), reason="x")
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))
    (notice,) = read(client.get(response["Location"])).notices
    assert notice.startswith("This invitation has")


@pytest.mark.parametrize("junk", ["\0", "\ud83d", "\u202e", "x" * 100_000])
def test_cancel__junk__never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    sent = {"reason": junk.encode("utf-8", "replace").decode()}
    assert client.post(here(world.invitation, "cancel/"), sent).status_code in (302, 422)
