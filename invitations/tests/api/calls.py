"""Calls as a client of the API makes them, and what every refusal of it looks like."""

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.test import Client

from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tokens import derive_token
from organizations.models import Organization

ROOT = "/api/v1/invitations/"
JSON = "application/json"
PROBLEM_NAMES = {"type", "title", "status", "detail", "code", "request_id"}


def call(
    client: Client,
    method: str,
    path: str = "",
    body: Any = None,
    *,
    at: Organization | None = None,
    query: dict[str, Any] | None = None,
    content_type: str = JSON,
    **headers: str,
) -> Any:
    """Send one request below /api/v1/invitations/, acting in `at` if it is said. A body that is not text becomes JSON."""
    if at:
        headers["X-Organization"] = at.slug
    data = "" if body is None else body if isinstance(body, str | bytes) else json.dumps(body)
    address = f"{ROOT}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
    return client.generic(method, address, data, content_type, headers=headers)


def problem(response: Any, status: int, code: str, *fields: str) -> dict[str, Any]:
    """Demand an RFC 9457 problem with this status, this code, and errors at exactly these fields. Returns it."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert response["Content-Type"] == "application/problem+json"
    assert body["type"] == f"{settings.BASE_URL}/api/v1/docs/#{code}"
    assert body["title"] == HTTPStatus(status).phrase
    assert body["status"] == status
    assert body["detail"].strip()
    assert body["request_id"] == response["X-Request-ID"]
    assert UUID(body["request_id"])
    assert set(body.get("errors", {})) == set(fields)
    assert all(messages and all(messages) for messages in body.get("errors", {}).values())
    assert "no-store" in response["Cache-Control"]
    return body


def ids(response: Any) -> list[str]:
    """Return the ids on a page of the list, in its order."""
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


def assert_no_link(response: Any, invitation: UserInvitation) -> None:
    """Demand that an answer tells nothing that opens, or leads to, the link of an invitation, then or now."""
    now = acts.fresh(invitation)
    text = response.content.decode() + json.dumps(dict(response.headers))
    for row in (invitation, now):
        _key, _colon, nonce = row.token_nonce.partition(":")
        for secret in (derive_token(row.token_nonce), row.token_hash, nonce):
            assert secret not in text
    assert "/i/" not in text
    assert "token" not in text.lower()
