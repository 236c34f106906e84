"""Log lines: JSON that operators can follow, with no token, no address, no name and no value of a person's."""

import io
import json
import logging
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import structlog
from django.conf import settings as django_settings
from django.db import IntegrityError
from django.test import Client

from accounts.links import reset_link_path
from accounts.models import User
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.embedded.processes import wait_until
from healthivr.logs import formatter, logging_config, mask_secrets
from healthivr.testing.factories import PASSWORD
from healthivr.testing.processes import process_environment
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tokens import derive_token, new_nonce
from organizations.tenancy import platform, tenant

SignIn = Callable[[User], Client]
API = "/api/v1/invitations/"
TOKEN = "abcdEFGH0123_-abcdEFGH0123_-abcdEFGH0123_-a"


class Lines:
    """What the processes of ours write, rendered as they render it."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def all(self, event: str = "") -> list[dict[str, Any]]:
        """Every line, or those of one event; each is one JSON object."""
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if not event or line["event"] == event]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Listen to every logger with the formatter of our handlers."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield Lines(stream)
    root.removeHandler(handler)
    root.setLevel(before)


# --- tokens ----------------------------------------------------------------------------------------------------------
SECRET_ADDRESSES = [
    f"/i/{TOKEN}/",
    f"/i/{TOKEN}",
    f"https://invite.example.org/i/{TOKEN}/",
    f"/api/v1/invitations/validate/{TOKEN}/",
    f"/api/v1/invitations/accept/{TOKEN}",
    f"/api/v1/invitations/decline/{TOKEN}/",
    f"/setup/{TOKEN}/",
    f"/password-reset/MDFhMWZjZTA/d6w8xk-{TOKEN}/",
    f"/sign-in/?next=%2Fi%2F{TOKEN}%2F",
    f"/sign-in/?next=/i/{TOKEN}/",
    f"%2fsetup%2f{TOKEN}%2f",
    f"/I/{TOKEN}/",
]
#: None of ours, but what becomes of one: a slash too many, a link cut or glued together in the wrong place.
ODD_ADDRESSES = [
    f"/i//{TOKEN}/",
    f"/{TOKEN}/",
    f"/{TOKEN}",
    f"/o/x/{TOKEN}",
    f"/api/v1/invitations/{TOKEN}/validate/",
    f"/validate//{TOKEN}",
    f"/i/start/{TOKEN}/",
    f"/{TOKEN}-",
    f"/invitations?token={TOKEN}&next=/",
    f"/sign-in/?next=%2F{TOKEN}%2F",
    f"//i%252F{TOKEN}",
]


@pytest.mark.seed("S0.37")
@pytest.mark.parametrize("address", [*SECRET_ADDRESSES, *ODD_ADDRESSES])
@pytest.mark.parametrize("logger", ["django.request", "gunicorn.error", "celery.worker", "healthivr", "urllib3"])
def test_token__in_any_address_of_ours_and_any_logger__masked(lines: Lines, logger: str, address: str) -> None:
    logging.getLogger(logger).warning("Gone: %s and then %s", address, address, extra={"path": address})
    structlog.get_logger(logger).warning("gone", path=address, nested={"url": [address]})
    assert TOKEN not in lines.text
    assert len(lines.all()) == 2
    assert lines.text.count("***") >= 4


def test_token__whatever_it_begins_with__masked() -> None:
    for _number in range(200):
        token = derive_token(new_nonce())
        assert token not in mask_secrets(f"/i/{token}/")
    for beginning in ("sent", "done", "SENT", "start"):
        token = beginning + TOKEN[len(beginning) :]
        assert token not in mask_secrets(f"/i/{token}/ /setup/{token}/")


@pytest.mark.seed("S0.37")
@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_token__in_an_address_that_is_none_of_ours__is_not_in_the_line_about_it(
    world: World, client: Client, lines: Lines, address: str
) -> None:
    assert client.get(address).status_code in (200, 302, 401, 404)
    assert TOKEN not in lines.text
    assert lines.all()


def test_secrets__of_setup_and_reset__masked_wherever_they_stand(world: World) -> None:
    setup = secrets.token_urlsafe(32)
    reset = reset_link_path(world.lee).strip("/").rpartition("/")[2]
    for secret in (setup, reset):
        for text in (f"/{secret}/", f"/x/{secret}", f"/password-reset/{secret}", f"?a={secret}&b", f"%2F{secret}%2F"):
            assert secret not in mask_secrets(text), text


@pytest.mark.parametrize("before", ["\n", "\\", "\\\n", "é", "\x01", '"', "\t\n", "2F"])
def test_token__after_a_character_that_json_escapes__masked_and_the_line_is_json(lines: Lines, before: str) -> None:
    logging.getLogger("x").warning(f"{before}{TOKEN}{before}")
    (line,) = lines.all()
    assert line["event"].strip() != ""
    assert TOKEN not in line["event"]


def test_token__in_a_tracebacks_message__gone(lines: Lines) -> None:
    try:
        raise ValueError(f"cannot open /i/{TOKEN}/ or {TOKEN}")
    except ValueError:
        logging.getLogger("django.request").exception("Internal Server Error: %s", f"/i/{TOKEN}/")
    assert TOKEN not in lines.text


def test_addresses_without_a_secret__stay_as_they_are() -> None:
    for address in (
        "/o/lee-family-practice/invitations/",
        "/api/v1/invitations/01a1fce0-e274-717d-bc9e-646e88f432ff/resend/",
        "/password-reset/sent/",
        "/password-reset/done/",
        "/i/decline/done/",
        "/i/start/",
    ):
        assert mask_secrets(address) == address


# --- the shape -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.37", "S3.26")
def test_request__one_line_of_json_with_route_status_and_the_id_of_the_answer(
    world: World, sign_in: SignIn, lines: Lines
) -> None:
    response = sign_in(world.lee).get(f"{API}{world.invitation.pk}/?email=canary@example.org")
    (line,) = lines.all("request")
    assert line["request_id"] == response["X-Request-ID"]
    assert (line["method"], line["status"], line["level"], line["logger"]) == ("GET", 200, "info", "healthivr.request")
    assert line["route"] == "api/v1/invitations/<uuid:invitation_id>/"
    assert (line["organization"], line["user"]) == (str(world.practice.pk), str(world.lee.pk))
    assert line["milliseconds"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["timestamp"])
    assert "canary" not in lines.text
    assert str(world.invitation.pk) not in json.dumps(line)


@pytest.mark.seed("S0.37", "S3.26")
def test_request__that_acts__one_id_in_answer_log_and_trail(
    committed_world: World, sign_in: SignIn, lines: Lines
) -> None:
    body = json.dumps({"invitation_type": "office_admin", "email": "nora@example.org"})
    response = sign_in(committed_world.lee).post(API, body, content_type="application/json")
    request_id = response["X-Request-ID"]
    (created,) = lines.all("invitation.created")
    assert (created["request_id"], created["invitation_id"]) == (request_id, response.json()["id"])
    assert lines.all("request")[-1]["request_id"] == request_id
    with tenant(committed_world.practice):
        assert AuditEvent.objects.get(action="invitation.created").request_id == request_id


def test_line__of_a_value_with_line_breaks__stays_one_line(lines: Lines) -> None:
    logging.getLogger("x").warning('first\nsecond\r\n{"event": "forged"}')
    structlog.get_logger("x").warning("y", reason="a\nb", odd=object())
    assert len(lines.text.splitlines()) == 2
    assert len(lines.all()) == 2
    assert lines.all("forged") == []


def test_levels__sql_never_at_any_level__and_no_second_line_for_a_request() -> None:
    for level in ("DEBUG", "INFO", "WARNING"):
        loggers = logging_config(level)["loggers"]
        assert loggers["django.db.backends"]["level"] == "ERROR"
        assert loggers["gunicorn.access"]["level"] == "CRITICAL"
    assert django_settings.LOGGING["handlers"]["stderr"]["formatter"] == "json"


# --- tracebacks ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.9")
def test_bug__its_traceback_has_files_and_lines_and_no_values(
    world: World, sign_in: SignIn, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> None:
        canary_local = "canary in a local variable"
        raise ValueError(f"canary in a message {canary_local}")

    client = sign_in(world.lee)
    client.raise_request_exception = False
    monkeypatch.setattr("invitations.selectors.invitation_page", broken)
    response = client.get(f"{API}?email=canary")
    assert response.status_code == 500
    (line,) = [line for line in lines.all() if "exception" in line]
    assert line["request_id"] == response["X-Request-ID"]
    (stack,) = line["exception"]
    assert (stack["exc_type"], stack["exc_value"]) == ("ValueError", "")
    assert stack["frames"][-1]["name"] == "broken"
    assert stack["frames"][-1]["filename"].endswith("test_logging.py")
    assert "canary" not in lines.text


@pytest.mark.seed("S2.9")
def test_bug__the_row_that_postgresql_quotes__is_not_in_the_log(
    world: World, sign_in: SignIn, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> None:
        User.objects.create(email="lee@example.org", first_name="Canary", last_name="X")

    client = sign_in(world.lee)
    client.raise_request_exception = False
    monkeypatch.setattr("invitations.selectors.invitation_page", broken)
    assert client.get(API).status_code == 500
    types = [stack["exc_type"] for line in lines.all() for stack in line.get("exception", [])]
    assert IntegrityError.__name__ in types
    for value in ("lee@example.org", "Canary", "Key (email)"):
        assert value not in lines.text


def test_exception__chained_and_with_notes__no_values_either(lines: Lines) -> None:
    try:
        try:
            raise KeyError("canary inner")
        except KeyError as error:
            outer = RuntimeError("canary outer")
            outer.add_note("canary note")
            raise outer from error
    except RuntimeError:
        structlog.get_logger("x").exception("failed")
    assert [stack["exc_type"] for stack in lines.all()[0]["exception"]] == ["RuntimeError", "KeyError"]
    assert "canary" not in lines.text


# --- the whole job ---------------------------------------------------------------------------------------------------
CANARIES = {
    "email": "nora.canary@example.org",
    "first_name": "Noracanary",
    "last_name": "Quistcanary",
    "message": "A note with canary words",
}


@pytest.mark.seed("S0.37", "S2.9")
def test_create_send_accept__the_invitation_can_be_followed_and_nobody_recognised(
    committed_world: World,
    sign_in: SignIn,
    mail_sink: MailSink,
    start_worker: Callable[..., Any],
    worker_log: Callable[[], str],
    lines: Lines,
) -> None:
    start_worker("--loglevel", "INFO")
    client = sign_in(committed_world.lee)
    body = json.dumps({"invitation_type": "office_admin", **CANARIES})
    invitation_id = client.post(API, body, content_type="application/json").json()["id"]
    assert wait_until(lambda: len(mail_sink.messages()) == 1, 30)
    with platform("test"):
        token = derive_token(UserInvitation.objects.get(pk=invitation_id).token_nonce)
    assert client.get(f"{API}{invitation_id}/").status_code == 200
    stranger = Client()
    assert stranger.get(f"/i/{token}/", follow=True).status_code == 200
    assert stranger.get(f"{API}validate/{token}/").status_code == 200
    answer = {"password": PASSWORD, "first_name": "Noracanary", "last_name": "Quistcanary"}
    refused = stranger.post(f"{API}accept/{token}/", json.dumps({}), content_type="application/json")
    assert refused.status_code == 400
    accepted = stranger.post(f"{API}accept/{token}/", json.dumps(answer), content_type="application/json")
    assert accepted.status_code == 201
    assert stranger.get(f"{API}validate/{token}/").status_code == 410
    assert wait_until(lambda: len(mail_sink.messages()) == 2, 30)
    assert wait_until(lambda: worker_log().count('"event": "email_sent"') == 2, 10)

    here = [line["event"] for line in lines.all() if line.get("invitation_id") == invitation_id]
    assert here == ["invitation.created", "invitation.accepted"]
    there = [json.loads(line) for line in worker_log().splitlines() if line.startswith("{")]
    followed = [line["event"] for line in there if line.get("invitation_id") == invitation_id]
    assert followed == ["email_sent", "email_sent"]  # the invitation, and the word to the inviter
    everything = lines.text + worker_log()
    private = {token, PASSWORD, "canary", "@example.org", "Jun", *CANARIES.values()}
    assert [value for value in private if value in everything] == []


# --- gunicorn --------------------------------------------------------------------------------------------------------
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def status_of(url: str, method: str = "GET") -> int:
    try:
        with urlopen(Request(url, method=method), timeout=10) as answer:  # noqa: S310  our own server
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


@pytest.mark.seed("S0.37")
def test_gunicorn__every_line__is_json_and_holds_no_token(committed_world: World, tmp_path: Path) -> None:
    port = free_port()
    token = derive_token(committed_world.invitation.token_nonce)
    another = f"{'y' if token[0] == 'x' else 'x'}{token[1:]}"
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--config", "healthivr/gunicorn.conf.py", "healthivr.wsgi"],
            env=process_environment(PORT=str(port), WEB_CONCURRENCY="1"),
            cwd=django_settings.BASE_DIR,
            stdout=log,
            stderr=log,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        assert wait_until(lambda: status_of(f"{base}/healthz") == 200, 30)
        assert status_of(f"{base}{API}validate/{token}") == 200
        assert status_of(f"{base}{API}validate/{another}") == 404
        assert status_of(f"{base}/i/{token}/?next=/i/{token}/") == 200
        assert status_of(f"{base}/setup/{token}/") == 404
        assert status_of(f"{base}/i//{token}/") == 404
        assert status_of(f"{base}{API}{token}/validate/") == 404
        assert status_of(f"{base}{API}accept/{token}", "PUT") == 405
    finally:
        web.terminate()
        web.wait(timeout=30)
    written = (tmp_path / "web.log").read_text()
    events = [json.loads(line)["event"] for line in written.splitlines()]
    assert events.count("request") >= 6
    assert any("Booting worker" in event for event in events)
    assert token not in written
    assert token[1:] not in written
