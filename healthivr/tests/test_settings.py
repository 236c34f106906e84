"""What the environment may say, what each name of it changes, and in which words a process says that it cannot start."""

import ast
import os
import re
import runpy
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from healthivr.checks import links_are_https
from healthivr.embedded.processes import wait_until
from healthivr.testing.world import World

ROOT = Path(settings.BASE_DIR)
KEY = f"k1:{secrets.token_hex(32)}"
#: A production environment: the least that must be said.
PRODUCTION = {
    "BASE_URL": "https://invite.healthivr.org",
    "TRUSTED_PROXIES": "1",
    "DATABASE_URL": "postgres://healthivr:pw@db.internal:5433/hv",
    "REDIS_URL": "redis://cache.internal:6380",
    "EMAIL_URL": "smtp+tls://relay:pw@smtp.healthivr.org:587",
    "SECRET_KEY": secrets.token_hex(32),
    "JWT_SECRET_KEY": secrets.token_hex(32),
    "INVITATION_TOKEN_KEYS": KEY,
    "ENCRYPTION_KEY": KEY,
}
#: An environment that says in parts where the mail relay is.
PARTS: dict[str, str | None] = {"EMAIL_URL": None, "SMTP_HOST": "s.org"}
#: An environment that names an identity provider.
PROVIDER: dict[str, str | None] = {
    "OIDC_ISSUER": "https://id.example.org/pool",
    "OIDC_CLIENT_ID": "hv",
    "OIDC_CLIENT_SECRET": "given by it",
}
Values = dict[str, Any]
Read = Callable[..., Values]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read the settings file as production would, with some names changed (None: not set)."""

    def run(**changes: str | None) -> Values:
        with pytest.MonkeyPatch.context() as patch:
            for name in names_read():
                patch.delenv(name, raising=False)
            for name, value in {**PRODUCTION, **changes}.items():
                if value is not None:
                    patch.setenv(name, value)
            patch.setattr(sys, "argv", ["manage.py", "check"])
            return runpy.run_path(str(ROOT / "healthivr" / "settings.py"))

    return run


# --- what is read, and where it is written down ----------------------------------------------------------------------
READERS = {"str", "boolean", "integer", "rate", "choice", "secret", "keys", "address_list", "origins", "mail_address"}
READERS |= {"database", "folder", "host", "host_names"}
#: Of the machine, or of another tool: nothing that we configure by.
NOT_OURS = {"PATH", "HOME", "TMPDIR", "DJANGO_SETTINGS_MODULE"}


@cache
def names_read() -> set[str]:
    """Every name of the environment that settings.py, environment.py and what starts the processes read."""
    names = set()
    package = ROOT / "healthivr"
    others = [package / "gunicorn.conf.py", package / "management/commands/prepare_database.py"]
    others += [path for path in (package / "embedded").glob("*.py") if path.name != "testing.py"]
    for path in (package / "settings.py", package / "environment.py", *others):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = ast.unparse(node.func)
                if called.rpartition(".")[2] in READERS or called == "os.environ.get":
                    names.add(node.args[0].value)
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                names.add(ast.literal_eval(node.slice))
        if path.name == "environment.py":  # the three names of one address stand in a tuple
            names |= set(re.findall(r'"([A-Z_]+_URL)"', path.read_text()))
    return {name for name in names if isinstance(name, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", name)} - NOT_OURS


def names_in_readme() -> list[str]:
    table = (ROOT / "README.md").read_text().partition("## Configuration")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return [name for cells in first_cells for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", "".join(cells))]


def example() -> list[tuple[str, str, str]]:
    """Every name of .env.example: the mark before it (`# ` where the default stands), the name, the value."""
    line = re.compile(r"^(# )?([A-Z][A-Z0-9_]+)=(.*)$", flags=re.MULTILINE)
    return line.findall((ROOT / ".env.example").read_text())


def names_in_example() -> list[str]:
    return [name for _mark, name, _value in example()]


@pytest.mark.seed("S0.44")
def test_names__in_the_code__are_those_of_the_readme_and_of_the_example() -> None:
    code = names_read()
    assert {"BASE_URL", "APP_BASE_URL", "PORT", "HEALTHIVR_STATE", "SMTP_PASS", "LIMIT_TOKEN_PAGES"} <= code
    assert set(names_in_readme()) == code
    assert set(names_in_example()) == code


def test_example__every_name__stands_once_after_a_comment_and_holds_no_secret() -> None:
    names = names_in_example()
    assert len(names) == len(set(names))
    for paragraph in (ROOT / ".env.example").read_text().strip().split("\n\n"):
        assert not re.match(r"(# )?[A-Z][A-Z0-9_]+=", paragraph), f"no comment: {paragraph}"
    for _mark, name, value in example():
        assert not value or not name.endswith(("KEY", "KEYS", "PASSWORD", "PASS")), name


def test_example__with_secrets_filled_in__starts_and_shows_the_defaults(read: Read) -> None:
    said = {name: value for mark, name, value in example() if not mark and value}
    assert plain(read(**said)) == plain(read(**said, **{name: value for mark, name, value in example() if mark}))


def plain(values: Values) -> Values:
    """The settings that can be compared; the log's formatters and lazy labels are new objects each time."""
    return {name: value for name, value in values.items() if name.isupper() and name not in ("LOGGING", "LANGUAGES")}


