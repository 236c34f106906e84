"""`make run` in a fresh clone until /readyz answers 200, and a second start. Seconds, not ratios: the limits are ours."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from healthivr.embedded.state import ROOT

FIRST_LIMIT, SECOND_LIMIT = 60.0, 5.0  # seconds


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="healthivr-start-"))
    try:
        clone = folder / "healthivr"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        first, second = start(clone, folder), start(clone, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, seconds, limit in (("first start", first, FIRST_LIMIT), ("second start", second, SECOND_LIMIT)):
        print(
            f"{'make run, ' + name:44} {seconds:25.1f} s {limit:26.0f} s         {'ok' if seconds < limit else 'MISSED'}"
        )
    return 0 if first < FIRST_LIMIT and second < SECOND_LIMIT else 1


def start(clone: Path, home: Path) -> float:
    """Start, wait until it is ready, stop. Returns the seconds until it was ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PORT": str(port)}
    began = time.monotonic()
    with (home / "run.log").open("ab") as log:
        run = subprocess.Popen(
            ["make", "run"], cwd=clone, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while not is_ready(port):
            if run.poll() is not None:
                sys.exit(f"make run ended: {(home / 'run.log').read_text()[-400:]}")
            time.sleep(0.05)
        return time.monotonic() - began
    finally:
        os.killpg(run.pid, signal.SIGINT)
        run.wait(timeout=60)


def is_ready(port: int) -> bool:
    """Say whether /readyz answers 200."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
