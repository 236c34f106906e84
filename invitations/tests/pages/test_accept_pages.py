"""The invited person's pages below /i/: every way that a link can end. Opening one changes nothing; from the first act on
the token is in no address."""

from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.lockout import is_known_browser
from accounts.models import User
from healthivr.testing.factories import PASSWORD, MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.factors import enrol, phone_of
from healthivr.testing.pages import Page, browser, parse, read, submit
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.services import resend_invitation
from invitations.tests import acts
from invitations.tests.api.test_detail import close
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform
from organizations.tests.agreements.acts import agreement, without_agreement

from .test_detail_page import change

START, ACCEPT, NEW_LINK = "/i/start/", "/i/accept/", "/i/new-link/"
NORA = {"first_name": "Nora", "last_name": "Quist", "password": PASSWORD}


def link(invitation: UserInvitation | str) -> str:
    """Return the path of an invitation's link, or of a token."""
    return f"/i/{invitation if isinstance(invitation, str) else acts.token_of(invitation)}/"


def go_on(client: Client, invitation: UserInvitation, act: str = "accept") -> str:
    """Open the link and press its button; return where it leads, having demanded that the token stays behind."""
    token = acts.token_of(invitation)
    response = submit(client, link(invitation), to=START, act=act)
    assert response.status_code == 302
    assert token not in response["Location"]
    return str(response["Location"])


def refused(client: Client, *typed: str, **values: Any) -> Page:
    """Send the form of the accept page, demand that nothing is written, and return the page."""
    with acts.nothing_written():
        return read(submit(client, ACCEPT, to=ACCEPT, **{**NORA, **values}), 422, *typed)


