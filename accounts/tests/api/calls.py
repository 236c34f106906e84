"""Calls as a program makes them that signs in by API."""

from typing import Any

from django.test import Client

from accounts.models import User
from healthivr.testing.factories import PASSWORD

AUTH = "/api/v1/auth/"
INVITATIONS = "/api/v1/invitations/"
JSON = "application/json"


def post(path: str, body: dict[str, Any], **headers: str) -> Any:
    """Send JSON below /api/v1/auth/ from a client without cookies."""
    return Client(enforce_csrf_checks=True).post(AUTH + path, body, content_type=JSON, headers=headers)


def sign_in(user: User | str, password: str = PASSWORD, **more: str) -> Any:
    """Ask for tokens."""
    return post("token/", {"email": user if isinstance(user, str) else user.email, "password": password, **more})


def tokens_of(user: User) -> dict[str, Any]:
    """Sign in, which must work, and return what came."""
    response = sign_in(user)
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def refresh(token: str) -> Any:
    """Ask for the next pair."""
    return post("token/refresh/", {"refresh": token})


def ask(token: str, path: str = INVITATIONS, *, client: Client | None = None, **headers: str) -> Any:
    """Ask something with a bearer token, by default the list of invitations."""
    return (client or Client()).get(path, headers={"Authorization": f"Bearer {token}", **headers})
