"""zxcvbn's estimate of how many guesses a password takes, in bounded time and without its global state.

`zxcvbn.zxcvbn` puts the person's words into a dictionary that all threads share, and takes seconds for text made to be
slow (every reading of every sign that may stand for a letter). Here its own matchers run, over one merged dictionary and
one of the person's words, on at most EXAMINED characters, with at most READINGS readings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from zxcvbn import matching, scoring

#: What follows is not looked at: the first ones alone must be hard to guess.
EXAMINED = 64
#: More readings of signs as letters than this are not tried one by one: the usual one stands for all.
READINGS = 12
MATCHERS = (
    matching.dictionary_match,
    matching.reverse_dictionary_match,
    matching.l33t_match,
    matching.spatial_match,
    matching.repeat_match,
    matching.sequence_match,
    matching.regex_match,
    matching.date_match,
)
USUAL_READING = {sign: letter for letter, signs in reversed(matching.L33T_TABLE.items()) for sign in signs}


@dataclass(frozen=True)
class Estimate:
    """How many guesses find a password, and how many of its characters each pattern explains (`dictionary`, `own`,
    `spatial`, `sequence`, `repeat`, `date`, `regex`, `bruteforce`)."""

    guesses: float
    explained: dict[str, int]


@lru_cache(maxsize=1)
def _known() -> dict[str, int]:
    """Return every word of every list with its best rank."""
    words: dict[str, int] = {}
    for ranked in list(matching.RANKED_DICTIONARIES.values()):
        for word, rank in ranked.items():
            words[word] = min(rank, words.get(word, rank))
    return words


def estimate(text: str, *, own: Iterable[str] = ()) -> Estimate:
    """Return the estimate for a text, not an empty one, whose person is known by some words."""
    examined = text[:EXAMINED]
    if _readings(examined) > READINGS:
        examined = "".join(USUAL_READING.get(sign, sign) for sign in examined)
    dictionaries = {"known": _known(), "own": matching.build_ranked_dict([word.lower() for word in own])}
    matches = [match for matcher in MATCHERS for match in matcher(examined, _ranked_dictionaries=dictionaries)]
    found = scoring.most_guessable_match_sequence(examined, sorted(matches, key=_position))
    explained: dict[str, int] = {}
    for match in found["sequence"]:
        kind = "own" if match.get("dictionary_name") == "own" else match["pattern"]
        explained[kind] = explained.get(kind, 0) + len(match["token"])
    return Estimate(float(found["guesses"]), explained)


def _position(match: dict[str, Any]) -> tuple[int, int]:
    return match["i"], match["j"]


def _readings(text: str) -> int:
    return len(matching.enumerate_l33t_subs(matching.relevant_l33t_subtable(text, matching.L33T_TABLE)))