# --- a new person ----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.27", "S0.38", "S4.21")
def test_accept__new_person__from_the_mail_to_the_welcome_with_the_token_left_behind(world: World) -> None:
    client, token = browser(), acts.token_of(world.invitation)
    landing = read(client.get(link(world.invitation)))
    assert landing.heading == "Join Lee Family Practice on healthivr"
    for words in ("Jun Lee", "Medical staff", "Helps to treat patients"):
        assert words in landing.main
    assert landing.buttons[0] == "Continue"
    assert "new.nurse" not in landing.text
    assert go_on(client, world.invitation) == ACCEPT
    cookie = client.cookies["invitation"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"], cookie["max-age"]) == ("/i/", True, "Lax", 3600)
    page = read(client.get(ACCEPT))
    assert page.heading == "Create your account"
    assert "new.nurse@example.org" in page.tree.all("input", id="id_username")[0]["value"]
    assert "15 characters or more" in page.main
    response = submit(client, ACCEPT, to=ACCEPT, **NORA)
    assert (response.status_code, response["Location"]) == (302, "/o/lee-family-practice/welcome/")
    assert response.cookies["invitation"].value == ""
    welcome = read(client.get(response["Location"]))
    assert welcome.heading == "You are in Lee Family Practice"
    for words in ("Medical staff", "new.nurse@example.org"):
        assert words in welcome.main
    user = User.objects.get(email="new.nurse@example.org")
    assert user.check_password(PASSWORD)
    assert [m.role for m in acts.memberships(user)] == ["medical_staff"]
    started = acts.trail(world.platform)[-1]
    assert (started.action, started.actor_id) == ("session.started", user.pk)
    assert started.target_id == str(user.user_sessions.get().pk)
    assert started.request_id == response["X-Request-ID"]
    for session in Session.objects.all():
        assert token not in str(session.get_decoded()), "the session stands in a table"


@pytest.mark.seed("S0.10", "S0.11")
def test_link_and_form__opened_a_hundred_times_by_get_and_head__change_nothing(
    world: World, roomy_limits: None
) -> None:
    client = browser()
    go_on(client, world.invitation)
    with acts.nothing_written():
        for _time in range(100):
            for address in (link(world.invitation), ACCEPT, "/i/decline/"):
                assert client.get(address).status_code == 200
                assert client.head(address).status_code == 200
    assert submit(client, ACCEPT, to=ACCEPT, **NORA).status_code == 302


def test_link__opened_in_another_browser_than_the_form__both_work(world: World) -> None:
    phone, desk = browser(), browser()
    go_on(phone, world.invitation)
    go_on(desk, world.invitation)
    assert submit(desk, ACCEPT, to=ACCEPT, **NORA).status_code == 302
    assert read(phone.get(ACCEPT), 410).heading == "This invitation has been accepted"


def test_accept_form__without_a_link__404_page_that_says_so(world: World) -> None:
    page = read(browser().get(ACCEPT), 404)
    assert page.heading == "No invitation is open here any more"
    assert page.links["Sign in"] == "/sign-in/"


def test_accept_form__gone_back_to_after_accepting__said_that_it_is_done_and_led_on(world: World) -> None:
    client = browser()
    go_on(client, world.invitation)
    assert submit(client, ACCEPT, to=ACCEPT, **NORA).status_code == 302
    page = read(client.get(ACCEPT), 404)
    assert page.heading == "No invitation is open here any more"
    assert "If you have just accepted or declined, that is done." in page.main
    assert page.links["Go to your start page"] == "/"
    assert "Lee Family" not in page.text


def test_accept__names_from_the_invitation__filled_in(world: World) -> None:
    change(world.invitation, first_name="Nora", last_name="<b>Quist</b>")
    client = browser()
    page = read(client.get(go_on(client, world.invitation)), 200, "<b>Quist</b>")
    assert (page.values["first_name"], page.values["last_name"]) == ("Nora", "<b>Quist</b>")


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize(
    ("password", "messages"),
    [
        ("", ["Choose a password."]),
        ("short", ["This password is too short. Use at least 15 characters: a few words in a row will do."]),
        ("password", ["too short. Use at least 15 characters", "tried first"]),
        ("new.nurse@example.org", ["made of your name"]),
        ("x" * 129, ["too long"]),
    ],
)
def test_accept__password_refused__every_reason_at_its_field_and_the_names_stay(
    world: World, password: str, messages: list[str]
) -> None:
    client = browser()
    go_on(client, world.invitation)
    page = refused(client, password=password)
    assert list(page.errors) == ["password"]
    for message in messages:
        assert [shown for shown in page.errors["password"] if message in shown]
    assert (page.values["first_name"], page.values["last_name"]) == ("Nora", "Quist")
    assert page.values["password"] == "", "a password is never sent back"
    assert submit(client, ACCEPT, to=ACCEPT, **NORA).status_code == 302


def test_accept__nothing_filled_in__every_missing_thing_at_once(world: World) -> None:
    client = browser()
    go_on(client, world.invitation)
    page = refused(client, first_name=" ", last_name="", password="")
    assert page.errors == {
        "first_name": ["Enter a first name."],
        "last_name": ["Enter a last name."],
        "password": ["Choose a password."],
    }


@pytest.mark.seed("S0.11")
def test_accept__role_organization_or_address_in_the_form__ignored(world: World) -> None:
    client = browser()
    go_on(client, world.invitation)
    more = {"role": "admin", "is_org_admin": "on", "email": "evil@example.org", "organization_name": "Empire"}
    assert submit(client, ACCEPT, to=ACCEPT, **NORA, **more)["Location"] == "/o/lee-family-practice/welcome/"
    (membership,) = acts.memberships(User.objects.get(email="new.nurse@example.org"))
    assert (membership.role, membership.is_org_admin, membership.organization) == (
        "medical_staff",
        False,
        world.practice,
    )


# --- a further role --------------------------------------------------------------------------------------------------
def test_accept__member_invited_for_a_further_role__said_before_and_after(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "medical_staff", email="omar@example.org")
    client = browser(world.omar)
    landing = read(client.get(link(invitation)))
    assert landing.heading == "You get a further role: Medical staff"
    assert "What you are in Lee Family Practice already Office administrator" in landing.main
    assert landing.buttons[0] == "Accept"
    go_on(client, invitation)
    assert read(client.get(ACCEPT)).heading == "You get a further role: Medical staff"
    response = submit(client, link(invitation), to=ACCEPT)
    assert response["Location"] == "/o/lee-family-practice/welcome/"
    welcome = read(client.get(response["Location"]))
    assert welcome.notices == ["You have a further role now: Medical staff."]
    assert welcome.heading == "Your roles in Lee Family Practice"
    assert [fact.text for fact in welcome.tree.all("dt")] == ["Your roles", "You sign in as"]
    people = read(browser(world.lee).get("/o/lee-family-practice/people/"))
    roles = [row.all("td", data_label="Role")[0].text for body in people.tree.all("tbody") for row in body.all("tr")]
    assert sorted(roles) == [
        "Doctor",
        "Medical staff",
        "Medical staff also Office administrator",
        "Office administrator also Medical staff",
    ]


def test_link__of_a_member__whoever_is_not_signed_in_as_them_learns_no_role(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "medical_staff", email="omar@example.org")
    for person, status in ((None, 200), (world.mia, 403), (world.stone, 403)):
        client = browser(person)
        for address in (link(invitation), "/i/decline/"):
            client.cookies["invitation"] = acts.token_of(invitation)
            page = read(client.get(address), status if address != "/i/decline/" else 200)
            assert "further role" not in page.text
            assert "Office administrator" not in page.main


def test_link__of_a_member_for_the_role_that_they_have__no_further_role(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "medical_staff", email="omar@example.org")
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.omar, role=Role.MEDICAL_STAFF)
    assert "further role" not in read(browser(world.omar).get(link(invitation))).text


