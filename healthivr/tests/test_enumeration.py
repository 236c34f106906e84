"""Nobody learns from our answers whether an address has an account: not from text, code, header, or what is done."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.hashers import Argon2idHasher
from accounts.models import User
from healthivr.testing.world import World

#: Known, invited, switched off, and nobody's.
ADDRESSES = ("mia@example.org", "new.nurse@example.org", "omar@example.org", "nobody@example.org")


def heard(response: Any, address: str) -> tuple[int, dict[str, str], str]:
    """What a stranger learns, without what differs between any two requests and what they typed themselves."""
    body = response.text.replace(address, "ADDRESS")
    body = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", body)
    body = re.sub(r"(csrfmiddlewaretoken\" value|nonce)=\"[^\"]+\"", "", body)
    if response.status_code == 429:  # when a window ends depends on its key, of an account or of none
        body = re.sub(r"\s+", " ", re.sub(r"\d+(\s+(seconds?|minutes?))?", "N", body))
    headers = {
        name: re.sub(r"nonce-[^']+", "", value)
        for name, value in response.headers.items()
        if name not in ("X-Request-ID", "Content-Length")
    }
    headers["Content-Security-Policy"] = "; ".join(sorted(headers["Content-Security-Policy"].split("; ")))
    for moving in ("Retry-After", "RateLimit-Reset"):
        if moving in headers:
            headers[moving] = "soon"
    return response.status_code, headers, body


def at_sign_in(client: Client, address: str) -> Any:
    return client.post("/sign-in/", {"email": address, "password": "wrong wrong wrong"})


def at_reset(client: Client, address: str) -> Any:
    return client.post("/password-reset/", {"email": address}, follow=True)


def at_tokens(client: Client, address: str) -> Any:
    sent = {"email": address, "password": "wrong wrong wrong"}
    return client.post("/api/v1/auth/token/", sent, content_type="application/json")


@pytest.mark.seed("S0.20", "S3.3")
@pytest.mark.parametrize("door", [at_sign_in, at_reset, at_tokens])
def test_door__asked_seven_times_by_a_stranger__answers_alike_for_every_address(
    door: Any, world: World, settings: Any, standing_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIMITS = {**settings.LIMITS, "sign_in_address": "1000/m", "password_reset_address": "1000/m"}
    settings.LIMITS |= {"anonymous_pages": "1000/m"}
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    hashes: list[str] = []
    for name in ("encode", "verify"):
        original = getattr(Argon2idHasher, name)
        monkeypatch.setattr(
            Argon2idHasher,
            name,
            lambda self, *given, _original=original, **named: hashes.append("one") or _original(self, *given, **named),
        )
    stories = []
    for number, address in enumerate(ADDRESSES):
        story = []
        for _time in range(7):
            hashes.clear()
            with CaptureQueriesContext(connection) as captured:
                answer = heard(door(Client(REMOTE_ADDR=f"192.0.2.{number}"), address), address)
            story.append((answer, len(hashes), [query["sql"].split()[0] for query in captured]))
        stories.append(story)
    for told in stories[1:]:
        for attempt, (here, there) in enumerate(zip(told, stories[0], strict=True), start=1):
            assert (attempt, *here[0]) == (attempt, *there[0])
            assert (attempt, *here[1:]) == (attempt, *there[1:])
