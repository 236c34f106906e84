"""/o/<organization>/invitations/<id>/: where an invitation stands, its story, and the acts that need no form."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.pages import Page, browser, parse, read, submit
from healthivr.testing.world import World
from invitations import selectors
from invitations.expiry import expire_overdue
from invitations.models import Delivery, InvitationHistory, UserInvitation
from invitations.services import cancel_invitation, resend_invitation, update_invitation
from invitations.tests import acts
from invitations.tests.api.test_detail import close
from organizations.roles import Role
from organizations.tenancy import platform

LIST = "/o/lee-family-practice/invitations/"


def here(invitation: UserInvitation, act: str = "") -> str:
    """Return the address of an invitation's page, or of an act on it."""
    return f"{LIST}{invitation.pk}/{act}"


def look(world: World, invitation: UserInvitation | None = None) -> Page:
    """Open an invitation's page as the practice's administrator."""
    return read(browser(world.lee).get(here(invitation or world.invitation)))


def story(page: Page) -> list[str]:
    """Return the titles of the timeline."""
    return [line.text for line in page.tree.with_class("timeline-title")]


def change(invitation: UserInvitation, **values: Any) -> None:
    """Put a row into a state."""
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(**values)


def deliver(invitation: UserInvitation, status: str, reason: str = "") -> None:
    """Note what became of the invitation's mail, as the worker does."""
    now = timezone.now()
    with platform("test"):
        Delivery.objects.create(
            organization_id=invitation.organization_id,
            invitation=invitation,
            status=status,
            reason=reason,
            next_try_at=now,
            created_at=now,
            finished_at=now,
        )
    change(invitation, delivery_status=status, sent_at=now if status in ("sent", "delivered") else None)


# --- what it shows ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.27", "S4.8")
def test_detail__open_invitation__facts_story_acts_and_no_link(world: World) -> None:
    change(world.invitation, first_name="Nora", last_name="Quist", message="See you on Monday.\nBring coffee.")
    response = browser(world.lee).get(here(world.invitation))
    page = read(response)
    assert page.heading == "Nora Quist"
    for words in ("new.nurse@example.org", "Medical staff", "Jun Lee", "English", "See you on Monday. Bring coffee."):
        assert words in page.main
    assert story(page) == ["Created", "The link stops working"]
    assert page.buttons == [], "what is just leaving is not sent again"
    assert page.links["Correct the address"] == here(world.invitation, "address/")
    assert page.links["Edit"] == here(world.invitation, "edit/")
    assert page.links["Cancel invitation"] == here(world.invitation, "cancel/")
    for secret in (acts.token_of(world.invitation), world.invitation.token_hash, world.invitation.token_nonce, "/i/"):
        assert secret not in response.content.decode()


@pytest.mark.parametrize(
    ("how", "word", "line", "buttons"),
    [
        ("accepted", "Accepted", "Accepted", []),
        ("declined", "Declined", "Declined", []),
        ("cancelled", "Cancelled", "Cancelled", []),
        ("overdue", "Expired", "Created", ["Renew"]),
    ],
)
def test_detail__closed_invitation__its_end_and_only_the_acts_that_are_left(
    world: World, how: str, word: str, line: str, buttons: list[str]
) -> None:
    if how == "cancelled":
        acts.act(
            cancel_invitation, actor=world.actor(world.lee), invitation_id=world.invitation.pk, reason="Wrong person"
        )
    else:
        close(world.invitation, how)
    page = look(world)
    assert word in page.main
    assert line in story(page)
    assert "The link stops working" not in story(page)
    assert page.buttons == buttons
    assert "Cancel invitation" not in page.links
    assert "Edit" not in page.links
    if how == "cancelled":
        assert "Wrong person" in page.main
    if how == "declined":
        assert "I do not want to join" in page.main