# --- the first -------------------------------------------------------------------------------------------------------
def test_landing_and_form__first_of_a_practice__told_that_they_run_it_and_sign_its_agreement(world: World) -> None:
    with platform("test"):
        practice = OrganizationFactory(name="Newhill Clinic", agreement=False)
    invitation = acts.invite(world.actor(world.ana, practice), "doctor")
    client = browser()
    landing = read(client.get(link(invitation)))
    assert landing.title == "Invitation to Newhill Clinic · healthivr"
    assert "Ana Ruiz, Newhill Clinic" not in landing.main
    runs = "You are the first to join, so you run Newhill Clinic."
    sentence = f"{runs} After accepting, you sign its agreement with the platform."
    assert sentence in landing.main
    page = read(client.get(go_on(client, invitation)))
    assert "Doctor in Newhill Clinic." in page.main
    assert sentence in page.main
    agreement(practice)
    signed = read(client.get(ACCEPT))
    assert runs in signed.main
    assert "sign its agreement" not in signed.main


def test_landing_and_form__practice_that_somebody_runs__not_told_that_they_run_it(world: World) -> None:
    invitation = acts.invite(world.actor(world.ana, world.practice), "doctor")
    client = browser()
    assert "you run" not in read(client.get(link(invitation))).main
    assert "you run" not in read(client.get(go_on(client, invitation))).main


# --- founding --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "invitation_type", "label"),
    [
        ("distributor", "doctor", "Name of your practice"),
        ("platform", "chp_admin", "Name of your community health program"),
        ("master_distributor", "distributor", "Name of your company"),
        ("chp", "ivr_company", "Name of your company"),
    ],
)
def test_accept__founder__names_the_organization_and_runs_it(
    world: World, kind: str, invitation_type: str, label: str
) -> None:
    with platform("test"):
        sender = world.platform if kind == "platform" else OrganizationFactory(kind=kind, name="Hill Group")
    invitation = acts.invite(world.actor(world.ana, sender), invitation_type)
    client = browser()
    landing = read(client.get(link(invitation)))
    assert landing.heading == f"{sender.name} invites you to healthivr"
    assert "you name it, and administer it" in landing.main
    page = read(client.get(go_on(client, invitation)))
    assert label in page.main
    for name, message in (("", f"Fill in “{label}”."), ("x", "2 to 120 characters")):
        page = refused(client, organization_name=name)
        assert message in page.errors["organization_name"][0]
        assert page.values["organization_name"] == name
    response = submit(client, ACCEPT, to=ACCEPT, **NORA, organization_name="Nora’s <Place>")
    (membership,) = acts.memberships(User.objects.get(email="nora@example.org"))
    assert (membership.organization.name, membership.is_org_admin) == ("Nora’s <Place>", True)
    handles_patient_data = membership.organization.kind in ("practice", "ivr_company", "logistics")
    first = "agreements/sign" if handles_patient_data else "welcome"
    assert response["Location"] == f"/o/{membership.organization.slug}/{first}/"
    welcome_page = f"/o/{membership.organization.slug}/welcome/"
    assert client.get(welcome_page)["Location"] == f"/profile/second-factor/enrol/?next={welcome_page}"
    enrol(client)
    welcome = read(client.get(welcome_page), 200, "Nora’s <Place>")
    assert "Check the organization's settings" in welcome.links


def test_accept__doctor_who_runs_a_practice__chooses_it_or_names_another(world: World) -> None:
    invitation = acts.invite(world.member(Role.SALES, OrganizationKind.DISTRIBUTOR), "doctor", "stone@example.org")
    client = browser(world.stone)
    page = read(client.get(go_on(client, invitation)))
    assert page.options("practice_id") == [str(world.strange_practice.pk), "new"]
    nothing = {"first_name": None, "last_name": None, "password": None}
    page = refused(client, **nothing)
    assert page.errors == {"practice_id": ["Choose a practice, or a new one."]}
    page = refused(client, **nothing, practice_id=str(world.practice.pk))
    assert list(page.errors) == ["practice_id"]
    page = refused(client, **nothing, practice_id="new")
    assert list(page.errors) == ["organization_name"]
    response = submit(client, ACCEPT, to=ACCEPT, practice_id=str(world.strange_practice.pk))
    assert response["Location"] == "/o/stone-clinic/welcome/"
    assert not Organization.objects.filter(parent=invitation.organization).exists()


