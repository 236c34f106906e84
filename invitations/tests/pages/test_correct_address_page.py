"""/o/<organization>/invitations/<id>/address/: cancel, and send to the right address."""

from datetime import datetime

import pytest
from django.test import Client

from healthivr.testing.factories import MembershipFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.services import cancel_invitation, create_invitation
from invitations.tests import acts
from invitations.tests.api.test_detail import close
from organizations.roles import Role
from organizations.tenancy import platform

from .test_detail_page import change, here


def test_correct_address__opened__the_address_as_it_is(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(client.get(here(world.invitation, "address/")))
    assert page.heading == "Correct the address"
    assert page.values == {"email": "new.nurse@example.org"}
    assert page.links["Go back"] == here(world.invitation)


def test_correct_address__another_one__old_cancelled_new_sent_and_led_there(world: World) -> None:
    change(world.invitation, first_name="Nora", message="Hello", delivery_status="bounced")
    client = browser(world.lee)
    response = submit(client, here(world.invitation, "address/"), email=" Nora@Example.org ")
    with platform("test"):
        new = UserInvitation.objects.get(email="nora@example.org")
    assert (response.status_code, response["Location"]) == (302, here(new))
    page = read(client.get(response["Location"]))
    assert page.notices == ["A new invitation is on its way to nora@example.org. The old one is cancelled."]
    assert (new.first_name, new.message, new.invitation_type) == ("Nora", "Hello", "medical_staff")
    assert acts.fresh(world.invitation).status == "cancelled"
    old = read(client.get(here(world.invitation)))
    assert "Address corrected" in old.main
    assert old.links["See the new invitation"] == here(new)
    assert "Invite again" not in old.links
    assert acts.seats_used(world.practice) == 4


def test_cancelled__in_the_moment_in_which_another_was_made__names_no_successor(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    acts.act(cancel_invitation, actor=lee, invitation_id=world.invitation.pk, reason="Invited twice", at=now)
    acts.act(create_invitation, actor=lee, invitation_type="medical_staff", email="nora@example.org", at=now)
    page = read(browser(world.lee).get(here(world.invitation)))
    assert "Invited twice" in page.main
    assert "See the new invitation" not in page.links


@pytest.mark.parametrize(
    ("email", "message"),
    [
        ("", "Enter an e-mail address."),
        ("nora", "Enter an e-mail address such as name@example.org."),
        ("nоra@example.org", "letters that look like others"),
        ("x" * 243 + "@example.org", "This address is too long."),
        ("mia@example.org", "already has this role"),
        ("open@example.org", "already has an open invitation"),
    ],
)
def test_correct_address__refused__said_at_the_field_kept_and_the_old_one_still_open(
    world: World, email: str, message: str
) -> None:
    acts.invite(world.actor(world.lee), email="open@example.org")
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, here(world.invitation, "address/"), email=email), 422)
    assert list(page.errors) == ["email"]
    assert message in page.summary[0]
    assert page.values["email"] == email
    assert acts.fresh(world.invitation).status == "pending"


@pytest.mark.parametrize("how", ["accepted", "declined", "cancelled", "overdue"])
def test_correct_address__closed_meanwhile__led_to_its_page(world: World, how: str) -> None:
    client = browser(world.lee)
    close(world.invitation, how)
    with acts.nothing_written():
        response = submit(client, here(world.invitation, "address/"), email="nora@example.org")
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))
    (notice,) = read(client.get(response["Location"])).notices
    assert notice.startswith("This invitation has")


def test_correct_address__somebody_who_may_not_invite__said_on_top_and_still_open(world: World) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    client = browser(boss)
    page = read(submit(client, here(world.invitation, "address/"), email="nora@example.org"), 422)
    assert "does not allow" in page.summary[0]
    assert acts.fresh(world.invitation).status == "pending"


@pytest.mark.parametrize(
    "junk", ["\0@example.org", "💩@example.org", "٣@example.org", "x" * 100_000, "a\r\nBcc: b@c.d"]
)
def test_correct_address__junk__refused_and_never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    assert client.post(here(world.invitation, "address/"), {"email": junk}).status_code == 422


def test_correct_address__the_right_one_has_an_open_invitation__named_with_a_link(world: World) -> None:
    there = acts.invite(world.actor(world.lee), email="open@example.org")
    client = browser(world.lee)
    page = read(submit(client, here(world.invitation, "address/"), email="open@example.org"), 422)
    assert page.links["See the open invitation"] == here(there)
    other = read(submit(client, here(world.invitation, "address/"), email="mia@example.org"), 422)
    assert "See the open invitation" not in other.links
