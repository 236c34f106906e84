"""The one way in which a start gives up."""

import errno
from pathlib import Path


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