@pytest.mark.seed("S0.26")
@pytest.mark.parametrize(
    ("status", "reason", "line", "words"),
    [
        ("sent", "", "Sent: the mail server took it", ""),
        ("bounced", "550 5.1.1 no such user", "Bounced", "The mailbox does not exist."),
        ("failed", "connection refused: not reachable", "Could not be sent", "The mail server could not be reached."),
        (
            "rejected",
            "550 5.1.1 no",
            "Not sent: the mail server refused the message",
            "leave out the note and send it again",
        ),
        ("complained", "", "Reported as spam by the recipient", "Talk to the person"),
        ("disabled", "", "Not sent: no mail server is set up", "mail is not set up"),
        ("unknown", "", "No receipt", ""),
    ],
)
def test_detail__what_became_of_the_mail__in_words_and_what_to_do(
    world: World, status: str, reason: str, line: str, words: str
) -> None:
    deliver(world.invitation, status, reason)
    page = look(world)
    assert line in story(page)
    assert words in page.main
    if status == "bounced":
        assert "then choose “Correct the address”" in page.main
        assert "Send again" not in page.buttons
    if status == "rejected":
        assert "Send again" in page.buttons
        assert "mailbox" not in page.main


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "text", ["<b>x</b>", "<script>alert(1)</script>", "{{ 7|add:7 }}", "{% now 'Y' %}", "a&b&amp;"]
)
def test_detail__markup_or_template_syntax__plain_text_everywhere(world: World, text: str) -> None:
    deliver(world.invitation, "bounced", f"550 {text}"[:200])
    change(world.invitation, first_name=text, last_name=text, message=text)
    acts.act(cancel_invitation, actor=world.actor(world.lee), invitation_id=world.invitation.pk, reason=text)
    response = browser(world.lee).get(here(world.invitation))
    page = read(response, 200, text)
    assert page.heading == f"{text} {text}"
    assert page.main.count(text) >= 4
    assert not [script for script in page.tree.all("script") if script.children]


def test_detail__expired_and_its_address_does_not_receive__the_right_address_is_the_way_on(world: World) -> None:
    change(world.invitation, first_name="Nora", message="Hello")
    deliver(world.invitation, "bounced")
    close(world.invitation, "overdue")
    page = look(world)
    assert "then choose “Invite the right address”" in page.main
    assert page.buttons == [], "services refuse to renew it"
    new = read(browser(world.lee).get(page.links["Invite the right address"]))
    assert new.values["email"] == ""
    assert (new.values["first_name"], new.values["message"]) == ("Nora", "Hello")


@pytest.mark.parametrize("how", ["declined", "cancelled"])
def test_detail__closed_for_good__invite_again_fills_in_a_new_one(world: World, how: str) -> None:
    change(world.invitation, first_name="Nora", last_name="Quist", message="One\nTwo", language="es")
    close(world.invitation, how)
    client = browser(world.lee)
    address = look(world).links["Invite again"]
    assert address == f"{LIST}new/?like={world.invitation.pk}"
    assert read(client.get(address)).values == {
        "invitation_type": "medical_staff",
        "email": "new.nurse@example.org",
        "first_name": "Nora",
        "last_name": "Quist",
        "expires_in_hours": "",
        "language": "es",
        "message": "One\nTwo",
    }
    assert submit(client, address).status_code == 302
    assert read(client.get(LIST)).text.count("Nora Quist") == 2


def test_detail__closed_invitation_and_somebody_who_may_not_invite_for_its_role__no_way_that_ends_in_a_refusal(
    world: World,
) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    close(world.invitation, "declined")
    assert "Invite again" in look(world).links
    assert "Invite again" not in read(browser(boss).get(here(world.invitation))).links


@pytest.mark.parametrize("is_swept", [True, False])
def test_detail__expired_invitation__ended_at_its_end_and_not_when_somebody_noticed(
    world: World, is_swept: bool
) -> None:
    close(world.invitation, "overdue")
    end = timezone.now() - timedelta(hours=5)
    change(world.invitation, expires_at=end)
    if is_swept:
        with platform("test"):
            expire_overdue(at=timezone.now())
    page = look(world)
    assert story(page) == ["Created", "Expired"]
    (ended,) = [line for line in page.tree.all("li") if "Expired" in line.text]
    assert "5 hours ago" in ended.text
    assert "Expired on" in page.main


