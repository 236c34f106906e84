"""The root application, and Django admin under platform staff's site."""

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin_apps
from django.db import connection
from django.db.models.signals import pre_migrate


class HealthivrConfig(AppConfig):
    """Loads Celery, so that tasks queued by the web process know their broker, and the system checks."""

    name = "healthivr"

    def ready(self) -> None:
        from healthivr import celery, checks  # noqa: F401

        # Once a run: Django sends it for each application that has models.
        pre_migrate.connect(grant_rights_on_new_tables, sender=apps.get_app_config("organizations"))


def grant_rights_on_new_tables(**kwargs: Any) -> None:
    """Before migrations run, as the owner: what the application may do with tables that they make. Never TRUNCATE,
    never ownership; audit/migrations takes more away."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthivr, healthivr_platform;"
            "ALTER DEFAULT PRIVILEGES GRANT USAGE, SELECT ON SEQUENCES TO healthivr, healthivr_platform"
        )


class PlatformAdminConfig(admin_apps.AdminConfig):
    """Django admin, for platform staff only (organizations/admin_site.py)."""

    default = False
    default_site = "organizations.admin_site.PlatformAdminSite"
