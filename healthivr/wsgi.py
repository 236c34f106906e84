"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "healthivr.settings")

application = get_wsgi_application()

from healthivr.startup import refuse_unsafe_role  # noqa: E402  needs the applications that the line above loads

refuse_unsafe_role()