def test_detail__accepted_invitation__not_invited_again(world: World) -> None:
    close(world.invitation, "accepted")
    assert "Invite again" not in look(world).links


def test_detail__story_of_many_acts__in_order(world: World) -> None:
    actor, at = world.actor(world.lee), timezone.now()
    acts.act(resend_invitation, actor=actor, invitation_id=world.invitation.pk, at=at + timedelta(seconds=1))
    acts.act(cancel_invitation, actor=actor, invitation_id=world.invitation.pk, at=at + timedelta(seconds=2))
    titles = story(look(world))
    assert titles.index("Created") < titles.index("Sent again, with a new link") < titles.index("Cancelled")


def details(page: Page) -> list[str]:
    """Return what the timeline says was changed."""
    return [
        line.all("p")[-1].text
        for line in page.tree.all("li")
        if [title.text for title in line.with_class("timeline-title")] == ["Changed"]
    ]


def test_detail__changed__which_fields_and_the_values_that_may_be_shown(world: World) -> None:
    actor, pk = world.actor(world.lee), world.invitation.pk
    at = datetime(2026, 3, 10, 16, tzinfo=UTC)
    with platform("test"):
        UserInvitation.objects.filter(pk=pk).update(created_at=at, expires_at=at + timedelta(days=7), first_name="Nory")
    acts.act(update_invitation, actor=actor, invitation_id=pk, first_name="Nora", language="es", at=at)
    acts.act(
        update_invitation, actor=actor, invitation_id=pk, invitation_type="office_admin", expires_in_hours=24, at=at
    )
    page = look(world)
    assert details(page) == [
        "First name Language: English → Spanish",
        "The link works until: Mar 17, 2026, 12:00 PM EDT → Mar 11, 2026, 12:00 PM EDT "
        "Role: Medical staff → Office administrator",
    ]
    assert "Nory" not in page.text


def test_detail__changed_and_the_trail_does_not_say_how__the_fields_alone(world: World) -> None:
    with platform("test"):
        InvitationHistory.objects.create(
            organization=world.practice,
            invitation=world.invitation,
            event="update",
            at=timezone.now(),
            reason="language, message",
        )
    assert details(look(world)) == ["Language Note"]


def test_detail__timeline__exact_times_with_their_zone_and_nothing_to_stop_at(world: World) -> None:
    (timeline,) = look(world).tree.with_class("timeline")
    assert not [element for element in timeline.all() if "tabindex" in element.attributes]
    for moment in timeline.all("time"):
        assert re.fullmatch(r"\w{3} \d+, \d{4}, \d+:\d\d [AP]M E[SD]T", moment.text)
    assert "(in 7 days)" in timeline.text


# --- who may open it -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("act", ["", "standing/", "edit/", "cancel/", "address/"])
def test_detail__who_may_not__404_for_strangers_403_for_colleagues(world: World, act: str) -> None:
    with platform("test"):
        of_omar = InvitationFactory(organization=world.practice, invited_by=world.omar, upline=world.omar)
    expected = 302 if act == "standing/" else 200
    assert browser(world.lee).get(here(world.invitation, act)).status_code == expected
    assert browser(world.omar).get(here(of_omar, act)).status_code == expected
    htmx = {"HX-Request": "true"} if act == "standing/" else {}
    page = read(browser(world.omar).get(here(world.invitation, act), headers=htmx), 403)
    assert "A colleague sent this invitation." in page.main
    assert "new.nurse" not in page.text
    read(browser(world.mia).get(here(world.invitation, act), headers=htmx), 403)
    read(browser(world.stone).get(here(world.invitation, act), headers=htmx), 404)
    at_home = f"/o/stone-clinic/invitations/{world.invitation.pk}/{act}"
    read(browser(world.stone).get(at_home, headers=htmx), 404)
    read(browser(world.lee).get(f"{LIST}{uuid4()}/{act}", headers=htmx), 404)
    assert browser().get(here(world.invitation, act), headers=htmx).status_code == (401 if htmx else 302)


