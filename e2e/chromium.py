"""Finds a Chromium for the browser tests, or installs one: `python e2e/chromium.py` prints where it is.

The tests never skip for want of a browser: without one this ends with a sentence and exit code 1.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOWNLOAD_TIMEOUT = 300  # seconds


def main() -> None:
    """Print the path of a Chromium that starts."""
    named = os.environ.get("CHROMIUM")
    if named and not starts(named):
        sys.exit(f"CHROMIUM={named} does not start: correct it, or unset it to have one found.")
    path = named or find()
    if not path:
        print("No Chromium found, installing one", file=sys.stderr, flush=True)
        for install in (download, install_package):
            install()
            path = find()
            if path:
                break
    if not path:
        sys.exit(
            "The browser tests need Chromium and it could not be installed: install it "
            "(Debian: apt-get install chromium) or name one with CHROMIUM=/path/to/chromium."
        )
    print(path)


def find() -> str | None:
    """Return the path of a Chromium on this machine that starts, or None."""
    on_path = [found for found in map(shutil.which, NAMES) if found]
    return next((path for path in on_path if starts(path)), None) or _of_playwright()


def starts(path: str) -> bool:
    """Tell whether the program at `path` runs here: a downloaded one may lack libraries of the system."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def download() -> None:
    """Download playwright's own build, where the network allows."""
    environment = os.environ | {"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "10000"}  # milliseconds
    try:
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=DOWNLOAD_TIMEOUT, check=False)
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        print("playwright's own Chromium could not be downloaded", file=sys.stderr, flush=True)


def install_package() -> None:
    """Install Debian's package, which brings its libraries along; only root can."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", "chromium", "fonts-liberation"]
    for command in (install, ["apt-get", "update", "-qq"], install):  # the lists of a new machine are old or missing
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if command == install and done.returncode == 0:
            return


def _of_playwright() -> str | None:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() and starts(path) else None


if __name__ == "__main__":
    main()
