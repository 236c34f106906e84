"""Whether an organization's agreement is in force, and what is closed while it is not (docs/adr/0011-agreements.md)."""

from datetime import datetime

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import NotPermitted, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.models import Membership, Organization
from organizations.roles import PATIENT_DATA_ROLES, OrganizationKind, Role

from .models import BusinessAssociateAgreement, Direction
from .states import AgreementStatus

#: Which kinds of organization handle patients' data here, and what each is in its agreement with the platform. Sellers
#: and programs see case numbers at most; payers are covered entities that pay, and need none for that.
DIRECTION_OF: dict[OrganizationKind, Direction] = {
    OrganizationKind.PRACTICE: Direction.COVERED_ENTITY,
    OrganizationKind.PHARMACY: Direction.COVERED_ENTITY,
    OrganizationKind.LAB: Direction.COVERED_ENTITY,
    OrganizationKind.IVR_COMPANY: Direction.BUSINESS_ASSOCIATE,
    OrganizationKind.LOGISTICS: Direction.BUSINESS_ASSOCIATE,
}

#: SQL that says whether an agreement of an organization is in force; takes the moment twice. For statements that ask
#: something else anyway, so that nobody pays for a further one.
IN_FORCE = (
    f"EXISTS (SELECT FROM {BusinessAssociateAgreement._meta.db_table} baa WHERE baa.organization_id = {{organization}}"
    f" AND baa.counterpart_id = '{PLATFORM_ORGANIZATION_ID}' AND baa.status = 'signed'"
    " AND baa.effective <= %s AND baa.expires > %s)"
)


def run_by_nobody(organization: str) -> str:
    """SQL that says whether nobody runs an organization, which then has nobody who could sign for it. For statements
    that ask something else anyway."""
    users, members = get_user_model()._meta.db_table, Membership._meta.db_table
    return (
        f"NOT EXISTS (SELECT FROM {members} run JOIN {users} runner ON runner.id = run.user_id AND runner.is_active"
        f" WHERE run.organization_id = {organization} AND run.status = 'active' AND run.is_org_admin)"
    )


REASON = _(
    "No business associate agreement is in force in this organization. An administrator signs it on the page Agreements;"
    " until then nobody new gets access to patient data."
)


class BaaRequired(NotPermitted):
    """Patient data, or new access to it, while no agreement is in force in the organization."""

    code = "baa_required"
    message = REASON


class AgreementMissing(Refused):
    """An invitation to work with patient data cannot be accepted while no agreement is in force there."""

    code = "baa_required"
    message = _(
        "The organization's business associate agreement is not in force, so nobody can join it for work with patient"
        " data now. Nothing was changed, and the link is not used up."
    )


def needs_agreement(organization: Organization) -> bool:
    """Say whether organizations of this kind handle patients' data here, and so must have an agreement."""
    return organization.kind in DIRECTION_OF


def role_needs_agreement(role: Role) -> bool:
    """Say whether the role works with patients' data: nobody gets it where no agreement is in force."""
    return role in PATIENT_DATA_ROLES


def agreement_in_force(*, organization: Organization, at: datetime) -> bool:
    """Say whether the organization's agreement with the platform is in force at a moment. One statement, in the
    organization's door or in platform()."""
    return (
        BusinessAssociateAgreement.objects.in_force(at=at)
        .filter(organization=organization, counterpart=PLATFORM_ORGANIZATION_ID)
        .exists()
    )


def require_agreement(
    *, organization: Organization, at: datetime, role: Role | None = None, may_start: bool = False
) -> None:
    """Demand an agreement in force for new access: somebody new, a new patient, an export. With `role`, only if that role
    works with patients' data. With `may_start`, not while nobody runs the organization: the first person signs right
    after joining, and opens no patient data before. Raises BaaRequired."""
    if not needs_agreement(organization) or (role is not None and not role_needs_agreement(role)):
        return
    if agreement_in_force(organization=organization, at=at):
        return
    if not may_start or Membership.objects.administrators().filter(organization=organization).exists():
        raise BaaRequired


def require_patient_data_open(*, organization: Organization, at: datetime) -> None:
    """Demand what opening patient data of care already given needs: an agreement that was signed and not terminated. That
    it merely ran out stops what is new and cuts off nobody's care. Raises BaaRequired."""
    if not needs_agreement(organization):
        return
    last = (
        BusinessAssociateAgreement.objects.filter(
            organization=organization, counterpart=PLATFORM_ORGANIZATION_ID, signed_at__isnull=False
        )
        .order_by("-signed_at", "-pk")
        .first()
    )
    if last is None or last.status == AgreementStatus.TERMINATED:
        raise BaaRequired