def test_accept__practice_brought_without_an_agreement__a_page_that_says_so_and_leads_to_signing(world: World) -> None:
    without_agreement(world.strange_practice)
    with platform("test"):
        Membership.objects.filter(user=world.stone).update(role=Role.PRIVACY_OFFICER)
    phone_of(world.stone)
    invitation = acts.invite(world.member(Role.SALES, OrganizationKind.DISTRIBUTOR), "doctor", "stone@example.org")
    client = browser(world.stone)
    go_on(client, invitation)
    page = read(submit(client, ACCEPT, to=ACCEPT, practice_id=str(world.strange_practice.pk)), 422)
    assert page.heading == "Your practice has to sign first"
    assert page.links["Sign the agreement"] == "/o/stone-clinic/agreements/sign/"
    assert client.get(page.links["Sign the agreement"]).status_code == 200
    agreement(world.strange_practice)
    response = submit(client, ACCEPT, to=ACCEPT, practice_id=str(world.strange_practice.pk))
    assert response["Location"] == "/o/stone-clinic/welcome/"


# --- somebody with an account ----------------------------------------------------------------------------------------
def test_accept__existing_person__signs_in_and_comes_back(world: World) -> None:
    nora = UserFactory(email="nora@example.org")
    invitation = acts.invite(world.actor(world.lee))
    client = browser()
    landing = read(client.get(link(invitation)))
    assert "You already have an account with the invited address." in landing.main
    assert landing.buttons[0] == "Sign in to accept"
    assert go_on(client, invitation) == ACCEPT
    response = client.get(ACCEPT)
    assert (response.status_code, response["Location"]) == (302, "/sign-in/?next=%2Fi%2Faccept%2F")
    response = submit(client, response["Location"], email=nora.email, password=PASSWORD)
    assert response["Location"] == ACCEPT
    page = read(client.get(ACCEPT))
    assert page.heading == "Join Lee Family Practice on healthivr"
    assert "password" not in page.values
    assert page.buttons == ["Accept and join"]
    assert acts.memberships(nora) == []
    response = submit(client, ACCEPT, to=ACCEPT)
    assert response["Location"] == "/o/lee-family-practice/welcome/"
    (membership,) = acts.memberships(nora)
    assert membership.role == "medical_staff"
    assert User.objects.filter(email="nora@example.org").count() == 1


@pytest.mark.seed("S3.8")
def test_accept__by_who_owes_a_second_factor__leads_to_its_enrolment_and_back(world: World) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.strange_practice).update(requires_second_factor=True)
    nora = UserFactory(email="nora@example.org")
    invitation = acts.invite(world.actor(world.lee))
    client = browser()
    submit(client, "/sign-in/", email=nora.email, password=PASSWORD)
    assert go_on(client, invitation) == ACCEPT
    assert client.get(ACCEPT).status_code == 200, "nothing asks for one yet"
    csrf_token = client.get("/session/").json()["csrf_token"]
    with platform("test"):
        MembershipFactory(organization=world.strange_practice, user=nora, role=Role.MEDICAL_STAFF)
    enrolment = "/profile/second-factor/enrol/?next=%2Fi%2Faccept%2F"
    assert client.get(ACCEPT)["Location"] == enrolment
    sent = {"csrfmiddlewaretoken": csrf_token, "token": acts.token_of(invitation)}
    assert client.post(ACCEPT, sent)["Location"] == enrolment
    assert [row.organization for row in acts.memberships(nora)] == [world.strange_practice]
    assert read(client.get(link(invitation))).heading, "what the link is for may be read"
    enrol(client)
    assert submit(client, ACCEPT, to=ACCEPT)["Location"] == "/o/lee-family-practice/welcome/"


def test_accept__new_person__is_known_in_this_browser_from_the_first_day(world: World) -> None:
    client = browser()
    go_on(client, world.invitation)
    accepted = submit(client, ACCEPT, to=ACCEPT, **NORA)
    assert is_known_browser(str(world.invitation.email), accepted.cookies["known_browser"].value)


def test_accept__existing_person_signed_in_already__one_button(world: World) -> None:
    nora = UserFactory(email="nora@example.org")
    invitation = acts.invite(world.actor(world.lee))
    client = browser(nora)
    response = submit(client, link(invitation), to=ACCEPT)
    assert response["Location"] == "/o/lee-family-practice/welcome/"
    assert len(acts.memberships(nora)) == 1
    assert acts.actions(world.platform) == [], "the session began before"


