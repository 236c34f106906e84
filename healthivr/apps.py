"""The root application, and Django admin under platform staff's site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class HealthivrConfig(AppConfig):
    """Loads Celery, so that tasks queued by the web process know their broker, and the system checks."""

    name = "healthivr"

    def ready(self) -> None:
        from healthivr import celery, checks  # noqa: F401


class PlatformAdminConfig(AdminConfig):
    """Django admin, for platform staff only (organizations/admin_site.py)."""

    default_site = "organizations.admin_site.PlatformAdminSite"
