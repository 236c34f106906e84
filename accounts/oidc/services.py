"""Whose an account at the identity provider is: found by issuer and subject, linked once by its verified address, removed
by its owner."""

from datetime import datetime
from uuid import UUID

from django.conf import settings

from accounts.models import AccountMailKind, ExternalIdentity, SessionEnd, User, UserSession
from accounts.registry import end_sessions_of
from accounts.second_factor import mail_person, own_actor
from audit import services as audit
from audit.models import Outcome
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import DomainError, NotFound
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.masking import address_digest
from organizations.actor import Actor
from organizations.models import Organization
from organizations.tenancy import platform

from .errors import ExternalUnknown
from .provider import Assertion


def person_of(*, assertion: Assertion, ip: str, request_id: str) -> User:
    """Return whom an assertion signs in: the person whom its subject is linked with, whatever its address says; for a
    subject that is nobody's, the person of its verified address who has no link yet. Nothing is linked before all that
    the sign-in asks was given (`note_sign_in`). Raises ExternalUnknown, the same for every reason."""
    may_sign_in = User.objects.filter(is_active=True, must_change_password=False)
    linked = ExternalIdentity.objects.filter(issuer=settings.OIDC_ISSUER, subject=assertion.subject)
    address = _normalised(assertion.email)
    if owner := linked.values_list("user", flat=True).first():
        user = may_sign_in.filter(pk=owner).first()
    else:
        unlinked = may_sign_in.exclude(external_identities__issuer=settings.OIDC_ISSUER)
        user = unlinked.filter(email=address).first() if address else None
    if user is None:
        with platform("external sign-in refused"):
            audit.record(
                actor=Actor(None, Organization(pk=PLATFORM_ORGANIZATION_ID), ip=ip, request_id=request_id),
                action="session.refused",
                outcome=Outcome.REFUSED,
                organization_id=PLATFORM_ORGANIZATION_ID,
                detail={"by": "identity provider", **({"address": address_digest(address)} if address else {})},
            )
        raise ExternalUnknown
    return user


def _normalised(email: str) -> str:
    try:
        return normalise_email(email) if email else ""
    except DomainError:
        return ""


def note_sign_in(*, user: User, subject: str, ip: str, request_id: str, at: datetime) -> ExternalIdentity:
    """Note that an account at the provider signs somebody in. The first time links the two, and mails the person. Raises
    ExternalUnknown for who was linked with another one meanwhile, and whose account is no longer open to it."""
    issuer = settings.OIDC_ISSUER
    with platform("external sign-in"):
        # One sign-in of a person at a time: of two first ones of two subjects, one links.
        may_sign_in = User.objects.filter(pk=user.pk, is_active=True, must_change_password=False)
        if not may_sign_in.select_for_update(no_key=True).exists():
            raise ExternalUnknown
        identity = ExternalIdentity.objects.filter(user=user, issuer=issuer).first()
        if identity is None:
            if ExternalIdentity.objects.filter(issuer=issuer, subject=subject).exists():
                raise ExternalUnknown
            identity = ExternalIdentity.objects.create(
                user=user, issuer=issuer, subject=subject, created_at=at, last_used_at=at
            )
            audit.record(
                actor=own_actor(user, ip=ip, request_id=request_id), action="external_identity.linked", target=identity
            )
            mail_person(user, AccountMailKind.EXTERNAL_LINKED, at=at)
        elif identity.subject != subject:
            raise ExternalUnknown
        ExternalIdentity.objects.filter(pk=identity.pk).update(last_used_at=at)
    identity.last_used_at = at
    return identity


def remove_identity(
    *, user: User, session: UserSession, identity_id: UUID, ip: str, request_id: str, at: datetime
) -> None:
    """Take one of one's own links away; every other session ends, and the person is mailed. Raises NotFound,
    StepUpRequired."""
    own_actor(user, ip=ip, request_id=request_id, session=session).require_step_up(at=at)
    actor = own_actor(user, ip=ip, request_id=request_id)
    with platform("external identity removed"):
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        identity = ExternalIdentity.objects.filter(pk=identity_id, user=user).first()
        if identity is None:
            raise NotFound
        audit.record(actor=actor, action="external_identity.removed", target=identity)
        identity.delete()
        end_sessions_of(user_id=user.pk, reason=SessionEnd.EXTERNAL_REMOVED, but=session.pk, actor=actor, at=at)
        mail_person(user, AccountMailKind.EXTERNAL_REMOVED, at=at)


def own_identities(user: User) -> list[ExternalIdentity]:
    """Return the account at the provider that signs somebody in, if there is one."""
    return list(ExternalIdentity.objects.filter(user=user, issuer=settings.OIDC_ISSUER))
