"""The test harness: the database is real, the application's role is the application's, and the world is sealed."""

import os

# Before the settings are read: each pytest process has a corner of Redis of its own, broker included.
os.environ["CACHE_PREFIX"] = f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"

pytest_plugins = [
    "healthivr.testing.database",
    "healthivr.testing.identity_provider",
    "healthivr.testing.limits",
    "healthivr.testing.world",
    "healthivr.testing.mail",
    "healthivr.testing.sessions",
    "healthivr.testing.processes",
    "healthivr.testing.statements",
]