def test_link__account_switched_off__a_page_that_says_whom_to_ask_and_the_link_is_not_used_up(world: World) -> None:
    nora = UserFactory(email="nora@example.org")
    invitation = acts.invite(world.actor(world.lee))
    client = browser()
    go_on(client, invitation)
    User.objects.filter(pk=nora.pk).update(is_active=False)
    sent = {**proof_of_sign_in(client), "token": acts.token_of(invitation), **NORA}
    for answer in (
        lambda: client.get(link(invitation)),
        lambda: client.get(ACCEPT),
        lambda: client.post(ACCEPT, sent),
    ):
        with acts.nothing_written():
            page = read(answer(), 422)
        assert page.heading == "You cannot sign in with this address"
        assert "Ask the organization that invited you, or support" in page.main
        assert page.buttons == []
        assert "Sign in" not in page.links
        assert page.links["Open the link again"] == link(invitation)
        for private in ("Lee", "Jun", "nora", "example.org", "Medical", nora.last_name):
            assert private not in page.main
    User.objects.filter(pk=nora.pk).update(is_active=True)
    assert read(client.get(link(invitation))).buttons[0] == "Sign in to accept"


@pytest.mark.parametrize("has_account", [True, False])
def test_accept__signed_in_with_another_address__says_who_and_for_whom_and_how_to_go_on(
    world: World, has_account: bool
) -> None:
    if has_account:
        UserFactory(email="new.nurse@example.org")
    client = browser(world.stone)
    with acts.nothing_written():
        page = read(client.get(link(world.invitation)), 403)
        assert page.heading == "You are signed in with another address"
        assert "stone@example.org" in page.main
        assert "n•••@e•••.org" in page.main
        assert "new.nurse" not in page.text
        read(client.post(ACCEPT, {**proof(client), "token": acts.token_of(world.invitation), **NORA}), 403)
    assert go_on(client, world.invitation, act="switch") == ACCEPT
    assert "_auth_user_id" not in client.session
    assert acts.actions(world.platform)[-1] == "session.ended"
    response = client.get(ACCEPT)
    if has_account:
        assert response["Location"] == "/sign-in/?next=%2Fi%2Faccept%2F"
    else:
        assert read(response).heading == "Create your account"
    assert acts.fresh(world.invitation).status == "pending"


def proof(client: Client) -> dict[str, str]:
    """Return the CSRF token that the page with the switch gives this browser."""
    page = parse(client.get("/profile/").content.decode())
    return {"csrfmiddlewaretoken": page.all("input", name="csrfmiddlewaretoken")[0]["value"]}


def test_accept__person_who_got_the_role_otherwise__409_page(world: World) -> None:
    nora = UserFactory(email="nora@example.org")
    invitation = acts.invite(world.actor(world.lee))
    with platform("test"):
        MembershipFactory(organization=world.practice, user=nora, role="medical_staff")
    acts.count_seats_anew()
    page = read(submit(browser(nora), link(invitation), to=ACCEPT), 409)
    assert page.heading == "You have this role already"
    assert acts.fresh(invitation).status == "pending"


# --- a link that opens nothing ---------------------------------------------------------------------------------------
@pytest.mark.seed("S0.10", "S0.38")
@pytest.mark.parametrize(
    ("how", "heading", "button"),
    [
        ("overdue", "This invitation has expired", "Mail me a new link"),
        ("expired", "This invitation has expired", "Mail me a new link"),
        ("cancelled", "This invitation was cancelled", ""),
        ("declined", "This invitation was declined", ""),
        ("accepted", "This invitation has been accepted", ""),
    ],
)
def test_link__closed__410_page_of_its_own_that_names_nobody_and_has_a_way_on(
    world: World, how: str, heading: str, button: str
) -> None:
    token, client = acts.token_of(world.invitation), browser()
    go_on(client, world.invitation)
    close(world.invitation, how)
    for address in (link(token), ACCEPT, "/i/decline/"):
        with acts.nothing_written():
            page = read(client.get(address), 410)
        assert page.heading == heading
        assert page.buttons == ([button] if button else [])
        assert button or page.links["Sign in"] == "/sign-in/"
        for private in ("Lee", "Jun", "nurse", "example.org", "Medical"):
            assert private not in page.main


