"""What it costs a request to know who asks and what they may: two statements at most beside the tenant setting, the same
number for any number of memberships."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access_tokens import make_access_token
from accounts.keys import create_key
from accounts.models import User, UserSession
from healthivr.testing.factories import MembershipFactory, OrganizationFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from organizations.roles import Role
from organizations.tenancy import platform

SignIn = Callable[[User], Client]
Collect = Callable[[], AbstractContextManager[Statements]]
TRANSACTION = ("transaction", "savepoint")
#: What says who asks, and what they may do where they are.
CHECKS = ("session", "registry", "standing", "directory", "membership", "person")
PLACE = {"X-Organization": "lee-family-practice"}


def join(user: User, count: int) -> None:
    """Make somebody a member of further organizations."""
    with platform("test"):
        for _number in range(count):
            MembershipFactory(user=user, organization=OrganizationFactory(), role=Role.MEDICAL_STAFF)


def checks(asked: Statements) -> dict[str, int]:
    return {kind: count for kind, count in asked.counts().items() if kind in CHECKS}


def asking(user: User, by: str, sign_in: SignIn) -> Callable[[str], Any]:
    """Return how somebody sends requests: by the cookie of a browser, an access token, or a key."""
    if by == "cookie":
        client = sign_in(user)
        return lambda path: client.get(path, headers=PLACE)
    session = session_of(user, kind="token")
    secret = make_access_token(session, at=timezone.now())
    if by == "key":
        origin = {"ip": "192.0.2.1", "request_id": "test"}
        named = {"name": "Night run", "organization": "lee-family-practice", "scopes": ["invitations:read"], "days": 1}
        _key, secret = create_key(user=user, session=session, at=timezone.now(), **named, **origin)  # type: ignore[arg-type]
    return lambda path: Client().get(path, headers={"Authorization": f"Bearer {secret}", **PLACE})


@pytest.mark.parametrize("memberships", [0, 12])
@pytest.mark.parametrize(
    ("by", "expected"),
    [("token", {"registry": 1}), ("key", {"registry": 1}), ("cookie", {"session": 1, "registry": 1})],
)
def test_api__detail__who_asks_and_what_they_may__whatever_the_memberships(
    committed_world: World, sign_in: SignIn, statements: Collect, by: str, expected: dict[str, int], memberships: int
) -> None:
    join(committed_world.lee, memberships)
    send, path = asking(committed_world.lee, by, sign_in), f"/api/v1/invitations/{committed_world.invitation.pk}/"
    assert send(path).status_code == 200  # writes when it was used
    with statements() as asked:
        assert send(path).status_code == 200
    assert asked.counts(*TRANSACTION) == {**expected, "door": 1, "domain": 1}
    assert asked.by_kind["transaction"] == ["BEGIN", "COMMIT"]


def test_api__only_organization_and_no_header__one_statement_all_the_same(
    committed_world: World, statements: Collect
) -> None:
    token = make_access_token(session_of(committed_world.lee, kind="token"), at=timezone.now())
    headers = {"Authorization": f"Bearer {token}"}
    with statements() as asked:
        assert Client().get("/api/v1/invitations/", headers=headers).status_code == 200
    assert checks(asked) == {"registry": 1}
    assert asked.count("door") == 1


@pytest.mark.parametrize("memberships", [0, 12])
@pytest.mark.parametrize("who", ["lee", "ana"])
def test_page__of_an_organization__two_statements_whatever_the_memberships(
    committed_world: World, sign_in: SignIn, statements: Collect, who: str, memberships: int
) -> None:
    user = getattr(committed_world, who)
    join(user, memberships)
    client, path = sign_in(user), "/o/lee-family-practice/invitations/"
    assert client.get(path).status_code == 200
    with statements() as asked:
        assert client.get(path).status_code == 200
    # Beside them one that checks nothing: the names in the rail's switcher.
    assert checks(asked) == {"session": 1, "registry": 1, "membership": 1}
    assert 'ORDER BY "organizations_organization"."name"' in asked.by_kind["membership"][0]


def test_last_seen__twenty_seconds_later__written_once_and_not_before(
    committed_world: World, sign_in: SignIn, statements: Collect
) -> None:
    client = sign_in(committed_world.lee)

    def writes() -> list[str]:
        with statements() as asked:
            assert client.get("/o/lee-family-practice/people/").status_code == 200
        found = [sql for sqls in asked.by_kind.values() for sql in sqls]
        return [sql for sql in found if sql.startswith(("UPDATE", "INSERT", "DELETE"))]

    assert writes() == []
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(seconds=19))
    assert writes() == []
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(seconds=21))
    (written,) = writes()
    assert written.startswith('UPDATE "accounts_usersession" SET "last_seen_at"')
    assert writes() == []