@pytest.mark.parametrize("identifier", ["1", "new2", "x" * 300, "%00", "٣", "00000000-0000-0000-0000-00000000000g"])
def test_detail__junk_as_an_id__400_or_404(world: World, identifier: str) -> None:
    assert browser(world.lee).get(f"{LIST}{identifier}/").status_code in (400, 404)


def test_detail__organization_administrator_who_may_not_invite__cancels_and_is_offered_no_sending(
    world: World,
) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    page = read(browser(boss).get(here(world.invitation)))
    assert page.buttons == []
    assert not {"Correct the address", "Edit"} & set(page.links)
    assert "Cancel invitation" in page.links


# --- while the mail is on its way ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "closes", "words", "is_sent"),
    [
        ("sent", False, "", True),
        ("delivered", True, "", True),
        ("disabled", False, "Nothing was sent: no mail server is set up.", False),
        ("cancelled", True, "The invitation is closed, and no e-mail leaves any more.", False),
        ("queued", True, "The invitation is closed, and no e-mail leaves any more.", False),
        ("cancelled", False, "The e-mail was taken back before it was sent.", False),
        ("failed", False, "The e-mail could not be delivered.", False),
    ],
)
def test_standing__what_became_of_the_mail__sent_is_said_only_of_what_left(
    world: World, status: str, closes: bool, words: str, is_sent: bool
) -> None:
    client = browser(world.lee)
    (asking,) = read(client.get(here(world.invitation))).tree.all(id="standing")
    deliver(world.invitation, status)
    if closes:
        close(world.invitation, "cancelled")
    response = client.get(asking["hx-get"], headers={"HX-Request": "true"})
    (progress,) = parse(response.content.decode()).all(role="status")
    assert words in progress.text
    steps = [step["data-step"] for step in progress.all("li") if "Sent" in step.text]
    assert steps == (["done"] if is_sent else [])


@pytest.mark.seed("S4.14", "S4.15")
def test_detail__mail_leaves_while_the_page_is_put_together__badge_and_story_agree(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_story = selectors.timeline

    def late(invitation: UserInvitation) -> list[selectors.TimelineItem]:
        if invitation.delivery_status == "queued":
            change(invitation, delivery_status="sent", sent_at=timezone.now(), send_count=1)
            deliver(invitation, "sent")
        return read_story(invitation)

    monkeypatch.setattr(selectors, "timeline", late)
    change(world.invitation, delivery_status="queued", sent_at=None, send_count=0)
    page = look(world)
    assert "Sent: the mail server took it" in story(page)
    assert "Waiting to be sent" not in page.text


def test_standing__asked_by_htmx__204_until_something_changes(world: World) -> None:
    client = browser(world.lee)
    (asking,) = read(client.get(here(world.invitation))).tree.all(id="standing")
    assert asking["hx-get"].startswith(here(world.invitation, "standing/"))
    htmx = {"HX-Request": "true"}
    assert client.get(asking["hx-get"], headers=htmx).status_code == 204
    deliver(world.invitation, "sent")
    response = client.get(asking["hx-get"], headers=htmx)
    part = parse(response.content.decode())
    assert response.status_code == 200
    assert not part.all("html")
    (standing,) = part.all(id="standing")
    assert "Sent: the mail server took it" in standing.text
    assert not standing["hx-get"], "it stops asking"


def test_standing__opened_as_a_page__leads_to_the_page(world: World) -> None:
    response = browser(world.lee).get(here(world.invitation, "standing/"))
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))


# --- send again and renew --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "created", "hours", "look_of_it"),
    [
        ("sent", 0, 168, "btn-secondary"),
        ("sent", 150, 18, "btn-primary"),
        ("sent", 0, 24, "btn-secondary"),  # a short life is not an urgency
        ("failed", 0, 168, "btn-primary"),
    ],
)
def test_detail__send_again__loud_only_when_it_is_next_and_says_what_it_does(
    world: World, status: str, created: int, hours: int, look_of_it: str
) -> None:
    now = timezone.now()
    deliver(world.invitation, status)
    times = {"created_at": now - timedelta(hours=created), "expires_at": now + timedelta(hours=hours)}
    change(world.invitation, **times, sent_at=times["created_at"])
    page = look(world)
    (button,) = [button for main in page.tree.all("main") for button in main.all("button")]
    assert (button.text, button.classes) == ("Send again", {"btn", look_of_it})
    assert "The link in the earlier mail stops working." in page.main


