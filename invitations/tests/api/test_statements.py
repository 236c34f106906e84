"""What creating and accepting cost: at most three domain statements to create, five to accept, two more when founding.
The tenant setting, the token look-up, the audit insert and the session's own are asserted apart. Committed data, for in a
test's transaction every door is an inner one and costs a statement more."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.factories import PASSWORD, InvitationFactory, UserFactory
from healthivr.testing.statements import Statements, kind_of
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tests.api.calls import call
from organizations.roles import OrganizationKind, Role
from organizations.tenancy import platform, tenant

SignIn = Callable[[User], Client]
Collect = Callable[[], AbstractContextManager[Statements]]
NORA = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}
TRANSACTION = ("transaction", "savepoint")


def tables(asked: Statements) -> list[str]:
    """Return the domain statements in short: what is done to which table."""
    found = []
    for sql in asked.domain:
        words = sql.replace('"', "").removeprefix("WITH moved AS (").split()
        if words[0] == "SELECT":
            words = words[len(words) - 1 - words[::-1].index("FROM") :]  # the last: those before stand in columns
            found.append(f"SELECT {words[1]}")
        else:
            found.append(f"{words[0]} {words[2] if words[1] == 'INTO' else words[1]}")
    return found


JOINS = ["UPDATE organizations_organizationsettings", "INSERT user_invitations", "INSERT invitation_deliveries"]
FOUNDS = ["SELECT organizations_organizationsettings", *JOINS[1:]]  # takes no seat of the sender, keeps its policy


@pytest.mark.seed("S4.22")
@pytest.mark.parametrize(
    ("role", "kind", "flags", "invitation_type", "asked_for"),
    [
        ("doctor", "practice", {}, "medical_staff", JOINS),
        ("doctor", "practice", {"is_org_admin": True}, "office_admin", JOINS),
        ("office_admin", "practice", {}, "medical_staff", JOINS),
        ("distributor", "distributor", {}, "sales", JOINS),
        ("ivr_company", "ivr_company", {"is_org_admin": True}, "ivr_company", JOINS),
        ("admin", "platform", {"is_org_admin": True}, "admin", JOINS),
        ("sales", "distributor", {}, "doctor", FOUNDS),
        ("master_distributor", "master_distributor", {}, "distributor", FOUNDS),
        ("chp_admin", "chp", {}, "master_distributor", FOUNDS),
        ("admin", "platform", {}, "chp_admin", FOUNDS),
    ],
)
def test_create__by_each_kind_of_inviter__at_most_three_domain_statements_and_one_of_each_other(
    committed_world: World,
    sign_in: SignIn,
    statements: Collect,
    role: str,
    kind: str,
    flags: dict[str, bool],
    invitation_type: str,
    asked_for: list[str],
) -> None:
    inviter = committed_world.member(Role(role), OrganizationKind(kind), **flags)
    acts.allow_staff_to_invite(inviter.organization)
    assert inviter.user is not None
    client = sign_in(inviter.user)
    body = {"invitation_type": invitation_type, "email": "nora@example.org"}
    with statements() as asked:
        response = call(client, "POST", "", body, at=inviter.organization)
    assert response.status_code == 201
    assert tables(asked) == asked_for
    assert asked.counts("domain", *TRANSACTION) == {
        "session": 1,
        "registry": 1,
        "door": 1,
        "audit": 1,
    }
    assert asked.by_kind["transaction"] == ["BEGIN", "COMMIT"]


@pytest.mark.seed("S4.22")
def test_create__platform_administrator_inside_a_practice__three_domain_statements(
    committed_world: World, sign_in: SignIn, statements: Collect
) -> None:
    client = sign_in(committed_world.ana)
    body = {"invitation_type": "medical_staff", "email": "nora@example.org"}
    with statements() as asked:
        response = call(client, "POST", "", body, at=committed_world.practice)
    assert response.status_code == 201
    assert tables(asked) == JOINS
    assert asked.counts("domain", *TRANSACTION) == {"session": 1, "registry": 1, "door": 1, "audit": 1}


def test_create__refused__no_write_is_left_and_one_door(
    committed_world: World, sign_in: SignIn, statements: Collect
) -> None:
    client = sign_in(committed_world.lee)
    body = {"invitation_type": "medical_staff", "email": "mia@example.org"}
    with statements() as asked:
        response = call(client, "POST", "", body, at=committed_world.practice)
    assert response.status_code == 409
    assert len(asked.domain) == 1
    assert (asked.count("door"), asked.count("audit")) == (1, 0)
    assert asked.by_kind["transaction"] == ["BEGIN", "ROLLBACK"]


@pytest.mark.seed("S4.22")
def test_accept__new_person__five_domain_statements_one_look_up_one_audit_insert(
    committed_world: World, statements: Collect
) -> None:
    token = acts.token_of(committed_world.invitation)
    with statements() as asked:
        response = call(Client(), "POST", f"accept/{token}/", NORA)
    assert response.status_code == 201
    assert tables(asked) == [
        "SELECT organizations_organization",  # is the inviter still entitled
        "UPDATE user_invitations",
        "INSERT accounts_user",
        "INSERT organizations_membership",
        "INSERT invitation_deliveries",
    ]
    # One door for the look-up, before the password is hashed; one for the transaction.
    assert asked.counts("domain", *TRANSACTION) == {"door": 2, "look-up": 1, "audit": 1}


@pytest.mark.seed("S4.22")
def test_accept__founder__two_more(committed_world: World, statements: Collect) -> None:
    sales = committed_world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    doctor = acts.invite(sales, "doctor", "doc@example.org")
    token = acts.token_of(doctor)
    with statements() as asked:
        response = call(Client(), "POST", f"accept/{token}/", {**NORA, "organization_name": "Hill Street"})
    assert response.status_code == 201
    assert tables(asked) == [
        "SELECT organizations_organization",
        "UPDATE user_invitations",
        "INSERT accounts_user",
        "INSERT organizations_organization",
        "INSERT organizations_organizationsettings",
        "INSERT organizations_membership",
        "INSERT invitation_deliveries",
    ]
    assert asked.counts("domain", *TRANSACTION) == {"door": 2, "look-up": 1, "audit": 1}


@pytest.mark.seed("S0.2", "S4.22")
def test_accept__existing_person__five_the_first_time_and_four_later(
    committed_world: World, sign_in: SignIn, statements: Collect
) -> None:
    nora = UserFactory(email="nora@example.org")
    client = sign_in(nora)
    writes = [
        "SELECT organizations_organization",
        "UPDATE user_invitations",
        "UPDATE accounts_user",  # the invitation that they came by, if there is none yet
        "INSERT organizations_membership",
        "INSERT invitation_deliveries",
    ]
    for inviter, expected in ((committed_world.lee, writes), (committed_world.stone, [*writes[:2], *writes[3:]])):
        token = acts.token_of(acts.invite(committed_world.actor(inviter)))
        with statements() as asked:
            response = call(client, "POST", f"accept/{token}/", {})
        assert response.status_code == 201
        assert tables(asked) == expected
        assert asked.counts("domain", *TRANSACTION) == {
            "session": 1,
            "registry": 1,
            "door": 2,
            "look-up": 1,
            "audit": 1,
        }


@pytest.mark.seed("S0.2", "S4.22")
def test_accept__existing_doctor_who_brings_a_practice__not_more_than_a_founder(
    committed_world: World, sign_in: SignIn, statements: Collect
) -> None:
    sales = committed_world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    token = acts.token_of(acts.invite(sales, "doctor", "stone@example.org"))
    client = sign_in(committed_world.stone)
    with statements() as asked:
        body = {"practice_id": str(committed_world.strange_practice.pk)}
        response = call(client, "POST", f"accept/{token}/", body)
    assert response.status_code == 201
    assert tables(asked) == [
        "SELECT organizations_organization",
        "UPDATE user_invitations",
        "UPDATE accounts_user",
        "UPDATE organizations_membership",
        "INSERT invitation_deliveries",
    ]
    # Their membership there, read and held, is the sixth; the practices that they run are read before the transaction.
    assert (asked.count("membership"), asked.count("directory")) == (1, 1)


def test_validate__open_link__one_look_up(committed_world: World, statements: Collect) -> None:
    token = acts.token_of(committed_world.invitation)
    with statements() as asked:
        response = call(Client(), "GET", f"validate/{token}/")
    assert response.status_code == 200
    assert asked.counts(*TRANSACTION) == {"door": 1, "look-up": 1}


@pytest.mark.seed("S0.5", "S4.19")
@pytest.mark.parametrize("rows", [3, 60])
def test_list__whatever_its_length__one_data_query_and_no_count(
    committed_world: World, sign_in: SignIn, statements: Collect, rows: int
) -> None:
    with platform("test"):
        InvitationFactory.create_batch(rows, organization=committed_world.practice, invited_by=committed_world.lee)
    client = sign_in(committed_world.lee)
    with statements() as asked:
        response = call(client, "GET", at=committed_world.practice)
    assert response.status_code == 200
    (query,) = asked.domain
    assert "COUNT(" not in query.upper()
    assert asked.counts("domain", *TRANSACTION) == {
        "session": 1,
        "registry": 1,
        "door": 1,
    }
    cursor = response.json()["older"]
    if cursor:
        with statements() as asked:
            assert call(client, "GET", at=committed_world.practice, query={"cursor": cursor}).status_code == 200
        assert len(asked.domain) == 1


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("BEGIN", "transaction"),
        ('SAVEPOINT "s1"', "savepoint"),
        ('ROLLBACK TO SAVEPOINT "s1"', "savepoint"),
        ("ROLLBACK", "transaction"),
        ("SELECT audit_append('{}')", "audit"),
        ('UPDATE "django_session" SET x = 1', "session"),
        ('SELECT "accounts_user"."id" FROM "accounts_user" WHERE "accounts_user"."id" = 1', "person"),
        ('SELECT "accounts_user"."id" FROM "accounts_user" WHERE "accounts_user"."email" = 1', "domain"),
        ('INSERT INTO "organizations_membership" VALUES (1)', "domain"),
        ('SELECT 1 AS "a" FROM "organizations_membership" WHERE "user_id" = 1 LIMIT 1', "domain"),
        ('SELECT COUNT(*) FROM "organizations_organization" WHERE true', "domain"),
        ("SELECT 1", "domain"),
    ],
)
def test_kind_of__examples__sorted(sql: str, kind: str) -> None:
    assert kind_of(sql) == kind


def test_kind_of__doors_and_look_up__as_the_product_writes_them(world: World, statements: Collect) -> None:
    with statements() as asked, platform("test"), tenant(world.practice):
        list(UserInvitation.objects.filter(token_hash__in=["a", "b"]))
    assert asked.counts(*TRANSACTION) == {"door": 4, "look-up": 1}
