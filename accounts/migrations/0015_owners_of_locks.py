from django.db import migrations, models


def own_by_address(apps, schema_editor):
    """The rows of addresses are their own; of those of browsers nothing tells whose they are. They are over in a quarter
    of an hour."""
    apps.get_model("accounts", "SignInLock").objects.update(owner=models.F("key"))


class Migration(migrations.Migration):
    dependencies = [("accounts", "0014_external_identities")]

    operations = [
        migrations.AddField("signinlock", "owner", models.CharField(max_length=64, default=""), preserve_default=False),
        migrations.RunPython(own_by_address, migrations.RunPython.noop),
        migrations.AlterField("signinlock", "owner", models.CharField(max_length=64, db_index=True)),
    ]
