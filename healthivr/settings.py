"""Settings of healthivr: one flat file, fed by the environment (healthivr/environment.py parses and validates).

Closed by default: without ENVIRONMENT this is production, and production refuses to start with a missing or weak
secret, DEBUG, mail that goes nowhere, or (healthivr/checks.py) a database role that could see other tenants.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONCE
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from healthivr import environment
from healthivr.environment import boolean, env, integer, rate
from healthivr.logs import logging_config

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

ENVIRONMENT = environment.choice("ENVIRONMENT", ("production", "development", "test"), "production")
PRODUCTION = ENVIRONMENT == "production"
DEBUG = boolean("DEBUG", False)
if DEBUG and PRODUCTION:
    raise ImproperlyConfigured("DEBUG shows secrets to strangers: unset it, or set ENVIRONMENT=development.")

# --- secrets ---------------------------------------------------------------------------------------------------------
SECRET_KEY = environment.secret("SECRET_KEY", production=PRODUCTION)
#: Invitation links are derived from these (invitations/tokens.py). The first is used for new links.
INVITATION_TOKEN_KEYS = environment.keys("INVITATION_TOKEN_KEYS", production=PRODUCTION)
#: For the API's tokens; checked from the start so that a weak one never gets into production.
JWT_SECRET_KEY = environment.secret("JWT_SECRET_KEY", production=PRODUCTION)
JWT_ALGORITHM = environment.choice("JWT_ALGORITHM", ("HS256",), "HS256")
JWT_ACCESS_TOKEN_EXPIRE_MINUTES = integer("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", 30, least=1, most=60)
#: What is stored encrypted (healthivr/kernel/encryption.py). The first writes; each reads what it wrote.
ENCRYPTION_KEY = environment.keys("ENCRYPTION_KEY", production=PRODUCTION)

# --- addresses -------------------------------------------------------------------------------------------------------
BASE_URL = environment.base_url()
HTTPS = BASE_URL.startswith("https://")
ALLOWED_HOSTS = [urlsplit(BASE_URL).hostname, *environment.host_names("ALLOWED_HOSTS")]
if not PRODUCTION:
    ALLOWED_HOSTS += ["localhost", "127.0.0.1", "[::1]"]
#: How many proxies of ours stand in front. The client's address is taken that many steps from the right of
#: X-Forwarded-For; 0 means the peer itself, and the header is ignored.
TRUSTED_PROXIES = integer("TRUSTED_PROXIES", 0, least=0, most=5)
if HTTPS and not TRUSTED_PROXIES:  # our own server speaks no TLS: it would send each request to itself, for ever
    raise ImproperlyConfigured(
        "BASE_URL is https, so a proxy of yours speaks TLS in front: set TRUSTED_PROXIES to how many proxies there are,"
        " and have the nearest send X-Forwarded-Proto and X-Forwarded-For."
    )
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- database --------------------------------------------------------------------------------------------------------
# DATABASE_URL is the role `healthivr`, which row-level security holds; DATABASE_OWNER_URL owns the tables and is used by
# migrations alone (docs/adr/0003-tenancy.md).
CONNECTED_AS_OWNER = boolean("HEALTHIVR_AS_OWNER", False) or (
    len(sys.argv) > 1 and sys.argv[1] in ("migrate", "makemigrations", "sqlmigrate")
)
DATABASES = {"default": environment.database("DATABASE_URL")}
DATABASE_OWNER = environment.database("DATABASE_OWNER_URL") if env.str("DATABASE_OWNER_URL", default="") else None
if CONNECTED_AS_OWNER and DATABASE_OWNER:
    DATABASES = {"default": dict(DATABASE_OWNER)}
# A connection per thread that lives on, checked before use: a new one for each request costs 7 ms (performance.md 2).
DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
_connecting = DATABASES["default"].setdefault("OPTIONS", {})
_connecting.setdefault("connect_timeout", 3)
_connecting.setdefault("tcp_user_timeout", 15_000)  # milliseconds: a server that vanished says nothing for ever
# A process that froze within a transaction must not hold an organization's trail, and nobody waits for it for ever.
_connecting.setdefault("options", "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s")
DATABASE_ROUTERS = ["audit.registry.NoAuditlogTable"]
#: Names of the source documents; connections are one a thread, so the two together bound the threads of a process.
DATABASE_POOL_SIZE = integer("DATABASE_POOL_SIZE", 20, least=1, most=200)
DATABASE_MAX_OVERFLOW = integer("DATABASE_MAX_OVERFLOW", 30, least=0, most=200)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: a hint for speed, never the truth ------------------------------------------------------------------------
REDIS_URL = environment.redis_url()
_redis_timeouts = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "healthivr.kernel.cache.FallbackCache",
        "LOCATION": environment.redis_database(REDIS_URL, 1),
        "KEY_PREFIX": env.str("CACHE_PREFIX", default="healthivr"),
        "OPTIONS": _redis_timeouts,
    }
}
CELERY_BROKER_URL = environment.celery_broker(REDIS_URL, 2)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_LOG_COLOR = False
# Without the throttle kombu hands back what a killed worker held only after 100 s (stack.md 1c); the relay does not
# wait for it either way.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "global_keyprefix": CACHES["default"]["KEY_PREFIX"] + ":",
    **_redis_timeouts,
    "socket_timeout": 3,  # seconds that a request may lose to a Redis that froze; a worker asks for a task every second
    "max_retries": 0,  # of who gives a hint: kombu's own are six seconds of a request (a worker's go on for ever)
}
CELERY_TIMEZONE = "UTC"
# Keeps its times in memory. Celery's own default keeps them in a pickle, which runs the code of whoever can write it.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "relay deliveries": {"task": "invitations.tasks.relay_deliveries", "schedule": timedelta(seconds=5)},
    "relay account mail": {"task": "accounts.tasks.relay_account_mail", "schedule": timedelta(seconds=5)},
    "expire overdue invitations": {"task": "invitations.tasks.expire_overdue", "schedule": timedelta(seconds=60)},
    "reconcile seats": {"task": "invitations.tasks.reconcile_seats", "schedule": timedelta(hours=24)},
    "worker heartbeat": {"task": "healthivr.health.beat", "schedule": timedelta(seconds=10)},
    "end overdue sessions": {"task": "accounts.tasks.end_overdue_sessions", "schedule": timedelta(seconds=60)},
    "watch licenses": {"task": "accounts.tasks.watch_licenses", "schedule": timedelta(minutes=5)},
    "agreements that end": {"task": "organizations.tasks.sweep_agreements", "schedule": timedelta(hours=1)},
    "clear sessions": {"task": "accounts.tasks.clear_expired_sessions", "schedule": timedelta(hours=24)},
}
for _entry in CELERY_BEAT_SCHEDULE.values():
    _entry["last_run_at"] = datetime(2000, 1, 1, tzinfo=UTC)  # due at each start: beat remembers nothing
    _entry["options"] = {"expires": _entry["schedule"].total_seconds()}  # a tick that waited out its turn is stale

# --- applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",  # before ours: accounts.apps takes one of its receivers away
    "healthivr",
    "invitations",
    "patients",
    "accounts",
    "organizations",
    "audit",
    "auditlog",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "healthivr.apps.PlatformAdminConfig",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
]
MIDDLEWARE = [
    "healthivr.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "healthivr.middleware.PathInfoMiddleware",
    "healthivr.middleware.HealthMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.middleware.RegisteredSessionMiddleware",
    "accounts.middleware.SignInRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "healthivr.middleware.DomainErrorMiddleware",
    "accounts.middleware.PersonMiddleware",
    "organizations.middleware.TenancyMiddleware",
]
ROOT_URLCONF = "healthivr.urls"
WSGI_APPLICATION = "healthivr.wsgi.application"
APPEND_SLASH = False  # PathInfoMiddleware answers both forms without redirecting
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "healthivr.context.page",
            ],
            "builtins": ["django.templatetags.i18n"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- people ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.EmailBackend"]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:sign_in"
# OWASP's setting for Argon2id (46 MiB, 1 pass, 1 lane): docs/adr/0006-passwords.md weighs it.
PASSWORD_HASHERS = ["accounts.hashers.Argon2idHasher"]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "accounts.validators.GoodPasswordValidator"}]
PASSWORD_RESET_TIMEOUT = 3600  # seconds: a link lives one hour

SESSION_ENGINE = "accounts.sessions"  # in PostgreSQL: sign-in must work while Redis is down
SESSION_COOKIE_AGE = 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = boolean("SESSION_SECURE", HTTPS)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "healthivr.views.csrf_failure"
CSRF_TRUSTED_ORIGINS = [BASE_URL]
if SESSION_COOKIE_SECURE:
    SESSION_COOKIE_NAME = "__Host-session"
    CSRF_COOKIE_NAME = "__Host-csrf"
#: By it a browser is known in which the owner of an address has signed in (accounts/lockout.py).
KNOWN_BROWSER_COOKIE_NAME = "__Host-known_browser" if SESSION_COOKIE_SECURE else "known_browser"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- an identity provider that signs people in as well (docs/adr/0016-oidc.md); empty: there is none -----------------
_provider = environment.identity_provider(production=PRODUCTION)
OIDC_ISSUER, OIDC_NAME = _provider["OIDC_ISSUER"], _provider["OIDC_NAME"]
OIDC_CLIENT_ID, OIDC_CLIENT_SECRET = _provider["OIDC_CLIENT_ID"], _provider["OIDC_CLIENT_SECRET"]
#: The one algorithm that its tokens are believed by: a key of its own, never a secret that we share with it.
OIDC_ALGORITHM = environment.choice("OIDC_ALGORITHM", ("RS256", "ES256", "PS256"), "RS256")

# --- limits (checklist C5): count/period -----------------------------------------------------------------------------
LIMITS = {
    "sign_in_account": rate(
        "LIMIT_SIGN_IN_ACCOUNT", "5/15m"
    ),  # wrong guesses, then as long a lock: accounts/lockout.py
    "sign_in_address": rate("LIMIT_SIGN_IN_ADDRESS", "20/15m"),
    "sign_in_refresh": rate("LIMIT_SIGN_IN_REFRESH", "60/15m"),
    "password_reset_account": rate("LIMIT_PASSWORD_RESET_ACCOUNT", "3/15m"),
    "password_reset_address": rate("LIMIT_PASSWORD_RESET_ADDRESS", "20/15m"),
    "token_pages": rate("LIMIT_TOKEN_PAGES", "10/m"),
    "anonymous_pages": rate("LIMIT_ANONYMOUS_PAGES", "100/15m"),
    "invitation_api": f"{integer('RATE_LIMIT_PER_MINUTE', 60, least=1, most=100000)}/m",
    "everything": (
        f"{integer('RATE_LIMIT_MAX_REQUESTS', 300, least=1, most=1000000)}"
        f"/{integer('RATE_LIMIT_WINDOW_MS', 60000, least=1000, most=86400000) // 1000}s"
    ),
}
RATELIMIT_USE_CACHE = "default"

# --- invitations -----------------------------------------------------------------------------------------------------
INVITATION_TOKEN_EXPIRE_DAYS = integer("INVITATION_TOKEN_EXPIRE_DAYS", 7, least=1, most=30)
#: A folder with templates that replace the built-in ones of the same name, or None.
INVITATION_EMAIL_TEMPLATE_PATH = environment.folder("INVITATION_EMAIL_TEMPLATE_PATH")
if INVITATION_EMAIL_TEMPLATE_PATH:
    if not INVITATION_EMAIL_TEMPLATE_PATH.is_dir():
        raise ImproperlyConfigured("INVITATION_EMAIL_TEMPLATE_PATH must be a folder that exists.")
    TEMPLATES[0]["DIRS"] = [INVITATION_EMAIL_TEMPLATE_PATH, *TEMPLATES[0]["DIRS"]]  # type: ignore[misc]
SUPPORT_EMAIL = environment.mail_address("SUPPORT_EMAIL", "")
MAIL_BATCH_SIZE = integer("MAIL_BATCH_SIZE", 100, least=1, most=1000)

# --- mail ------------------------------------------------------------------------------------------------------------
_mail = environment.email(production=PRODUCTION)
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"], _mail["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_USER", ""), _mail.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20  # seconds for each answer of the mail server; accounts/outbox.py counts on it
DEFAULT_FROM_EMAIL = environment.mail_address("SMTP_FROM_EMAIL", f"healthivr <noreply@{urlsplit(BASE_URL).hostname}>")
#: Where the development sink keeps mails; the page that shows them exists in development only.
MAIL_FOLDER = environment.folder("MAIL_FOLDER") if not PRODUCTION else None

# --- language and time -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", _("English")), ("es", _("Spanish"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["healthivr.formats"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- static files ----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static"] + [
    (prefix, BASE_DIR / "node_modules" / folder)
    for prefix, folder in (
        ("bootstrap", "bootstrap/dist"),
        ("bootstrap-icons", "bootstrap-icons/font"),
        ("uplot", "uplot/dist"),
    )
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = not PRODUCTION
WHITENOISE_KEEP_ONLY_HASHED_FILES = False

# --- what a browser may do with our pages ----------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {  # Swagger's page alone is exempt: healthivr/api_docs.py
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", NONCE],
        "style-src": ["'self'", NONCE],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "frame-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz/?$", r"^readyz/?$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# Not no-referrer: browsers then send `Origin: null` with a POST and Django answers 403 (invitations.md 3.2).
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CORS_ALLOWED_ORIGINS = environment.origins("CORS_ORIGINS")
CORS_ALLOW_CREDENTIALS = bool(CORS_ALLOWED_ORIGINS)
CORS_URLS_REGEX = r"^/api/"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- for the notifications issue -------------------------------------------------------------------------------------
WEBSOCKET_PORT = integer("WEBSOCKET_PORT", 3001, least=1, most=65535)
WEBSOCKET_CORS_ORIGINS = environment.origins("WEBSOCKET_CORS_ORIGINS", patterns=True)

# --- API -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.BearerAuthentication",
        "healthivr.api.SessionAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["healthivr.api.EverythingThrottle"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["healthivr.api.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "healthivr.api.problem",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "healthivr",
    "DESCRIPTION": "Bring people into healthcare organizations by invitation, and prove it.\n\n"
    + (BASE_DIR / "docs" / "errors.md").read_text(),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "InvitationTypeEnum": "invitations.api.serializers.TYPES",
        "ShownInvitationTypeEnum": "invitations.models.TYPE_CHOICES",
        "PractitionerStatusEnum": "accounts.practitioners.states.Standing",
    },
}

# --- logs ------------------------------------------------------------------------------------------------------------
LOGGING = logging_config(environment.log_level())
