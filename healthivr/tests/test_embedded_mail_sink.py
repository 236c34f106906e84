"""The mail sink, spoken to over SMTP."""

import email
import smtplib
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthivr.embedded.mail_sink import MailSink
from healthivr.embedded.testing import Start

MAIL = "Subject: Hello\r\n\r\nCome in.\r\n"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "mail") as running:
        yield running


def send(sink: MailSink, *recipients: str) -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", sink.port) as server:
        return server.sendmail("healthivr@example.org", recipients, MAIL)


def test_sink__accepts__keeps_the_mail_and_who_it_was_for(sink: MailSink) -> None:
    send(sink, "alice@example.org", "bob@example.org")

    (kept,) = sink.folder.iterdir()
    message = email.message_from_bytes(kept.read_bytes())
    assert kept.suffix == ".eml"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert message["X-Envelope-To"] == "alice@example.org, bob@example.org"
    assert (message["Subject"], message.get_payload()) == ("Hello", "Come in.\r\n")


def test_sink__many__are_listed_oldest_first(sink: MailSink) -> None:
    for number in range(3):
        send(sink, f"person{number}@example.org")
    assert [email.message_from_bytes(one)["X-Envelope-To"][:7] for one in sink.messages()] == [
        "person0",
        "person1",
        "person2",
    ]


@pytest.mark.parametrize(("who", "code"), [("refuse-550", 550), ("refuse-451", 451), ("mailbox-full", 552)])
def test_sink__refused_recipient__gets_the_code_and_nothing_is_kept(sink: MailSink, who: str, code: int) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(sink, f"{who}@example.org")
    assert [answer[0] for answer in refused.value.recipients.values()] == [code]
    assert sink.messages() == []


def test_sink__one_of_two_refused__the_other_gets_it(sink: MailSink) -> None:
    assert list(send(sink, "refuse-550@example.org", "alice@example.org")) == ["refuse-550@example.org"]
    assert b"X-Envelope-To: alice@example.org\r\n" in sink.messages()[0]


def test_sink__refusals_can_be_set_and_lifted(sink: MailSink) -> None:
    sink.refusals["alice"] = "421 4.7.0 Too busy"
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(sink, "alice@example.org")
    del sink.refusals["alice"]
    send(sink, "alice@example.org")
    assert len(sink.messages()) == 1


def test_sink__delay__holds_the_answer_back(sink: MailSink) -> None:
    sink.delay = 0.3
    began = time.monotonic()
    send(sink, "alice@example.org")
    assert time.monotonic() - began >= 0.3


def test_sink__closed_during_a_delay__hangs_up(tmp_path: Path) -> None:
    with MailSink(tmp_path, delay=60) as sink:
        server = smtplib.SMTP("127.0.0.1", sink.port)
        server.mail("healthivr@example.org")
        server.rcpt("alice@example.org")
        server.putcmd("data")
        server.getreply()
        server.send(f"{MAIL}.\r\n".encode())
        time.sleep(0.1)
    server.close()
    assert list(tmp_path.iterdir()) == []


def test_sink__as_a_process__keeps_mail_until_told_to_stop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "healthivr.embedded.mail_sink", "--port", str(port), "--folder", str(tmp_path)]
    start = Start(command, {})
    try:
        start.until("Taking mail")
        with smtplib.SMTP("127.0.0.1", port) as server:
            server.sendmail("healthivr@example.org", ["alice@example.org"], MAIL)
        assert len(list(tmp_path.glob("*.eml"))) == 1
        start.process.terminate()
        assert start.finish()[0] == 0
    finally:
        start.kill_everything()
