"""What PostgreSQL itself holds to: the shape of user_invitations, its constraints, and the index of each query."""

from datetime import timedelta

import pytest
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from healthivr.testing.database import as_owner
from healthivr.testing.world import World
from invitations.entitlement import SENT_BY_WHOM
from invitations.models import Delivery, InvitationHistory, InvitationQuerySet, UserInvitation
from invitations.selectors import Filters, filtered
from organizations.tenancy import platform, tenant

from . import acts

ROWS = 100_000
COLUMNS = [
    "id",
    "organization_id",
    "invitation_type",
    "status",
    "email",
    "phone",
    "first_name",
    "last_name",
    "message",
    "language",
    "token_hash",
    "token_nonce",
    "expires_at",
    "invited_by_id",
    "upline_id",
    "delivery_channel",
    "delivery_status",
    "sent_at",
    "send_count",
    "accepted_at",
    "accepted_by_id",
    "closed_at",
    "closed_by_id",
    "batch_id",
    "patient_id",
    "created_at",
    "updated_at",
]


def rows(sql: str, *parameters: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@pytest.mark.seed("S0.1")
def test_columns__are_the_27_of_the_specification(db: None) -> None:
    found = rows("SELECT attname FROM pg_attribute WHERE attrelid = 'user_invitations'::regclass AND attnum > 0")
    assert len(COLUMNS) == 27
    assert sorted(str(name) for (name,) in found) == sorted(COLUMNS)


@pytest.mark.seed("S0.1")
def test_constraints__are_23__a_key_a_token_7_references_and_14_checks(db: None) -> None:
    found = rows(
        "SELECT contype::text, count(*) FROM pg_constraint WHERE conrelid = 'user_invitations'::regclass"
        " AND contype IN ('p', 'u', 'f', 'c') GROUP BY 1"
    )
    assert dict(found) == {"p": 1, "u": 1, "f": 7, "c": 14}
    assert (
        rows("SELECT conname FROM pg_constraint WHERE conrelid = 'user_invitations'::regclass AND NOT convalidated")
        == []
    )


@pytest.mark.seed("S0.1", "S4.13")
def test_references__cascade_from_organization_and_patient_and_from_nothing_else(db: None) -> None:
    found = rows(
        "SELECT confrelid::regclass::text, confdeltype::text, count(*) FROM pg_constraint"
        " WHERE conrelid = 'user_invitations'::regclass AND contype = 'f' GROUP BY 1, 2 ORDER BY 1"
    )
    assert found == [
        ("accounts_user", "a", 4),
        ("invitation_batches", "a", 1),
        ("organizations_organization", "c", 1),
        ("patients_patient", "c", 1),
    ]
    tenant_references = rows(
        "SELECT confrelid::regclass::text, array_length(conkey, 1) FROM pg_constraint WHERE contype = 'f'"
        " AND conrelid IN ('user_invitations'::regclass, 'invitation_history'::regclass,"
        " 'invitation_deliveries'::regclass) AND confrelid IN ('user_invitations'::regclass,"
        " 'patients_patient'::regclass, 'invitation_batches'::regclass) ORDER BY 1"
    )
    # composite: the row on the other side belongs to the same organization
    assert [columns for _table, columns in tenant_references] == [2, 2, 2, 2]


@pytest.mark.seed("S0.24")
@pytest.mark.parametrize(
    "table", ["user_invitations", "invitation_history", "invitation_deliveries", "invitation_batches"]
)
def test_row_security__forced_with_its_two_policies(db: None, table: str) -> None:
    assert rows("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", table) == [
        (True, True)
    ]
    assert rows("SELECT polname FROM pg_policy WHERE polrelid = %s::regclass ORDER BY 1", table) == [
        ("platform",),
        ("tenant",),
    ]


# --- with a hundred thousand rows ------------------------------------------------------------------------------------
def fill(world: World) -> None:
    """Insert many invitations as the owner, in one statement: two thirds the practice's, one in ten open."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_invitations (id, organization_id, invitation_type, status, email, first_name, last_name,"
            " message, language, token_hash, token_nonce, expires_at, invited_by_id, upline_id, delivery_channel,"
            " delivery_status, send_count, closed_at, created_at, updated_at)"
            " SELECT gen_random_uuid(), CASE n %% 3 WHEN 0 THEN %s::uuid ELSE %s::uuid END, 'medical_staff',"
            " CASE n %% 10 WHEN 0 THEN 'pending' ELSE 'cancelled' END, 'row' || n || '@example.org', 'A', 'B', '',"
            " 'en', encode(sha256(n::text::bytea), 'hex'), 'k1:' || n, now() + n * interval '1 second', %s, %s,"
            " 'email', 'queued', 0, CASE n %% 10 WHEN 0 THEN NULL ELSE now() END,"
            " now() - n * interval '1 minute', now() FROM generate_series(1, %s) n",
            [world.strange_practice.pk, world.practice.pk, world.lee.pk, world.lee.pk, ROWS],
        )
        cursor.execute("ANALYZE user_invitations")


def plan(queryset: object) -> str:
    return str(queryset.explain())  # type: ignore[attr-defined]


@pytest.mark.seed("S0.1", "S4.2", "S4.22")
def test_indexes__at_100000_rows__each_is_used_by_the_query_that_it_is_named_after(committed_world: World) -> None:
    fill(committed_world)
    _invitations_use_their_indexes(committed_world)
    _history_and_deliveries_use_theirs()
    with as_owner():
        ((size,),) = rows("SELECT pg_table_size('user_invitations') / %s", ROWS)
    assert int(str(size)) < 1024  # S4.22: about a kilobyte a row


def _invitations_use_their_indexes(world: World) -> None:
    at = timezone.now()
    with platform("test"):
        some = UserInvitation.objects.filter(organization=world.practice)[5:6].get()
        plans = {
            "user_invitations_pkey": plan(UserInvitation.objects.filter(pk=some.pk)),
            "invitation_token_once": plan(UserInvitation.objects.filter(token_hash__in=[some.token_hash])),
            "invitation_due": plan(UserInvitation.objects.overdue(at=at).order_by("organization_id", "pk")[:200]),
        }
    with tenant(world.practice):
        mine = UserInvitation.objects.filter(organization=world.practice)
        plans["invitation_one_open_an_address"] = plan(mine.filter(email="row7@example.org", status="pending"))

        def first_page_of(rows: InvitationQuerySet, filters: Filters) -> object:
            return filtered(rows, filters, at=at).order_by("-created_at", "-pk")[:51]

        plans["invitation_list"] = plan(first_page_of(mine, Filters()))
        deep = filtered(mine, Filters(), at=at).filter(created_at__lte=some.created_at)
        assert "invitation_list" in plan(deep.order_by("-created_at", "-pk")[:51])
        plans["invitation_own_list"] = plan(first_page_of(mine.filter(invited_by=world.omar), Filters()))
        month = at - timedelta(days=30)
        plans["invitation_open"] = plan(first_page_of(mine, Filters(status="failed")))
        plans["invitation_sent"] = plan(mine.filter(sent_at__gte=month))
        plans["invitation_accepted"] = plan(mine.filter(accepted_at__gte=month))
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {SENT_BY_WHOM}", [world.practice.pk, world.practice.pk])
            plans["invitation_open_inviter"] = "\n".join(line for (line,) in cursor.fetchall())
        # The beginning of an address among those that are open, as the API asks for it.
        beginning = plan(first_page_of(mine, Filters(status="failed", email="nobody")))
        assert "invitation_one_open_an_address" in beginning, beginning
        assert "(email)::text >= 'nobody'" in beginning, beginning
    for index, text in plans.items():
        assert index in text, text
        assert "Seq Scan" not in text
    # The composite index serves the references of history and deliveries: it is what they point at.
    referring = {
        str(name)
        for (name,) in rows(
            "SELECT DISTINCT conindid::regclass::text FROM pg_constraint WHERE confrelid = 'user_invitations'::regclass"
        )
    }
    existing = {str(name) for (name,) in rows("SELECT indexname FROM pg_indexes WHERE tablename = 'user_invitations'")}
    assert existing == plans.keys() | {"invitation_in_organization"}
    assert "invitation_in_organization" in referring


def _history_and_deliveries_use_theirs() -> None:
    at = timezone.now()
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO invitation_history (id, organization_id, invitation_id, event, at, reason, token_hash)"
            " SELECT gen_random_uuid(), organization_id, id, 'cancel', closed_at, '',"
            " CASE WHEN ascii(token_hash) %% 2 = 0 THEN token_hash END FROM user_invitations"
            " WHERE status = 'cancelled' LIMIT 20000".replace("%%", "%")
        )
        cursor.execute(
            "INSERT INTO invitation_deliveries (id, organization_id, invitation_id, purpose, channel, status, attempt,"
            " next_try_at, reason, created_at) SELECT gen_random_uuid(), organization_id, id, 'invitation', 'email',"
            " CASE WHEN ascii(token_hash) = 48 THEN 'queued' ELSE 'sent' END, 1, now(), '', now()"
            " FROM user_invitations LIMIT 20000"
        )
        cursor.execute("ANALYZE invitation_history, invitation_deliveries")
    with platform("test"):
        entry = InvitationHistory.objects.filter(token_hash__isnull=False)[0]
        by_token = InvitationHistory.objects.filter(token_hash__in=[entry.token_hash]).values("invitation")
        assert "history_dead_link" in plan(by_token)
        assert "history_of_invitation" in plan(
            InvitationHistory.objects.filter(invitation_id=entry.invitation_id).order_by("at")
        )
        assert "delivery_of_invitation" in plan(Delivery.objects.filter(invitation_id=entry.invitation_id))
        due = Delivery.objects.filter(status__in=["queued", "sending"], next_try_at__lte=at).order_by("next_try_at")
        assert "delivery_due" in plan(due[:100])


@pytest.mark.seed("S0.1", "S4.13")
def test_purge__invitations_deleted_by_sql__who_accepted_one_stays_and_forgets_it(committed_world: World) -> None:
    world = committed_world
    nora = acts.accept(acts.invite(world.actor(world.lee))).user
    assert nora.invitation_id is not None
    with as_owner(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("DELETE FROM user_invitations WHERE organization_id = %s", [world.practice.pk])
    with platform("test"):
        assert not UserInvitation.objects.filter(organization=world.practice).exists()
        assert not InvitationHistory.objects.filter(organization=world.practice).exists()
    nora.refresh_from_db()
    assert (nora.invitation_id, nora.is_active) == (None, True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invitation_history SET reason = 'not so'",
        "DELETE FROM invitation_history",
        "TRUNCATE invitation_history",
    ],
)
@pytest.mark.parametrize("everywhere", [True, False])
def test_history__changed_by_the_application__refused(world: World, statement: str, everywhere: bool) -> None:
    acts.decline(acts.invite(world.actor(world.lee)))
    before = acts.contents()["invitation_history"]
    door = platform("test") if everywhere else tenant(world.practice)
    with pytest.raises(ProgrammingError, match="permission denied"), door, connection.cursor() as cursor:
        cursor.execute(statement)
    assert acts.contents()["invitation_history"] == before


@pytest.mark.seed("S0.1", "S4.13")
def test_purge__organization_deleted_by_sql__no_invitation_no_history_no_delivery_left(committed_world: World) -> None:
    world = committed_world
    acts.decline(acts.invite(world.actor(world.lee)))
    acts.accept(acts.invite(world.actor(world.lee), email="member@example.org"))
    events = len(acts.trail(world.practice))
    mine = [world.practice.pk]
    tables = ("user_invitations", "invitation_history", "invitation_deliveries")
    before = (
        "organizations_membership",
        "organizations_organizationsettings",
        "organizations_businessassociateagreement",
        "organizations_agreementdocument",
    )
    with as_owner(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE organization_id = %s", mine)
            assert cursor.fetchone()[0] >= 2
        with transaction.atomic():
            cursor.execute("DELETE FROM organizations_organizationclosure WHERE descendant_id = %s", mine)
            for table in before:
                cursor.execute(f"DELETE FROM {table} WHERE organization_id = %s", mine)
            cursor.execute("DELETE FROM organizations_organization WHERE id = %s", mine)
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE organization_id = %s", mine)
            assert cursor.fetchone() == (0,), table
        cursor.execute("SELECT organization_id FROM user_invitations")
        assert cursor.fetchall() == [(world.strange_practice.pk,)]
    assert len(acts.trail(world.practice)) == events > 0  # the trail outlives what it describes
