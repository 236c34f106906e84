"""/profile/ and /profile/password/."""

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.factories import PASSWORD
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts

PROFILE, PASSWORD_PAGE = "/profile/", "/profile/password/"
NEW = "an entirely different horse"


# --- profile ---------------------------------------------------------------------------------------------------------
def test_profile__changed__saved_said_so_and_shown_everywhere(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get(PROFILE))
    assert page.values == {
        "first_name": "Jun",
        "last_name": "Lee",
        "time_zone": "America/New_York",
        "language": "en",
    }
    response = submit(client, PROFILE, first_name=" June ", time_zone="America/Los_Angeles")
    assert (response.status_code, response["Location"]) == (302, PROFILE)
    page = read(client.get(PROFILE))
    assert page.notices == ["Your profile is saved."]
    assert page.values["first_name"] == "June"
    assert "June Lee" in page.text
    assert User.objects.get(pk=world.lee.pk).time_zone == "America/Los_Angeles"


def test_profile__time_zones__names_of_today_and_whatever_is_chosen_already(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get(PROFILE))
    offered = page.options("time_zone")
    assert {"America/New_York", "America/Argentina/Buenos_Aires", "Europe/Stockholm", "UTC"} <= set(offered)
    assert not {"Africa/Asmera", "US/Eastern", "Etc/GMT+5", "Asia/Calcutta"} & set(offered)
    assert len(offered) == len(set(offered))
    assert "America, Argentina, Buenos Aires" in page.main
    User.objects.filter(pk=world.lee.pk).update(time_zone="Asia/Calcutta")
    page = read(client.get(PROFILE))
    assert page.values["time_zone"] == "Asia/Calcutta"
    assert submit(client, PROFILE, first_name="June").status_code == 302
    assert User.objects.get(pk=world.lee.pk).time_zone == "Asia/Calcutta"


def test_profile__another_language__the_pages_speak_it(world: World) -> None:
    client = browser(world.lee)
    submit(client, PROFILE, language="es")
    page = read(client.get(PROFILE))
    assert page.tree.all("html")[0]["lang"] == "es"
    assert page.heading != "Your profile"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("first_name", "", "Enter a first name."),
        ("last_name", "  ", "Enter a last name."),
        ("first_name", "x" * 101, "First name: Enter a name of 1 to 100 characters."),
        ("time_zone", "Mars/Olympus", "is not one of the available choices"),
        ("time_zone", "../../etc/passwd", "is not one of the available choices"),
        ("language", "xx", "is not one of the available choices"),
    ],
)
def test_profile__one_mistake__said_at_its_field_what_was_typed_stays_and_the_frame_is_as_it_was(
    world: World, field: str, value: str, message: str
) -> None:
    client = browser(world.lee)
    typed = {"first_name": "June", "last_name": "Li"}
    with acts.nothing_written():
        page = read(submit(client, PROFILE, **{**typed, field: value}), 422)
    assert list(page.errors) == [field]
    assert message in page.summary[0]
    for name, text in {**typed, field: value}.items():
        if name in typed:
            assert page.values[name] == text
    (menu,) = page.tree.with_class("menu-head")
    assert "Jun Lee" in menu.text


def test_profile__address_or_rights_in_the_form__ignored(world: World) -> None:
    submit(browser(world.mia), PROFILE, email="evil@example.org", is_active="", is_org_admin="on", role="admin")
    now = User.objects.get(pk=world.mia.pk)
    assert (now.email, now.is_active) == ("mia@example.org", True)
    assert [m.role for m in acts.memberships(now)] == ["medical_staff"]


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    "text", ["<b>x</b>", "<script>alert(1)</script>", "{{ 7|add:7 }}", "{% now 'Y' %}", "a&b&amp;"]
)
def test_profile__markup_or_template_syntax__plain_text_on_every_page(world: World, text: str) -> None:
    client = browser(world.lee)
    assert submit(client, PROFILE, first_name=text, last_name="Lee").status_code == 302
    for address in (PROFILE, PASSWORD_PAGE, "/o/lee-family-practice/", "/o/lee-family-practice/people/"):
        assert f"{text} Lee" in read(client.get(address), 200, text).text


def test_profile__nobody_signed_in__to_sign_in_and_back(world: World) -> None:
    assert browser().get(PROFILE)["Location"] == "/sign-in/?next=/profile/"
    assert browser().get(PASSWORD_PAGE)["Location"] == "/sign-in/?next=/profile/password/"


@pytest.mark.seed("S0.20", "S4.24")
@pytest.mark.parametrize("address", [PROFILE, PASSWORD_PAGE])
def test_profile__posted_without_csrf_token__403_page_and_nothing_written(world: World, address: str) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        sent = {"first_name": "Evil", "last_name": "Lee", "current_password": PASSWORD, "password": NEW}
        assert read(client.post(address, sent), 403)


@pytest.mark.parametrize("junk", ["\0", "x" * 100_000, "\u202e", "💩", "\r\n"])
def test_profile__junk__never_a_failure(world: World, junk: str) -> None:
    client = Client()
    client.force_login(world.lee)
    good = {"first_name": "Jun", "last_name": "Lee", "time_zone": "UTC", "language": "en"}
    for field in good:
        assert client.post(PROFILE, {**good, field: junk}).status_code in (302, 422)
    for field in ("current_password", "password"):
        sent = {"current_password": "wrong", "password": "short", field: junk}
        assert client.post(PASSWORD_PAGE, sent).status_code == 422


# --- password --------------------------------------------------------------------------------------------------------
def test_password__changed__stays_signed_in_here_and_nowhere_else(world: World) -> None:
    here, elsewhere = browser(world.lee), browser(world.lee)
    response = submit(here, PASSWORD_PAGE, current_password=PASSWORD, password=NEW)
    assert (response.status_code, response["Location"]) == (302, PROFILE)
    assert read(here.get(PROFILE)).notices == ["Your password is changed. You are signed out everywhere else."]
    assert elsewhere.get(PROFILE).status_code == 302
    assert User.objects.get(pk=world.lee.pk).check_password(NEW)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("current_password", "wrong", "Your current password is not right."),
        ("current_password", "", "Enter your password."),
        ("password", "", "Choose a password."),
        ("password", "short", "at least 12 characters"),
        ("password", "lee@example.org", "made of your name"),
        ("password", "x" * 129, "at most 128 characters"),
    ],
)
def test_password__refused__said_at_its_field_and_no_password_is_sent_back(
    world: World, field: str, value: str, message: str
) -> None:
    client = browser(world.lee)
    with acts.nothing_written():
        page = read(submit(client, PASSWORD_PAGE, **{"current_password": PASSWORD, "password": NEW, field: value}), 422)
    assert list(page.errors) == [field]
    assert message in " ".join(page.errors[field])
    assert (page.values["current_password"], page.values["password"]) == ("", "")
    assert User.objects.get(pk=world.lee.pk).check_password(PASSWORD)


@pytest.mark.seed("C5")
def test_password__sixth_guess_of_the_present_one__429_page(world: World, standing_clock: None) -> None:
    client = browser(world.lee)
    for _time in range(5):
        assert submit(client, PASSWORD_PAGE, current_password="wrong", password=NEW).status_code == 422
    assert read(submit(client, PASSWORD_PAGE, current_password=PASSWORD, password=NEW), 429)
    assert User.objects.get(pk=world.lee.pk).check_password(PASSWORD)
