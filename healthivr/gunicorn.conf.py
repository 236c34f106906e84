"""How gunicorn serves healthivr: two threaded workers with persistent database connections (performance.md 2)."""

import os

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
worker_class = "gthread"
keepalive = 75  # seconds; the default of 2 cuts idle people off
timeout = 60
graceful_timeout = 20
max_requests = 20_000
max_requests_jitter = 2_000
accesslog = None  # our own request line has the route instead of the path
preload_app = True  # loaded once, then forked: what keeps it from starting is said once
forwarded_allow_ips = "127.0.0.1"
# Gunicorn's own lines go through Django's logging, JSON and masked: the application configures it when it loads.
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"gunicorn.error": {"handlers": [], "propagate": True}},
}
