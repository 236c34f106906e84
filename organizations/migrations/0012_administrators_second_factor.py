"""Whoever runs an organization gives roles, which asks for a fresh second factor: so they sign in with one, whatever
their role is."""

from django.db import migrations

ASK = """
CREATE OR REPLACE FUNCTION sign_in_terms(person uuid, factor_roles text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'idle_minutes', coalesce(min(s.idle_minutes), 15),
        'requires_second_factor',
        coalesce(bool_or(s.requires_second_factor OR {administrators} m.role = ANY(factor_roles)), false))
    FROM public.organizations_membership m
    JOIN public.organizations_organizationsettings s ON s.organization_id = m.organization_id
    JOIN public.organizations_organization o ON o.id = m.organization_id
    WHERE m.user_id = person AND m.status = 'active' AND (o.state = 'active' OR m.role = 'admin')
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("organizations", "0011_chain_below")]
    operations = [
        migrations.RunSQL(ASK.format(administrators="m.is_org_admin OR"), reverse_sql=ASK.format(administrators=""))
    ]
