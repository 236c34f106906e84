"""Nobody stands above themselves in the sales chain (S0.14), however long the way around: an upline that would close a
loop through the active memberships of the organization is left out. Here, so that no path and no race gets past it, and
so that accepting costs no statement more; left out and not refused, for whoever was invited can do nothing about it."""

from django.db import migrations

DROP_LOOPS = """
CREATE FUNCTION membership_drop_upline_loop() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- Two at once would not see each other. The statement after the lock has a new snapshot.
    PERFORM pg_advisory_xact_lock(hashtextextended('upline ' || NEW.organization_id, 0));
    IF EXISTS (
        WITH RECURSIVE above AS (
            SELECT NEW.upline_id AS person
            UNION
            SELECT m.upline_id FROM above JOIN public.organizations_membership m ON m.user_id = above.person
            WHERE m.organization_id = NEW.organization_id AND m.status = 'active' AND m.id <> NEW.id
                AND m.upline_id IS NOT NULL
        )
        SELECT FROM above WHERE person = NEW.user_id
    ) THEN NEW.upline_id := NULL; END IF;
    RETURN NEW;
END $$;
-- One's own self as upline is a mistake of the code: membership_not_own_upline refuses it.
CREATE TRIGGER drop_upline_loop BEFORE INSERT OR UPDATE OF upline_id, status, user_id ON organizations_membership
    FOR EACH ROW WHEN (NEW.status = 'active' AND NEW.upline_id IS NOT NULL AND NEW.upline_id <> NEW.user_id)
    EXECUTE FUNCTION membership_drop_upline_loop();
"""
UNDO = """
DROP TRIGGER drop_upline_loop ON organizations_membership;
DROP FUNCTION membership_drop_upline_loop();
"""


class Migration(migrations.Migration):
    dependencies = [("organizations", "0004_platform_administrators")]
    operations = [migrations.RunSQL(DROP_LOOPS, reverse_sql=UNDO)]
