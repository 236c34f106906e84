"""Names: what stays, and what is refused because it stands in mails of ours."""

import pytest

from healthivr.kernel.errors import Malformed
from healthivr.kernel.names import clean_line, clean_text


@pytest.mark.parametrize(
    "name",
    [
        "Nora",
        "Dr. Nora J. Quist",
        "J.R.R. Tolkien",
        "Nora Quist, M.D., Ph.D.",
        "St. John's Clinic, Inc.",
        "Núñez-O’Brien",
        "李娜",
        "3.5 Miles Clinic",
        "می\u200cخواهم",
        "क्\u200dष",
    ],
)
def test_name__of_a_person_or_an_organization__stays(name: str) -> None:
    assert clean_line(name, code="name", field="first_name") == name


def test_note__keeps_its_lines_and_loses_what_nobody_sees() -> None:
    assert clean_text(" one\r\ntwo\tthree\0\x7f\x9b\u202efour\u200d ") == "one\ntwo threefour\u200d"


def test_name__on_several_lines__is_one() -> None:
    assert clean_line(" Nora\r\n\tQuist\0\u2028Lee ", code="name", field="first_name") == "Nora Quist Lee"


@pytest.mark.parametrize(
    "name",
    ["https://evil.example", "Nora http://x", "WWW.evil.example", "evil.example/login", "ｗｗｗ.evil.example"],
)
def test_name__that_a_mail_program_makes_a_link_of__refused(name: str) -> None:
    with pytest.raises(Malformed) as refusal:
        clean_line(name, code="name", field="first_name")
    assert (refusal.value.code, refusal.value.field) == ("name", "first_name")
    assert "web address" in str(refusal.value.message)


@pytest.mark.parametrize("character", "\u202e\u2066\u200b\ufeff\u00ad")
def test_name__with_an_invisible_character__refused(character: str) -> None:
    with pytest.raises(Malformed) as refusal:
        clean_line(f"Nora{character}Quist", code="organization_name", field="organization_name")
    assert "invisible" in str(refusal.value.message)


@pytest.mark.parametrize("name", ["\u200c", "\u3164\u3164", "\u2800", "\u034f", "\ufe0f", "\u115f", "-", "..."])
def test_name__of_which_nothing_can_be_read__refused(name: str) -> None:
    with pytest.raises(Malformed, match="name"):
        clean_line(name, code="name", field="first_name")
