"""/o/<organization>/invitations/new/: inviting somebody, with a preview of exactly what leaves."""

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.pages import Page, browser, parse, read, submit
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform

LIST = "/o/lee-family-practice/invitations/"
HERE = f"{LIST}new/"
NORA = {"invitation_type": "medical_staff", "email": "nora@example.org", "first_name": "Nora", "last_name": "Quist"}


def newest(world: World) -> UserInvitation:
    """Return the practice's latest invitation."""
    with platform("test"):
        return UserInvitation.objects.filter(organization=world.practice).latest("created_at")


def refused(world: World, *typed: str, **values: Any) -> Page:
    """Send the form as Dr. Lee, demand that it is refused and nothing written, and return the page."""
    client = browser(world.lee)
    with acts.nothing_written():
        response = submit(client, HERE, **{**NORA, **values})
    page = read(response, 422, *typed)
    for name, value in {**NORA, **values}.items():
        if name != "invitation_type" or value in page.options(name):
            assert page.values[name] == ("" if value is None else value), f"what was typed at {name} is lost"
    return page


# --- the form --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.27")
def test_create__opened__only_the_roles_that_one_may_invite_each_with_a_sentence(world: World) -> None:
    page = read(browser(world.lee).get(HERE))
    assert page.heading == "Invite somebody"
    assert page.options("invitation_type") == ["office_admin", "medical_staff"]
    assert "Helps to treat patients and prepares requests. Cannot sign." in page.main
    assert "No patient information" in page.main
    assert page.values["invitation_type"] == ""
    assert page.main.count("7 days") == 1, "the usual time stands there once"
    assert "7 days (usual)" in page.main
    assert {field["autocomplete"] for field in page.tree.all("input", type="text")} == {"off"}, "it is somebody else's"
    assert "Send invitation" in page.buttons


def test_create__one_role_only__it_is_chosen(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    page = read(browser(sales.user).get(f"/o/{sales.organization.slug}/invitations/new/"))
    assert page.values["invitation_type"] == "doctor"


def test_create__platform_administrator_inside_a_practice__what_fits_there(world: World) -> None:
    page = read(browser(world.ana).get(HERE))
    assert "sales" not in page.options("invitation_type")
    assert {"doctor", "medical_staff"} <= set(page.options("invitation_type"))


def test_create__roles_with_a_short_life_among_others__both_times_are_said(world: World) -> None:
    page = read(browser(world.ana).get("/o/platform/invitations/new/"))
    assert "admin" in page.options("invitation_type")
    assert "Usual: 7 days, for administrators 48 hours." in page.main


def test_create__role_that_invites_nobody_here__says_so_instead_of_a_form(world: World) -> None:
    page = read(browser(world.omar).get(HERE))
    assert "Your role does not invite from this organization" in page.main
    assert "invitation_type" not in page.values
    acts.allow_staff_to_invite(world.practice)
    assert read(browser(world.omar).get(HERE)).options("invitation_type") == ["medical_staff"]


def test_create__like_an_invitation_that_one_may_not_see__as_if_there_were_none(world: World) -> None:
    with platform("test"):
        of_omar = InvitationFactory(organization=world.practice, invited_by=world.omar, upline=world.omar)
    acts.allow_staff_to_invite(world.practice)
    client = browser(world.omar)
    assert read(client.get(f"{HERE}?like={of_omar.pk}")).values["email"] == of_omar.email
    page = read(client.get(f"{HERE}?like={world.invitation.pk}"), 403)
    assert "A colleague sent this invitation." in page.main
    assert "new.nurse" not in page.text
    read(client.get(f"{HERE}?like={world.strange_invitation.pk}"), 404)


@pytest.mark.parametrize("junk", ["", "1", "new", "x" * 500, "٣"])
def test_create__like_nothing_that_could_be_one__an_empty_form(world: World, junk: str) -> None:
    assert read(browser(world.lee).get(f"{HERE}?like={junk}")).values["email"] == ""


# --- sent ------------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.27", "S4.14")
def test_create__everything_right__invited_and_led_to_the_invitation(world: World) -> None:
    client = browser(world.lee)
    response = submit(client, HERE, **NORA, message="Hello\r\nNora", language="es", expires_in_hours="24")
    row = newest(world)
    assert (response.status_code, response["Location"]) == (302, f"{LIST}{row.pk}/")
    assert (row.email, row.first_name, row.last_name) == ("nora@example.org", "Nora", "Quist")
    assert (row.message, row.language, row.invitation_type) == ("Hello\nNora", "es", "medical_staff")
    assert (row.expires_at - row.created_at).total_seconds() == 24 * 3600
    assert acts.deliveries(row) == ["queued"]
    page = read(client.get(response["Location"]))
    assert page.notices == [
        "Invitation to nora@example.org created. We are sending it now. Invite somebody else",
    ]
    assert page.links["Invite somebody else"] == HERE
    (notice,) = [box for all_ in page.tree.all(id="messages") for box in all_.with_class("notice")]
    assert (notice["role"], notice["tabindex"]) == ("status", "-1")
    assert acts.token_of(row) not in client.get(response["Location"]).content.decode()


def test_create__only_role_and_address__invited(world: World) -> None:
    response = submit(browser(world.lee), HERE, invitation_type="office_admin", email=" NORA@Example.org ")
    assert response.status_code == 302
    assert (newest(world).email, newest(world).language) == ("nora@example.org", "en")


# --- refused ---------------------------------------------------------------------------------------------------------
def test_create__nothing_filled_in__every_missing_thing_at_once(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, HERE), 422)
    assert page.errors == {"invitation_type": ["Choose a role."], "email": ["Enter an e-mail address."]}
    assert page.summary == ["Choose a role.", "Enter an e-mail address."]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("email", "nora", "Enter an e-mail address such as name@example.org."),
        ("email", "nora@example", "Enter an e-mail address such as name@example.org."),
        ("email", "x" * 243 + "@example.org", "This address is too long."),
        ("email", "nоra@example.org", "letters that look like others"),
        ("email", "nora@exаmple.org", "letters that look like others"),
        ("email", "no\u200bra@example.org", "invisible characters"),
        ("first_name", "x" * 101, "First name: Enter a name of 1 to 100 characters."),
        ("last_name", "www.example.org", "A name cannot contain a web address."),
        ("first_name", "Nora\u202equist", "This name contains invisible characters."),
        ("message", "x" * 1001, "Keep the note under 1,000 characters."),
        ("expires_in_hours", "25", "25 is not one of the available choices"),
        ("language", "xx", "xx is not one of the available choices"),
        ("invitation_type", "doctor", "doctor is not one of the available choices"),
        ("invitation_type", "patient", "patient is not one of the available choices"),
    ],
)
def test_create__one_mistake__said_at_its_field_and_on_top_and_what_was_typed_stays(
    world: World, field: str, value: str, message: str
) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, HERE, **{**NORA, "message": "Hello", field: value}), 422)
    assert list(page.errors) == [field]
    assert message in page.errors[field][0]
    assert page.summary == page.errors[field]
    for name, typed in {**NORA, "message": "Hello"}.items():
        if name != field:
            assert page.values[name] == typed
    if field in ("email", "first_name", "last_name", "message"):
        assert page.values[field] == value


