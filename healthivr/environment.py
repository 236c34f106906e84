"""Reads the environment that settings.py is fed by. Every name is parsed and validated here, with one sentence that
says what is wrong; README.md lists them all."""

import base64
import contextlib
import ipaddress
import re
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

Text = str


class Environment(environ.Env):  # type: ignore[misc]
    """django-environ, with values as they stand: to the stock class `$word` means the variable `word`, and many a
    password begins with a dollar sign. An empty value is none."""

    def str(self, var: Text, default: Text = "", multiline: bool = False) -> Text:
        """Return the value of `var`."""
        return Text(self.ENVIRON.get(var) or default)


env = Environment()

WEAK_SECRETS = ("secret", "changeme", "change-me", "password", "your-", "example", "default", "insecure", "test")


def choice(name: str, options: tuple[str, ...], default: str) -> str:
    """Return the value of `name`, one of `options`."""
    value = env.str(name, default=default)
    if value not in options:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(options)}.")
    return str(value)


def boolean(name: str, default: bool) -> bool:
    """Return the value of `name`: yes or no. A word that could mean either is refused."""
    value = env.str(name).lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value:
        raise ImproperlyConfigured(f"{name} must be true or false.")
    return default


def integer(name: str, default: int, *, least: int, most: int) -> int:
    """Return the value of `name` as a whole number between `least` and `most`."""
    try:
        value = int(env.str(name, default=str(default)))
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number.") from None
    if not least <= value <= most:
        raise ImproperlyConfigured(f"{name} must be between {least} and {most}.")
    return value


def address_list(name: str) -> list[str]:
    """Return a list written as JSON (`["https://a"]`) or with commas."""
    return [part.strip().strip('"') for part in env.str(name, default="").strip("[]").split(",") if part.strip(' "')]


def host_names(name: str) -> list[str]:
    """Return a list of hosts as Django's ALLOWED_HOSTS has them: `app.example.org`, `.example.org`, `[::1]` or `*`."""
    listed = address_list(name)
    for one in listed:
        if one != "*" and not _is_host(one.removeprefix(".")) and not _is_host(re.sub(r"^\[(.*:.*)\]$", r"\1", one)):
            raise ImproperlyConfigured(f"{name} must list the names of hosts, such as app.example.org, with commas.")
    return listed


def origins(name: str, *, patterns: bool = False) -> list[str]:
    """Return a list of origins: `https://app.example.org`, each written out, since they may read with credentials.

    With `patterns`, a `*` may stand for a part of the host: `https://main.*.amplifyapp.com`.
    """
    listed = address_list(name)
    for origin in listed:
        parts = _split(origin)
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not _is_host((parts.hostname or "").replace("*", "x" if patterns else "*"))
            or parts.username
            or origin != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ImproperlyConfigured(f"{name} must list origins such as https://app.example.org, with commas.")
    return listed


def host(name: str) -> str:
    """Return the name or number of a server, without a port."""
    value = env.str(name)
    if value and not _is_host(value):
        raise ImproperlyConfigured(f"{name} must be the name of a server, such as host.example.org.")
    return value


