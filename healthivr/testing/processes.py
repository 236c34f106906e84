"""Real Celery processes for tests: a worker, with beat inside it, on the test database."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection


def process_environment(**changes: str) -> dict[str, str]:
    """Return the environment of a process of ours that works on this test's database, mail server and address."""
    database = connection.settings_dict
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://healthivr@/{database['NAME']}?host={quote(database['HOST'])}",
        "EMAIL_URL": f"smtp://{settings.EMAIL_HOST}:{settings.EMAIL_PORT}",
        "BASE_URL": settings.BASE_URL,
        **changes,
    }


@pytest.fixture
def start_worker(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start Celery workers as real processes; those still alive after the test are stopped."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "celery",
            "--app",
            "healthivr.celery",
            "worker",
            "--concurrency",
            "2",
            "--beat",
        ]
        with (tmp_path / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *arguments],
                env=process_environment(**environment),
                cwd=settings.BASE_DIR,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in started:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


@pytest.fixture
def worker_log(tmp_path: Path) -> Callable[[], str]:
    """Read what the workers wrote."""

    def read(**kwargs: Any) -> str:
        path = tmp_path / "worker.log"
        return path.read_text() if path.exists() else ""

    return read
