"""The second factor on pages: enrolment, the second step of signing in, step-up, management."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User, UserSession
from accounts.second_factor import is_enrolled
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import Phone, phone_of
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World

ENROL = "/profile/second-factor/enrol/"
VERIFY = "/sign-in/verify/"


def give_password(client: Client, user: User, **more: str) -> Any:
    return submit(client, "/sign-in/", email=user.email, password=PASSWORD, **more)


def enrol(client: Client, next_page: str = "") -> tuple[Phone, Any]:
    """Go through the page of enrolment; return the phone, and the answer with the recovery codes."""
    address = f"{ENROL}?next={next_page}"
    phone = Phone(read(client.get(address)).tree.all("code", id="key")[0].text)
    answer = submit(client, address, code=phone.code())
    assert read(answer).heading == "Keep your recovery codes"
    return phone, answer


def codes_in(answer: Any) -> list[str]:
    """Return the recovery codes that a page shows."""
    return read(answer).tree.all("pre")[0].text.split()


def go_on(client: Client, answer: Any) -> Any:
    """Press the only button of the page that shows recovery codes."""
    form = next(form for form in read(answer).tree.all("form") if form["action"] == "/profile/second-factor/kept/")
    return client.post(form["action"], {field["name"]: field["value"] for field in form.all("input")})


# --- enrolment -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
def test_doctor_without_factor__signs_in__reaches_enrolment_and_then_where_they_were_going(world: World) -> None:
    client = browser()
    response = give_password(client, world.lee, next="/o/lee-family-practice/people/")
    assert response["Location"] == "/o/lee-family-practice/people/"
    led = client.get("/o/lee-family-practice/people/")
    assert led["Location"] == f"{ENROL}?next=/o/lee-family-practice/people/"
    page = read(client.get(led["Location"]))
    assert page.heading == "Set up your second factor"
    assert page.values["next"] == "/o/lee-family-practice/people/"
    _phone, answer = enrol(client, "/o/lee-family-practice/people/")
    codes = codes_in(answer)
    assert len(codes) == len(set(codes)) == 10
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}", code) for code in codes)
    response = go_on(client, answer)
    assert response["Location"] == "/o/lee-family-practice/people/"
    assert client.get(response["Location"]).status_code == 200
    assert is_enrolled(world.lee)


@pytest.mark.seed("S3.1")
def test_second_step__right_code__signed_in_and_where_one_was_going(world: World) -> None:
    phone, client = phone_of(world.lee), browser()
    response = give_password(client, world.lee, next="/profile/")
    assert response["Location"] == VERIFY
    assert client.get("/profile/").status_code == 302  # half-way opens nothing
    page = read(client.get(VERIFY))
    code = page.tree.all("input", name="code")[0]
    assert (code["autocomplete"], code["inputmode"]) == ("one-time-code", "numeric")
    typed = phone.code()
    response = submit(client, VERIFY, code=f" {typed[:3]}-{typed[3:]} ")
    assert response["Location"] == "/profile/"
    assert client.get("/profile/").status_code == 200
    assert UserSession.objects.get(user=world.lee).second_factor_at is not None
