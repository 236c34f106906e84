"""manage.py reset_second_factor EMAIL: for the platform's last administrator, whom nobody else can help."""

from argparse import ArgumentParser
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.factor_reset import start_factor_reset_on_server
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import DomainError
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.models import Organization
from organizations.selectors import system_actor


class Command(BaseCommand):
    help = "Mails somebody the link by which they remove a lost second factor. They need their password as well."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization(pk=PLATFORM_ORGANIZATION_ID)
        actor = replace(system_actor("reset_second_factor"), organization=organization)
        try:
            reset = start_factor_reset_on_server(
                actor=actor, email=normalise_email(options["email"]), at=timezone.now()
            )
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.code})") from None
        self.stdout.write(f"Mailed. The link works until {reset.expires_at:%Y-%m-%d %H:%M %Z}.")
