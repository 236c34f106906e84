"""Rows for tests. Traits name the state; every row is one that the services could have made."""

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone

from accounts.models import User, hash_password
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from invitations.models import UserInvitation
from invitations.states import Status
from invitations.tokens import digest_of, new_nonce
from organizations.agreements.clauses import Clause
from organizations.agreements.documents import digest
from organizations.agreements.gate import DIRECTION_OF, needs_agreement
from organizations.agreements.models import AgreementDocument, BusinessAssociateAgreement
from organizations.agreements.services import months_later
from organizations.agreements.standard import STANDARD_VERSION
from organizations.agreements.states import AgreementStatus
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role

PASSWORD = "correct horse battery staple"
_HASH: list[str] = []


def password_hash() -> str:
    """Return one hash for everybody: hashing is slow on purpose."""
    if not _HASH:
        _HASH.append(hash_password(PASSWORD))
    return _HASH[0]


class UserFactory(factory.django.DjangoModelFactory[User]):
    class Meta:
        model = User

    first_name = factory.Faker("first_name")
    last_name = factory.Faker("last_name")
    email = factory.Sequence(lambda number: f"person{number}@example.org")
    password = factory.LazyFunction(password_hash)


class OrganizationFactory(factory.django.DjangoModelFactory[Organization]):
    class Meta:
        model = Organization
        skip_postgeneration_save = True

    name = factory.Sequence(lambda number: f"Practice {number}")
    slug = factory.Sequence(lambda number: f"practice-{number}")
    kind = OrganizationKind.PRACTICE
    parent = factory.LazyFunction(lambda: Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID))
    created_at = factory.LazyFunction(timezone.now)

    @factory.post_generation
    def seats(self: Any, create: bool, extracted: int | None, **kwargs: Any) -> None:
        OrganizationSettings.objects.create(organization=self, seat_limit=extracted or 25, updated_at=timezone.now())

    @factory.post_generation
    def agreement(self: Any, create: bool, extracted: bool | None, **kwargs: Any) -> None:
        """Whoever handles patient data has signed, unless `agreement=False`."""
        if extracted is not False and needs_agreement(self):
            AgreementFactory(organization=self)


class DocumentFactory(factory.django.DjangoModelFactory[AgreementDocument]):
    class Meta:
        model = AgreementDocument

    organization = factory.SubFactory(OrganizationFactory, agreement=False)
    content = factory.LazyAttribute(lambda made: f"%PDF-1.7 an agreement with {made.organization.name} %%EOF".encode())
    media_type = "application/pdf"
    sha256 = factory.LazyAttribute(lambda made: digest(made.content))
    size = factory.LazyAttribute(lambda made: len(made.content))
    created_at = factory.LazyFunction(timezone.now)


class AgreementFactory(factory.django.DjangoModelFactory[BusinessAssociateAgreement]):
    """An agreement with the platform: signed two years ago for five, by somebody of nobody's cast, so that tests may
    move the clock."""

    class Meta:
        model = BusinessAssociateAgreement

    class Params:
        draft = factory.Trait(
            status=AgreementStatus.DRAFT,
            signed_at=None,
            effective=None,
            expires=None,
            next_review=None,
            signer=None,
            signer_name="",
            signer_title="",
        )
        sent = factory.Trait(draft=True, status=AgreementStatus.SENT, sent_at=factory.LazyFunction(timezone.now))

    organization = factory.SubFactory(OrganizationFactory, agreement=False)
    direction = factory.LazyAttribute(lambda made: DIRECTION_OF[OrganizationKind(made.organization.kind)])
    status = AgreementStatus.SIGNED
    version = STANDARD_VERSION
    is_standard = True
    document = factory.LazyAttribute(lambda made: DocumentFactory(organization=made.organization))
    clauses = Clause.values
    breach_sla_days = 10
    term_months = 60
    signed_at = factory.LazyFunction(lambda: timezone.now() - timedelta(days=730))
    effective = factory.SelfAttribute("signed_at")
    expires = factory.LazyAttribute(lambda made: months_later(made.signed_at, made.term_months))
    next_review = factory.SelfAttribute("expires")
    signer = factory.SubFactory(UserFactory)
    signer_name = "Sam Signer"
    signer_title = "Owner"
    created_at = factory.LazyFunction(timezone.now)
    updated_at = factory.LazyFunction(timezone.now)


class MembershipFactory(factory.django.DjangoModelFactory[Membership]):
    """A member, with the seat that it takes."""

    class Meta:
        model = Membership
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.DOCTOR
    is_org_admin = factory.LazyAttribute(lambda made: made.role == Role.ADMIN)
    started_at = factory.LazyFunction(timezone.now)

    @factory.post_generation
    def seat(self: Any, create: bool, extracted: Any, **kwargs: Any) -> None:
        settings = OrganizationSettings.objects.get(organization=self.organization)
        settings.seats_used += 1
        settings.save(update_fields=["seats_used"])


class InvitationFactory(factory.django.DjangoModelFactory[UserInvitation]):
    class Meta:
        model = UserInvitation

    class Params:
        overdue = factory.Trait(
            created_at=factory.LazyFunction(lambda: timezone.now() - timedelta(days=8)),
            expires_at=factory.LazyFunction(lambda: timezone.now() - timedelta(minutes=1)),
        )
        expired = factory.Trait(overdue=True, status=Status.EXPIRED, closed_at=factory.LazyFunction(timezone.now))
        cancelled = factory.Trait(status=Status.CANCELLED, closed_at=factory.LazyFunction(timezone.now))
        declined = factory.Trait(status=Status.DECLINED, closed_at=factory.LazyFunction(timezone.now))
        sent = factory.Trait(delivery_status="sent", sent_at=factory.LazyFunction(timezone.now), send_count=1)

    organization = factory.SubFactory(OrganizationFactory)
    invitation_type = Role.MEDICAL_STAFF
    email = factory.Sequence(lambda number: f"invitee{number}@example.org")
    token_nonce = factory.LazyFunction(new_nonce)
    token_hash = factory.LazyAttribute(lambda row: digest_of(row.token_nonce))
    created_at = factory.LazyFunction(timezone.now)
    updated_at = factory.LazyAttribute(lambda row: row.created_at)
    expires_at = factory.LazyAttribute(lambda row: row.created_at + timedelta(days=7))