# --- each name changes what it names ---------------------------------------------------------------------------------
def said(changes: dict[str, str | None]) -> str:
    """The name of a test: what is set, without secrets."""
    return " ".join(name if name.endswith(("KEY", "KEYS")) else f"{name}={value}" for name, value in changes.items())


EFFECTS: list[tuple[dict[str, str | None], Callable[[Values], Any], Any]] = [
    # the source documents' (S0.44)
    ({"DATABASE_URL": "postgres://u:p@h:5444/n"}, lambda s: s["DATABASES"]["default"]["HOST"], "h"),
    ({"DATABASE_URL": "postgres://u@/n?host=/run/pg"}, lambda s: s["DATABASES"]["default"]["HOST"], "/run/pg"),
    ({"DATABASE_POOL_SIZE": "7"}, lambda s: s["DATABASE_POOL_SIZE"], 7),
    ({"DATABASE_MAX_OVERFLOW": "8"}, lambda s: s["DATABASE_MAX_OVERFLOW"], 8),
    ({"JWT_SECRET_KEY": "0123456789abcdefghijklmnopqrstuv"}, lambda s: s["JWT_SECRET_KEY"][-4:], "stuv"),
    ({"JWT_ALGORITHM": "HS256"}, lambda s: s["JWT_ALGORITHM"], "HS256"),
    ({"JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "15"}, lambda s: s["JWT_ACCESS_TOKEN_EXPIRE_MINUTES"], 15),
    ({**PARTS}, lambda s: s["EMAIL_HOST"], "s.org"),
    ({**PARTS}, lambda s: (s["EMAIL_PORT"], s["EMAIL_USE_TLS"]), (587, True)),
    ({**PARTS, "SMTP_PORT": "2525"}, lambda s: s["EMAIL_PORT"], 2525),
    ({**PARTS, "SMTP_PORT": "465"}, lambda s: s["EMAIL_USE_SSL"], True),
    ({**PARTS, "SMTP_USERNAME": "ann"}, lambda s: s["EMAIL_HOST_USER"], "ann"),
    ({**PARTS, "SMTP_USER": "ann"}, lambda s: s["EMAIL_HOST_USER"], "ann"),
    ({**PARTS, "SMTP_PASSWORD": "$up"}, lambda s: s["EMAIL_HOST_PASSWORD"], "$up"),
    ({**PARTS, "SMTP_PASS": "$up"}, lambda s: s["EMAIL_HOST_PASSWORD"], "$up"),
    ({"SMTP_FROM_EMAIL": "Us <us@x.org>"}, lambda s: s["DEFAULT_FROM_EMAIL"], "Us <us@x.org>"),
    ({"BASE_URL": None, "INVITATION_BASE_URL": "https://i.org"}, lambda s: s["BASE_URL"], "https://i.org"),
    ({"BASE_URL": None, "APP_BASE_URL": "https://a.org"}, lambda s: s["BASE_URL"], "https://a.org"),
    ({"INVITATION_TOKEN_EXPIRE_DAYS": "3"}, lambda s: s["INVITATION_TOKEN_EXPIRE_DAYS"], 3),
    ({"INVITATION_EMAIL_TEMPLATE_PATH": "/"}, lambda s: s["TEMPLATES"][0]["DIRS"][0], Path("/")),
    ({"CORS_ORIGINS": "https://a.org, https://b.org"}, lambda s: s["CORS_ALLOWED_ORIGINS"][1], "https://b.org"),
    ({"CORS_ORIGINS": '["https://a.org"]'}, lambda s: s["CORS_ALLOWED_ORIGINS"], ["https://a.org"]),
    ({"RATE_LIMIT_PER_MINUTE": "61"}, lambda s: s["LIMITS"]["invitation_api"], "61/m"),
    ({"ENCRYPTION_KEY": f"k2:{secrets.token_hex(32)},{KEY}"}, lambda s: list(s["ENCRYPTION_KEY"]), ["k2", "k1"]),
    ({**PROVIDER}, lambda s: s["OIDC_ISSUER"], "https://id.example.org/pool"),
    ({**PROVIDER, "OIDC_CLIENT_ID": "other"}, lambda s: s["OIDC_CLIENT_ID"], "other"),
    ({**PROVIDER, "OIDC_CLIENT_SECRET": "$w"}, lambda s: s["OIDC_CLIENT_SECRET"], "$w"),
    ({**PROVIDER, "OIDC_NAME": "Clinic ID"}, lambda s: s["OIDC_NAME"], "Clinic ID"),
    ({**PROVIDER, "OIDC_ALGORITHM": "ES256"}, lambda s: s["OIDC_ALGORITHM"], "ES256"),
    ({"REDIS_URL": None, "REDIS_HOST": "r"}, lambda s: s["CELERY_BROKER_URL"], "redis://r:6379/2"),
    ({"REDIS_URL": None, "REDIS_HOST": "r", "REDIS_PORT": "7"}, lambda s: s["REDIS_URL"], "redis://r:7"),
    (
        {"REDIS_URL": None, "REDIS_HOST": "r", "REDIS_PASSWORD": "a@b"},
        lambda s: s["REDIS_URL"],
        "redis://:a%40b@r:6379",
    ),
    ({"REDIS_URL": None, "REDIS_HOST": "::1"}, lambda s: s["REDIS_URL"], "redis://[::1]:6379"),
    ({"RATE_LIMIT_WINDOW_MS": "30000"}, lambda s: s["LIMITS"]["everything"], "300/30s"),
    ({"RATE_LIMIT_MAX_REQUESTS": "9"}, lambda s: s["LIMITS"]["everything"], "9/60s"),
    ({"WEBSOCKET_PORT": "3002"}, lambda s: s["WEBSOCKET_PORT"], 3002),
    ({"WEBSOCKET_CORS_ORIGINS": "https://a.org"}, lambda s: s["WEBSOCKET_CORS_ORIGINS"], ["https://a.org"]),
    (
        {"WEBSOCKET_CORS_ORIGINS": "https://main.*.amplifyapp.com,http://localhost:3000"},
        lambda s: s["WEBSOCKET_CORS_ORIGINS"],
        ["https://main.*.amplifyapp.com", "http://localhost:3000"],
    ),
    ({"SESSION_SECURE": "false"}, lambda s: (s["SESSION_COOKIE_SECURE"], s["CSRF_COOKIE_SECURE"]), (False, False)),
    # ours
    ({"ENVIRONMENT": "development"}, lambda s: (s["PRODUCTION"], "localhost" in s["ALLOWED_HOSTS"]), (False, True)),
    ({"ENVIRONMENT": "development", "DEBUG": "yes"}, lambda s: s["DEBUG"], True),
    ({"ENVIRONMENT": "development", "MAIL_FOLDER": "/mail"}, lambda s: s["MAIL_FOLDER"], Path("/mail")),
    ({"MAIL_FOLDER": "/mail"}, lambda s: s["MAIL_FOLDER"], None),  # the page of the sink is no page of production
    ({"SECRET_KEY": "0123456789abcdefghijklmnopqrstuv"}, lambda s: s["SECRET_KEY"][-4:], "stuv"),
    ({"SECRET_KEY": "$0123456789abcdefghijklmnopqrstuv"}, lambda s: s["SECRET_KEY"][:2], "$0"),
    ({"INVITATION_TOKEN_KEYS": f"k2:{secrets.token_hex(32)}"}, lambda s: list(s["INVITATION_TOKEN_KEYS"]), ["k2"]),
    ({"BASE_URL": "https://b.org/"}, lambda s: s["BASE_URL"], "https://b.org"),
    ({"BASE_URL": "https://b.org:8443"}, lambda s: s["ALLOWED_HOSTS"], ["b.org"]),
    ({"ALLOWED_HOSTS": "c.org,d.org"}, lambda s: s["ALLOWED_HOSTS"][1:], ["c.org", "d.org"]),
    ({"BASE_URL": "http://b.org", "TRUSTED_PROXIES": None}, lambda s: "SECURE_PROXY_SSL_HEADER" in s, False),
    (
        {"ALLOWED_HOSTS": ".e.org,[::1],192.0.2.1,*"},
        lambda s: s["ALLOWED_HOSTS"][1:],
        [".e.org", "[::1]", "192.0.2.1", "*"],
    ),
    ({"TRUSTED_PROXIES": "2"}, lambda s: (s["TRUSTED_PROXIES"], "SECURE_PROXY_SSL_HEADER" in s), (2, True)),
    ({"DATABASE_OWNER_URL": "postgres://o@h/n"}, lambda s: s["DATABASE_OWNER"]["USER"], "o"),
    (
        {"DATABASE_OWNER_URL": "postgres://o@h/n", "HEALTHIVR_AS_OWNER": "true"},
        lambda s: s["DATABASES"]["default"]["USER"],
        "o",
    ),
    (
        {"REDIS_URL": "unix:///run/r.sock"},
        lambda s: s["CELERY_BROKER_URL"],
        "redis+socket:///run/r.sock?virtual_host=2",
    ),
    *(
        ({"REDIS_URL": url}, lambda s: (s["CACHES"]["default"]["LOCATION"], s["CELERY_BROKER_URL"]), (cache, broker))
        for url, cache, broker in (
            ("redis://h:6379", "redis://h:6379/1", "redis://h:6379/2"),
            ("redis://h:6379/", "redis://h:6379/1", "redis://h:6379/2"),
            ("redis://h:6379/5", "redis://h:6379/5", "redis://h:6379/5"),
            ("redis://h/0", "redis://h/0", "redis://h/0"),
            ("redis://u:p%40@h/1?db=5", "redis://u:p%40@h/5", "redis://u:p%40@h/5"),
            ("redis://h?password=p%40q", "redis://:p%40q@h/1", "redis://:p%40q@h/2"),
            ("rediss://h?ssl_cert_reqs=none", "rediss://h/1?ssl_cert_reqs=none", "rediss://h/2?ssl_cert_reqs=none"),
            (
                "unix:///r.sock?password=p%40q",
                "unix://:p%40q@/r.sock?db=1",
                "redis+socket://:p%40q@/r.sock?virtual_host=2",
            ),
            (
                "unix:///r.sock?db=5&username=u&password=p",
                "unix://u:p@/r.sock?db=5",
                "redis+socket://u:p@/r.sock?virtual_host=5",
            ),
            ("unix://u:p@/r.sock", "unix://u:p@/r.sock?db=1", "redis+socket://u:p@/r.sock?virtual_host=2"),
        )
    ),
    ({"REDIS_URL": "rediss://r:1"}, lambda s: s["CACHES"]["default"]["LOCATION"], "rediss://r:1/1"),
    ({"CACHE_PREFIX": "two"}, lambda s: s["CACHES"]["default"]["KEY_PREFIX"], "two"),
    ({"CACHE_PREFIX": "two"}, lambda s: s["CELERY_BROKER_TRANSPORT_OPTIONS"]["global_keyprefix"], "two:"),
    ({"EMAIL_URL": "smtp+ssl://a:p%40@h:465"}, lambda s: (s["EMAIL_HOST_PASSWORD"], s["EMAIL_USE_SSL"]), ("p@", True)),
    ({"EMAIL_URL": "smtp://h"}, lambda s: (s["EMAIL_HOST"], s["EMAIL_PORT"], s["EMAIL_USE_TLS"]), ("h", 25, False)),
    ({"SUPPORT_EMAIL": "help@x.org"}, lambda s: s["SUPPORT_EMAIL"], "help@x.org"),
    ({"MAIL_BATCH_SIZE": "5"}, lambda s: s["MAIL_BATCH_SIZE"], 5),
    ({"LIMIT_SIGN_IN_ACCOUNT": "1/h"}, lambda s: s["LIMITS"]["sign_in_account"], "1/h"),
    ({"LIMIT_SIGN_IN_ADDRESS": "2/h"}, lambda s: s["LIMITS"]["sign_in_address"], "2/h"),
    ({"LIMIT_SIGN_IN_REFRESH": "6/h"}, lambda s: s["LIMITS"]["sign_in_refresh"], "6/h"),
    ({"LIMIT_PASSWORD_RESET_ACCOUNT": "3/h"}, lambda s: s["LIMITS"]["password_reset_account"], "3/h"),
    ({"LIMIT_PASSWORD_RESET_ADDRESS": "4/h"}, lambda s: s["LIMITS"]["password_reset_address"], "4/h"),
    ({"LIMIT_TOKEN_PAGES": "5/30s"}, lambda s: s["LIMITS"]["token_pages"], "5/30s"),
    ({"LIMIT_ANONYMOUS_PAGES": "6/d"}, lambda s: s["LIMITS"]["anonymous_pages"], "6/d"),
    ({"LOG_LEVEL": "DEBUG"}, lambda s: s["LOGGING"]["root"]["level"], "DEBUG"),
]


@pytest.mark.seed("S0.44")
@pytest.mark.parametrize(("changes", "effect", "value"), EFFECTS, ids=[said(changes) for changes, *_rest in EFFECTS])
def test_name__set__changes_the_setting_it_names(
    read: Read, changes: dict[str, str | None], effect: Callable[[Values], Any], value: object
) -> None:
    assert effect(read(**changes)) == value


#: Read by the processes themselves, where their own tests are.
ELSEWHERE = {"PORT", "HOST", "WEB_CONCURRENCY", "HEALTHIVR_STATE", "DATABASE_SUPERUSER_URL"}


@pytest.mark.seed("S0.44")
def test_name__of_every_setting__is_tested_above() -> None:
    assert names_read() - ELSEWHERE - {name for changes, _effect, _value in EFFECTS for name in changes} == set()


@pytest.mark.parametrize("name", sorted(name for name in names_read() if name not in PRODUCTION))
def test_name__set_to_nothing__is_as_if_it_were_not_set(read: Read, name: str) -> None:
    assert plain(read(**{name: ""})) == plain(read())


@pytest.mark.seed("S0.44")
@pytest.mark.parametrize(
    ("winner", "loser", "setting", "value"),
    [
        ({"BASE_URL": "https://b.org"}, {"INVITATION_BASE_URL": "https://i.org"}, "BASE_URL", "https://b.org"),
        ({"BASE_URL": "https://b.org"}, {"APP_BASE_URL": "https://a.org"}, "BASE_URL", "https://b.org"),
        (
            {"BASE_URL": None, "INVITATION_BASE_URL": "https://i.org"},
            {"APP_BASE_URL": "https://a.org"},
            "BASE_URL",
            "https://i.org",
        ),
        ({"EMAIL_URL": "smtp://e.org"}, {"SMTP_HOST": "s.org", "SMTP_PORT": "1"}, "EMAIL_HOST", "e.org"),
        ({"EMAIL_URL": "smtp://u:p@e.org"}, {"SMTP_HOST": "s.org", "SMTP_USER": "x"}, "EMAIL_HOST_USER", "u"),
        ({**PARTS, "SMTP_USERNAME": "n"}, {**PARTS, "SMTP_USER": "x"}, "EMAIL_HOST_USER", "n"),
        (
            {**PARTS, "SMTP_PASSWORD": "n"},
            {**PARTS, "SMTP_PASS": "x"},
            "EMAIL_HOST_PASSWORD",
            "n",
        ),
        (
            {"REDIS_URL": "redis://u.org:1"},
            {"REDIS_HOST": "h.org", "REDIS_PORT": "2", "REDIS_PASSWORD": "x"},
            "REDIS_URL",
            "redis://u.org:1",
        ),
    ],
)
def test_names__that_mean_the_same__the_first_wins(
    read: Read, winner: dict[str, str | None], loser: dict[str, str], setting: str, value: str
) -> None:
    assert read(**{**dict.fromkeys(winner), **loser})[setting] != value
    assert read(**{**loser, **winner})[setting] == value


# --- what cannot be meant --------------------------------------------------------------------------------------------
REFUSED: list[tuple[dict[str, str | None], str]] = [
    *(
        ({**PROVIDER, name: None}, f"half configured: set {name} as well")
        for name in ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
    ),
    ({"OIDC_NAME": "Clinic ID"}, "half configured: set OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET as well"),
    *(
        ({**PROVIDER, "OIDC_ISSUER": issuer}, "OIDC_ISSUER must be the issuer")
        for issuer in (
            "http://id.example.org",
            "http://localhost:9000",
            "id.example.org",
            "https://id.example.org/?x=1",
            "https://a:b@id.example.org",
            "https://id.example.org:x",
        )
    ),
    *(
        ({**PROVIDER, "OIDC_ALGORITHM": algorithm}, "OIDC_ALGORITHM must be one of RS256, ES256, PS256.")
        for algorithm in ("none", "HS256")
    ),
    ({"ENVIRONMENT": "prod"}, "ENVIRONMENT must be one of production, development, test."),
    ({"DEBUG": "true"}, "DEBUG shows secrets"),
    ({"DEBUG": "perhaps"}, "DEBUG must be true or false."),
    ({"SESSION_SECURE": "enabled"}, "SESSION_SECURE must be true or false."),
    *(({name: None}, f"{name} is not set") for name in ("SECRET_KEY", "JWT_SECRET_KEY")),
    *(({name: "short"}, f"{name} is weak") for name in ("SECRET_KEY", "JWT_SECRET_KEY")),
    ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY is weak"),
    ({"SECRET_KEY": f"changeme-{secrets.token_hex(32)}"}, "SECRET_KEY is weak"),
    *(({name: None}, f"{name} is not set") for name in ("INVITATION_TOKEN_KEYS", "ENCRYPTION_KEY")),
    *(
        ({name: f"k1:{'00' * 32}"}, f"{name}: the key k1 is weak")
        for name in ("INVITATION_TOKEN_KEYS", "ENCRYPTION_KEY")
    ),
    ({"ENCRYPTION_KEY": secrets.token_hex(32)}, "ENCRYPTION_KEY must look like"),
    ({"ENCRYPTION_KEY": "k1:tooshort"}, "a key must be 32 bytes"),
    ({"ENCRYPTION_KEY": "k1:ключ"}, "a key must be 32 bytes"),
    ({"ENCRYPTION_KEY": f"{KEY},{KEY}"}, "two keys k1"),
    ({"ENCRYPTION_KEY": f"{KEY},k2:{KEY[3:]}"}, "the key k2 is the same as another"),
    ({"ENCRYPTION_KEY": f"{KEY},"}, "ENCRYPTION_KEY must look like"),
    ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM must be one of HS256."),
    ({"JWT_ALGORITHM": "RS256"}, "JWT_ALGORITHM must be one of HS256."),
    ({"JWT_ALGORITHM": "hs256"}, "JWT_ALGORITHM must be one of HS256."),
    ({"EMAIL_URL": None}, "Mail goes nowhere"),
    ({"EMAIL_URL": "https://smtp.org"}, "EMAIL_URL must look like"),
    ({"EMAIL_URL": "smtp://h:port"}, "EMAIL_URL must look like"),
    ({"EMAIL_URL": "smtp://[h"}, "EMAIL_URL must look like"),
    ({"EMAIL_URL": None, "SMTP_HOST": "h", "SMTP_PORT": "mail"}, "SMTP_PORT must be a whole number."),
    ({"SMTP_FROM_EMAIL": "healthivr"}, "SMTP_FROM_EMAIL must be an e-mail address."),
    ({"SUPPORT_EMAIL": "ask us"}, "SUPPORT_EMAIL must be an e-mail address."),
    ({"BASE_URL": None}, "BASE_URL must be the address"),
    *(
        ({"BASE_URL": url}, "BASE_URL must be the address")
        for url in (
            *("invite.org", "ftp://invite.org", "https://", "https://invite.org/app", "https://invite.org?a=1"),
            *("https://user:pw@invite.org", "https://invite.org:port", "https://[invite", "javascript:alert(1)"),
        )
    ),
    ({"BASE_URL": None, "INVITATION_BASE_URL": "x"}, "INVITATION_BASE_URL must be the address"),
    ({"BASE_URL": None, "APP_BASE_URL": "x"}, "APP_BASE_URL must be the address"),
    *(
        ({"DATABASE_URL": url}, "DATABASE_URL must be a PostgreSQL address")
        for url in (None, "mysql://h/n", "sqlite:///x", "postgres://", "postgres://h:port/n", "postgres://[h/n", "h/n")
    ),
    ({"DATABASE_OWNER_URL": "h/n"}, "DATABASE_OWNER_URL must be a PostgreSQL address"),
    *(
        ({"REDIS_URL": url}, "REDIS_URL must look like")
        for url in (None, "http://h", "redis://", "redis://h:port", "redis://[h", "unix:", "redisx://h")
    ),
    *(
        ({"REDIS_URL": url}, "REDIS_URL may say")
        for url in ("redis://h?db=five", "redis://h?timeout=pw", "redis://h?ssl_ca_certs=x", "unix:///r?virtual_host=3")
    ),
    ({"REDIS_URL": "redis://h/cache"}, "REDIS_URL must look like"),
    ({"REDIS_URL": None, "REDIS_HOST": "h", "REDIS_PORT": "0"}, "REDIS_PORT must be between 1 and 65535."),
    # what is set is read, also where another name wins
    ({"REDIS_PORT": "abc"}, "REDIS_PORT must be a whole number."),
    *(
        ({"REDIS_HOST": name}, "REDIS_HOST must be the name of a server")
        for name in ("a b", "h:6379", "redis://h", "*")
    ),
    *(({"SMTP_HOST": name}, "SMTP_HOST must be the name of a server") for name in ("not a host !!", "h:25", "a..b")),
    ({"SMTP_PORT": "abc"}, "SMTP_PORT must be a whole number."),
    ({"EMAIL_URL": "smtp://not a host"}, "EMAIL_URL must look like"),
    ({"APP_BASE_URL": "garbage"}, "APP_BASE_URL must be the address"),
    ({"INVITATION_BASE_URL": "https://a b"}, "INVITATION_BASE_URL must be the address"),
    ({"ALLOWED_HOSTS": "app.org, not a host"}, "ALLOWED_HOSTS must list the names of hosts"),
    ({"ALLOWED_HOSTS": "https://app.org"}, "ALLOWED_HOSTS must list the names of hosts"),
    *(
        ({"WEBSOCKET_CORS_ORIGINS": origin}, "WEBSOCKET_CORS_ORIGINS must list origins")
        for origin in ("garbage not an origin", "*", "app.org", "https://a.org/path", "wss://a.org")
    ),
    ({"CORS_ORIGINS": "ftp://a.org"}, "CORS_ORIGINS must list origins"),
    ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must list origins"),
    ({"CORS_ORIGINS": "https://*.org"}, "CORS_ORIGINS must list origins"),
    ({"CORS_ORIGINS": "example.org"}, "CORS_ORIGINS must list origins"),
    ({"CORS_ORIGINS": "https://a.org/path"}, "CORS_ORIGINS must list origins"),
    *(({"TRUSTED_PROXIES": none}, "set TRUSTED_PROXIES to how many proxies") for none in (None, "0")),
    ({"TRUSTED_PROXIES": None, "ENVIRONMENT": "development"}, "set TRUSTED_PROXIES to how many proxies"),
    ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES must be between 0 and 5."),
    ({"RATE_LIMIT_PER_MINUTE": "sixty"}, "RATE_LIMIT_PER_MINUTE must be a whole number."),
    ({"RATE_LIMIT_WINDOW_MS": "1"}, "RATE_LIMIT_WINDOW_MS must be between"),
    ({"LIMIT_TOKEN_PAGES": "10"}, "LIMIT_TOKEN_PAGES must say how many in how long, such as 5/15m."),
    ({"LIMIT_TOKEN_PAGES": "0/m"}, "LIMIT_TOKEN_PAGES must say"),
    ({"LIMIT_SIGN_IN_ACCOUNT": "none"}, "LIMIT_SIGN_IN_ACCOUNT must say"),
    ({"INVITATION_TOKEN_EXPIRE_DAYS": "31"}, "INVITATION_TOKEN_EXPIRE_DAYS must be between 1 and 30."),
    ({"INVITATION_EMAIL_TEMPLATE_PATH": "/nowhere"}, "INVITATION_EMAIL_TEMPLATE_PATH must be a folder that exists."),
    ({"MAIL_BATCH_SIZE": "0"}, "MAIL_BATCH_SIZE must be between"),
    ({"WEBSOCKET_PORT": "70000"}, "WEBSOCKET_PORT must be between"),
    ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE must be between"),
    ({"DATABASE_MAX_OVERFLOW": "-1"}, "DATABASE_MAX_OVERFLOW must be between"),
    ({"JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "61"}, "JWT_ACCESS_TOKEN_EXPIRE_MINUTES must be between 1 and 60."),
    ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be one of"),
]


@pytest.mark.seed("S0.44")
@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[said(changes) for changes, _words in REFUSED])
def test_value__that_cannot_be_meant__refused_in_one_sentence_without_the_value(
    read: Read, changes: dict[str, str | None], words: str
) -> None:
    assert read()["PRODUCTION"]
    with pytest.raises(ImproperlyConfigured) as refused:
        read(**changes)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    for name, value in changes.items():
        if value and name.endswith(("KEY", "KEYS")):
            assert value not in str(refused.value)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("environment", ["development", "test"])
def test_value__that_production_refuses__is_taken_elsewhere(read: Read, environment: str) -> None:
    values = read(ENVIRONMENT=environment, DEBUG="true", SECRET_KEY="short", EMAIL_URL=None)
    assert values["DEBUG"]
    assert values["EMAIL_HOST"] == ""


def test_settings__without_environment__are_those_of_production(read: Read) -> None:
    values = read()
    assert values["PRODUCTION"]
    assert not values["DEBUG"]
    assert values["ALLOWED_HOSTS"] == ["invite.healthivr.org"]
    assert values["STORAGES"]["staticfiles"]["BACKEND"].startswith("whitenoise")


# --- how a process says that it cannot start -------------------------------------------------------------------------
COMMANDS = {
    "manage.py": [sys.executable, "manage.py", "check"],
    "migrate": [sys.executable, "manage.py", "migrate", "--check"],
    "web": ["gunicorn", "--no-control-socket", "--config", "healthivr/gunicorn.conf.py", "healthivr.wsgi"],
    "worker": ["celery", "--quiet", "-A", "healthivr.celery", "worker", "--concurrency", "1"],
    "beat": ["celery", "--quiet", "-A", "healthivr.celery", "beat"],
}


def start(command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Start one of our processes, which is expected to end by itself."""
    environment = {**os.environ, "PORT": "0", "PYTHONWARNINGS": "ignore", **changes}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        COMMANDS[command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.seed("S0.44")
@pytest.mark.parametrize("command", COMMANDS)
def test_process__with_settings_that_do_not_hold__ends_with_one_sentence(command: str) -> None:
    ended = start(command, JWT_ALGORITHM="none")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "healthivr cannot start: JWT_ALGORITHM must be one of HS256.\n"


@pytest.mark.seed("S2.23")
@pytest.mark.parametrize("command", ["web", "worker"])
def test_process__with_a_database_role_that_sees_everybody__ends_with_one_sentence(command: str) -> None:
    ended = start(command, DATABASE_URL=os.environ["DATABASE_SUPERUSER_URL"])
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("healthivr cannot start: The database role in DATABASE_URL sees")
    assert "Traceback" not in ended.stderr


@pytest.mark.seed("S2.23")
@pytest.mark.parametrize(("name", "status"), [("DATABASE_SUPERUSER_URL", 503), ("DATABASE_URL", 200)])
def test_web__whose_database_came_after_it__serves_only_a_role_that_is_held(
    committed_world: World, tmp_path: Path, name: str, status: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="pg") as sockets, (tmp_path / "web.log").open("wb") as log:  # a short path
        url = urlsplit(os.environ[name])
        (real,) = parse_qs(url.query)["host"]
        changed = url._replace(path=f"/{connection.settings_dict['NAME']}", query=f"host={sockets}").geturl()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        environment = {**os.environ, "PORT": port, "WEB_CONCURRENCY": "1", "DATABASE_URL": changed}
        command = [sys.executable, "-m", *COMMANDS["web"]]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as web:
            try:
                assert wait_until(lambda: answer(port, "/readyz")[0] == 503, 30)
                Path(sockets, ".s.PGSQL.5432").symlink_to(Path(real, ".s.PGSQL.5432"))
                code, said = answer(port, "/readyz")
                assert code == status, said
                setup = answer(port, "/setup/x/")[0]
                signed_in = answer(port, "/sign-in/")[0]
            finally:
                web.terminate()
    written = (tmp_path / "web.log").read_text()
    assert ("unsafe_database_role" in written) == (status == 503)
    assert setup == (500 if status == 503 else 404)
    assert signed_in == 200  # no row is needed for it


def answer(port: str, path: str) -> tuple[int, str]:
    """Ask a web process of ours. Returns its status, 0 while there is none, and what it says."""
    try:
        with urlopen(f"http://localhost:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


# --- what a deployment is warned of ----------------------------------------------------------------------------------
def test_check__links_without_https__are_found() -> None:
    with override_settings(HTTPS=True, PRODUCTION=True):
        assert list(links_are_https()) == []
    with override_settings(HTTPS=False, PRODUCTION=True):
        assert [found.id for found in links_are_https()] == ["healthivr.E003"]


def routes_of(**values: object) -> list[str]:
    """The top of the URLconf as other settings make it."""
    with override_settings(**values):
        return [str(route.pattern) for route in runpy.run_path(str(ROOT / "healthivr" / "urls.py"))["urlpatterns"]]


def test_development_mail__in_no_other_environment() -> None:
    folder = Path("/mail")
    assert "dev/mail/" in routes_of(ENVIRONMENT="development", MAIL_FOLDER=folder)
    for environment in ("production", "test"):
        assert not [path for path in routes_of(ENVIRONMENT=environment, MAIL_FOLDER=folder) if "dev" in path]
