"""Deactivating a person cannot leave an organization without an administrator: held at commit by the database."""

from django.db import migrations

TRIGGER = """
CREATE FUNCTION user_keep_administrator() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE organization uuid;
BEGIN
    FOR organization IN SELECT organization_id FROM public.organizations_membership
        WHERE user_id = NEW.id AND status = 'active' AND is_org_admin ORDER BY organization_id
    LOOP PERFORM public.organization_require_administrator(organization); END LOOP;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER keep_administrator AFTER UPDATE ON accounts_user
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active)
    EXECUTE FUNCTION user_keep_administrator();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_initial"), ("organizations", "0002_rules_of_the_tree")]
    operations = [
        migrations.RunSQL(
            TRIGGER,
            reverse_sql="DROP TRIGGER keep_administrator ON accounts_user; DROP FUNCTION user_keep_administrator()",
        )
    ]
