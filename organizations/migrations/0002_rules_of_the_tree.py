"""What the database itself holds: the closure of the tree, no loops, always an administrator; and the platform."""

from typing import Any

from django.db import migrations
from django.utils import timezone

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID

CLOSURE = """
CREATE FUNCTION organization_keep_closure() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Founding goes on beside founding, but not beside a move: either would miss what the other writes. The
        -- statement after the lock has a new snapshot.
        PERFORM pg_advisory_xact_lock_shared(hashtext('organization tree'));
        INSERT INTO public.organizations_organizationclosure (ancestor_id, descendant_id, depth)
            SELECT ancestor_id, NEW.id, depth + 1 FROM public.organizations_organizationclosure
            WHERE descendant_id = NEW.parent_id
            UNION ALL SELECT NEW.id, NEW.id, 0;
        RETURN NULL;
    END IF;
    IF NEW.parent_id IS NOT DISTINCT FROM OLD.parent_id THEN RETURN NULL; END IF;
    PERFORM pg_advisory_xact_lock(hashtext('organization tree'));
    IF EXISTS (SELECT FROM public.organizations_organizationclosure
               WHERE ancestor_id = NEW.id AND descendant_id = NEW.parent_id) THEN
        RAISE EXCEPTION 'an organization cannot stand below itself' USING ERRCODE = '23514',
            CONSTRAINT = 'organization_no_loop';
    END IF;
    DELETE FROM public.organizations_organizationclosure c
        USING public.organizations_organizationclosure below, public.organizations_organizationclosure above
        WHERE below.ancestor_id = NEW.id AND above.descendant_id = NEW.id AND above.depth > 0
            AND c.descendant_id = below.descendant_id AND c.ancestor_id = above.ancestor_id;
    INSERT INTO public.organizations_organizationclosure (ancestor_id, descendant_id, depth)
        SELECT above.ancestor_id, below.descendant_id, above.depth + below.depth + 1
        FROM public.organizations_organizationclosure above, public.organizations_organizationclosure below
        WHERE above.descendant_id = NEW.parent_id AND below.ancestor_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_closure AFTER INSERT OR UPDATE OF parent_id ON organizations_organization
    FOR EACH ROW EXECUTE FUNCTION organization_keep_closure();
REVOKE INSERT, UPDATE, DELETE ON organizations_organizationclosure FROM healthivr, healthivr_platform;
"""

# At commit, for whatever path led there. Locks the organization, so that two administrators cannot remove each other.
ADMINISTRATOR = """
CREATE FUNCTION organization_require_administrator(organization uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM FROM public.organizations_organizationsettings WHERE organization_id = organization FOR NO KEY UPDATE;
    -- One that is purged as a whole needs nobody any more.
    IF EXISTS (SELECT FROM public.organizations_organization WHERE id = organization)
        AND NOT EXISTS (SELECT FROM public.organizations_membership m JOIN public.accounts_user u ON u.id = m.user_id
                        WHERE m.organization_id = organization AND m.status = 'active' AND m.is_org_admin
                            AND u.is_active)
    THEN
        RAISE EXCEPTION 'the last administrator of an organization stays' USING ERRCODE = '23514',
            CONSTRAINT = 'organization_has_administrator';
    END IF;
END $$;
REVOKE ALL ON FUNCTION organization_require_administrator(uuid) FROM PUBLIC;

CREATE FUNCTION membership_keep_administrator() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF OLD.status = 'active' AND OLD.is_org_admin
        AND (TG_OP = 'DELETE' OR NEW.status <> 'active' OR NOT NEW.is_org_admin)
    THEN PERFORM public.organization_require_administrator(OLD.organization_id); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER keep_administrator AFTER UPDATE OR DELETE ON organizations_membership
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION membership_keep_administrator();
"""

UNDO = """
DROP TRIGGER keep_administrator ON organizations_membership;
DROP FUNCTION membership_keep_administrator(), organization_require_administrator(uuid);
DROP TRIGGER keep_closure ON organizations_organization;
DROP FUNCTION organization_keep_closure();
"""


def create_platform(apps: Any, schema_editor: Any) -> None:
    """The organization that always exists: the root of the tree and the home of platform staff."""
    Organization = apps.get_model("organizations", "Organization")
    Settings = apps.get_model("organizations", "OrganizationSettings")
    now = timezone.now()
    platform = Organization.objects.create(
        id=PLATFORM_ORGANIZATION_ID, name="healthivr platform", slug="platform", kind="platform", created_at=now
    )
    Settings.objects.create(organization=platform, plan="platform", seat_limit=10_000, updated_at=now)


def remove_platform(apps: Any, schema_editor: Any) -> None:
    """Undo, on an empty installation."""
    apps.get_model("organizations", "OrganizationSettings").objects.filter(
        organization=PLATFORM_ORGANIZATION_ID
    ).delete()
    schema_editor.execute("DELETE FROM organizations_organizationclosure")
    apps.get_model("organizations", "Organization").objects.filter(pk=PLATFORM_ORGANIZATION_ID).delete()


class Migration(migrations.Migration):
    dependencies = [("organizations", "0001_initial"), ("accounts", "0001_initial")]
    operations = [
        migrations.RunSQL(CLOSURE + ADMINISTRATOR, reverse_sql=UNDO),
        migrations.RunPython(create_platform, remove_platform),
    ]