def test_create__mistakes_in_both_names__each_said_at_once_and_by_its_field(world: World) -> None:
    page = refused(world, first_name="💩", last_name="💩")
    assert page.summary == [
        "First name: Enter a name with at least one letter or digit.",
        "Last name: Enter a name with at least one letter or digit.",
    ]


def test_create__address_with_an_open_invitation__says_so_and_leads_there(world: World) -> None:
    page = refused(world, email="new.nurse@example.org")
    message = "This address already has an open invitation. Send that one again instead."
    assert page.errors == {"email": [message]}
    assert page.summary == [message]
    (field,) = page.tree.all("input", name="email")
    assert field["aria-invalid"] == "true"
    assert page.links["See the open invitation"] == f"{LIST}{world.invitation.pk}/"


def test_create__somebody_with_that_role__said_at_the_address(world: World) -> None:
    page = refused(world, email="mia@example.org")
    assert page.errors == {"email": ["This person already has this role in the organization."]}


def test_create__no_seat_left__said_on_top(world: World) -> None:
    acts.set_seat_limit(world.practice, 4)
    page = refused(world)
    assert page.errors == {}
    assert page.summary[0].startswith("No seat is left on your plan.")


def test_create__duplicate_of_a_colleague_s__link_is_shown_and_the_page_behind_it_says_whose_it_is(
    world: World,
) -> None:
    acts.allow_staff_to_invite(world.practice)
    client = browser(world.omar)
    page = read(submit(client, HERE, **{**NORA, "email": "new.nurse@example.org"}), 422)
    assert "already has an open invitation" in page.summary[0]
    assert "A colleague sent this invitation." in read(client.get(f"{LIST}{world.invitation.pk}/"), 403).main


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "text", ["<b>x</b>", '"><script>alert(1)</script>', "{{ 7|add:7 }}", "{% now 'Y' %}", "a&b&amp;"]
)
def test_create__markup_or_template_syntax__comes_back_and_arrives_as_plain_text(world: World, text: str) -> None:
    page = refused(world, text, email="nora", first_name=text, last_name=text, message=text)
    assert page.heading == "Invite somebody"
    client = browser(world.lee)
    response = submit(client, HERE, **{**NORA, "first_name": text, "last_name": text, "message": text})
    page = read(client.get(response["Location"]), 200, text)
    assert page.heading == f"{text} {text}"
    row = newest(world)
    message, _recipient = acts.composed(acts.waiting_mail(row))
    assert text in acts.plain_text(message)
    assert "<script>" not in acts.html_text(message)
    assert "<b>x</b>" not in acts.html_text(message)