@pytest.mark.seed("S0.8")
def test_resend__open_invitation__new_link_and_said_so(world: World) -> None:
    deliver(world.invitation, "sent")
    client, old = browser(world.lee), acts.token_of(world.invitation)
    response = submit(client, here(world.invitation), to=here(world.invitation, "resend/"))
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))
    page = read(client.get(response["Location"]))
    assert page.notices == ["A new link is on its way to new.nurse@example.org. Earlier links do not work any more."]
    assert acts.token_of(world.invitation) != old
    assert read(client.get(here(world.invitation))).notices == []


def test_renew__expired_invitation__open_again_and_said_so(world: World) -> None:
    close(world.invitation, "overdue")
    client = browser(world.lee)
    response = submit(client, here(world.invitation), to=here(world.invitation, "renew/"))
    page = read(client.get(response["Location"]))
    assert "A new link is on its way" in page.notices[0]
    assert page.buttons == []


def test_renew__the_address_has_an_open_invitation__named_with_a_link(world: World) -> None:
    close(world.invitation, "expired")
    acts.count_seats_anew()
    there = acts.invite(world.actor(world.lee), email="new.nurse@example.org")
    client = browser(world.lee)
    response = submit(client, here(world.invitation), to=here(world.invitation, "renew/"))
    page = read(client.get(response["Location"]))
    assert page.notices[0].startswith("This address already has an open invitation.")
    assert page.links["See the open invitation"] == here(there)


@pytest.mark.parametrize(
    ("act", "state", "message"),
    [
        ("resend/", {"send_count": 10}, "has been sent ten times"),
        ("resend/", {"delivery_status": "bounced"}, "bounced"),
        ("resend/", "cancelled", "has been cancelled"),
        ("resend/", "accepted", "has been accepted"),
        ("renew/", {}, "is still open"),
        ("renew/", "declined", "has been declined"),
    ],
)
def test_resend_or_renew__not_possible__said_on_the_page_and_nothing_done(
    world: World, act: str, state: Any, message: str
) -> None:
    client = Client()
    client.force_login(world.lee)
    if isinstance(state, str):
        close(world.invitation, state)
    else:
        change(world.invitation, **state)
    with acts.nothing_written():
        response = client.post(here(world.invitation, act))
    assert response["Location"] == here(world.invitation)
    assert message in read(client.get(response["Location"])).notices[0]


def test_resend__without_the_right_for_the_role__403_page(world: World) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    client = Client()
    client.force_login(boss)
    page = read(client.post(here(world.invitation, "resend/")), 403)
    assert "does not allow you to invite for this role" in page.main
    assert acts.history(world.invitation) == []


@pytest.mark.seed("S0.20", "S4.24")
@pytest.mark.parametrize("act", ["resend/", "renew/", "cancel/", "edit/", "address/"])
def test_acts__posted_without_csrf_token__403_page_and_nothing_done(world: World, act: str) -> None:
    with platform("test"):
        other = InvitationFactory(organization=world.practice, invited_by=world.lee, upline=world.lee)
    acts.count_seats_anew()
    client = browser(world.lee)
    if act == "resend/":
        deliver(other, "sent")
        assert submit(client, here(other), to=here(other, act)).status_code == 302
    with acts.nothing_written():
        page = read(client.post(here(world.invitation, act), {"email": "x@example.org", "reason": "x"}), 403)
    assert page.heading == "We could not confirm this form"


@pytest.mark.parametrize("act", ["resend/", "renew/"])
def test_acts__opened_as_a_page__405_and_nothing_done(world: World, act: str) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        assert client.get(here(world.invitation, act)).status_code == 405
