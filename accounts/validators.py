"""Rules for new passwords beside Django's own."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _


class MaximumLengthValidator:
    """Refuses passwords so long that hashing them is an attack. Nothing is ever cut off (ASVS 6.2.8, 6.2.9)."""

    def __init__(self, max_length: int = 128) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > self.max_length:
            raise ValidationError(
                _("This password is too long. It must contain at most %(max_length)d characters."),
                code="password_too_long",
                params={"max_length": self.max_length},
            )

    def get_help_text(self) -> str:
        return _("Your password can contain up to %(max_length)d characters.") % {"max_length": self.max_length}


#: Rows of keys and counting, forwards; static/js/app.js knows the same ones and says so while one types.
ROWS = (
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv",
    "qazwsxedcrfv",
)
WORDS = re.compile(r"pass(word|phrase)?|letmein|welcome|admin|healthivr|(.)\2{2,}")
LEAST_REST, LEAST_DIFFERENT, LEAST_OWN = 8, 5, 3
JUDGED = range(15, 129)  # shorter and longer ones are refused for that, and one reason is enough


class GuessableValidator:
    """Refuses long passwords that are short ones in disguise: rows of keys, repeated letters, `password`, one's own name
    over and over (ASVS 6.2.4 and 6.2.11 want more; the identity issue brings an estimator)."""

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) not in JUDGED:
            return
        rest = WORDS.sub("", _without_rows(_without_own_words(password.lower(), user)))
        if len(rest) < LEAST_REST or len(set(rest)) < LEAST_DIFFERENT:
            raise ValidationError(
                _(
                    "This password is easy to guess: it is made of a row of keys, a repetition, a common word, or your"
                    " name or e-mail."
                ),
                code="password_guessable",
            )

    def get_help_text(self) -> str:
        return _("Your password cannot be a row of keys, a repetition, a common word, or your name or e-mail.")


def _without_own_words(text: str, user: Any) -> str:
    """Take out the words of somebody's name and e-mail, longest first."""
    own = " ".join((user.first_name, user.last_name, user.email)) if user else ""
    words = {word for word in re.split(r"[\W_]+", own.lower()) if len(word) >= LEAST_OWN}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "")
    return text


def _without_rows(text: str) -> str:
    """Take out every run of four or more neighbours of a row, either way, longest first."""
    for row in (*ROWS, *(row[::-1] for row in ROWS)):
        for size in range(len(row), 3, -1):
            for start in range(len(row) - size + 1):
                text = text.replace(row[start : start + size], "")
    return text
