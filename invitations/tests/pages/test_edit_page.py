"""/o/<organization>/invitations/<id>/edit/: changing what an open invitation says."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from healthivr.testing.factories import MembershipFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts
from invitations.tests.api.test_detail import close
from organizations.roles import Role
from organizations.tenancy import platform

from .test_detail_page import change, here


def test_edit__opened__what_it_says_now(world: World) -> None:
    change(world.invitation, first_name="Nora", last_name="O’Neil", message="One\nTwo", language="es")
    page = read(browser(world.lee).get(here(world.invitation, "edit/")))
    assert page.heading == "Edit the invitation"
    assert page.values == {
        "invitation_type": "medical_staff",
        "first_name": "Nora",
        "last_name": "O’Neil",
        "expires_in_hours": "",
        "language": "es",
        "message": "One\nTwo",
    }
    assert page.options("invitation_type") == ["office_admin", "medical_staff"]
    assert "If you change the role, the time starts again in full." in page.main
    assert {field["autocomplete"] for field in page.tree.all("input", type="text")} == {"off"}, "it is somebody else's"
    assert page.links["Go back"] == here(world.invitation)


def test_edit__names_and_note__saved_the_link_still_works_and_the_page_says_so(world: World) -> None:
    client, token = browser(world.lee), acts.token_of(world.invitation)
    response = submit(
        client, here(world.invitation, "edit/"), first_name="Nora", message="Hello\r\nNora", language="es"
    )
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))
    page = read(client.get(response["Location"]))
    assert page.notices == ["Saved. The link that new.nurse@example.org has still works; no new e-mail was sent."]
    row = acts.fresh(world.invitation)
    assert (row.first_name, row.message, row.language) == ("Nora", "Hello\nNora", "es")
    assert acts.token_of(row) == token
    assert acts.deliveries(row) == []


@pytest.mark.seed("S0.8")
@pytest.mark.parametrize("changed", [{"invitation_type": "office_admin"}, {"expires_in_hours": "48"}])
def test_edit__role_or_end__new_link_and_the_page_says_so(world: World, changed: dict[str, str]) -> None:
    client, token = browser(world.lee), acts.token_of(world.invitation)
    response = submit(client, here(world.invitation, "edit/"), **changed)
    page = read(client.get(response["Location"]))
    assert page.notices == [
        "Saved. A new link is on its way to new.nurse@example.org; earlier links do not work any more."
    ]
    row = acts.fresh(world.invitation)
    assert acts.token_of(row) != token
    assert acts.deliveries(row) == ["queued"]
    if "expires_in_hours" in changed:
        assert row.expires_at == row.updated_at + timedelta(hours=48)
    else:
        assert row.invitation_type == "office_admin"


def test_edit__sent_unchanged__nothing_written(world: World) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        assert submit(client, here(world.invitation, "edit/")).status_code == 302


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("first_name", "x" * 101, "First name: Enter a name of 1 to 100 characters."),
        ("last_name", "https://example.org", "A name cannot contain a web address."),
        ("message", "x" * 1001, "Keep the note under 1,000 characters."),
        ("expires_in_hours", "1000", "1000 is not one of the available choices"),
        ("language", "xx", "xx is not one of the available choices"),
        ("invitation_type", "admin", "admin is not one of the available choices"),
        ("invitation_type", "", "Choose a role."),
    ],
)
def test_edit__one_mistake__said_at_its_field_and_what_was_typed_stays(
    world: World, field: str, value: str, message: str
) -> None:
    client = browser(world.lee)
    typed = {"first_name": "Nora", "last_name": "Quist", "message": "Hello"}
    with acts.nothing_written():
        page = read(submit(client, here(world.invitation, "edit/"), **{**typed, field: value}), 422)
    assert list(page.errors) == [field]
    assert message in page.summary[0]
    for name, text in {**typed, field: value}.items():
        if name in typed:
            assert page.values[name] == text


@pytest.mark.parametrize(
    ("state", "changed", "message"),
    [
        ({"send_count": 10}, {"expires_in_hours": "48"}, "has been sent ten times"),
        ({"delivery_status": "bounced"}, {"invitation_type": "office_admin"}, "bounced"),
        ({"email": "omar@example.org"}, {"invitation_type": "office_admin"}, "already has this role"),
    ],
)
def test_edit__refused_by_a_rule__said_on_top_and_nothing_written(
    world: World, state: Any, changed: dict[str, str], message: str
) -> None:
    client = browser(world.lee)
    change(world.invitation, **state)
    with acts.nothing_written():
        page = read(submit(client, here(world.invitation, "edit/"), **changed), 422)
    assert message in page.summary[0]
    assert page.values["first_name"] == changed.get("first_name", "")


@pytest.mark.parametrize("how", ["accepted", "declined", "cancelled", "overdue"])
def test_edit__closed_meanwhile__led_to_its_page_and_nothing_written(world: World, how: str) -> None:
    client = browser(world.lee)
    close(world.invitation, how)
    with acts.nothing_written():
        response = submit(client, here(world.invitation, "edit/"), first_name="Nora")
    assert (response.status_code, response["Location"]) == (302, here(world.invitation))
    (notice,) = read(client.get(response["Location"])).notices
    assert notice.startswith("This invitation has")


def test_edit__somebody_who_may_not_invite_for_the_role__refused_and_told_why(world: World) -> None:
    with platform("test"):
        boss = MembershipFactory(organization=world.practice, role=Role.LAB_TECH, is_org_admin=True).user
    client = browser(boss)
    assert read(client.get(here(world.invitation, "edit/"))).options("invitation_type") == ["medical_staff"]
    for values in ({"first_name": "Nora"}, {"expires_in_hours": "48"}):
        page = read(submit(client, here(world.invitation, "edit/"), **values), 422)
        assert "does not allow" in page.summary[0]
    assert acts.deliveries(world.invitation) == []


@pytest.mark.parametrize("text", ["<b>x</b>", "{{ 7|add:7 }}", '"><script>alert(1)</script>'])
def test_edit__markup_or_template_syntax__plain_text(world: World, text: str) -> None:
    client = browser(world.lee)
    assert submit(client, here(world.invitation, "edit/"), first_name=text, message=text).status_code == 302
    page = read(client.get(here(world.invitation, "edit/")), 200, text)
    assert (page.values["first_name"], page.values["message"]) == (text, text)


@pytest.mark.parametrize("junk", ["\0", "\u202e", "x" * 100_000, "٣", "[]", "1e400"])
def test_edit__junk_in_every_field__never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    for field in ("invitation_type", "first_name", "last_name", "message", "language", "expires_in_hours"):
        values = {"invitation_type": "medical_staff", field: junk}
        assert client.post(here(world.invitation, "edit/"), values).status_code in (302, 422)
