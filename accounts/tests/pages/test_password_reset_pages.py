"""/password-reset/: asking for a link, and choosing a new password with it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.tokens import default_token_generator
from django.test import Client

from accounts.delivery import relay_due_account_mail
from accounts.links import reset_link_path
from accounts.models import AccountMail, User
from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.factories import PASSWORD
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.tests import acts

HERE = "/password-reset/"
NEW = "an entirely different horse"


# --- asking ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("email", ["lee@example.org", " LEE@example.org", "nobody@example.org"])
def test_ask__known_or_unknown_address__the_same_answer(world: World, email: str) -> None:
    client = browser()
    assert read(client.get(HERE)).heading == "Choose a new password"
    response = submit(client, HERE, email=email)
    assert (response.status_code, response["Location"]) == (302, "/password-reset/sent/")
    page = read(client.get(response["Location"]))
    assert page.heading == "Check your mail"
    assert "example.org" not in page.main
    mail = AccountMail.objects.get()
    assert (mail.user, mail.status) == ((None, "cancelled") if "nobody" in email else (world.lee, "queued"))


@pytest.mark.parametrize(
    ("email", "message"),
    [
        ("", "Enter an e-mail address."),
        ("lee", "Enter an e-mail address such as name@example.org."),
        ("lее@example.org", "letters that look like others"),
        ("x" * 255, "This address is too long."),
    ],
)
def test_ask__no_address__said_at_the_field_and_kept(world: World, email: str, message: str) -> None:
    page = read(submit(browser(), HERE, email=email), 422)
    assert message in page.errors["email"][0]
    assert page.values["email"] == email
    assert not AccountMail.objects.exists()


@pytest.mark.seed("S0.20", "S4.24")
def test_ask__posted_without_csrf_token__403_page(world: World) -> None:
    assert read(browser().post(HERE, {"email": "lee@example.org"}), 403)
    assert not AccountMail.objects.exists()


@pytest.mark.parametrize("forged", [{"HTTP_HOST": "evil.example"}, {"HTTP_X_FORWARDED_HOST": "evil.example"}])
def test_ask__host_changed_by_the_client__never_in_the_mailed_link(
    world: World, mail_sink: MailSink, settings: Any, forged: dict[str, str]
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert Client().post(HERE, {"email": "lee@example.org"}, **forged).status_code == 302  # type: ignore[arg-type]
    assert relay_due_account_mail(at=world.invitation.created_at) == 1
    (message,) = mail_sink.messages()
    written = acts.plain_text(acts.parsed(message)) + acts.html_text(acts.parsed(message))
    assert b"evil.example" not in message
    assert f"{django_settings.BASE_URL}/password-reset/" in written


# --- choosing --------------------------------------------------------------------------------------------------------
def test_choose__with_the_link__changed_and_only_the_new_one_signs_in(world: World) -> None:
    client, elsewhere = browser(), browser(world.lee)
    address = reset_link_path(world.lee)
    page = read(client.get(address))
    assert "lee@example.org" in page.main
    response = submit(client, address, password=NEW)
    assert (response.status_code, response["Location"]) == (302, "/password-reset/done/")
    assert read(client.get(response["Location"])).links["Sign in"] == "/sign-in/"
    assert client.get("/profile/").status_code == 302, "a link alone signs nobody in"
    assert elsewhere.get("/profile/").status_code == 302, "every session has ended"
    assert submit(client, "/sign-in/", email="lee@example.org", password=PASSWORD).status_code == 422
    assert submit(client, "/sign-in/", email="lee@example.org", password=NEW).status_code == 302


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "Choose a password."),
        ("short", "at least 12 characters"),
        ("lee@example.org", "made of your name"),
        ("x" * 129, "at most 128 characters"),
    ],
)
def test_choose__password_refused__said_at_its_field_and_the_link_still_works(
    world: World, password: str, message: str
) -> None:
    client, address = browser(), reset_link_path(world.lee)
    with acts.nothing_written():
        page = read(submit(client, address, password=password), 422)
    assert message in " ".join(page.errors["password"])
    assert page.values["password"] == ""
    assert submit(client, address, password=NEW).status_code == 302


@pytest.mark.parametrize("why", ["used", "password changed", "expired", "deactivated", "another's", "damaged"])
def test_choose__link_that_does_not_work__410_page_with_a_way_on(
    world: World, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, address = browser(), reset_link_path(world.mia)
    assert client.get(address).status_code == 200
    if why == "used":
        submit(client, address, password=NEW)
    elif why == "password changed":
        world.mia.set_password("something else altogether")
        world.mia.save(update_fields=["password"])
    elif why == "expired":
        later = datetime.now() + timedelta(seconds=3602)  # noqa: DTZ005  Django's token generator counts naive seconds
        monkeypatch.setattr(default_token_generator, "_now", lambda: later)
    elif why == "deactivated":
        User.objects.filter(pk=world.mia.pk).update(is_active=False)
    elif why == "another's":
        address = address.split("/")[0] + "/".join(
            [*reset_link_path(world.lee).split("/")[:3], *address.split("/")[3:]]
        )
    else:
        address = address[:-2] + "/"
    page = read(client.get(address), 410)
    assert page.heading == "This link does not work any more"
    assert page.links["Mail me a new link"] == HERE
    assert "mia@example.org" not in page.text
    before = User.objects.get(pk=world.mia.pk).password
    assert Client().post(address, {"password": "yet another good horse"}).status_code == 410
    assert User.objects.get(pk=world.mia.pk).password == before


@pytest.mark.parametrize("path", ["x/y", "%FF/x", "AAAA/x-y", "bm90IGEgdXVpZA/x", "💩/💩", "x" * 3000 + "/y", "-/-"])
def test_choose__junk_as_a_link__410_or_400_and_never_a_failure(world: World, path: str) -> None:
    assert Client().get(f"{HERE}{path}/").status_code in (400, 404, 410)


@pytest.mark.seed("S0.20", "S4.24")
def test_choose__posted_without_csrf_token__403_page_and_nothing_changed(world: World) -> None:
    address = reset_link_path(world.lee)
    with acts.nothing_written():
        assert read(browser().post(address, {"password": NEW}), 403)
    assert User.objects.get(pk=world.lee.pk).check_password(PASSWORD)
