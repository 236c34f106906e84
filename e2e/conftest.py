"""A real browser on a real server, with a real worker and a real mailbox."""

import faulthandler
import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from accounts.models import User
from e2e.chromium import find
from e2e.second_factor import enrol, give_code
from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import Phone

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright keeps an event loop in this thread

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what each thread of the server is doing: a page that does not answer says nothing itself."""
    report = yield
    if report.when == "call" and report.failed:
        with tempfile.TemporaryFile("w+") as stacks:
            faulthandler.dump_traceback(stacks)
            stacks.seek(0)
            report.sections.append(("threads", stacks.read()))
    return report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests; each person has a context of their own."""
    path = os.environ.get("CHROMIUM") or find()
    if not path:
        pytest.fail("No Chromium: run `make test`, which installs one, or set CHROMIUM=/path/to/chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def site(live_server: Any, settings: Any) -> str:
    """The address of the running site; links in mails lead there."""
    settings.BASE_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    settings.LIMITS = dict.fromkeys(django_settings.LIMITS, "1000/m")
    return str(live_server.url)


@pytest.fixture
def browser_of(chromium: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Open a browser for one person: `browser_of(viewport=PHONE, dark=True)`. Errors of a page fail the test."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def opened(*, viewport: ViewportSize = DESKTOP, dark: bool = False) -> Page:
        context = chromium.new_context(
            base_url=site,
            viewport=viewport,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not problems, problems


@pytest.fixture
def mailbox(mail_sink: MailSink) -> Callable[[str], list[Any]]:
    """Return the mails that somebody received, oldest first."""

    def received(address: str) -> list[Any]:
        mails = [message_from_bytes(raw, policy=policy.default) for raw in mail_sink.messages()]
        return [mail for mail in mails if mail["To"] == address]

    return received


def link_in(mail: Any) -> str:
    """Return the first link of a mail's plain text."""
    found = re.search(r"https?://\S+", mail.get_body(("plain",)).get_content())
    assert found, "the mail has no link"
    return found.group()


@pytest.fixture
def sign_in_as(site: str) -> Callable[[Page, User], None]:
    """Sign somebody in through the sign-in page, with the phone that they set up the first time if their role asks for
    one."""
    phones: dict[User, Phone] = {}

    def signed_in(page: Page, user: User) -> None:
        page.goto(f"{site}/sign-in/")
        page.get_by_label("E-mail address").fill(user.email)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: not url.endswith("/sign-in/"))
        if user in phones:
            give_code(page, phones[user])
        elif "/second-factor/" in page.url:
            phones[user] = enrol(page)

    return signed_in
