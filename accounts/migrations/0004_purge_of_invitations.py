"""Purging an organization leaves no invitation behind (C18), and its people stay: they forget by which one they came."""

from django.db import migrations

DROP = """
DO $$ DECLARE present text; BEGIN
    SELECT conname INTO STRICT present FROM pg_constraint
    WHERE conrelid = 'accounts_user'::regclass AND confrelid = 'user_invitations'::regclass AND contype = 'f';
    EXECUTE format('ALTER TABLE accounts_user DROP CONSTRAINT %I', present);
END $$;
"""
ADD = (
    "ALTER TABLE accounts_user ADD CONSTRAINT user_invitation FOREIGN KEY (invitation_id)"
    " REFERENCES user_invitations (id)"
)
DEFERRED = " DEFERRABLE INITIALLY DEFERRED"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_keep_administrators"), ("invitations", "0001_initial")]
    operations = [migrations.RunSQL(f"{DROP}{ADD} ON DELETE SET NULL{DEFERRED}", reverse_sql=f"{DROP}{ADD}{DEFERRED}")]
