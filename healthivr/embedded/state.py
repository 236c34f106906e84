"""The state folder: embedded data, logs, mails and development secrets, and the lock that gives it one user."""

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from healthivr.embedded.errors import CannotStart

ROOT = Path(__file__).resolve().parents[2]


def default_state() -> Path:
    """Return the folder that HEALTHIVR_STATE names, else `.state` in the checkout."""
    return Path(os.environ.get("HEALTHIVR_STATE") or ROOT / ".state")


class State:
    """One state folder. The folder may be seen by others, what lies in it may not: everything is made private."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.postgres = self.folder / "postgres"
        self.redis = self.folder / "redis"
        self.mail = self.folder / "mail"
        self.secrets = self.folder / "secrets.env"
        self.mail_port = self.folder / "mail_port"
        self.sockets = _socket_folder(self.folder)
        self._lock: int | None = None
        self._guests: int | None = None

    def make(self) -> None:
        """Make the folders. Raises CannotStart when they cannot be made or are somebody else's."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.redis, self.mail):
                folder.mkdir(mode=0o700, exist_ok=True)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise CannotStart(
                f"Cannot make the folder {error.filename} ({error.strerror}): "
                "set HEALTHIVR_STATE to a folder that you may write to."
            ) from error

    def make_sockets(self) -> None:
        """As the holder of the lock: make the folder for the sockets. Raises CannotStart when it is somebody else's."""
        with contextlib.suppress(FileExistsError):
            self.sockets.mkdir(mode=0o700)
        found = self.sockets.lstat()
        # /tmp is open to everyone: a folder that somebody else put there first would be theirs to listen in.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise CannotStart(f"{self.sockets} belongs to somebody else: remove it, or set TMPDIR to another folder.")

    def claim(self) -> bool:
        """Take the lock if nobody has it. Returns whether we have it now; it is ours until this process ends."""
        self._lock = self._open("lock")
        if not _try_flock(self._lock):
            os.close(self._lock)
            self._lock = None
            return False
        os.truncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        return True

    def release(self) -> None:
        """Give the lock back."""
        for descriptor in (self._lock, self._guests):
            if descriptor is not None:
                os.close(descriptor)
        self._lock = self._guests = None

    def holder(self) -> str:
        """Return the number of the process that has the lock, for a sentence."""
        return (self.folder / "lock").read_text().strip() or "unknown"

    @contextlib.contextmanager
    def guest(self) -> Iterator[None]:
        """Keep the holder of the lock from stopping its servers; waits while it is stopping them."""
        descriptor = self._open("guests")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def no_more_guests(self, *, wait: bool) -> bool:
        """As the holder: let no further guest in. Returns whether none is left, after waiting for them if told to."""
        self._guests = self._guests or self._open("guests")
        if wait:
            fcntl.flock(self._guests, fcntl.LOCK_EX)
            return True
        return _try_flock(self._guests)

    def _open(self, name: str) -> int:
        return os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def open_log(path: Path) -> int:
    """Open a log to append to, private to us, and return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    part.replace(path)


def _socket_folder(folder: Path) -> Path:
    """Name a short folder for the sockets: a socket's path may have 107 bytes, and stands in URLs unquoted."""
    temporary = tempfile.gettempdir()
    if len(temporary) > 40 or not re.fullmatch(r"[\w./-]+", temporary, re.ASCII):
        temporary = "/tmp"  # noqa: S108 - make_sockets() checks whose folder it is
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    return Path(temporary) / f"healthivr-{os.geteuid()}-{digest}"


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
