"""Benchmarks (bench/README.md). Each measures both sides of a ratio in one run, in a scratch database of its own.

This runs before any module of a benchmark, because Django's settings are read once: the environment names the scratch
database, and a prefix in Redis under which no other worker listens.
"""

import os
import sys
from urllib.parse import urlsplit

import django

if "DATABASE_OWNER_URL" not in os.environ:
    sys.exit("Run the benchmarks with `make bench`: they need PostgreSQL and Redis.")
SCRATCH = f"healthivr_bench_{os.getpid()}"
for _name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
    os.environ[_name] = urlsplit(os.environ[_name])._replace(path=f"/{SCRATCH}").geturl()
os.environ["CACHE_PREFIX"] = SCRATCH
os.environ["DJANGO_SETTINGS_MODULE"] = "healthivr.settings"
os.environ["LOG_LEVEL"] = "WARNING"  # of this process; those that it measures log as they do by default
django.setup()
