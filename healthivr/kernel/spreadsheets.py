"""Tables for spreadsheets: CSV in which no cell is a formula (ASVS 5.0 1.2.10, security.md row 35)."""

import csv
import io
from collections.abc import Iterable

#: What makes a spreadsheet take a cell for a formula, also behind white space that it drops.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_cell(value: object) -> str:
    """Return a value as the text of a cell that no spreadsheet computes: one that would begin a formula begins with an
    apostrophe."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV (RFC 4180) with a byte order mark, by which spreadsheets know UTF-8."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return "\ufeff" + file.getvalue()
