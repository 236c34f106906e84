from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    """Tenants, who belongs to them, and the doors between them."""

    name = "organizations"

    def ready(self) -> None:
        from audit.registry import register

        from .agreements.models import AgreementDocument, BaaReminder, BusinessAssociateAgreement
        from .compliance import agreement_evidence, register_evidence, review_evidence
        from .models import Membership, Organization, OrganizationSettings

        register(Organization, masked=[], excluded=["created_at"])
        register(OrganizationSettings, masked=[], excluded=["updated_at", "seats_used"])
        register(Membership, masked=[], excluded=[])
        register(BusinessAssociateAgreement, masked=["end_reason"], excluded=["updated_at"])
        register(AgreementDocument, masked=[], excluded=["content"])
        register(BaaReminder, masked=[], excluded=[])
        for source in (agreement_evidence, review_evidence):
            register_evidence(source)
