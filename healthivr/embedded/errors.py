"""The one way in which a start gives up."""

import errno
import shutil
from pathlib import Path

#: With less room PostgreSQL cannot make its next file. It does not always say so: its log needs room as well.
LEAST_ROOM = 32 * 1024 * 1024  # bytes


class CannotStart(Exception):
    """Something a person must change. Its message is one sentence that says what; it is all that is printed."""


def disk_is_full(place: Path) -> CannotStart:
    """Return the sentence for a disk without room at `place`."""
    return CannotStart(
        f"The disk that holds {place} is full: make room there, "
        "or set HEALTHIVR_STATE to a folder on another disk, and start again."
    )


def no_room(error: OSError) -> bool:
    """Tell whether `error` means a full disk or a used-up quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def wants_room(said: str, place: Path) -> bool:
    """Tell whether a program that wrote to `place` failed for want of room, from what it said and what is free."""
    told = any(words in said for words in ("No space left on device", "Disk quota exceeded", "ENOSPC"))
    return told or shutil.disk_usage(place).free < LEAST_ROOM


def explain(said: str, folder: Path, otherwise: str) -> CannotStart:
    """Return the sentence for a server that ended after saying `said` and keeps its data in `folder`.

    `otherwise` is the sentence when it is not for want of room.
    """
    return disk_is_full(folder) if wants_room(said, folder) else CannotStart(otherwise)
