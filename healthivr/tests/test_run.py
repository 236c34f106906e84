"""`make run`: the product itself once, and else a checkout whose pages are a few lines: what starts, what stops, what is
said when it cannot."""

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import pytest

from healthivr.embedded.processes import command_line, wait_until
from healthivr.embedded.supervisor import PATIENCE
from healthivr.embedded.testing import Start, embedded, make_checkout, remove_state
from healthivr.testing.factors import Phone

#: For the product, started for the first time by somebody.
ADA = {"first_name": "Ada", "last_name": "Moss", "email": "ada@example.org", "password": "granite pelican 52 umbrella"}


class Run(Protocol):
    def __call__(self, **variables: str) -> Start: ...


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def run(checkout: Path, port: int) -> Iterator[Run]:
    """Start healthivr in the checkout; what is left of it ends with the test."""
    started: list[Start] = []

    def begin(**variables: str) -> Start:
        started.append(Start(embedded("run"), {"PORT": str(port)} | variables, cwd=checkout))
        return started[-1]

    yield begin
    for start in started:
        start.kill_everything()
    remove_state(checkout / ".state")


def stop(start: Start, number: signal.Signals = signal.SIGTERM) -> str:
    """Ask it to stop. Returns what it has said, which must end well and leave nothing behind."""
    start.pids()
    start.process.send_signal(number)
    code, rest, complaint = start.finish(patience=60)  # PostgreSQL writes all it holds, on a disk that others use
    assert (code, complaint.replace("preparing\n", "")) == (0, "")
    assert "is killed" not in rest, "asked, not killed for want of an answer"
    assert start.pids() == []
    return start.said + rest


def refusal(start: Start) -> str:
    """Return the one sentence with which a start gave up."""
    code, _, complaint = start.finish()
    assert code == 1
    assert len(complaint.splitlines()) == 1, complaint
    return complaint


def visit(port: int) -> int:
    """Open the page, which writes a row for each visit. Returns how many rows there are."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return int(answer.headers["X-Visits"])


@pytest.fixture
def run_product(tmp_path: Path, port: int) -> Iterator[Run]:
    """Start healthivr as it is, on a state folder of this test; what is left of it ends with the test."""
    started: list[Start] = []
    state = tmp_path / "state"

    def begin(**variables: str) -> Start:
        started.append(Start(embedded("run"), {"PORT": str(port), "HEALTHIVR_STATE": str(state)} | variables))
        return started[-1]

    yield begin
    for start in started:
        start.kill_everything()
    remove_state(state)


class Browser:
    """Keeps cookies and sends forms, as a browser does."""

    def __init__(self, port: int) -> None:
        self.base = f"http://localhost:{port}"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def get(self, path: str) -> tuple[str, str]:
        """Open a page, or what it leads to. Returns its path and its text; an error is raised."""
        return self._read(path, None)

    def fill_in(self, path: str, values: dict[str, str]) -> tuple[str, str]:
        """Open a page, fill in its form and send it. Returns path and text of the page that it leads to."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path)[1])
        assert token is not None
        return self._read(path, urlencode(values | {"csrfmiddlewaretoken": token[1]}).encode())

    def _read(self, path: str, form: bytes | None) -> tuple[str, str]:
        with self._opener.open(self.base + path, form, timeout=20) as page:
            return urlsplit(page.url).path, page.read().decode()


@pytest.mark.seed("S0.34")
def test_product__set_up_killed_and_started_again__knows_its_first_person(run_product: Run, port: int) -> None:
    first = run_product()
    said = first.until("Ctrl-C")
    link = re.search(rf"http://localhost:{port}(/setup/\S+)", said)
    assert link is not None, said
    assert Browser(port).get("/readyz")[0] == "/readyz"
    here = Browser(port)
    enrolment, page = here.fill_in(link[1], ADA)
    key = re.search(r'<code[^>]* id="key"[^>]*>([^<]+)</code>', page)
    assert key is not None, page
    phone = Phone(key[1])
    assert "recovery codes" in here.fill_in(enrolment, {"code": phone.code()})[1]
    assert len(first.pids()) > 10
    first.kill_everything()

    again = run_product()
    assert "/setup/" not in again.until("Ctrl-C")
    browser = Browser(port)
    path, _page = browser.fill_in("/sign-in/", {name: ADA[name] for name in ("email", "password")})
    assert path == "/sign-in/verify/"
    assert "Ada" in browser.fill_in(path, {"code": phone.code()})[1]
    assert "the data stays in" in stop(again, signal.SIGINT)


def test_run__first_start__says_where_to_go(run: Run, port: int) -> None:
    said = run().until("Ctrl-C")
    assert f"Open         http://localhost:{port}/\n" in said
    assert f"Its mails    http://localhost:{port}/dev/mail/\n" in said
    assert f"http://localhost:{port}/setup/abc/" in said
    assert visit(port) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run__stopped__leaves_no_process(run: Run, checkout: Path, number: signal.Signals) -> None:
    start = run()
    start.until("Ctrl-C")
    assert len(start.pids()) > 8

    assert f"the data stays in {checkout}/.state" in stop(start, number)
    assert list((checkout / ".state").glob("*.pid")) == []