# --- who may ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.15")
def test_create__who_may_not__403_inside_404_outside_sign_in_for_nobody(world: World) -> None:
    read(browser(world.lee).get(HERE))
    read(browser(world.mia).get(HERE), 403)
    read(browser(world.stone).get(HERE), 404)
    assert browser().get(HERE)["Location"] == f"/sign-in/?next={HERE}"
    for person, status in ((world.mia, 403), (world.stone, 404)):
        client = Client()
        client.force_login(person)
        read(client.post(HERE, NORA), status)
    assert newest(world).pk == world.invitation.pk


@pytest.mark.seed("S0.20", "S4.24")
def test_create__posted_without_csrf_token__403_page_and_nothing_made(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(client.post(HERE, NORA), 403)
    assert page.heading == "We could not confirm this form"
    assert submit(client, HERE, **NORA).status_code == 302


def test_create__administrator_without_the_right_to_invite__403(world: World) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    read(browser(boss).get(HERE), 403)


# --- junk ------------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("junk", ["\0", "\x00x", "\x1b[0m", "\u202e", "٣", "x" * 100_000, "1e400", "[]", "💩", "\r\n"])
def test_create__junk_in_every_field__refused_or_made_and_never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    for field in ("invitation_type", "email", "first_name", "last_name", "message", "language", "expires_in_hours"):
        response = client.post(HERE, {**NORA, field: junk})
        assert response.status_code in (302, 422), (field, junk[:20])
    assert client.post(HERE, b"\xff\xfe%%%", content_type="application/x-www-form-urlencoded").status_code in (200, 422)
    assert client.post(HERE, b"x", content_type="multipart/form-data; boundary=").status_code == 400
    assert client.post(HERE, {"x": "y" * 1_100_000}).status_code == 400


# --- preview ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.25")
def test_preview__asked_by_htmx__head_and_text_of_the_mail_and_nothing_written(world: World) -> None:
    client = Client()
    client.force_login(world.lee)
    with acts.nothing_written():
        response = client.post(f"{HERE}preview/", {**NORA, "message": "Hello"}, headers={"HX-Request": "true"})
    part = parse(response.content.decode())
    assert response.status_code == 200
    for words in ("nora@example.org", "Lee Family Practice", "Jun Lee", "Hello", "Nora"):
        assert words in part.text
    assert "made-when-it-is-sent" in part.text
    assert "Links and buttons do not work in the preview" in part.text
    assert not part.all("html")


def test_preview__sent_into_the_frame__the_html_of_the_mail_under_a_policy_of_its_own(world: World) -> None:
    client = Client()
    client.force_login(world.lee)
    response = client.post(f"{HERE}preview/", NORA)
    assert response.status_code == 200
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "sandbox" in response["Content-Security-Policy"]
    assert "allow-scripts" not in response["Content-Security-Policy"]
    assert f"{settings.BASE_URL}/i/made-when-it-is-sent/" in response.content.decode()
    assert "See the invitation" in response.content.decode()
    assert "href" not in response.content.decode(), "nothing to stop at that leads nowhere"
    assert client.get(f"{settings.BASE_URL}/i/made-when-it-is-sent/").status_code == 404


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"email": "nora"},
        {"invitation_type": "owner"},
        {"invitation_type": "admin", "expires_in_hours": "x", "language": "xx"},
        {"message": "x" * 5000, "first_name": "\0"},
        {"first_name": "{{ 7|add:7 }}", "message": "<script>alert(1)</script>"},
    ],
)
@pytest.mark.parametrize("htmx", [True, False])
def test_preview__unfinished_or_junk__still_a_mail(world: World, typed: dict[str, str], htmx: bool) -> None:
    client = Client()
    client.force_login(world.lee)
    response = client.post(f"{HERE}preview/", typed, headers={"HX-Request": "true"} if htmx else {})
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()
    if "first_name" in typed and "{{" in typed["first_name"]:
        assert "{{ 7|add:7 }}" in parse(response.content.decode()).text


@pytest.mark.parametrize(("chosen", "is_said"), [("", True), ("medical_staff", False)])
def test_preview__until_a_role_is_chosen__says_which_one_it_shows(world: World, chosen: str, is_said: bool) -> None:
    client = Client()
    client.force_login(world.lee)
    typed = {**NORA, "invitation_type": chosen}
    part = parse(client.post(f"{HERE}preview/", typed, headers={"HX-Request": "true"}).content.decode())
    assert ("until you choose one" in part.text) is is_said


def test_preview__who_may_not_invite__403_and_404(world: World) -> None:
    with platform("test"):
        InvitationFactory(organization=world.practice)
    for person, status in ((world.omar, 403), (world.mia, 403), (world.stone, 404), (world.lee, 200)):
        client = Client()
        client.force_login(person)
        response = client.post(f"{HERE}preview/", NORA)
        assert response.status_code == status, person.email
    assert browser(world.lee).post(f"{HERE}preview/", NORA).status_code == 403
    assert browser(world.lee).get(f"{HERE}preview/").status_code == 405
