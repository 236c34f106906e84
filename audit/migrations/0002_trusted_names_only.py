"""Functions that run as the owner of the tables look for names in our schemas first, and the application makes no
temporary objects.

PostgreSQL searches pg_temp before everything else for tables and types unless the path names it. With `jsonb` as a
temporary domain whose CHECK calls a function, the application's role ran code as the owner inside of `audit_append`
(CVE-2007-2138, and the PostgreSQL manual under CREATE FUNCTION, "Writing SECURITY DEFINER Functions Safely").
"""

from django.db import migrations

CLOSE = """
DO $$
DECLARE one regprocedure;
BEGIN
    FOR one IN SELECT oid::regprocedure FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', one);
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0001_store"),
        ("organizations", "0002_rules_of_the_tree"),
        ("accounts", "0003_keep_administrators"),
    ]
    operations = [migrations.RunSQL(CLOSE, reverse_sql=migrations.RunSQL.noop)]
