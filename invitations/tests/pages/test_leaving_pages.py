"""Pages about people who leave, and about several at once, as administrators meet them."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AccountMail, User
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform

PEOPLE = "/o/lee-family-practice/people/"


@pytest.fixture
def second(world: World) -> User:
    """A second administrator of the practice."""
    with platform("test"):
        user = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
    acts.count_seats_anew()
    return user


@pytest.mark.seed("S2.13")
def test_leave__handed_over__shown_before_done_and_a_receipt_after(world: World, second: User) -> None:
    session_of(world.lee)
    client, address = browser(second), f"{PEOPLE}leave/{world.lee.pk}/"
    page = read(client.get(address))
    for words in ("Doctor", "1 session, signed out at once", "new.nurse@example.org"):
        assert words in page.main
    assert page.values["open_invitations"] == "cancel"
    wrong = read(submit(client, address, open_invitations="hand_over", reason=""), 422)
    assert set(wrong.errors) == {"hand_over_to", "reason"}
    assert wrong.title == "Error: Leave the organization · healthivr"
    assert wrong.values["open_invitations"] == "hand_over"
    answer = submit(client, address, open_invitations="hand_over", hand_over_to=str(second.pk), reason="Retires")
    assert answer["Location"] == f"{PEOPLE}left/{world.lee.pk}/"
    receipt = read(client.get(answer["Location"]))
    assert receipt.heading == "Receipt: Jun Lee has left"
    for words in ("Retires", "new.nurse@example.org", second.get_full_name(), "Sessions ended 1"):
        assert words in receipt.main
    assert "Receipt" in read(client.get(f"{PEOPLE}?status=ended")).links
    assert acts.fresh(world.invitation).invited_by == second


@pytest.mark.seed("S2.13")
def test_leave__of_who_is_invited_to_another_role__said_before_and_on_the_receipt(world: World, second: User) -> None:
    client, address = browser(second), f"{PEOPLE}leave/{world.mia.pk}/"
    said = "This person has an open invitation of their own, to join as Office administrator. It will be cancelled."
    assert said not in read(client.get(address)).main
    own = acts.invite(world.actor(world.lee), "office_admin", world.mia.email)
    assert said in read(client.get(address)).main
    answer = submit(client, address, reason="Has left the clinic")
    receipt = read(client.get(answer["Location"]))
    assert "mia@example.org" in receipt.main
    assert acts.fresh(own).status == "cancelled"
    timeline = read(client.get(f"/o/lee-family-practice/invitations/{own.pk}/"))
    assert "Who was invited has left the organization" in timeline.main


def test_leave__the_last_administrator__said_before_and_refused(world: World) -> None:
    client, address = browser(world.ana), f"{PEOPLE}leave/{world.lee.pk}/"
    shown = read(client.get(address))
    assert "This is the only administrator of the organization." in shown.main
    assert "End all access now" not in shown.buttons
    assert "reason" not in shown.values
    assert "sales chain" not in shown.main, "a practice has none"
    without_form = Client()
    without_form.force_login(world.ana)
    refused = without_form.post(address, {"reason": "Retires"})
    assert refused.status_code == 422
    assert "This is the only administrator of the organization." in refused.text


@pytest.mark.seed("S3.50")
def test_bulk__ticked__says_what_will_happen_then_what_became_of_each(world: World, second: User) -> None:
    client = browser(second)
    page = read(client.get(PEOPLE))
    token = page.tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    assert str(second.pk) not in page.options("ids")
    chosen = {"csrfmiddlewaretoken": token, "ids": [str(world.mia.pk), str(world.stone.pk)], "act": "end"}
    asked = read(client.post(f"{PEOPLE}bulk/", chosen))
    assert asked.heading == "End memberships"
    assert "1 person. Nothing has happened yet." in asked.main
    assert "Stone" not in asked.main
    with platform("test"):
        assert Membership.objects.active().filter(user=world.mia).exists()
    assert read(client.post(f"{PEOPLE}bulk/", {**chosen, "confirmed": "yes"}), 422).errors == {"reason": ["Say why."]}
    done = read(client.post(f"{PEOPLE}bulk/", {**chosen, "confirmed": "yes", "reason": "Moved"}))
    assert "Mia Novak Done" in done.main
    with platform("test"):
        assert not Membership.objects.active().filter(user=world.mia).exists()
    assert client.post(f"{PEOPLE}bulk/", {"csrfmiddlewaretoken": token, "act": "deactivate"}).status_code == 302
    assert list(AccountMail.objects.values_list("kind", "user")) == [("access_ended", world.mia.pk)]


@pytest.mark.seed("S2.12")
def test_adopt__from_the_page_of_the_invitation__said_before_and_after(world: World, second: User) -> None:
    client, address = browser(second), f"/o/lee-family-practice/invitations/{world.invitation.pk}/"
    assert "Take it over" not in read(client.get(address)).buttons
    with platform("test"):
        Membership.objects.filter(user=world.lee).update(status="ended", ended_at=timezone.now())
    acts.count_seats_anew()
    assert "1 invitation waits to be taken over" in read(client.get("/o/lee-family-practice/")).main
    assert "Take it over" in read(client.get(address)).buttons
    answer = submit(client, address, to=f"{address}adopt/")
    page = read(client.get(answer["Location"]))
    assert page.notices == ["The invitation is yours now. Its link works again, and stays the same."]
    assert "Taken over, with the same link" in page.main
    with platform("test"):
        assert UserInvitation.objects.get(pk=world.invitation.pk).invited_by == second