def test_link__closed_while_the_form_was_open__said_when_it_is_sent_and_nobody_made(world: World) -> None:
    client, token = browser(), acts.token_of(world.invitation)
    go_on(client, world.invitation)
    form = {**proof_of_form(client), "token": token, **NORA}
    close(world.invitation, "cancelled")
    with acts.nothing_written():
        assert read(client.post(ACCEPT, form), 410).heading == "This invitation was cancelled"


def proof_of_form(client: Client) -> dict[str, str]:
    """Return the CSRF token of the accept form."""
    page = parse(client.get(ACCEPT).content.decode())
    return {"csrfmiddlewaretoken": page.all("input", name="csrfmiddlewaretoken")[0]["value"]}


@pytest.mark.seed("S0.8")
def test_link__replaced__410_page_and_the_newest_mail_once_more(world: World) -> None:
    old, client = acts.token_of(world.invitation), browser()
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=world.invitation.pk)
    page = read(client.get(link(old)), 410)
    assert page.heading == "A newer link was mailed"
    assert page.buttons == ["Mail me a new link"]
    response = submit(client, link(old), to=NEW_LINK)
    assert response["Location"] == "/i/new-link/sent/"
    assert acts.deliveries(world.invitation) == ["queued"], "the mail that waits already is enough"
    assert read(client.get(link(world.invitation))).heading.startswith("Join")


@pytest.mark.parametrize("token", ["A" * 43, "A", "A" * 3000, "é" * 43, "<script>", "{{ 7 }}", "' OR 1=1 --", "start2"])
def test_link__never_issued__404_page_that_shows_nothing_of_it(world: World, token: str) -> None:
    page = read(browser().get(link(token)), 404)
    assert page.heading == "We do not know this link"
    assert token not in page.main or token == "A"
    assert page.links["Sign in"] == "/sign-in/"


@pytest.mark.parametrize("reason", ["inviter", "organization"])
def test_accept__inviter_no_longer_entitled__422_page_and_the_link_is_not_used_up(world: World, reason: str) -> None:
    client = browser()
    go_on(client, world.invitation)
    if reason == "inviter":
        with platform("test"):
            Membership.objects.filter(user=world.lee).update(role="marketer")
    else:
        Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    with acts.nothing_written():
        sent = submit(client, ACCEPT, to=ACCEPT, **NORA) if reason == "inviter" else client.get(ACCEPT)
        page = read(sent, 422)
    headings = {
        "inviter": "This invitation cannot be accepted now",
        "organization": "Lee Family Practice is switched off",
    }
    assert page.heading == headings[reason]
    assert acts.fresh(world.invitation).status == "pending"
    if reason == "inviter":
        with platform("test"):
            Membership.objects.filter(user=world.lee).update(role="doctor")
    else:
        Organization.objects.filter(pk=world.practice.pk).update(state="active")
    assert submit(client, ACCEPT, to=ACCEPT, **NORA).status_code == 302


@pytest.mark.seed("S0.23")
def test_accept__sent_and_refused__one_event_in_the_organizations_trail_and_none_for_looking(world: World) -> None:
    nora, token = UserFactory(email="nora@example.org"), acts.token_of(acts.invite(world.actor(world.lee)))
    client = browser(world.stone)
    read(client.get(link(token)), 403)
    assert acts.refusals(world.practice) == []
    response = client.post(ACCEPT, {**proof(client), "token": token})
    read(response, 403)
    (refusal,) = acts.refusals(world.practice)
    assert refusal[1:] == (world.stone.pk, "wrong_account")
    assert acts.trail(world.practice)[-1].request_id == response["X-Request-ID"]
    stranger = browser()
    response = stranger.post(ACCEPT, {**proof_of_sign_in(stranger), "token": token, **NORA})
    assert response["Location"].startswith("/sign-in/")
    assert acts.refusals(world.practice)[1][1:] == (None, "sign_in_required")
    with platform("test"):
        MembershipFactory(organization=world.practice, user=nora, role="medical_staff")
    acts.count_seats_anew()
    owner = browser(nora)
    read(owner.post(ACCEPT, {**proof(owner), "token": token}), 409)
    read(owner.post(ACCEPT, {**proof(owner), "token": "A" * 43}), 404)
    assert [code for _one, _who, code in acts.refusals(world.practice)[2:]] == ["already_member"]
    assert acts.refusals(world.platform) == acts.refusals(world.strange_practice) == []


