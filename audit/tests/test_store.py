"""The store: append-only for the application and for the owner, by right and by trigger, parent and partitions alike."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import Error, ProgrammingError, connection, transaction
from django.utils import timezone

from audit import services as audit
from audit.chain import canonical_body
from audit.models import AuditEvent, AuditHead
from healthivr.testing.database import as_owner
from healthivr.testing.world import World
from organizations.tenancy import platform, tenant

YEAR = timezone.now().year


def execute(sql: str, parameters: list[Any] | None = None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters or [])


def query(sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or [])
        return list(cursor.fetchall())


def partitions() -> list[str]:
    rows = query(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_event'::regclass ORDER BY 1"
    )
    return [name for (name,) in rows]


def facts(organization_id: UUID, **changes: Any) -> str:
    return canonical_body(
        {
            "id": str(uuid4()),
            "organization_id": str(organization_id),
            "action": "test.act",
            "outcome": "0",
            "actor_id": None,
            "actor_kind": "anonymous",
            "actor_name": "",
            "role": "",
            "on_behalf_of_id": None,
            "target_type": "",
            "target_id": "",
            "patient_id": None,
            "changes": {},
            "detail": {},
            "reason": "",
            "purpose_of_use": "",
            "address": "",
            "request_id": "",
            **changes,
        }
    )


@pytest.fixture
def recorded(committed_world: World) -> World:
    """A world with two events in the practice's trail."""
    for action in ("first", "second"):
        with tenant(committed_world.practice):
            audit.record(actor=committed_world.actor(committed_world.lee), action=action)
    return committed_world


def actions(world: World) -> list[str]:
    with tenant(world.practice):
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


# --- the application -------------------------------------------------------------------------------------------------
CHANGES = [
    "UPDATE {table} SET action = 'edited'",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "INSERT INTO {table} SELECT * FROM audit_event",
]


@pytest.mark.seed("S0.23", "S3.14")
@pytest.mark.parametrize("statement", CHANGES)
def test_application__changes_the_trail__refused_on_the_parent_and_on_each_partition(
    recorded: World, statement: str
) -> None:
    assert len(partitions()) >= 5
    for table in ["audit_event", *partitions()]:
        for door in (tenant(recorded.practice), platform("test")):
            with pytest.raises(ProgrammingError, match="permission denied"), door:
                execute(statement.format(table=table))
    assert actions(recorded) == ["first", "second"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_head SET sequence = 0",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
        "INSERT INTO audit_head SELECT * FROM audit_head",
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "ALTER TABLE audit_event NO FORCE ROW LEVEL SECURITY",
        "DROP TABLE audit_event",
        "SET session_replication_role = replica",
        "SET ROLE healthivr_owner",
        "SELECT audit_make_partition(2099)",
        "CREATE TEMPORARY TABLE jsonb ()",
    ],
)
def test_application__goes_around_the_trail__refused(recorded: World, statement: str) -> None:
    for door in (tenant(recorded.practice), platform("test")):
        with pytest.raises(Error, match=r"permission denied|must be owner"), door:
            execute(statement)
    assert actions(recorded) == ["first", "second"]


def test_application__reads_a_partition_directly__refused(recorded: World) -> None:
    with platform("test"):
        assert AuditEvent.objects.exists()
    for table in partitions():
        with pytest.raises(ProgrammingError, match="permission denied"), platform("test"):
            query(f"SELECT * FROM {table}")


# --- the owner -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S3.14")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET action = 'edited' WHERE organization_id = %s",
        "UPDATE {table} SET action = action WHERE organization_id = %s",
        "DELETE FROM {table} WHERE organization_id = %s",
    ],
)
def test_owner__changes_an_event__refused_by_the_trigger(recorded: World, statement: str) -> None:
    for table in ("audit_event", f"audit_event_{YEAR}"):
        with as_owner():
            assert query(f"SELECT count(*) FROM {table} WHERE organization_id = %s", [recorded.practice.pk]) == [(2,)]
            with pytest.raises(Error, match="the audit trail is append-only"):
                execute(statement.format(table=table), [recorded.practice.pk])
    assert actions(recorded) == ["first", "second"]


def test_owner__empties_the_trail__refused_by_a_trigger_on_the_parent_on_each_partition_and_on_the_heads(
    recorded: World,
) -> None:
    with as_owner():
        for table in ["audit_event", *partitions(), "audit_head"]:
            with pytest.raises(Error, match="the audit trail is append-only: TRUNCATE"):
                execute(f"TRUNCATE {table}")
        with pytest.raises(Error, match="the audit trail is append-only: DELETE on audit_head"):
            execute("DELETE FROM audit_head WHERE organization_id = %s", [recorded.practice.pk])
    assert actions(recorded) == ["first", "second"]


@pytest.mark.django_db
def test_triggers__on_the_parent_and_on_each_partition__are_there_and_enabled() -> None:
    expected = {"refuse_change", "refuse_truncate"}
    for table in ["audit_event", *partitions()]:
        found = query(
            "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table]
        )
        assert {name for name, _enabled in found} == expected, table
        assert {enabled for _name, enabled in found} == {"O"}, table


