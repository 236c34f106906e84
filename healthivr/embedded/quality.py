"""`make quality`: every check, one line each, and all of them even when one fails."""

import secrets
import subprocess
import sys
import time

from healthivr.embedded import process_environment
from healthivr.embedded.processes import call
from healthivr.embedded.run import prepare_database
from healthivr.embedded.servers import owned
from healthivr.embedded.state import ROOT, State


def quality(state: State) -> int:
    """Run all checks with servers of their own in `state`. Returns 0 when all pass, else 1."""
    with owned(state, durable=False):
        development = process_environment.build(state, "development")
        prepare_database(development)
        testing = process_environment.build(state, "test")
        production = development | production_sample()
        python = sys.executable
        checks = {
            "ruff check": (["ruff", "check", "."], development),
            "ruff format": (["ruff", "format", "--check", "."], development),
            "djlint format": (["djlint", "--check", "templates"], development),
            "djlint lint": (["djlint", "--lint", "templates"], development),
            "mypy": (["mypy", "."], development),
            "migrations": ([python, "manage.py", "makemigrations", "--check", "--dry-run"], development),
            "deployment": ([python, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], production),
            "architecture": ([python, "-m", "pytest", "-q", "healthivr/tests/test_architecture.py"], testing),
        }
        failed = [name for name, (command, environment) in checks.items() if not _passes(name, command, environment)]
    print(f"quality: {len(checks) - len(failed)} of {len(checks)} checks pass", flush=True)
    if failed:
        print(f"quality: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def production_sample() -> dict[str, str]:
    """Return what a production environment sets, with strong secrets made for this one check."""
    return {
        "ENVIRONMENT": "production",
        "BASE_URL": "https://invite.healthivr.org",
        "EMAIL_URL": "smtp+tls://healthivr:secret@smtp.healthivr.org:587",
        "TRUSTED_PROXIES": "1",
        "SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET_KEY": secrets.token_hex(32),
        "INVITATION_TOKEN_KEYS": f"k1:{secrets.token_hex(32)}",
        "ENCRYPTION_KEY": f"k1:{secrets.token_hex(32)}",
    }


def _passes(name: str, command: list[str], environment: dict[str, str]) -> bool:
    began = time.monotonic()
    pipe = subprocess.PIPE
    code, said = call(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT
    )
    passed = code == 0
    print(f"{'ok' if passed else 'FAILED':<7}{name} ({time.monotonic() - began:.1f} s)", flush=True)
    if not passed:
        print(said, flush=True)
    return passed
