"""The second factor on pages: enrolment, the second step of signing in, step-up, management."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.links import reset_link_path
from accounts.models import Authenticator, RecoveryCode, User, UserSession
from accounts.qr import qr_code
from accounts.second_factor import is_enrolled
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import Phone, phone_of
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from organizations.models import OrganizationSettings
from organizations.tenancy import platform

ENROL = "/profile/second-factor/enrol/"
VERIFY = "/sign-in/verify/"
HERE = "/profile/second-factor/"


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


# --- the second step -------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
def test_second_step__recovery_code__typed_in_the_same_field(world: World) -> None:
    client = browser()
    give_password(client, world.mia)
    codes = codes_in(enrol(client)[1])
    other = browser()
    give_password(other, world.mia)
    page = read(other.get(VERIFY))
    assert page.links["Use a recovery code"] == f"{VERIFY}?by=recovery-code"
    page = read(other.get(page.links["Use a recovery code"]))
    assert page.tree.all("input", name="code")[0]["inputmode"] == "text"
    assert submit(other, f"{VERIFY}?by=recovery-code", code=codes[3])["Location"] == "/"
    third = browser()
    give_password(third, world.mia)
    page = read(submit(third, f"{VERIFY}?by=recovery-code", code=codes[3]), 422)
    assert page.values["by"] == "recovery-code"
    assert page.errors["code"][0].startswith("This code is not right, or was used already.")


def test_second_step__fewer_than_six_digits__said_so_and_no_guess(world: World) -> None:
    phone, client = phone_of(world.lee), browser()
    give_password(client, world.lee)
    for _time in range(6):  # one more than guesses are allowed
        page = read(submit(client, VERIFY, code="123 45"), 422)
        assert page.errors == {"code": ["Enter all six digits of the code."]}
    assert submit(client, VERIFY, code=phone.code())["Location"] == "/"


def test_enrolment__fewer_than_six_digits__said_at_the_field(world: World) -> None:
    client = browser()
    give_password(client, world.lee)
    page = read(submit(client, ENROL, code="12"), 422)
    assert page.errors == {"code": ["Enter all six digits of the code."]}
    enrol(client)
    assert is_enrolled(world.lee)


@pytest.mark.parametrize("path", ["/profile/", "/", "/o/lee-family-practice/people/", ENROL, "/verify/", "/admin/"])
@pytest.mark.seed("S3.1")
def test_half_way__of_signing_in__opens_nothing(world: World, path: str) -> None:
    phone, client = phone_of(world.lee), browser()
    give_password(client, world.lee)
    led = client.get(path)
    assert led.status_code == 302
    assert "/sign-in/" in led["Location"] or led["Location"].startswith("/admin/login/")
    assert client.get("/api/v1/invitations/").status_code == 401
    submit(client, VERIFY, code=phone.code())
    assert client.get("/profile/").status_code == 200


def test_second_step__without_the_first__leads_to_it(world: World) -> None:
    phone = phone_of(world.lee)
    for client in (Client(), browser()):
        assert client.get(VERIFY)["Location"] == "/sign-in/"
    assert Client().post(VERIFY, {"code": phone.code()})["Location"] == "/sign-in/"


@pytest.mark.parametrize(("minutes", "goes_on"), [(9, True), (11, False)])
def test_second_step__after_ten_minutes__the_first_again(
    world: World, monkeypatch: pytest.MonkeyPatch, minutes: int, goes_on: bool
) -> None:
    phone, client, begun = phone_of(world.lee), browser(), timezone.now()
    give_password(client, world.lee)
    later = begun + timedelta(minutes=minutes)
    monkeypatch.setattr("accounts.views.sign_in.timezone.now", lambda: later)
    response = client.get(VERIFY)
    if goes_on:
        assert submit(client, VERIFY, code=phone.code(at=later))["Location"] == "/"
        return
    assert response["Location"] == "/sign-in/"
    assert "Ten minutes are over" in read(client.get("/sign-in/")).notices[0]


@pytest.mark.parametrize("change", ["password", "switched off", "factor gone"])
def test_second_step__of_an_account_that_changed_meanwhile__the_first_again(world: World, change: str) -> None:
    phone, client = phone_of(world.mia), browser()
    give_password(client, world.mia)
    assert client.get(VERIFY).status_code == 200
    if change == "password":
        User.objects.filter(pk=world.mia.pk).update(password="argon2$of something else")
    elif change == "switched off":
        User.objects.filter(pk=world.mia.pk).update(is_active=False)
    else:
        Authenticator.objects.all().delete()
    assert client.get(VERIFY)["Location"] == "/sign-in/"
    assert client.post(VERIFY, {"code": phone.code()}).status_code in (302, 403)
    assert not UserSession.objects.exists()


@pytest.mark.seed("S3.1", "S3.3")
def test_first_step__wrong_password_of_who_has_a_factor__answers_as_for_nobody(world: World) -> None:
    phone_of(world.lee)
    pages = []
    for email in ("lee@example.org", "nobody@example.org"):
        response = submit(browser(), "/sign-in/", email=email, password="wrong wrong wrong")
        text = response.text.replace(email, "ADDRESS")
        pages.append((response.status_code, re.sub(r'(value|nonce)="[^"]{20,}"', "", text), "Set-Cookie" in response))
    assert pages[0] == pages[1]
    assert pages[0][0] == 422


@pytest.mark.seed("S3.2", "S3.3")
def test_second_step__five_wrong_codes__locked_at_both_steps(world: World) -> None:
    phone, client = phone_of(world.lee), browser()
    give_password(client, world.lee)
    for _guess in range(5):
        assert submit(client, VERIFY, code="000000").status_code == 422
    response = submit(client, VERIFY, code=phone.code())
    page = read(response, 429)
    assert page.summary[0].startswith("Too many failed attempts")
    assert 0 < int(response["Retry-After"]) <= 901
    assert give_password(browser(), world.lee).status_code == 429


@pytest.mark.seed("S2.13")
def test_password_reset__of_who_has_a_factor__neither_removes_nor_passes_it(world: World) -> None:
    phone_of(world.lee)
    client = browser()
    assert submit(client, reset_link_path(world.lee), password="four green otters swim away").status_code == 302
    response = submit(client, "/sign-in/", email=world.lee.email, password="four green otters swim away")
    assert response["Location"] == VERIFY
    assert client.get("/profile/").status_code == 302


# --- who lacks one ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
@pytest.mark.parametrize("who", ["lee", "ana", "mia"])
def test_enforcement__role_or_policy__enrolment_and_nothing_else_anywhere(world: World, who: str) -> None:
    user: User = getattr(world, who)
    client = browser()
    give_password(client, user)
    if who == "mia":  # no role of hers asks: the practice's policy does, from one request to the next
        assert client.get("/profile/").status_code == 200
        with platform("test"):
            OrganizationSettings.objects.filter(organization=world.practice).update(requires_second_factor=True)
    for path in ("/", "/profile/", "/profile/second-factor/", "/o/lee-family-practice/people/", "/admin/"):
        assert client.get(path)["Location"].startswith(ENROL), path
    called = client.get("/api/v1/invitations/", headers={"X-Organization": "lee-family-practice"})
    assert (called.status_code, called.json()["code"]) == (403, "second_factor_enrolment_required")
    part = client.get("/o/lee-family-practice/people/", headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Redirect"]) == (403, ENROL)
    go_on(client, enrol(client)[1])
    assert client.get("/profile/").status_code == 200


def test_policy__for_whoever_signed_in_with_their_factor__changes_nothing(world: World) -> None:
    phone, client = phone_of(world.mia), browser()
    give_password(client, world.mia)
    submit(client, VERIFY, code=phone.code())
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(requires_second_factor=True)
    assert client.get("/profile/").status_code == 200


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "home"]
)
def test_next__that_is_no_page_of_ours__goes_home(world: World, target: str) -> None:
    phone, client = phone_of(world.lee), browser()
    give_password(client, world.lee, next=target)
    assert submit(client, VERIFY, code=phone.code())["Location"] == "/"
    assert read(client.get("/verify/", {"next": target})).values["verification-path"] == "/"
    response = client.post("/profile/second-factor/kept/", {"next": target})
    assert response.status_code == 403  # no CSRF token: nobody else sends it


def test_enrolment__of_the_page__holds_a_code_that_says_what_the_text_says(world: World) -> None:
    client = browser(world.mia)
    page = read(client.get(ENROL))
    assert page.links["Add healthivr to my app"].startswith("otpauth://totp/healthivr:mia@example.org?secret=")
    key = page.tree.all("code", id="key")[0].text.replace(" ", "")
    assert f"secret={key}&" in page.links["Add healthivr to my app"]
    path = page.tree.with_class("qr-dark")[0]["d"]
    assert path == qr_code(page.links["Add healthivr to my app"]).path
    again = read(client.get(ENROL))
    assert again.tree.all("code", id="key")[0].text.replace(" ", "") == key
    wrong = read(submit(client, ENROL, code="000000"), 422)
    assert list(wrong.errors) == ["code"]
    assert wrong.tree.all("code", id="key")[0].text.replace(" ", "") == key


# --- managing --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.1")
def test_overview__of_who_has_one__says_what_there_is_and_replaces_codes(world: World) -> None:
    client = browser(world.mia)
    assert "You have none" in read(client.get(HERE)).main
    _phone, answer = enrol(client)
    old = codes_in(answer)
    assert "You have not said that your recovery codes are in a safe place" in read(client.get(HERE)).main
    go_on(client, answer)
    page = read(client.get(HERE))
    assert "10 of 10 are left." in page.main
    assert "safe place" not in page.main
    new = codes_in(submit(client, HERE, to="/profile/second-factor/codes/"))
    assert not set(old) & set(new)
    assert RecoveryCode.objects.filter(user=world.mia).count() == 10
    response = submit(client, HERE, to="/profile/second-factor/remove/")
    assert response["Location"] == HERE
    assert "You have none" in read(client.get(HERE)).main


# --- sent again (F5) -------------------------------------------------------------------------------------------------
def form_of(client: Client, address: str, to: str) -> dict[str, str]:
    form = next(form for form in read(client.get(address)).tree.all("form") if form["action"] == to)
    return {field["name"]: field["value"] for field in form.all("input")}


@pytest.mark.seed("S3.1")
def test_codes__the_form_sent_again__stay_as_they_were_and_the_page_says_so(world: World) -> None:
    client = browser(world.mia)
    enrol(client)
    sent = form_of(client, HERE, "/profile/second-factor/codes/")
    codes_in(client.post("/profile/second-factor/codes/", sent))
    made = set(RecoveryCode.objects.filter(user=world.mia).values_list("digest", flat=True))
    again = client.post("/profile/second-factor/codes/", sent, follow=True)
    assert again.redirect_chain == [(HERE, 302)]
    (said,) = read(again).notices
    assert said.endswith("the new ones were shown once. If you did not keep them, replace them below.")
    assert set(RecoveryCode.objects.filter(user=world.mia).values_list("digest", flat=True)) == made
    codes_in(client.post("/profile/second-factor/codes/", form_of(client, HERE, "/profile/second-factor/codes/")))
    assert not made & set(RecoveryCode.objects.filter(user=world.mia).values_list("digest", flat=True))


@pytest.mark.seed("S3.1")
def test_enrolment__the_form_sent_again__says_that_it_is_set_up_and_leads_to_new_codes(world: World) -> None:
    client = browser(world.mia)
    phone = Phone(read(client.get(ENROL)).tree.all("code", id="key")[0].text)
    sent = {**form_of(client, ENROL, ENROL), "code": phone.code()}
    codes_in(client.post(ENROL, sent))
    again = client.post(ENROL, sent, follow=True)
    page = read(again)
    assert again.redirect_chain == [(HERE, 302)]
    assert page.notices == [
        "Your second factor is set up. Its recovery codes were shown once. "
        "If you did not keep them, replace them below."
    ]
    assert "Replace the codes" in page.main
    assert RecoveryCode.objects.filter(user=world.mia).count() == 10