def _is_host(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return bool(re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", text, re.IGNORECASE))


def rate(name: str, default: str) -> str:
    """Return a limit: how many in how long, such as 5/15m (s, m, h or d)."""
    value = env.str(name, default)
    if not re.fullmatch(r"[1-9]\d*/([1-9]\d*)?[smhd]", value):
        raise ImproperlyConfigured(f"{name} must say how many in how long, such as 5/15m.")
    return value


def mail_address(name: str, default: str) -> str:
    """Return an address that mail can come from or go to, `name@example.org` or `Name <name@example.org>`."""
    value = env.str(name, default)
    if value and not re.fullmatch(r"[^@\s]+@[^@\s]+", parseaddr(value)[1]):
        raise ImproperlyConfigured(f"{name} must be an e-mail address.")
    return value


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address, or None when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def secret(name: str, *, production: bool) -> str:
    """Return the secret `name`. There is no default: a missing key is a failed start, not a known key.

    In production a secret must have 32 characters at least, 12 different ones, and no word that stands in examples.
    """
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. `make run` makes one; elsewhere give 50 random characters.")
    weak = len(value) < 32 or len(set(value)) < 12 or any(word in value.lower() for word in WEAK_SECRETS)
    if production and weak:
        raise ImproperlyConfigured(f"{name} is weak: give at least 32 random characters, not a word from an example.")
    return str(value)


def keys(name: str, *, production: bool) -> dict[str, bytes]:
    """Return the keys in `name`, newest first: `id:value,id:value`, each value 32 bytes as hex or base64.

    Several stand side by side while one replaces the other.
    """
    text = env.str(name, default="")
    if not text:
        raise ImproperlyConfigured(f"{name} is not set. Give `k1:` followed by 32 random bytes as hex.")
    parsed: dict[str, bytes] = {}
    for entry in text.split(","):
        key_id, colon, value = entry.strip().partition(":")
        if not colon or not re.fullmatch(r"[a-z0-9]{1,8}", key_id):
            raise ImproperlyConfigured(f"{name} must look like k1:<32 bytes as hex or base64>, several with commas.")
        if key_id in parsed:
            raise ImproperlyConfigured(f"{name}: there are two keys {key_id}. Give each an id of its own.")
        key = _key_bytes(name, value)
        if key in parsed.values():
            raise ImproperlyConfigured(f"{name}: the key {key_id} is the same as another. A new id needs a new key.")
        parsed[key_id] = key
        if production and len(set(parsed[key_id])) < 12:
            raise ImproperlyConfigured(f"{name}: the key {key_id} is weak. Give 32 random bytes.")
    return parsed


def _key_bytes(name: str, value: str) -> bytes:
    try:
        key = (
            bytes.fromhex(value) if re.fullmatch(r"[0-9a-fA-F]{64}", value) else base64.b64decode(value, validate=True)
        )
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ImproperlyConfigured(f"{name}: a key must be 32 bytes, as 64 hex digits or as base64.")
    return key


def base_url() -> str:
    """Return the address under which people reach us: BASE_URL, else INVITATION_BASE_URL, else APP_BASE_URL.

    Links in mails are built from it and from nothing else, never from the Host header of a request.
    """
    given = [_base_url(name) for name in ("BASE_URL", "INVITATION_BASE_URL", "APP_BASE_URL") if env.str(name)]
    return given[0] if given else _base_url("BASE_URL")


def _base_url(name: str) -> str:
    url = env.str(name).rstrip("/")
    parts = _split(url)
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not _is_host(parts.hostname or "")
        or parts.username
        or url != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ImproperlyConfigured(f"{name} must be the address people type, such as https://invite.example.org.")
    return url


def database(name: str) -> dict[str, Any]:
    """Return Django's database settings for the URL in `name`; a socket directory may stand in `?host=`."""
    url = env.str(name, default="")
    parts = _split(url)
    if parts is None or parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise ImproperlyConfigured(f"{name} must be a PostgreSQL address: postgres://user:password@host:5432/name.")
    config: dict[str, Any] = env.db_url_config(url) | {"ENGINE": "healthivr.kernel.postgresql"}
    options = config.setdefault("OPTIONS", {})
    if "host" in options:
        config["HOST"] = options.pop("host")
    return config


def redis_url() -> str:
    """Return where Redis is: REDIS_URL (`redis://`, `rediss://` or `unix:///path`), else REDIS_HOST, REDIS_PORT and
    REDIS_PASSWORD. In REDIS_URL a database may be named (`/5` or `?db=5`), and who signs in (`user:password@` or
    `?username=&password=`)."""
    server = host("REDIS_HOST")
    port = integer("REDIS_PORT", 6379, least=1, most=65535)
    url = env.str("REDIS_URL")
    if not url and server:
        password = quote(env.str("REDIS_PASSWORD"), safe="")
        url = f"redis://{f':{password}@' if password else ''}{f'[{server}]' if ':' in server else server}:{port}"
    parts = _split(url)
    if parts is None or not (
        (parts.scheme == "unix" and parts.path)
        or (parts.scheme in ("redis", "rediss") and parts.hostname and re.fullmatch(r"/?\d*", parts.path))
    ):
        raise ImproperlyConfigured("REDIS_URL must look like redis://host:6379 or unix:///path/to/redis.sock.")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not query.get("db", "0").isdecimal() or not all(
        name in ("db", "username", "password") or (name.startswith("ssl_") and parts.scheme == "rediss")
        for name in query
    ):
        raise ImproperlyConfigured("REDIS_URL may say db=NUMBER, username, password and, of rediss, ssl_… after the ?.")
    return url


def redis_database(url: str, number: int) -> str:
    """Return the address of a database of the Redis at `url`, as redis-py reads it: the one that `url` names, else
    `number`."""
    parts, server, named, rest = _redis_parts(url)
    if parts.scheme == "unix":
        return f"unix://{server}{parts.path}?db={named or number}"
    return f"{parts.scheme}://{server}/{named or number}{rest}"


def celery_broker(url: str, number: int) -> str:
    """Return the same for Celery, which spells sockets in its own way."""
    parts, server, named, _rest = _redis_parts(url)
    if parts.scheme == "unix":
        return f"redis+socket://{server}{parts.path}?virtual_host={named or number}"
    return redis_database(url, number)


def _redis_parts(url: str) -> tuple[SplitResult, str, str, str]:
    """Return the parts of an address, and what both libraries understand: `user:password@host:port`, the number of the
    database that it names or "", and the rest of its query."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    named = query.pop("db", "") or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    server = parts.netloc
    who = [quote(query.pop(name, ""), safe="") for name in ("username", "password")]
    if any(who):
        server = f"{':'.join(who)}@{server.rpartition('@')[2]}"
    return parts, server, named, f"?{urlencode(query)}" if query else ""


def email(*, production: bool) -> dict[str, Any]:
    """Return Django's SMTP settings: EMAIL_URL (`smtp://`, `smtp+tls://`, `smtp+ssl://`), else the SMTP_* names.

    Raises ImproperlyConfigured in production when mail would go nowhere, since an invitation that is never sent is
    a failure that nobody sees.
    """
    url = env.str("EMAIL_URL", default="")
    server = host("SMTP_HOST")
    port = integer("SMTP_PORT", 587, least=1, most=65535)
    if not url and server:
        config: dict[str, Any] = {
            "EMAIL_HOST": server,
            "EMAIL_PORT": port,
            "EMAIL_HOST_USER": env.str("SMTP_USERNAME", default="") or env.str("SMTP_USER", default=""),
            "EMAIL_HOST_PASSWORD": env.str("SMTP_PASSWORD", default="") or env.str("SMTP_PASS", default=""),
            "EMAIL_USE_TLS": port == 587,
            "EMAIL_USE_SSL": port == 465,
        }
    elif url:
        parts = _split(url)
        if (
            parts is None
            or parts.scheme not in ("smtp", "smtp+tls", "smtp+ssl", "smtps")
            or not _is_host(parts.hostname or "")
        ):
            raise ImproperlyConfigured("EMAIL_URL must look like smtp+tls://user:password@smtp.example.org:587.")
        parsed = env.email_url_config(url)
        config = {
            "EMAIL_HOST": parsed["EMAIL_HOST"],
            "EMAIL_PORT": parsed["EMAIL_PORT"] or 25,
            "EMAIL_HOST_USER": parsed["EMAIL_HOST_USER"] or "",
            "EMAIL_HOST_PASSWORD": parsed["EMAIL_HOST_PASSWORD"] or "",
            "EMAIL_USE_TLS": parsed.get("EMAIL_USE_TLS", False),
            "EMAIL_USE_SSL": parsed.get("EMAIL_USE_SSL", False),
        }
    else:
        config = {"EMAIL_HOST": "", "EMAIL_PORT": 25}
    if production and not config["EMAIL_HOST"]:
        raise ImproperlyConfigured("Mail goes nowhere: set EMAIL_URL (or SMTP_HOST) to your mail relay.")
    return config


def identity_provider(*, production: bool) -> dict[str, str]:
    """Return who else may sign people in (OpenID Connect), by the names of the settings; all of it empty when nobody may.

    One of these names alone is a half-finished change that nobody should find out about at sign-in: it stops the start.
    """
    given = {
        "OIDC_ISSUER": env.str("OIDC_ISSUER"),
        "OIDC_CLIENT_ID": env.str("OIDC_CLIENT_ID"),
        "OIDC_CLIENT_SECRET": env.str("OIDC_CLIENT_SECRET"),
        "OIDC_NAME": env.str("OIDC_NAME"),
    }
    needed = ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
    missing = [name for name in needed if not given[name]]
    if missing and any(given.values()):
        raise ImproperlyConfigured(
            f"Sign-in by an identity provider is half configured: set {', '.join(missing)} as well, or none of them."
        )
    parts = _split(given["OIDC_ISSUER"])
    is_local = parts is not None and parts.hostname in ("localhost", "127.0.0.1")
    if given["OIDC_ISSUER"] and (
        parts is None
        or not (parts.scheme == "https" or (parts.scheme == "http" and is_local and not production))
        or not _is_host(parts.hostname or "")
        or parts.username
        or parts.query
        or parts.fragment
        or len(given["OIDC_ISSUER"]) > 255
    ):
        raise ImproperlyConfigured(
            "OIDC_ISSUER must be the issuer exactly as the provider writes it, such as https://login.example.org."
        )
    return given


def folder(name: str) -> Path | None:
    """Return the existing folder that `name` points at, or None when it is not set."""
    value = env.str(name, default="")
    return Path(value) if value else None


def log_level() -> str:
    """Return LOG_LEVEL, one of the levels of Python's logging."""
    return choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
