"""Names and notes that people type: they stand in mails of ours, so they must not carry anything else there."""

import re
import unicodedata

from django.utils.translation import gettext_lazy as _

from .errors import Malformed

#: Letters of Persian and of Indian scripts need these two to be joined or kept apart.
_JOINERS = "\u200c\u200d"
#: Mail programs make a link of the typist's choice of it, under our name (invitations.md 3.4).
_WEB_ADDRESS = re.compile(r"://|www\.|\w\.[a-z]{2,}/", re.IGNORECASE)
#: Letters by their category that are drawn as nothing.
_FILLERS = "\u115f\u1160\u3164\uffa0"


def _is_invisible(character: str) -> bool:
    """Say whether a character only changes how others are shown, such as turning them round."""
    return unicodedata.category(character) == "Cf" and character not in _JOINERS


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _is_read(character: str) -> bool:
    """Say whether a reader sees a letter or a digit."""
    return unicodedata.category(character)[0] in "LN" and character not in _FILLERS


def clean_text(typed: str) -> str:
    """Return a note or a reason, which may have lines: without control characters and without invisible ones, which
    would show a reader, or an auditor, something else than is stored."""
    lines = typed.replace("\r\n", "\n").replace("\t", " ")
    kept = (c for c in lines if c == "\n" or not (_is_control(c) or _is_invisible(c)))
    return "".join(kept).strip()


def clean_line(typed: str, *, code: str, field: str) -> str:
    """Return a name on one line. Raises Malformed with `code` at `field` for invisible characters, which can turn the
    letters after them round, for web addresses, and for a name of which nothing can be read."""
    name = " ".join("".join(" " if _is_control(character) else character for character in typed).split())
    if any(map(_is_invisible, name)):
        raise Malformed(
            _("This name contains invisible characters. Type it again instead of pasting it."), code=code, field=field
        )
    if _WEB_ADDRESS.search(unicodedata.normalize("NFKC", name)):
        raise Malformed(_("A name cannot contain a web address."), code=code, field=field)
    if name and not any(map(_is_read, name)):
        raise Malformed(_("Enter a name with at least one letter or digit."), code=code, field=field)
    return name
