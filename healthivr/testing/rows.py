"""A row of every model that Django admin shows, for tests that walk all of them."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from accounts.models import (
    AccountMail,
    ApiKey,
    Authenticator,
    EmailChange,
    ExternalIdentity,
    FactorReset,
    RecoveryCode,
    RefreshToken,
    SetupLink,
    SignInLock,
    User,
)
from accounts.tests.practitioners.acts import submit
from audit import services as audit
from audit.models import AuditEvent, AuditHead
from healthivr.testing.factories import AgreementFactory, InvitationFactory
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.models import Delivery, InvitationBatch, InvitationHistory, UserInvitation
from invitations.states import Event
from organizations.agreements.models import BaaReminder, BusinessAssociateAgreement
from organizations.agreements.states import AgreementStatus
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role
from organizations.services import PERSON_LEFT
from organizations.tenancy import platform, tenant
from patients.models import Patient


def identity_of(user: User) -> ExternalIdentity:
    """Link somebody with an account at an identity provider."""
    at = timezone.now()
    return ExternalIdentity.objects.create(
        user=user, issuer="https://id.example.org", subject=str(user.pk), created_at=at, last_used_at=at
    )


def key_of(user: User, organization: Organization) -> ApiKey:
    """Make an API key that nobody has."""
    at = timezone.now()
    return ApiKey.objects.create(
        user=user,
        organization=organization,
        name="Night run",
        prefix="hivr_abcdefgh",
        digest=uuid4().hex,
        scopes=["invitations:read"],
        is_second_factor=True,
        created_at=at,
        expires_at=at + timedelta(days=1),
    )


def rows_of_everything(world: World) -> tuple[UserInvitation, dict[str, Any]]:
    """Make them, by `<app>_<model>`; and an expired invitation of the practice."""
    at = timezone.now()
    with platform("test"):
        audit.record(actor=world.actor(world.ana, world.platform), action="test.began")
    with platform("test"):
        expired = InvitationFactory(
            organization=world.practice, invited_by=world.lee, upline=world.lee, email="late@example.org", expired=True
        )
        for practice in (world.practice, world.strange_practice):
            AgreementFactory(organization=practice, sent=True)
        signed = BusinessAssociateAgreement.objects.filter(status=AgreementStatus.SIGNED)
        signed.update(expires=at + timedelta(days=20))
        agreement = signed.get(organization=world.practice)
        rows: dict[str, Any] = {
            "audit_auditevent": AuditEvent.objects.get(),
            "audit_audithead": AuditHead.objects.get(),
            "invitations_userinvitation": world.invitation,
            "invitations_invitationhistory": InvitationHistory.objects.create(
                organization=world.practice, invitation=expired, event=Event.EXPIRE, at=at
            ),
            "invitations_delivery": Delivery.objects.create(
                organization=world.practice, invitation=world.invitation, status="sent", next_try_at=at, created_at=at
            ),
            "invitations_invitationbatch": InvitationBatch.objects.create(organization=world.practice),
            "patients_patient": Patient.objects.create(organization=world.practice),
            "accounts_user": world.mia,
            "accounts_accountmail": AccountMail.objects.create(
                kind="password_reset", user=world.lee, status="sent", next_try_at=at, created_at=at
            ),
            "accounts_usersession": session_of(world.lee),
            "accounts_apikey": key_of(world.lee, world.practice),
            "accounts_refreshtoken": RefreshToken.objects.create(
                session=session_of(world.mia), digest="0" * 64, created_at=at, expires_at=at
            ),
            "accounts_signinlock": SignInLock.objects.create(key="0" * 64, owner="0" * 64, last_failure_at=at),
            "accounts_emailchange": EmailChange.objects.create(
                user=world.lee,
                old_email=world.lee.email,
                new_email="other@example.org",
                created_at=at,
                expires_at=at + timedelta(hours=1),
            ),
            "accounts_setuplink": SetupLink.objects.create(digest="0" * 64, expires_at=at),
            "accounts_authenticator": Authenticator.objects.create(user=world.omar, seed=b"", created_at=at),
            "accounts_recoverycode": RecoveryCode.objects.create(user=world.omar, digest="k:0", created_at=at),
            "accounts_externalidentity": identity_of(world.lee),
            "accounts_factorreset": FactorReset.objects.create(user=world.omar, created_at=at, expires_at=at),
            "accounts_practitionercredential": submit(world.member(Role.DOCTOR, OrganizationKind.PRACTICE).user),
            "organizations_organization": world.practice,
            "organizations_organizationsettings": OrganizationSettings.objects.get(organization=world.practice),
            "organizations_membership": Membership.objects.get(user=world.omar),
            "organizations_businessassociateagreement": agreement,
            "organizations_agreementdocument": agreement.document,
            "organizations_baareminder": BaaReminder.objects.create(
                organization=world.practice, agreement=agreement, offset=90, sent_at=at, created_at=at
            ),
        }
    for place, by, who in (
        (world.practice, world.lee, world.omar),
        (world.strange_practice, world.stone, world.stone),
    ):
        with tenant(place):  # they left once, and came back: there is a receipt
            audit.record(
                actor=world.actor(by),
                action=PERSON_LEFT,
                target=who,
                organization_id=place.pk,
                reason="To travel.",
                detail={
                    "at": at.isoformat(),
                    **dict.fromkeys(("memberships", "cancelled", "handed_over", "heir"), ""),
                    **dict.fromkeys(("sessions", "below"), "0"),
                },
            )
    return expired, rows
