"""The rules, and what each says when it refuses."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from accounts.models import normalise_password

from .blocklist import is_known
from .estimator import estimate

#: The least number of characters: where a second factor is demanded as well, and where the password stands alone (NIST
#: SP 800-63B-4 asks for 8 and 15).
LEAST_WITH_FACTOR, LEAST = 12, 15
#: A longer one would make hashing an attack. Nothing is ever cut off (ASVS 6.2.8, 6.2.9).
MOST = 128
#: What zxcvbn calls very unguessable, its best score: offline guessing against a slow hash.
ENOUGH_GUESSES = 10**10
PRODUCT = "healthivr"

#: Rows of keys and counting, forwards; static/js/app.js knows the same ones and says so while one types. zxcvbn knows the
#: walks of a US keyboard; these are what it does not, and those that hide in between other things.
ROWS = (
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "qazwsxedcrfvtgbyhnujm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    "йцукенгшщзхъ",
    "фывапролджэ",
    "ячсмитьбю",
)
FILLERS = re.compile(r"pass(word|phrase)?|letmein|welcome|admin|[\s._@!-]+|(.)\2{2,}")
LEAST_REST, LEAST_DIFFERENT, LEAST_OWN = 8, 5, 3
#: Which patterns of the estimate are which reason, when they explain a good part of a password.
PATTERNS = {"own": "own", "spatial": "row", "sequence": "row", "repeat": "repeated"}


@dataclass(frozen=True)
class PasswordTerms:
    """What a new password is held against: whether a second factor is demanded beside it, and the words that somebody
    who knows the person would try."""

    second_factor: bool = False
    words: tuple[str, ...] = ()

    @property
    def least(self) -> int:
        """How many characters it needs."""
        return LEAST_WITH_FACTOR if self.second_factor else LEAST

    def knowing(self, *texts: str) -> "PasswordTerms":
        """Return the same terms, with the words of further texts: names, addresses, names of organizations."""
        return PasswordTerms(self.second_factor, tuple(dict.fromkeys((*self.words, *words_of(texts)))))


@dataclass(frozen=True)
class Problem:
    """One reason why a password is refused: a stable word, and the sentence for people."""

    code: str
    message: str


def words_of(texts: Iterable[str]) -> list[str]:
    """Return the words of some texts that are long enough to mean somebody, and each text whole, without signs."""
    found = []
    for text in texts:
        parts = re.split(r"[\W_]+", normalise_password(text).casefold())
        found += [*parts, "".join(parts), *(part for word in parts for part in _plain(word))]
    return [word for word in dict.fromkeys(found) if len(word) >= LEAST_OWN]


def _plain(word: str) -> list[str]:
    """Return the word without accents: José types jose."""
    bare = "".join(sign for sign in unicodedata.normalize("NFD", word) if not unicodedata.combining(sign))
    return [bare] if bare != word else []


def problems(password: str, terms: PasswordTerms) -> list[Problem]:
    """Return every reason, each once, why a password may not be used under these terms; none when it may."""
    text = normalise_password(password[: MOST + 1])
    if len(password) > MOST or len(text) > MOST:
        return [_problem("too_long", terms)]
    # One typed sign may become eighteen, and an accent may be typed as two: neither makes a password longer.
    length = min(len(password), len(text))
    if not length:
        return [_problem("too_short", terms)]
    codes = dict.fromkeys(_reasons(text, terms))
    if length < terms.least:
        codes = {"too_short": None, **{code: None for code in codes if code != "guessable"}}
    return [_problem(code, terms) for code in codes]


def _reasons(text: str, terms: PasswordTerms) -> list[str]:
    """Return why a password is weak whatever its length, the particular reasons before the general one."""
    own = words_of((PRODUCT, *terms.words))
    folded = text.casefold()
    found = ["common"] if is_known(text, least=terms.least) else []
    for code, rest in (
        ("own", _without(folded, own)),
        ("row", _without_rows(folded)),
        ("repeated", _once(folded)),
    ):
        if len(rest) <= len(folded) * 2 / 3 and _is_little(rest):
            found.append(code)
    if not found and _is_little(_without_rows(_without(folded, own))):
        found.append("guessable")  # several of these together
    estimated = estimate(text, own=own)
    if estimated.guesses < ENOUGH_GUESSES:
        share = max(len(text) // 3, 1)
        found += [PATTERNS[kind] for kind, size in estimated.explained.items() if kind in PATTERNS and size >= share]
        if not found:
            found.append("guessable")
    return found


def _problem(code: str, terms: PasswordTerms) -> Problem:
    sentences = {
        "too_short": _("This password is too short. Use at least {least} characters: a few words in a row will do."),
        "too_long": _("This password is too long. Use at most {most} characters."),
        "common": _("This is one of the passwords that are tried first, or close to one."),
        "own": _("This password is made of your name, your e-mail address, your organization or our product."),
        "row": _("This password is made of a row of keys, or of letters or digits in order."),
        "repeated": _("This password says the same thing over and over."),
        "guessable": _("This password is easy to guess. Add another word or two that nobody would expect with it."),
    }
    return Problem(f"password_{code}", sentences[code].format(least=terms.least, most=MOST))


# --- what is left of a text ------------------------------------------------------------------------------------------
def _is_little(rest: str) -> bool:
    rest = FILLERS.sub("", rest)
    return len(rest) < LEAST_REST or len(set(rest)) < LEAST_DIFFERENT


def _without(text: str, words: Iterable[str]) -> str:
    """Take words out of a text, the longest first."""
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


def _once(text: str) -> str:
    """Return a text without its repetitions: each stretch that is said twice or more, in a row, is left once."""
    return re.sub(r"(.+?)\W{0,2}(?:\1\W{0,2})+", r"\1", text, flags=re.DOTALL)
