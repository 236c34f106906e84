"""What the tests of licenses do repeatedly, each act in the door that the product opens for it."""

from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.models import AccountMail, PractitionerCredential, User
from accounts.practitioners.npi import check_digit
from accounts.practitioners.regions import end_of_day
from accounts.practitioners.services import (
    approve_practitioner,
    reject_practitioner,
    submit_license,
    suspend_practitioner,
)
from audit.models import AuditEvent
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.world import World
from organizations.tenancy import tenant

NPI = "1234567893"
DECIDING = {"approve": approve_practitioner, "reject": reject_practitioner, "suspend": suspend_practitioner}


def npi_number(number: int) -> str:
    """Return one of many NPIs."""
    digits = f"1{number:08d}"
    return f"{digits}{check_digit(digits)}"


def license_facts(**changes: Any) -> dict[str, Any]:
    """Return what a doctor types, a year before the license expires."""
    return {
        "npi": NPI,
        "license_number": "MD 12345",
        "license_state": "CA",
        "license_expires_on": timezone.now().date() + timedelta(days=365),
        **changes,
    }


def submit(user: User, *, at: datetime | None = None, **changes: Any) -> PractitionerCredential:
    """Submit a license of one's own."""
    return submit_license(
        user=user, **license_facts(**changes), ip="192.0.2.1", request_id="test-request", at=at or timezone.now()
    )


def decide(world: World, act: str, credential: PractitionerCredential, **changes: Any) -> PractitionerCredential:
    """Decide as Ana, on the platform, about what stands there now."""
    given = {
        "actor": world.actor(world.ana, world.platform),
        "credential_id": credential.pk,
        "submission": fresh(credential).submission,
        "at": timezone.now(),
        **({} if act == "approve" else {"reason": "The board knows no such number."}),
        **changes,
    }
    with tenant(given["actor"].organization):
        return DECIDING[act](**given)


def approved(world: World, user: User | None = None, **changes: Any) -> PractitionerCredential:
    """Return the approved credential of a doctor."""
    return decide(world, "approve", submit(user or world.lee, **changes))


def fresh(credential: PractitionerCredential) -> PractitionerCredential:
    """Return a credential as it stands in the database."""
    return PractitionerCredential.objects.get(pk=credential.pk)


def put(credential: PractitionerCredential, standing: str, *, until: datetime | None = None) -> PractitionerCredential:
    """Put a credential into a state, as the services leave it."""
    now = timezone.now()
    is_decided = standing != "pending"
    ends_at = end_of_day(credential.license_expires_on, credential.license_state)
    PractitionerCredential.objects.filter(pk=credential.pk).update(
        standing=standing,
        license_ends_at=until or ends_at if standing == "approved" else ends_at,
        approved_until=(until or ends_at) if standing == "approved" else until,
        decided_at=now if is_decided else None,
        reason="Because." if standing in ("rejected", "suspended") else "",
    )
    return fresh(credential)


def trail(credential: PractitionerCredential) -> list[AuditEvent]:
    """Return what the trail has of a credential, in order."""
    with tenant(PLATFORM_ORGANIZATION_ID):
        return list(AuditEvent.objects.filter(target_id=str(credential.pk)).order_by("sequence"))


def actions(credential: PractitionerCredential) -> list[str]:
    return [event.action.removeprefix("practitioner.") for event in trail(credential)]


def mails(user: User) -> list[str]:
    """Return the kinds of mail that wait for somebody, in order."""
    return list(AccountMail.objects.filter(user=user).order_by("created_at", "pk").values_list("kind", flat=True))


def in_a_year() -> date:
    return timezone.now().date() + timedelta(days=365)
