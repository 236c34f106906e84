"""django-invitations, which mails inside the request: `python bench/inline.py PORT MAILS`, in a process of its own,
because its application has the name of ours. Prints mails a second."""

import os
import sys
import time
from importlib import import_module

import django
import environ
from django.conf import settings

SCHEMA = "django_invitations"


def main(port: int, mails: int) -> None:
    """Create and send invitations, one after the other, the way its own view does."""
    database = environ.Env.db_url_config(os.environ["DATABASE_OWNER_URL"])
    database.setdefault("OPTIONS", {})["options"] = f"-c search_path={SCHEMA}"
    settings.configure(
        DATABASES={"default": {**database, "CONN_MAX_AGE": None}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sites", "invitations"],
        SITE_ID=1,
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=port,
        DEFAULT_FROM_EMAIL="noreply@example.org",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415  after the settings
    from django.db import connection  # noqa: PLC0415
    from django.test import RequestFactory  # noqa: PLC0415
    from django.urls import include, path  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    call_command("migrate", verbosity=0)
    globals()["urlpatterns"] = [path("invitations/", include("invitations.urls", namespace="invitations"))]
    invitation = import_module("invitations.models").Invitation
    request = RequestFactory().get("/")
    began = time.perf_counter()
    for number in range(mails):
        invitation.create(f"person{number}@example.org").send_invitation(request)
    print(mails / (time.perf_counter() - began))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
