"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.db import connections

from healthivr.startup import one_sentence, refuse_unsafe_role

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "healthivr.settings")

with one_sentence():
    application = get_wsgi_application()
    refuse_unsafe_role()
connections.close_all()  # gunicorn forks its workers after this; each opens connections of its own
