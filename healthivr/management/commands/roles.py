"""manage.py roles: who may do what, as docs/roles.md publishes it."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from healthivr.roles_document import WHERE, written


class Command(BaseCommand):
    help = "Prints who may do what, from the tables of the code; --write puts it into docs/roles.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", action="store_true", help=f"write {WHERE}")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            (settings.BASE_DIR / WHERE).write_text(written())
        else:
            self.stdout.write(written())
