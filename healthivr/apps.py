"""The root application, and Django admin under platform staff's site."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class HealthivrConfig(AppConfig):
    """Loads Celery, so that tasks queued by the web process know their broker, and the system checks."""

    name = "healthivr"

    def ready(self) -> None:
        from healthivr import celery, checks  # noqa: F401


class PlatformAdminConfig(admin_apps.AdminConfig):
    """Django admin, for platform staff only (organizations/admin_site.py)."""

    default = False
    default_site = "organizations.admin_site.PlatformAdminSite"