# --- a new link ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sent", [{}, {"email": "evil@example.org", "recipient": "evil@example.org"}])
def test_new_link__expired__goes_to_the_invited_address_and_to_no_other(world: World, sent: dict[str, str]) -> None:
    token = acts.token_of(world.invitation)
    close(world.invitation, "overdue")
    client = browser()
    response = submit(client, link(token), to=NEW_LINK, **sent)
    assert (response.status_code, response["Location"]) == (302, "/i/new-link/sent/")
    page = read(client.get(response["Location"]))
    assert page.heading == "A new link is on its way"
    assert "example.org" not in page.main
    message, recipient = acts.composed(acts.waiting_mail(world.invitation))
    assert recipient == "new.nurse@example.org"
    new = acts.token_of(world.invitation)
    assert new != token
    assert f"{settings.BASE_URL}/i/{new}/" in acts.plain_text(message)
    assert new not in response.content.decode() + str(response.headers) + page.text
    assert read(client.get(link(token)), 410).heading == "A newer link was mailed"
    assert read(client.get(link(new))).heading.startswith("Join")


@pytest.mark.parametrize(
    ("state", "status", "heading"),
    [
        ({"send_count": 10}, 409, "This is not possible now"),
        ({"delivery_status": "bounced"}, 409, "This is not possible now"),
        ({"age": 31}, 422, "This invitation cannot be accepted now"),
        ("seats", 409, "This is not possible now"),
        ("inviter", 422, "This invitation cannot be accepted now"),
        ("cancelled", 410, "This invitation was cancelled"),
        ("declined", 410, "This invitation was declined"),
        ("accepted", 409, "This invitation has been accepted"),
    ],
)
def test_new_link__not_possible__a_page_that_says_why_and_no_mail(
    world: World, state: Any, status: int, heading: str
) -> None:
    token, client, now = acts.token_of(world.invitation), browser(), timezone.now()
    close(world.invitation, state if state in ("cancelled", "declined", "accepted") else "overdue")
    if state == "seats":
        acts.set_seat_limit(world.practice, 4)
        acts.invite(world.actor(world.lee), email="took.the.seat@example.org")
    elif state == "inviter":
        with platform("test"):
            Membership.objects.filter(user=world.lee).update(role="marketer")
    elif state == {"age": 31}:
        change(world.invitation, created_at=now - timedelta(days=40), expires_at=now - timedelta(days=31))
    elif isinstance(state, dict):
        change(world.invitation, **state)
    before = acts.deliveries(world.invitation)
    with acts.nothing_written():
        page = read(client.post(NEW_LINK, {**proof_of_sign_in(client), "token": token}), status)
    assert page.heading == heading
    for words in ("plan", "seat", "bounced", "Correct the address", "ten times"):  # meant for the organization
        assert words not in page.main
    assert acts.deliveries(world.invitation) == before


def proof_of_sign_in(client: Client) -> dict[str, str]:
    """Return the CSRF token of a public form."""
    page = parse(client.get("/sign-in/").content.decode())
    return {"csrfmiddlewaretoken": page.all("input", name="csrfmiddlewaretoken")[0]["value"]}


def test_new_link__never_issued_or_opened_as_a_page__404_and_405(world: World) -> None:
    client = browser()
    assert read(client.post(NEW_LINK, {**proof_of_sign_in(client), "token": "A" * 43}), 404)
    assert client.get(NEW_LINK).status_code == 405


# --- what holds everywhere -------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.20", "S4.24")
@pytest.mark.parametrize("address", [START, ACCEPT, NEW_LINK, "/i/decline/"])
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_link_pages__posted_without_csrf_token__403_page_and_nothing_done(
    world: World, address: str, is_signed_in: bool
) -> None:
    nora = UserFactory(email="nora@example.org")
    invitation = acts.invite(world.actor(world.lee))
    client = browser(nora if is_signed_in else None)
    sent = {"token": acts.token_of(invitation), "act": "switch", "reason": "other", **NORA}
    with acts.nothing_written():
        page = read(client.post(address, sent), 403)
    assert page.heading == "We could not confirm this form"
    assert is_signed_in is ("_auth_user_id" in client.session)


@pytest.mark.seed("C5")
def test_link__eleventh_time_in_a_minute__429_page_with_when_to_try_again(world: World, standing_clock: None) -> None:
    client = browser()
    for _time in range(10):
        assert client.get(link(world.invitation)).status_code == 200
    response = client.get(link(world.invitation))
    assert read(response, 429).heading == "Too many attempts"
    assert 1 <= int(response["Retry-After"]) <= 60


