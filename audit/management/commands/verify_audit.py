"""manage.py verify_audit: walk the hash chain and name the first event that does not fit."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from audit.verification import Finding, verify_chain
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID


class Command(BaseCommand):
    help = "Recomputes the chain of each organization, or of one, and reports the first edited, missing or moved event."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", type=UUID, help="only this organization's chain (an id)")

    def handle(self, *args: Any, **options: Any) -> None:
        events, chains, findings = verify_chain(organization_id=options["organization"])
        for finding in findings:
            self.stderr.write(self.style.ERROR(self._sentence(finding)))
        if findings:
            raise CommandError(f"{len(findings)} of {chains} chains do not verify.")
        self.stdout.write(f"Verified {events} events in {chains} chains: nothing was edited, removed or reordered.")

    def _sentence(self, finding: Finding) -> str:
        whose = "platform" if finding.organization_id == PLATFORM_ORGANIZATION_ID else finding.organization_id
        return f"Chain {whose}, event {finding.sequence}: {finding.problem}"
