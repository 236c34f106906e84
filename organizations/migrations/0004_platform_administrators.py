"""Whether somebody is an administrator of the platform can be asked inside any organization's door, beside their own
memberships: with one statement, although the membership that says so stands in the platform's rows."""

from django.db import migrations

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID

ASK = f"""
CREATE FUNCTION is_platform_administrator(person uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.organizations_membership m JOIN public.accounts_user u ON u.id = m.user_id
        WHERE m.user_id = person AND m.organization_id = '{PLATFORM_ORGANIZATION_ID}' AND m.role = 'admin'
            AND m.status = 'active' AND u.is_active)
$$;
REVOKE ALL ON FUNCTION is_platform_administrator(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_platform_administrator(uuid) TO healthivr, healthivr_platform;
"""


class Migration(migrations.Migration):
    dependencies = [("organizations", "0003_who_can_administer"), ("accounts", "0003_keep_administrators")]
    operations = [migrations.RunSQL(ASK, reverse_sql="DROP FUNCTION is_platform_administrator(uuid)")]