def test_run__second_start__finds_the_rows_and_makes_no_new_link(run: Run, port: int) -> None:
    first = run()
    first.until("Ctrl-C")
    assert visit(port) == 1
    stop(first)

    again = run()
    said = again.until("Ctrl-C")
    assert "/setup/" not in said
    assert visit(port) == 2


def test_run__everything_killed__starts_again_with_all_rows(run: Run, port: int) -> None:
    start = run()
    start.until("Ctrl-C")
    assert visit(port) == 1
    start.pids()
    start.kill_everything()

    run().until("Ctrl-C")
    assert visit(port) == 2


def test_run__supervisor_killed__the_rest_ends_too(run: Run, port: int) -> None:
    start = run()
    start.until("Ctrl-C")
    start.pids()

    start.process.kill()

    assert start.ended(patience=10)
    run().until("Ctrl-C")


def test_run__already_running__names_its_process(run: Run) -> None:
    first = run()
    first.until("Ctrl-C")

    sentence = refusal(run(PORT="1"))

    assert str(first.process.pid) in sentence
    assert "HEALTHIVR_STATE" in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_run__port_in_use__names_it_and_another(run: Run, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.create_server((host, 0), family=family)) as other:
        taken = other.getsockname()[1]
        sentence = refusal(run(PORT=str(taken)))
    assert f"Port {taken} " in sentence
    assert f"PORT={taken + 1}" in sentence


def test_run__port_is_no_number__says_so(run: Run) -> None:
    assert "PORT=http" in refusal(run(PORT="http"))


def test_run__database_cannot_be_prepared__ends_after_what_it_said(run: Run, checkout: Path) -> None:
    (checkout / "manage.py").write_text("import sys; sys.exit('no such table')")
    start = run()
    code, _, complaint = start.finish()
    assert code == 1
    assert complaint.startswith("no such table\nThe database could not be prepared")
    assert start.pids() == []


def test_run__worker_dies__is_started_again(run: Run) -> None:
    start = run()
    start.until("Ctrl-C")
    (worker,) = [pid for pid in start.pids() if "echo working" in command_line(pid)]

    os.killpg(worker, signal.SIGKILL)

    assert "worker  | ended (signal 9), starts again in 1 s" in start.until("starts again")
    start.said = ""
    start.until("working")
    stop(start)


def test_run__web_dies_three_times_in_a_row__ends_with_a_sentence(run: Run, checkout: Path) -> None:
    (checkout / "web.py").write_text("import sys; sys.exit('I have no template')")
    start = run()
    code, said, complaint = start.finish()
    assert code == 1
    assert said.count("web     | I have no template\n") == 3
    assert complaint.splitlines()[-1].startswith("web ended 3 times in a row (exit code 1)")
    assert start.pids() == []


def test_run__stopped_while_a_process_is_deaf__kills_it_and_says_so(run: Run, checkout: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    )
    (checkout / "web.py").write_text(deaf)
    start = run()
    start.until("deaf")
    start.pids()
    start.process.send_signal(signal.SIGTERM)
    code, rest, _complaint = start.finish(patience=60)
    assert code == 0
    assert f"web     | has not ended after {PATIENCE:.0f} s and is killed\n" in rest
    assert start.pids() == []


@pytest.mark.parametrize("name", ["postgres -D", "redis-server"])
def test_run__server_dies__is_started_again(run: Run, port: int, name: str) -> None:
    start = run()
    start.until("Ctrl-C")
    assert visit(port) == 1
    (server,) = [pid for pid in start.pids() if name in command_line(pid)]

    os.kill(server, signal.SIGKILL)

    start.until("ended, starts again")
    assert wait_until(lambda: any(name in command_line(pid) for pid in start.pids() if pid != server), 10)
    assert wait_until(lambda: _visits(port) > 1, 10)
    stop(start)


@pytest.mark.parametrize("given", [{"EMAIL_URL": "smtp://mail.example.org:25"}, {"SMTP_HOST": "mail.example.org"}])
def test_run__given_mail_server__no_sink_and_no_mail_page(run: Run, given: dict[str, str]) -> None:
    start = run(**given)
    said = start.until("Ctrl-C")
    assert "Its mails" not in said
    assert not any("mail_sink" in command_line(pid) for pid in start.pids())


@pytest.mark.parametrize("name", ["BASE_URL", "APP_BASE_URL"])
def test_run__given_address__is_the_one_it_names(run: Run, name: str) -> None:
    assert "Open         https://dev.example.org/\n" in run(**{name: "https://dev.example.org"}).until("Ctrl-C")


def test_run__mail_port_taken_meanwhile__another_is_chosen(run: Run, checkout: Path) -> None:
    stop_after = run()
    stop_after.until("Ctrl-C")
    stop(stop_after)
    remembered = int((checkout / ".state" / "mail_port").read_text())
    with socket.create_server(("127.0.0.1", remembered)):
        assert f"smtp://127.0.0.1:{remembered}," not in run().until("Taking mail at")


def _visits(port: int) -> int:
    try:
        return visit(port)
    except OSError:
        return 0