def test_link__its_pages__are_kept_by_nobody_and_lead_nobody_outside(world: World) -> None:
    client = browser()
    for address in (link(world.invitation), go_on(client, world.invitation), "/i/decline/"):
        response = client.get(address)
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "same-origin"
        page = read(response)
        assert page.tree.all("meta", name="robots")[0]["content"] == "noindex, nofollow"
        addresses = [element[name] for element in page.tree.all() for name in ("src", "href", "action")]
        assert not [where for where in addresses if where.startswith(("http:", "https:", "//"))]
        assert not [where for where in addresses if acts.token_of(world.invitation) in where]


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "text", ["<b>x</b>", "<script>alert(1)</script>", "{{ 7|add:7 }}", "{% now 'Y' %}", "a&b&amp;"]
)
def test_link__markup_or_template_syntax_in_names__plain_text(world: World, text: str) -> None:
    Organization.objects.filter(pk=world.practice.pk).update(name=text)
    User.objects.filter(pk=world.lee.pk).update(first_name=text)
    client = browser()
    landing = read(client.get(link(world.invitation)), 200, text)
    assert landing.heading == f"Join {text} on healthivr"
    assert text in landing.main
    assert text in read(client.get(go_on(client, world.invitation)), 200, text).main
    assert text in read(client.get("/i/decline/"), 200, text).main


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("junk", ["\0", "\r\nSet-Cookie: a=b", "漢字", "\x7f", ";", '"', "x" * 100_000, "\u202e", " "])
def test_start__junk_as_a_token__404_page_and_a_cookie_that_a_server_can_send(world: World, junk: str) -> None:
    client = Client()
    response = client.post(START, {"token": junk, "act": "accept"})
    assert (response.status_code, response["Location"]) == (302, ACCEPT)
    for cookie in response.cookies.values():
        written = cookie.OutputString()
        assert written.encode("latin-1")
        assert "\n" not in written
        assert SimpleCookie(written)
    assert read(client.get(ACCEPT), 404).heading in ("We do not know this link", "No invitation is open here any more")
    assert client.post(ACCEPT, {"token": junk, **NORA}).status_code == 404


@pytest.mark.parametrize("act", ["", "accept2", "\0", "x" * 5000])
def test_start__act_that_is_none__goes_on_to_accept(world: World, act: str) -> None:
    response = Client().post(START, {"token": acts.token_of(world.invitation), "act": act})
    assert response["Location"] == ACCEPT


@pytest.mark.parametrize("junk", ["\0", "x" * 100_000, "{{ 7 }}", "\u202e", "💩"])
def test_accept__junk_in_every_field__never_a_failure(world: World, junk: str, roomy_limits: None) -> None:
    client, token = Client(), acts.token_of(world.invitation)
    for field in ("first_name", "last_name", "password"):
        response = client.post(ACCEPT, {**NORA, "password": "short", "token": token, field: junk})
        assert response.status_code == 422
    assert client.post(ACCEPT, {**NORA, "token": [token, junk]}).status_code == 404


def test_welcome__administrator_or_not__says_so(world: World) -> None:
    here, words = "/o/lee-family-practice/welcome/", "You administer the organization"
    assert words in read(browser(world.lee).get(here)).main
    assert words not in read(browser(world.mia).get(here)).main


def test_link__used__asks_only_who_is_not_signed_in_to_sign_in(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    nora = acts.accept(invitation).user
    assert "sign in with the invited address" in read(browser().get(link(invitation)), 410).main
    signed_in = read(browser(nora).get(link(invitation)), 410)
    assert "sign in" not in signed_in.main
    assert "there is nothing more to do" in signed_in.main


def test_welcome__who_is_no_member__404(world: World) -> None:
    assert read(browser(world.mia).get("/o/lee-family-practice/welcome/"))
    read(browser(world.stone).get("/o/lee-family-practice/welcome/"), 404)
    assert browser().get("/o/lee-family-practice/welcome/").status_code == 302


def test_link__organization_switched_off__said_before_anybody_fills_in_a_form(world: World) -> None:
    client = browser()
    assert read(client.get(link(world.invitation))).heading.startswith("Join")
    go_on(client, world.invitation)
    assert "password" in read(client.get(ACCEPT)).values
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    for address in (link(world.invitation), ACCEPT):
        page = read(client.get(address), 422)
        assert page.heading == "Lee Family Practice is switched off"
        assert "the link is not used up" in page.main
    nora = UserFactory(email="nora@example.org")
    theirs = acts.invite(world.actor(world.stone))
    Organization.objects.filter(pk=world.strange_practice.pk).update(state="inactive")
    for visitor in (browser(), browser(nora)):  # an account changes nothing of it
        assert read(visitor.get(link(theirs)), 422).heading == "Stone Clinic is switched off"
    Organization.objects.filter(pk=world.practice.pk).update(state="active")
    assert read(client.get(link(world.invitation))).heading.startswith("Join")
