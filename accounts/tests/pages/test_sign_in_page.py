"""/sign-in/ and /sign-out/."""

import pytest
from django.test import Client
from django.utils.http import urlencode

from accounts.models import User
from healthivr.testing.factories import PASSWORD
from healthivr.testing.pages import browser, parse, read, submit
from healthivr.testing.world import World
from invitations.tests import acts

HERE = "/sign-in/"
LOCKED = (
    "Too many failed attempts for this address. Wait 15 minutes, or use the link that we have mailed to it if it has an"
    " account here."
)
OMAR = {"email": "omar@example.org", "password": PASSWORD}


# --- in --------------------------------------------------------------------------------------------------------------
def test_sign_in__right__signed_in_and_home(world: World) -> None:
    client = browser()
    page = read(client.get(HERE))
    assert page.heading == "Sign in"
    assert page.links["I forgot my password"] == "/password-reset/"
    response = submit(client, HERE, email=" Omar@Example.ORG ", password=PASSWORD)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/profile/").status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        {"password": "wrong wrong wrong"},
        {"email": "nobody@example.org"},
        {"email": "not an address"},
        {"email": "lее@example.org"},
        {"email": "<b>x</b>"},
        {"email": "{{ 7|add:7 }}"},
    ],
)
def test_sign_in__wrong_for_whatever_reason__one_answer_and_the_address_stays(
    world: World, values: dict[str, str]
) -> None:
    client = browser()
    page = read(submit(client, HERE, **{**OMAR, **values}), 422, values.get("email", ""))
    assert page.summary == ["The e-mail address or the password is not right."]
    assert page.errors == {}
    assert page.values["email"] == {**OMAR, **values}["email"]
    assert page.values["password"] == ""
    assert "_auth_user_id" not in client.session


def test_sign_in__deactivated_person__the_same_answer(world: World) -> None:
    User.objects.filter(pk=world.mia.pk).update(is_active=False)
    page = read(submit(browser(), HERE, email="mia@example.org", password=PASSWORD), 422)
    assert page.summary == ["The e-mail address or the password is not right."]


def test_sign_in__nothing_filled_in__said_at_each_field(world: World) -> None:
    page = read(submit(browser(), HERE), 422)
    assert page.errors == {"email": ["Enter an e-mail address."], "password": ["Enter your password."]}


def test_sign_in__signed_in_already__led_on(world: World) -> None:
    client = browser(world.lee)
    assert client.get(HERE)["Location"] == "/"
    assert client.get(f"{HERE}?next=/profile/")["Location"] == "/profile/"


@pytest.mark.parametrize(
    "target",
    [
        "/o/lee-family-practice/invitations/?status=sent&text=a%20b",
        "/profile/",
        "/i/accept/",
    ],
)
def test_sign_in__was_going_somewhere_of_ours__goes_there(world: World, target: str) -> None:
    client = browser()
    address = f"{HERE}?{urlencode({'next': target})}"
    page = read(submit(client, address, **{**OMAR, "password": "wrong"}), 422)
    assert page.values["next"] == target, "a mistake does not lose the way"
    assert submit(client, address, **OMAR)["Location"] == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "http://testserver/profile/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "http:///evil.example",
        "http:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "\t//evil.example",
        "\x00//evil.example",
        "http://testserver@evil.example/",
        "http://testserver.evil.example/",
        "evil.example",
        "profile",
        "home",
        "accounts:profile",
        "./profile/",
        "../",
        "?x=1",
        " ",
        "x" * 5000,
    ],
)
def test_sign_in__was_going_elsewhere_or_nowhere__home(world: World, target: str) -> None:
    response = Client().post(HERE, {**OMAR, "next": target})
    assert (response.status_code, response["Location"]) == (302, "/")
    client = Client()
    client.force_login(world.lee)
    if "\x00" not in target:
        assert client.get(HERE, {"next": target})["Location"] == "/"


@pytest.mark.seed("S0.20", "S4.24")
def test_sign_in__posted_without_csrf_token__403_page(world: World) -> None:
    client = browser()
    assert read(client.post(HERE, OMAR), 403).heading == "We could not confirm this form"
    assert "_auth_user_id" not in client.session


def test_sign_in__sent_after_signing_in_in_another_tab__home(world: World) -> None:
    client = browser()
    old = parse(client.get(HERE).content.decode()).all("input", name="csrfmiddlewaretoken")[0]["value"]
    assert submit(client, HERE, **OMAR).status_code == 302
    response = client.post(HERE, {**OMAR, "csrfmiddlewaretoken": old})
    assert (response.status_code, response["Location"]) == (302, "/")


def test_form__opened_before_signing_in_in_another_tab__told_so_and_led_back_to_it(world: World) -> None:
    client = browser()
    old = parse(client.get(HERE).content.decode()).all("input", name="csrfmiddlewaretoken")[0]["value"]
    assert submit(client, HERE, **OMAR).status_code == 302
    for address in ("/i/accept/", "/profile/"):
        form_page = {"referer": f"http://testserver{address}?x=1"}
        page = read(client.post(address, {"csrfmiddlewaretoken": old}, headers=form_page), 403)
        assert page.heading == "We could not confirm this form"
        assert "The page was opened before you last signed in" in page.main
        assert "nothing was saved" in page.main
        ways = [link["href"] for link in page.tree.all("main")[0].all("a") if "btn" in link.classes]
        assert ways == [f"{address}?x=1", "/"]


