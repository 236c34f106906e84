"""What the tests of agreements do repeatedly."""

from typing import Any

from healthivr.testing.factories import AgreementFactory
from organizations.agreements.clauses import Clause
from organizations.agreements.documents import digest
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.agreements.services import standard_for
from organizations.models import Organization
from organizations.tenancy import platform

ROOT = "/api/v1/admin/organizations/"
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


def without_agreement(organization: Organization) -> None:
    """Take the agreement away that the factory gave."""
    with platform("test"):
        BusinessAssociateAgreement.objects.filter(organization=organization).delete()


def agreement(organization: Organization, **values: Any) -> BusinessAssociateAgreement:
    """Make an agreement in a state."""
    with platform("test"):
        return AgreementFactory(organization=organization, **values)


def agreements(organization: Organization) -> list[BusinessAssociateAgreement]:
    """Return the organization's agreements, the oldest first."""
    with platform("test"):
        rows = BusinessAssociateAgreement.objects.filter(organization=organization).select_related("document")
        return list(rows.order_by("created_at", "pk"))


def signature(organization: Organization, **values: Any) -> dict[str, Any]:
    """Return what signs the standard agreement of an organization."""
    return {
        "signer_name": "Jun Lee",
        "signer_title": "Owner",
        "clauses": list(Clause.values),
        "document_sha256": digest(standard_for(organization)),
        **values,
    }