# --- the only way in -------------------------------------------------------------------------------------------------
def append(*bodies: str) -> None:
    execute("SELECT audit_append(%s)", [list(bodies)])


@pytest.mark.seed("S0.24")
def test_append__another_organizations_event__refused_without_the_platform_door(world: World) -> None:
    own, foreign = facts(world.practice.pk), facts(world.strange_practice.pk)
    with tenant(world.practice):
        append(own)
        for bodies in ([foreign], [facts(world.practice.pk), foreign], [facts(world.platform.pk)]):
            with pytest.raises(ProgrammingError, match="an event of another organization is refused"):
                append(*bodies)
        assert AuditEvent.objects.count() == 1
    with pytest.raises(ProgrammingError, match="an event of another organization is refused"):
        append(facts(world.practice.pk))  # no door at all
    with platform("test"):
        append(facts(world.practice.pk), foreign)
        assert AuditEvent.objects.filter(organization_id=world.strange_practice.pk).count() == 1


def test_append__sequence_time_and_hash__are_the_databases(world: World) -> None:
    before = timezone.now()
    with tenant(world.practice):
        append(facts(world.practice.pk), facts(world.practice.pk))
        first, second = AuditEvent.objects.order_by("sequence")
        head = AuditHead.objects.get()
    assert (first.sequence, second.sequence, head.sequence) == (1, 2, 2)
    assert before <= first.recorded <= second.recorded <= timezone.now()
    assert (first.previous_hash, second.previous_hash, head.hash) == ("0" * 64, first.hash, second.hash)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "7"},
        {"actor_kind": "robot"},
        {"actor_kind": "person"},
        {"actor_kind": "system"},
        {"actor_id": str(uuid4())},
        {"action": "x" * 61},
        {"action": None},
        {"id": "x"},
    ],
)
def test_append__an_event_that_makes_no_sense__refused(world: World, changes: dict[str, Any]) -> None:
    with tenant(world.practice):
        append(facts(world.practice.pk))
        with pytest.raises(Error):
            append(facts(world.practice.pk, **changes))
        assert AuditHead.objects.get().sequence == 1


@pytest.mark.seed("S3.14")
@pytest.mark.django_db
def test_functions_of_the_owner__every_one__look_for_names_in_our_schemas_before_temporary_ones() -> None:
    rows = query(
        "SELECT oid::regprocedure::text, proconfig::text, pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert {"audit_append(text[])", "audit_make_partition(integer)"} <= {name for name, _config, _owner in rows}
    for name, config, owner in rows:
        assert config == '{"search_path=pg_catalog, public, pg_temp"}', name
        assert owner == "healthivr_owner", name


#: A temporary type of the name of one that `audit_append` uses, whose CHECK rewrites the trail when the owner runs it.
IMPOSTOR = """
CREATE FUNCTION pg_temp.rewrite(pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'healthivr_owner' THEN RAISE EXCEPTION 'ran as the owner'; END IF;
    RETURN true;
END $$;
CREATE DOMAIN pg_temp.jsonb AS pg_catalog.jsonb CHECK (pg_temp.rewrite(VALUE::pg_catalog.text))
"""


@pytest.mark.seed("S3.14")
def test_append__beside_a_temporary_type_of_a_known_name__runs_nothing_of_it(recorded: World) -> None:
    name = connection.settings_dict["NAME"]
    with as_owner():
        execute(f"GRANT TEMPORARY ON DATABASE {name} TO healthivr")
    try:
        with tenant(recorded.practice):
            execute(IMPOSTOR)
            append(facts(recorded.practice.pk, action="third"))
    finally:
        connection.close()
        with as_owner():
            execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM healthivr")
    assert actions(recorded) == ["first", "second", "third"]


# --- partitions and form ---------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.30")
@pytest.mark.django_db
def test_partitions__one_a_year__this_one_and_the_next_among_them() -> None:
    assert {f"audit_event_{YEAR}", f"audit_event_{YEAR + 1}"} <= set(partitions())


@pytest.mark.django_db(transaction=True)
def test_partition__made_for_another_year__has_both_triggers_and_no_rights() -> None:
    with as_owner(), transaction.atomic():
        execute("SELECT audit_make_partition(2099)")
        execute("SELECT audit_make_partition(2099)")  # twice is once
        triggers = query("SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit_event_2099'::regclass")
        assert {name for (name,) in triggers} == {"refuse_change", "refuse_truncate"}
        rights = query("SELECT grantee FROM information_schema.role_table_grants WHERE table_name = 'audit_event_2099'")
        assert {name for (name,) in rights} == {"healthivr_owner"}
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_store__keeps_ids_and_no_foreign_keys() -> None:
    """The trail outlives what it describes (C18)."""
    assert query("SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'audit_event'::regclass") == []
    assert query("SELECT conname FROM pg_constraint WHERE contype = 'f' AND confrelid = 'audit_event'::regclass") == []
    for model in apps.get_app_config("audit").get_models():
        assert not any(field.is_relation for field in model._meta.get_fields())


@pytest.mark.django_db
def test_store__columns_of_the_model__are_those_of_the_table() -> None:
    for model in (AuditEvent, AuditHead):
        columns = query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
            [model._meta.db_table],
        )
        assert [name for (name,) in columns] == [field.column for field in model._meta.fields]
