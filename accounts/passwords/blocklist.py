"""The passwords that are tried first.

No list of ours: what comes with Django (19,640 common passwords) and with zxcvbn (30,000, by frequency) is read when it
is first asked for. Few of them are long (351 have 12 characters, 68 have 15), because people make long passwords of short
ones: so the list goes on with what they do to the most common of them. `most_common` names them in order, LISTED for each
least length. `is_known` also knows their variants, and those of every shorter password of the lists: case, separators,
letters written as digits, said several times, short decorations before and behind.
"""

import gzip
import itertools
import re
import string
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from django.contrib.auth import password_validation
from zxcvbn.frequency_lists import FREQUENCY_LISTS

#: How many the list has for each least length: ASVS 5.0 (6.2.4) asks for 3,000.
LISTED = 5000
#: How people lengthen a password that a form finds too short, `{0}` being the password, the most usual first.
DERIVATIONS = (
    *(
        "{0}{0}",
        "{0}123",
        "{0}1234",
        "{0}12345",
        "{0}123456",
        "{0}1",
        "{0}!",
        "{0}{0}{0}",
        "{0}1!",
        "{0}123!",
        "{0}{0}1",
    ),
    *("{0}2024", "{0}2025", "{0}2026", "{0}2023", "{0}@123", "{0}123456789", "123456{0}", "123{0}", "my{0}", "the{0}"),
    *("{0}abc", "{0}qwerty", "qwerty{0}", "{0}password", "password{0}", "{0}{0}!", "{0}#1", "{0}007", "{0}2000"),
)
#: Letters and what is written for them. A sign may stand for two, so a text is read in both ways.
LEET = tuple(str.maketrans("013457@$!+|", letters) for letters in ("oieastasiti", "oleastasltl"))
#: How many characters of decoration, before and behind together, do not make another password of a known one.
DECORATION = 6
_SHORTEST_CORE = 4
_NO_LETTERS = string.digits + string.punctuation + string.whitespace


@lru_cache(maxsize=1)
def leaked() -> dict[str, int]:
    """Return the passwords of the two lists with their ranks, the most common first."""
    path = Path(password_validation.__file__).with_name("common-passwords.txt.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        of_django = [line.strip().casefold() for line in lines]
    in_order = itertools.chain.from_iterable(itertools.zip_longest(FREQUENCY_LISTS["passwords"], of_django))
    return {word: rank for rank, word in enumerate(dict.fromkeys(word for word in in_order if word), 1)}


@lru_cache(maxsize=4)
def most_common(least: int) -> tuple[str, ...]:
    """Return the LISTED most common passwords of at least so many characters: those of the lists, by rank, then what is
    made of their shorter ones, by rank again."""
    return tuple(itertools.islice(dict.fromkeys(_by_rank(least)), LISTED))


def _by_rank(least: int) -> Iterator[str]:
    yield from (word for word in leaked() if len(word) >= least)
    for word in leaked():
        for derivation in DERIVATIONS:
            made = derivation.format(word)
            if len(word) >= _SHORTEST_CORE and least <= len(made) <= least + len(word):
                yield made


@lru_cache(maxsize=4)
def _listed(least: int) -> frozenset[str]:
    return frozenset(most_common(least))


def is_known(text: str, *, least: int) -> bool:
    """Say whether a password is among those that are tried first, or a variant that is tried with them."""
    folded = text.casefold()
    bare = re.sub(r"[\W_]+", "", folded)
    forms = {folded, bare, *_readings(folded), *_readings(bare)}
    return any(form in leaked() or form in _listed(least) for form in forms) or any(
        _is_leaked_word(core) for form in (folded, bare) for core in _cores(form)
    )


def _readings(text: str) -> tuple[str, ...]:
    """Return a text with letters for the signs that may stand for them."""
    return tuple(text.translate(table) for table in LEET)


def _cores(text: str) -> Iterator[str]:
    """Yield what is left of a text without digits and signs before and behind, DECORATION of them at most, in every
    reading: those that are left may be letters."""
    before = len(text) - len(text.lstrip(_NO_LETTERS))
    behind = len(text) - len(text.rstrip(_NO_LETTERS))
    for first, last in itertools.product(range(before + 1), range(behind + 1)):
        if first + last <= DECORATION:
            core = text[first : len(text) - last]
            yield from (core, *_readings(core))


def _is_leaked_word(core: str) -> bool:
    """Say whether this is a common password, once or several times over."""
    if len(core) < _SHORTEST_CORE:
        return False
    once = re.fullmatch(rf"(.{{{_SHORTEST_CORE},}}?)\1*", core, re.DOTALL)
    return core in leaked() or (once is not None and once[1] in leaked())
