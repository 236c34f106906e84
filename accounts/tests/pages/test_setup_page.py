"""/setup/<secret>/: the first administrator of an empty installation."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lockout import is_known_browser
from accounts.models import User, UserSession
from accounts.services import create_setup_link
from audit.models import AuditEvent
from healthivr.testing.factories import PASSWORD, UserFactory
from healthivr.testing.pages import browser, read, submit
from organizations.models import Membership
from organizations.tenancy import platform

pytestmark = pytest.mark.django_db
ANA = {"first_name": "Ana", "last_name": "Ruiz", "email": "Ana@Example.org", "password": PASSWORD}


@pytest.fixture
def here() -> str:
    """The address that a start on an empty database prints."""
    return f"/setup/{create_setup_link(at=timezone.now())}/"


def test_setup__everything_right__administrator_signed_in_and_led_to_the_platform(here: str) -> None:
    client = browser()
    assert read(client.get(here)).heading == "Set up healthivr"
    response = submit(client, here, **ANA)
    assert (response.status_code, response["Location"]) == (302, "/")
    user = User.objects.get()
    assert is_known_browser(user.email, response.cookies["known_browser"].value)
    assert (user.email, user.get_full_name()) == ("ana@example.org", "Ana Ruiz")
    with platform("test"):
        membership = Membership.objects.get()
        event = AuditEvent.objects.order_by("recorded", "sequence").last()
    assert (membership.role, membership.is_org_admin) == ("admin", True)
    assert event is not None
    assert (event.action, event.actor_id, event.target_id) == (
        "session.started",
        user.pk,
        str(UserSession.objects.get().pk),
    )
    assert (event.organization_id, event.request_id) == (membership.organization_id, response["X-Request-ID"])
    response = client.get("/")
    page = read(client.get(response["Location"]))
    assert page.heading == "Set up your second factor"
    assert page.notices == ["You are the first administrator. Now a second factor."]


def test_setup__opened_many_times__still_works(here: str, roomy_limits: None) -> None:
    client = browser()
    for _time in range(20):
        assert client.get(here).status_code == client.head(here).status_code == 200
    assert submit(client, here, **ANA).status_code == 302


def test_setup__nothing_filled_in__every_missing_thing_at_once(here: str) -> None:
    page = read(submit(browser(), here), 422)
    assert page.errors == {
        "first_name": ["Enter a first name."],
        "last_name": ["Enter a last name."],
        "email": ["Enter an e-mail address."],
        "password": ["Choose a password."],
    }
    assert not User.objects.exists()


def test_setup__address_and_password_wrong__both_said_at_once(here: str) -> None:
    page = read(submit(browser(), here, **{**ANA, "email": "ana", "password": "short"}), 422)
    assert page.errors["email"] == ["Enter an e-mail address such as name@example.org."]
    assert "at least 12 characters" in page.errors["password"][0]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("first_name", "x" * 101, "First name: Enter a name of 1 to 100 characters."),
        ("last_name", " ", "Enter a last name."),
        ("email", "ana", "Enter an e-mail address such as name@example.org."),
        ("email", "аna@example.org", "letters that look like others"),
        ("password", "short", "at least 12 characters"),
        ("password", "ana@example.org", "made of your name"),
    ],
)
def test_setup__one_mistake__said_at_its_field_what_was_typed_stays_and_the_link_still_works(
    here: str, field: str, value: str, message: str
) -> None:
    client = browser()
    page = read(submit(client, here, **{**ANA, field: value}), 422)
    assert list(page.errors) == [field]
    assert message in page.summary[0]
    for name, typed in {**ANA, field: value}.items():
        assert page.values[name] == ("" if name == "password" else typed)
    assert not User.objects.exists()
    assert submit(client, here, **ANA).status_code == 302


@pytest.mark.parametrize("why", ["unknown", "used", "expired", "somebody exists", "newer"])
def test_setup__link_that_does_not_work__404_page_and_nobody_made(here: str, why: str) -> None:
    client = browser()
    assert client.get(here).status_code == 200
    address, people = here, 0
    if why == "unknown":
        address = "/setup/nonsense/"
    elif why == "used":
        submit(browser(), here, **ANA)
        people = 1
    elif why == "expired":
        address = f"/setup/{create_setup_link(at=timezone.now() - timedelta(hours=24))}/"
    elif why == "somebody exists":
        UserFactory()
        people = 1
    else:
        create_setup_link(at=timezone.now())
    page = read(client.get(address), 404)
    assert page.heading == "This set-up link does not work"
    assert page.links["Sign in"] == "/sign-in/"
    unchecked = Client()
    assert read(unchecked.post(address, ANA), 404)
    assert User.objects.count() == people


@pytest.mark.seed("S0.20", "S4.24")
def test_setup__posted_without_csrf_token__403_page_and_nobody_made(here: str) -> None:
    client = browser()
    assert read(client.post(here, ANA), 403).heading == "We could not confirm this form"
    assert not User.objects.exists()
    assert submit(client, here, **ANA).status_code == 302


@pytest.mark.parametrize("text", ["<b>x</b>", "{{ 7|add:7 }}", "{% now 'Y' %}"])
def test_setup__markup_or_template_syntax_in_a_name__plain_text(here: str, text: str) -> None:
    client = browser()
    page = read(submit(client, here, **{**ANA, "first_name": text, "email": "x"}), 422, text)
    assert page.values["first_name"] == text
    submit(client, here, **{**ANA, "first_name": text})
    client.force_login(User.objects.get())
    assert text in read(client.get(client.get("/")["Location"]), 200, text).text


@pytest.mark.parametrize("junk", ["\0", "x" * 100_000, "\u202e", "💩", "\r\n"])
def test_setup__junk__never_a_failure(here: str, junk: str, roomy_limits: None) -> None:
    client = Client()
    for field in ANA:
        response = client.post(here, {**ANA, "password": "short", field: junk})
        assert response.status_code in (302, 422)
    assert client.get(f"/setup/{'x' * 3000}/").status_code == 404
    assert client.get("/setup/%E2%80%AE/").status_code == 404
