"""The store's final format. See docs/adr/0004-audit.md."""

from django.db import migrations, models

FIRST_YEAR, YEARS_AHEAD = 2026, 5

TABLES = """
CREATE TABLE audit_event (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    recorded timestamptz NOT NULL,
    action varchar(60) NOT NULL,
    outcome varchar(2) NOT NULL CHECK (outcome IN ('0', '4', '8', '12')),
    actor_id uuid,
    actor_kind varchar(10) NOT NULL CHECK (actor_kind IN ('person', 'system', 'anonymous')),
    actor_name varchar(60) NOT NULL,
    role varchar(30) NOT NULL,
    on_behalf_of_id uuid,
    target_type varchar(60) NOT NULL,
    target_id varchar(60) NOT NULL,
    patient_id uuid,
    changes jsonb NOT NULL,
    detail jsonb NOT NULL,
    reason text NOT NULL,
    purpose_of_use varchar(20) NOT NULL,
    address varchar(45) NOT NULL,
    request_id varchar(36) NOT NULL,
    previous_hash char(64) NOT NULL,
    hash char(64) NOT NULL,
    PRIMARY KEY (organization_id, sequence, recorded),
    CHECK ((actor_kind = 'person') = (actor_id IS NOT NULL)),
    CHECK ((actor_kind = 'system') = (actor_name <> ''))
) PARTITION BY RANGE (recorded);

-- The history of one record, newest first.
CREATE INDEX audit_event_of_target ON audit_event (organization_id, target_type, target_id, sequence);

CREATE TABLE audit_head (
    organization_id uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    hash char(64) NOT NULL
);
"""

FUNCTIONS = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END $$;

-- A yearly partition. The parent's row trigger is copied to it; a statement trigger is not, and without its own one a
-- partition could be truncated.
CREATE FUNCTION audit_make_partition(year int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE part text := 'audit_event_' || year;
BEGIN
    IF to_regclass('public.' || part) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.audit_event FOR VALUES FROM (%L) TO (%L)',
        part, make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC'));
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I FOR EACH STATEMENT
        EXECUTE FUNCTION public.audit_refuse()', part);
    -- Reached through the parent only: row security without a policy shows nothing to anybody else.
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, healthivr, healthivr_platform', part);
END $$;

-- The only way in. Takes canonical bodies (audit/chain.py); the database gives sequence, time and hash. Locks one head an
-- organization, in the order of their ids.
CREATE FUNCTION audit_append(bodies text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    mine uuid := nullif(current_setting('healthivr.organization', true), '')::uuid;
    is_platform boolean := current_setting('role') = 'healthivr_platform';
    chain uuid; head public.audit_head; body text; facts jsonb; at timestamptz; link text;
BEGIN
    FOR chain IN SELECT DISTINCT (b::jsonb ->> 'organization_id')::uuid FROM unnest(bodies) b ORDER BY 1 LOOP
        IF NOT is_platform AND chain IS DISTINCT FROM mine THEN
            RAISE EXCEPTION 'an event of another organization is refused' USING ERRCODE = '42501';
        END IF;
        INSERT INTO public.audit_head VALUES (chain, 0, repeat('0', 64)) ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM public.audit_head WHERE organization_id = chain FOR UPDATE;
        FOR body IN SELECT b FROM unnest(bodies) WITH ORDINALITY u(b, n)
                    WHERE (b::jsonb ->> 'organization_id')::uuid = chain ORDER BY n LOOP
            facts := body::jsonb;
            at := clock_timestamp();
            head.sequence := head.sequence + 1;
            link := encode(sha256(convert_to(head.hash || E'\\n' || head.sequence || E'\\n'
                || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\\n' || body, 'UTF8')), 'hex');
            INSERT INTO public.audit_event VALUES (
                (facts ->> 'id')::uuid, chain, head.sequence, at, facts ->> 'action', facts ->> 'outcome',
                (facts ->> 'actor_id')::uuid, facts ->> 'actor_kind', facts ->> 'actor_name', facts ->> 'role',
                (facts ->> 'on_behalf_of_id')::uuid, facts ->> 'target_type', facts ->> 'target_id',
                (facts ->> 'patient_id')::uuid, facts -> 'changes', facts -> 'detail', facts ->> 'reason',
                facts ->> 'purpose_of_use', facts ->> 'address', facts ->> 'request_id', head.hash, link);
            head.hash := link;
        END LOOP;
        UPDATE public.audit_head SET sequence = head.sequence, hash = head.hash WHERE organization_id = chain;
    END LOOP;
END $$;
"""

RIGHTS = """
REVOKE ALL ON audit_event, audit_head FROM PUBLIC, healthivr, healthivr_platform;
GRANT SELECT ON audit_event, audit_head TO healthivr, healthivr_platform;
REVOKE ALL ON FUNCTION audit_append(text[]), audit_make_partition(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append(text[]) TO healthivr, healthivr_platform;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER refuse_delete BEFORE DELETE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_head FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""

ROW_SECURITY = "".join(
    f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (organization_id = coalesce(
    nullif(current_setting('healthivr.organization', true), ''), 'no tenant: use tenant() or platform()')::uuid);
CREATE POLICY platform ON {table} TO healthivr_platform USING (true);
"""
    for table in ("audit_event", "audit_head")
)

PARTITIONS = "".join(f"SELECT audit_make_partition({year});\n" for year in range(FIRST_YEAR, FIRST_YEAR + YEARS_AHEAD))

UNDO = """
DROP TABLE audit_event, audit_head;
DROP FUNCTION audit_append(text[]), audit_make_partition(int), audit_refuse();
"""


class Migration(migrations.Migration):
    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(TABLES + FUNCTIONS + RIGHTS + ROW_SECURITY + PARTITIONS, reverse_sql=UNDO)
            ],
            state_operations=[
                migrations.CreateModel(
                    name="AuditEvent",
                    fields=[
                        ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                        ("organization_id", models.UUIDField()),
                        ("sequence", models.BigIntegerField()),
                        ("recorded", models.DateTimeField()),
                        ("action", models.CharField(max_length=60)),
                        (
                            "outcome",
                            models.CharField(
                                choices=[("0", "success"), ("4", "refused"), ("8", "error")], max_length=2
                            ),
                        ),
                        ("actor_id", models.UUIDField(null=True)),
                        ("actor_kind", models.CharField(max_length=10)),
                        ("actor_name", models.CharField(max_length=60)),
                        ("role", models.CharField(max_length=30)),
                        ("on_behalf_of_id", models.UUIDField(null=True)),
                        ("target_type", models.CharField(max_length=60)),
                        ("target_id", models.CharField(max_length=60)),
                        ("patient_id", models.UUIDField(null=True)),
                        ("changes", models.JSONField()),
                        ("detail", models.JSONField()),
                        ("reason", models.TextField()),
                        ("purpose_of_use", models.CharField(max_length=20)),
                        ("address", models.CharField(max_length=45)),
                        ("request_id", models.CharField(max_length=36)),
                        ("previous_hash", models.CharField(max_length=64)),
                        ("hash", models.CharField(max_length=64)),
                    ],
                    options={"db_table": "audit_event", "ordering": ["organization_id", "sequence"]},
                ),
                migrations.CreateModel(
                    name="AuditHead",
                    fields=[
                        ("organization_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("sequence", models.BigIntegerField()),
                        ("hash", models.CharField(max_length=64)),
                    ],
                    options={"db_table": "audit_head"},
                ),
            ],
        )
    ]
