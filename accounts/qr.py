"""QR codes as what an inline SVG needs: no picture to fetch, nothing inline that a policy would have to allow."""

from dataclasses import dataclass
from itertools import groupby

import segno

#: The quiet zone around a code, in modules (ISO/IEC 18004).
QUIET = 4


@dataclass(frozen=True)
class QrCode:
    """A code, as the side of a square and the path of its dark modules."""

    size: int
    path: str


def qr_code(text: str) -> QrCode:
    """Return the QR code of a text, with a quarter of it able to be lost (level M at least)."""
    rows = [list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=QUIET)]
    strokes = []
    for y, row in enumerate(rows):
        x = 0
        for is_dark, run in groupby(row, key=bool):
            width = len(list(run))
            if is_dark:
                strokes.append(f"M{x} {y}h{width}v1h-{width}z")
            x += width
    return QrCode(len(rows), "".join(strokes))
