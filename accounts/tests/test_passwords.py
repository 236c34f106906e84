"""What a password may be."""

import unicodedata

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import identify_hasher

from accounts.models import User, hash_password
from accounts.services import PasswordRefused, require_good_password
from healthivr.testing.factories import UserFactory

GOOD = "correct horse battery staple"


def reasons(password: str, user: User | None = None) -> list[str]:
    with pytest.raises(PasswordRefused) as refused:
        require_good_password(password, user=user)
    assert refused.value.field == "password"
    assert refused.value.code == "password_refused"
    return [str(reason) for reason in refused.value.extra["reasons"]]


@pytest.mark.seed("S0.38")
def test_password__15_characters__enough_and_14_are_not() -> None:
    require_good_password("kettle lantern!")
    assert len("kettle lantern!") == 15
    assert any("15" in reason for reason in reasons("kettle lantern"))


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize(
    "password",
    [
        "no digits but sixty-four letters and more of them than anybody types",
        "only lower case letters",
        "ümlaut und çedille",
        "春眠不觉晓处处闻啼鸟夜来风雨声",
        "🐎 🔋 📎 correct horse",
        "     tabs and spaces     ",
    ],
)
def test_password__long_without_any_composition__accepted(password: str) -> None:
    """NIST SP 800-63B: length and a list of known ones, no rules of composition."""
    require_good_password(password)


@pytest.mark.parametrize(
    "password",
    ["a" * 16, "123456789012345", "qwertyuiopasdfgh", "password password", "passwordpassword1", "zyxwvutsrqponmlk"],
)
def test_password__long_and_guessable__refused_with_the_reason(password: str) -> None:
    with pytest.raises(PasswordRefused, match="password_refused") as refusal:
        require_good_password(password)
    assert any("easy to guess" in reason or "common" in reason for reason in refusal.value.extra["reasons"])


def test_password__128_characters__accepted_whole_and_129_refused() -> None:
    longest = "correct horse battery staple " * 4 + "0123456789ab"
    assert len(longest) == 128
    require_good_password(longest)
    assert any("128" in reason for reason in reasons(longest + "x"))
    user = UserFactory.build(password=hash_password(longest))
    assert user.check_password(longest)
    assert not user.check_password(longest[:-1])


@pytest.mark.seed("S0.38")
@pytest.mark.parametrize("password", ["manchesterunited", "ManchesterUnited", "123456789123456", "qwerty123456789"])
def test_password__on_the_list_of_common_ones__refused(password: str) -> None:
    assert reasons(password)


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaaaaaa",
        "passwordpassword",
        "PasswordPassword1!",
        "qwertyuiopasdfgh",
        "1234567890123456",
        "0987654321098765",
        "letmeinletmein123",
        "abcdefghijklmnop",
    ],
)
def test_password__row_of_keys_repetition_or_common_word__refused(password: str) -> None:
    assert any("easy to guess" in reason for reason in reasons(password))


def test_password__every_reason__at_once() -> None:
    assert len(reasons("123456")) >= 2


@pytest.mark.parametrize(
    "password",
    ["ruiz.ana@example.org", "papadopoulos-ruiz", "ana ruiz ana ruiz", "AnaPapadopoulosAna1!", "healthivr-healthivr"],
)
def test_password__made_of_the_persons_own_data__refused(password: str) -> None:
    user = User(email="ruiz.ana@example.org", first_name="Ana", last_name="Papadopoulos-Ruiz")
    require_good_password(GOOD, user=user)
    require_good_password("my banana boat is ruizing along", user=user)
    assert reasons(password, user)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("chosen", "typed"),
    [
        ("señor café crème brûlée", unicodedata.normalize("NFD", "señor café crème brûlée")),
        ("ﬁne ofﬁce ﬁnance", "fine office finance"),
        ("ｆｕｌｌ ｗｉｄｔｈ ｋｅｙｓ", "full width keys"),
    ],
)
def test_password__same_keys_on_another_machine__the_same_password(chosen: str, typed: str) -> None:
    assert chosen != typed
    user = UserFactory(password=hash_password(chosen))
    assert authenticate(email=user.email, password=typed) == user
    assert authenticate(email=user.email, password=typed.upper()) is None
    user.set_password(typed)
    assert user.check_password(chosen)


def test_password__spaces_and_case__count() -> None:
    user = User(password=hash_password(f" {GOOD} "))
    assert user.check_password(f" {GOOD} ")
    for other in (GOOD, GOOD.title(), f" {GOOD}"):
        assert not user.check_password(other)


def test_hash__argon2id_with_the_chosen_parameters_and_a_salt_of_its_own() -> None:
    first, second = hash_password(GOOD), hash_password(GOOD)
    assert first != second
    for encoded in (first, second):
        name, kind, version, parameters, salt, digest = encoded.split("$")
        assert (name, kind, version, parameters) == ("argon2", "argon2id", "v=19", "m=47104,t=1,p=1")
        assert len(salt) >= 22
        assert len(digest) >= 43
        assert not identify_hasher(encoded).must_update(encoded)
        assert GOOD not in encoded
