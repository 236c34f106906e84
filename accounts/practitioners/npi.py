"""The National Provider Identifier and its check digit (45 CFR 162.406; ISO 7812 with the prefix 80840).

Migration 0006 has the same rule as a database function: `npi_is_valid`. A test compares the two.
"""

import re

#: What the digits of the prefix 80840, which stands before every NPI and is never written, add to the sum.
_OF_PREFIX = 24
_FORM = re.compile(r"[12][0-9]{9}")


def check_digit(first_nine: str) -> int:
    """Return the tenth digit of an NPI that begins with these nine (Luhn: every other digit doubled, from the right)."""
    total = _OF_PREFIX
    for position, digit in enumerate(int(character) for character in first_nine):
        doubled = 2 * digit
        total += digit if position % 2 else doubled - 9 * (doubled > 9)
    return -total % 10


def is_npi(text: str) -> bool:
    """Say whether a text is an NPI: ten digits, the first 1 or 2, the last the check digit."""
    return _FORM.fullmatch(text) is not None and check_digit(text[:9]) == int(text[9])
