"""The environment in which our processes run: where the servers are, and secrets made for this state folder alone."""

import base64
import os
import secrets
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from healthivr.embedded.errors import CannotStart
from healthivr.embedded.postgres import SUPERUSER, Postgres
from healthivr.embedded.redis_server import Redis
from healthivr.embedded.state import State, write_private

DEFAULT_PORT = 8000
#: What the settings also read where our own name for it is not set; ours would win over it.
OTHER_NAMES = {
    "REDIS_URL": ("REDIS_HOST",),
    "EMAIL_URL": ("SMTP_HOST",),
    "BASE_URL": ("INVITATION_BASE_URL", "APP_BASE_URL"),
}


def uses_embedded_postgres() -> bool:
    """Tell whether no PostgreSQL was given. Raises CannotStart when only one of its two addresses was."""
    given = [name for name in ("DATABASE_URL", "DATABASE_OWNER_URL") if os.environ.get(name)]
    if len(given) == 1:
        raise CannotStart(
            f"Only {given[0]} is set: set DATABASE_URL (the role that serves requests) and DATABASE_OWNER_URL "
            "(the role that migrates) both, or neither for an embedded PostgreSQL."
        )
    return not given


def uses_embedded_redis() -> bool:
    """Tell whether no Redis was given."""
    return not given("REDIS_URL")


def uses_mail_sink() -> bool:
    """Tell whether no mail server was given."""
    return not given("EMAIL_URL")


def given(name: str) -> str:
    """Return what the environment says for `name`, under that name or another that the settings know, else ""."""
    values = (os.environ.get(one) for one in (name, *OTHER_NAMES[name]))
    return next((value for value in values if value), "")


def web_port() -> int:
    """Return the port for the pages, from PORT. Raises CannotStart when it is no port."""
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise CannotStart(f"PORT={text} is not a port: give a number from 1 to 65535.")
    return int(text)


def build(state: State, environment: str) -> dict[str, str]:
    """Return the environment for a process of ours: what is set already wins over what we would set.

    `environment` is the word for ENVIRONMENT: development or test.
    """
    port = web_port()
    built = read_secrets(state)
    built |= {
        "ENVIRONMENT": environment,
        "PORT": str(port),
        "HEALTHIVR_STATE": str(state.folder),
        "MAIL_FOLDER": str(state.mail),
        "PYTHONUNBUFFERED": "1",
    }
    if not given("BASE_URL"):
        built["BASE_URL"] = f"http://localhost:{port}"
    if uses_mail_sink():  # in tests nobody listens there: each starts the sink that it needs
        built["EMAIL_URL"] = f"smtp://127.0.0.1:{mail_port(state)}"
    if uses_embedded_postgres():
        postgres = Postgres(state)
        built["DATABASE_URL"] = postgres.url("healthivr", "healthivr")
        built["DATABASE_OWNER_URL"] = postgres.url("healthivr_owner", "healthivr")
        built["DATABASE_SUPERUSER_URL"] = postgres.url(SUPERUSER, "postgres")
    if uses_embedded_redis():
        built["REDIS_URL"] = Redis(state).url
    built |= {name: value for name, value in os.environ.items() if value}
    built["HEALTHIVR_STATE"] = str(state.folder)
    if environment == "test":
        built["ENVIRONMENT"] = "test"  # whatever the shell is used for otherwise
    built["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return built


def read_secrets(state: State) -> dict[str, str]:
    """Return the development secrets of this state folder."""
    if not state.secrets.exists():
        return {}
    lines = state.secrets.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def make_secrets(state: State) -> None:
    """Make the secrets that this state folder lacks. They live as long as the data that they protect."""
    fresh = {
        "SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET_KEY": secrets.token_hex(32),
        "INVITATION_TOKEN_KEYS": f"k1:{secrets.token_hex(32)}",
        "ENCRYPTION_KEY": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }
    known = read_secrets(state)
    if fresh.keys() <= known.keys():
        return
    lines = [f"{name}={value}\n" for name, value in (fresh | known).items()]
    write_private(state.secrets, "# For development only, made for this folder's data: do not copy.\n" + "".join(lines))


def mail_port(state: State) -> int:
    """Return the port that the mail sink of this state folder listens on; 0 before one was chosen."""
    return int(state.mail_port.read_text()) if state.mail_port.exists() else 0


def choose_mail_port(state: State) -> None:
    """Choose a free port for the mail sink and remember it; the remembered one stays while it is free."""
    for port in (mail_port(state), 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as free:
                write_private(state.mail_port, str(free.getsockname()[1]))
                return
        except OSError:
            continue


def host_of(url: str) -> str:
    """Return the host of an address, without the password that may stand in it."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'the local socket'}{f':{parts.port}' if parts.port else ''}"
