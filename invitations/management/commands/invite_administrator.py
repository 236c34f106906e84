"""manage.py invite_administrator EMAIL: there are no default accounts; this is how an operator lets somebody in."""

from argparse import ArgumentParser
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from healthivr.kernel.errors import DomainError
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from invitations.services import create_invitation
from invitations.tokens import invitation_url
from organizations.models import Organization
from organizations.roles import Role
from organizations.selectors import system_actor
from organizations.tenancy import tenant


class Command(BaseCommand):
    help = "Invites an administrator of the platform: mails the link, and prints it for whoever runs the server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID)
        actor = replace(system_actor("invite_administrator"), organization=organization)
        try:
            with tenant(organization):
                invitation = create_invitation(
                    actor=actor, invitation_type=Role.ADMIN, email=options["email"], at=timezone.now()
                )
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.code})") from None
        self.stdout.write(f"Invited. The link works until {invitation.expires_at:%Y-%m-%d %H:%M %Z}:")
        self.stdout.write(invitation_url(invitation.token_nonce))