@pytest.mark.parametrize("referer", ["", "https://evil.example/profile/", "javascript:alert(1)", "http://testserver"])
def test_form__sent_from_no_page_of_ours__led_to_the_start_page_alone(world: World, referer: str) -> None:
    client = browser(world.lee)
    page = read(client.post("/profile/", {}, headers={"referer": referer}), 403)
    ways = [link["href"] for link in page.tree.all("main")[0].all("a") if "btn" in link.classes]
    assert ways == ["/"]


@pytest.mark.parametrize("junk", ["\0", "x" * 100_000, "\u202e", "💩", "\r\nSet-Cookie: a=b"])
def test_sign_in__junk__refused_and_never_a_failure(world: World, junk: str, roomy_limits: None) -> None:
    for values in ({"email": junk}, {"password": junk}, {"email": junk, "password": junk, "next": junk}):
        assert Client().post(HERE, {**OMAR, **values}).status_code == 422


@pytest.mark.seed("S3.2", "C5")
def test_sign_in__sixth_attempt__429_even_with_the_right_password(world: World, standing_clock: None) -> None:
    client = browser()
    for _time in range(5):
        assert submit(client, HERE, **{**OMAR, "password": "wrong"}).status_code == 422
    response = submit(client, HERE, **OMAR)
    page = read(response, 429)
    assert page.heading == "Sign in"
    assert page.summary == [LOCKED]
    assert page.values["email"] == "omar@example.org"
    assert 14 * 60 < int(response["Retry-After"]) <= 15 * 60 + 1
    assert (response["RateLimit-Limit"], response["RateLimit-Remaining"]) == ("5", "0")
    assert "_auth_user_id" not in client.session


# --- out -------------------------------------------------------------------------------------------------------------
def test_sign_out__by_the_button__signed_out_and_said_so(world: World) -> None:
    client = browser(world.lee)
    page = parse(client.get("/profile/").content.decode())
    (form,) = page.all("form", action="/sign-out/")
    token = form.all("input", name="csrfmiddlewaretoken")[0]["value"]
    response = client.post("/sign-out/", {"csrfmiddlewaretoken": token})
    assert (response.status_code, response["Location"]) == (302, HERE)
    assert read(client.get(HERE)).notices == ["You are signed out."]
    assert client.get("/profile/").status_code == 302
    assert acts.actions(world.platform)[-1] == "session.ended"


def test_sign_out__by_a_link_or_without_csrf_token__still_signed_in(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get("/sign-out/"), 405)
    assert page.links["Go to your start page"] == "/"
    assert read(client.post("/sign-out/"), 403)
    assert client.get("/profile/").status_code == 200


def test_button_pressed_after_the_session_ended__to_sign_in_and_on_to_a_page_with_a_way_on(world: World) -> None:
    client = Client()
    address = f"/o/lee-family-practice/invitations/{world.invitation.pk}/resend/"
    response = client.post(address)
    assert response["Location"].startswith(HERE)
    response = client.post(response["Location"], {**OMAR, "next": address})
    page = client.get(response["Location"], follow=True)
    assert read(page, page.status_code).links


# --- on the way ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("page", "target"),
    [
        ("http://testserver/o/lee-family-practice/people/?page=2", "/o/lee-family-practice/people/?page=2"),
        ("https://evil.example/profile/", "/"),
        ("http://testserver//evil.example/", "/"),
        ("", "/"),
    ],
)
def test_button_pressed_after_the_session_ended__sign_in_leads_back_to_its_page(
    world: World, page: str, target: str
) -> None:
    client = Client(headers={"referer": page})
    response = client.post(f"/o/lee-family-practice/invitations/{world.invitation.pk}/resend/")
    assert response.status_code == 302
    said = read(client.get(response["Location"])).notices
    assert said == ["You are signed out, and nothing was sent. Sign in, then send it again."]
    assert submit(browser(), response["Location"], **OMAR)["Location"] == target


def test_form_sent_after_the_session_ended__said_that_it_was_not_kept(world: World) -> None:
    client = Client(headers={"referer": "http://testserver/profile/"})
    response = client.post("/profile/", {"first_name": "Nora", "csrfmiddlewaretoken": "x" * 64})
    said = read(client.get(response["Location"])).notices
    assert said == ["You are signed out, and nothing was sent. Sign in, then fill the form in again: it was not kept."]


def test_form_sent_with_nothing_in_it__is_a_form_sent(world: World) -> None:
    """The token in a header leaves the body empty."""
    client = Client(enforce_csrf_checks=True)
    client.get(HERE)
    response = client.post(HERE, headers={"x-csrftoken": client.cookies["csrftoken"].value})
    assert read(response, 422).errors == {"email": ["Enter an e-mail address."], "password": ["Enter your password."]}
