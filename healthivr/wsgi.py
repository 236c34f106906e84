"""The WSGI application that gunicorn serves."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connections
from django.utils.http import parse_header_parameters

from healthivr.startup import one_sentence, refuse_unsafe_role

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "healthivr.settings")


class UTF8Request(WSGIRequest):
    """Reads everything as UTF-8. Stock Django believes the charset of Content-Type, and ends before its first middleware
    with a naked 500 when that is no text encoding (`rot13`)."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class UTF8Handler(WSGIHandler):
    """Django's own, with our requests."""

    request_class = UTF8Request


with one_sentence():
    django.setup(set_prefix=False)
    application = UTF8Handler()
    refuse_unsafe_role()
connections.close_all()  # gunicorn forks its workers after this; each opens connections of its own
