"""The Celery application. Tasks receive ids only; what must not be lost is a row in PostgreSQL (architecture.md 5)."""

import os

from celery import Celery
from celery.signals import setup_logging, worker_init

from healthivr.startup import one_sentence, refuse_unsafe_role

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "healthivr.settings")

with one_sentence():
    import healthivr.settings  # noqa: F401  read now: later Celery would print a traceback

app = Celery("healthivr")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["healthivr", "organizations", "accounts", "invitations"])
app.autodiscover_tasks(["healthivr"], related_name="health")


@setup_logging.connect
def keep_our_logging(**kwargs: object) -> None:
    """Celery leaves logging alone when somebody listens here: lines stay JSON and masked, as settings.py set them."""
    import django  # noqa: PLC0415  this module is read before Django is set up

    django.setup()


@worker_init.connect
def refuse_unsafe_start(**kwargs: object) -> None:
    """A worker does not start with a database role that could see other tenants. It ends here: what else a receiver
    raises, Celery logs and goes on."""
    with one_sentence():
        refuse_unsafe_role()
