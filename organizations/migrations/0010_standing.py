"""Where somebody stands in an organization, in one call that every request may make beside the look-up of its session,
in any door and however many memberships there are: the organization's row of the directory, the person's roles there,
and what else decides their rights. NULL where the person has nothing to look for; who names no organization and has not
exactly one that is active is told how many there are."""

from django.db import migrations

ASK = """
CREATE FUNCTION standing_in(person uuid, named_slug text, named_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    chosen public.organizations_organization;
    only_ones uuid[];
    held jsonb;
    administers boolean;
    is_staff boolean;
BEGIN
    IF named_id IS NULL AND named_slug = '' THEN
        SELECT array_agg(DISTINCT o.id) INTO only_ones
            FROM public.organizations_membership m JOIN public.organizations_organization o ON o.id = m.organization_id
            WHERE m.user_id = person AND m.status = 'active' AND o.state = 'active';
        IF coalesce(cardinality(only_ones), 0) <> 1 THEN
            RETURN jsonb_build_object('organizations', coalesce(cardinality(only_ones), 0));
        END IF;
        named_id := only_ones[1];
    END IF;
    IF named_id IS NOT NULL THEN
        SELECT * INTO chosen FROM public.organizations_organization o WHERE o.id = named_id;
    ELSE
        SELECT * INTO chosen FROM public.organizations_organization o WHERE o.slug = named_slug;
    END IF;
    IF chosen.id IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT jsonb_agg(m.role), bool_or(m.is_org_admin) INTO held, administers
        FROM public.organizations_membership m JOIN public.accounts_user u ON u.id = m.user_id AND u.is_active
        WHERE m.user_id = person AND m.organization_id = chosen.id AND m.status = 'active';
    is_staff := public.is_platform_administrator(person);
    IF held IS NULL AND NOT is_staff THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'organization', to_jsonb(chosen),
        'roles', coalesce(held, '[]'),
        'is_org_admin', coalesce(administers, false),
        'is_platform_staff', is_staff,
        'staff_may_invite', held IS NOT NULL AND coalesce((
            SELECT s.staff_may_invite FROM public.organizations_organizationsettings s
            WHERE s.organization_id = chosen.id), false));
END
$$;
REVOKE ALL ON FUNCTION standing_in(uuid, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION standing_in(uuid, text, uuid) TO healthivr, healthivr_platform;
"""


class Migration(migrations.Migration):
    dependencies = [("organizations", "0009_agreements"), ("accounts", "0003_keep_administrators")]
    operations = [migrations.RunSQL(ASK, reverse_sql="DROP FUNCTION standing_in(uuid, text, uuid)")]
