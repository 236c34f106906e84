"""What somebody's organizations ask of their sessions, in one call that every request may make, however many there are:
the shortest of their idle times, and whether one of them or one of the person's roles wants a second factor."""

from django.db import migrations

ASK = """
CREATE FUNCTION sign_in_terms(person uuid, factor_roles text[]) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'idle_minutes', coalesce(min(s.idle_minutes), 15),
        'requires_second_factor', coalesce(bool_or(s.requires_second_factor OR m.role = ANY(factor_roles)), false))
    FROM public.organizations_membership m
    JOIN public.organizations_organizationsettings s ON s.organization_id = m.organization_id
    JOIN public.organizations_organization o ON o.id = m.organization_id
    WHERE m.user_id = person AND m.status = 'active' AND (o.state = 'active' OR m.role = 'admin')
$$;
REVOKE ALL ON FUNCTION sign_in_terms(uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sign_in_terms(uuid, text[]) TO healthivr, healthivr_platform;
"""


class Migration(migrations.Migration):
    dependencies = [("organizations", "0006_policies")]
    operations = [migrations.RunSQL(ASK, reverse_sql="DROP FUNCTION sign_in_terms(uuid, text[])")]
