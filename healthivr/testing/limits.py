"""Limits in tests: wide enough to call often, or in a window that does not end."""

import time
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def roomy_limits(settings: Any) -> None:
    """Let a test call more often than a person would."""
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "100000/m")


@pytest.fixture
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no window of a limit end while the test counts calls in it."""
    moment = time.time()
    monkeypatch.setattr("django_ratelimit.core.time", SimpleNamespace(time=lambda: moment))
