"""On what terms somebody may invite: for which role, with which proof, in which words, for how long, to which address."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.services import clean_person_name
from healthivr.kernel.errors import Malformed
from healthivr.kernel.names import clean_text
from organizations.actor import Actor
from organizations.models import Organization
from organizations.policies import EmailDomainNotAllowed, InvitationPolicy
from organizations.roles import INVITATION_TYPES, Capability, Role
from organizations.selectors import invitable_types

from .errors import NobodyCanJoin, RoleNotAllowed
from .seats import takes_seat

SHORT_LIVED = frozenset({Role.ADMIN, Role.CHP_ADMIN})
SHORT_LIFE_HOURS = 48
MAX_HOURS = 720
MESSAGE_LENGTH = 1000


def invitable_role(actor: Actor, invitation_type: str) -> Role:
    actor.require(Capability.INVITE)
    require_somebody_can_join(actor)
    if invitation_type not in INVITATION_TYPES:
        raise Malformed(_("Choose a role from the list."), code="invitation_type", field="invitation_type")
    role = Role(invitation_type)
    if actor.system and role != Role.ADMIN:
        raise RoleNotAllowed(field="invitation_type")
    if not actor.system and role not in invitable_types(actor=actor):
        raise RoleNotAllowed(field="invitation_type")
    return role


def require_somebody_can_join(actor: Actor) -> None:
    """Raise NobodyCanJoin in an organization that is switched off, which platform staff enter all the same."""
    if not actor.organization.is_active:
        raise NobodyCanJoin


def require_proof_for(actor: Actor, *roles: Role, at: datetime) -> None:
    """Raise StepUpRequired where a link that makes somebody run things would go out without a fresh proof of who sends
    it. No key gives one (docs/adr/0015-api-tokens.md): none makes an administrator of the platform."""
    if SHORT_LIVED.intersection(roles):
        actor.require_step_up(at=at)


def optional_name(typed: str, *, field: str) -> str:
    return clean_person_name(typed, field=field) if typed.strip() else ""


def clean_message(typed: str) -> str:
    """Return the note as it is stored and mailed. Raises Malformed when it is too long."""
    message = clean_text(typed)
    if len(message) > MESSAGE_LENGTH:
        raise Malformed(_("Keep the note under 1,000 characters."), code="message_too_long", field="message")
    return message


def known_language(language: str) -> str:
    if language not in dict(settings.LANGUAGES):
        raise Malformed(_("Choose a language from the list."), code="language", field="language")
    return language


def known_hours(hours: int | None) -> int | None:
    if hours is not None and not 1 <= hours <= MAX_HOURS:
        raise Malformed(_("Choose between 1 and 720 hours."), code="expires_in_hours", field="expires_in_hours")
    return hours


def usual_hours(role: Role, policy: InvitationPolicy) -> int:
    """Return how long a link works when nobody chooses (C1): what the organization's policy says, else seven days. For
    those who run things 48 hours, which a policy shortens and never lengthens."""
    if role in SHORT_LIVED:
        return min(SHORT_LIFE_HOURS, policy.hours or SHORT_LIFE_HOURS)
    return policy.hours or settings.INVITATION_TOKEN_EXPIRE_DAYS * 24


def life_of(role: Role, hours: int | None, policy: InvitationPolicy) -> timedelta:
    """How long a link works: 1 to 720 hours by choice, and never longer than the organization's policy, which could be
    passed over otherwise by whoever invites."""
    known_hours(hours)
    if hours and policy.hours and hours > policy.hours:
        raise Malformed(
            _("Your organization lets an invitation work for %(most)d hours at most.") % {"most": policy.hours},
            code="expires_in_hours",
            field="expires_in_hours",
        )
    return timedelta(hours=hours or usual_hours(role, policy))


def within(life: timedelta, policy: InvitationPolicy) -> timedelta:
    """The period of an earlier issue, cut to what the policy has become."""
    return min(life, timedelta(hours=policy.hours)) if policy.hours else life


def require_domain(role: Role, organization: Organization, address: str, policy: InvitationPolicy) -> None:
    """Raise EmailDomainNotAllowed when the policy keeps the address out. It speaks of who joins: a founder's address is
    the founded organization's matter."""
    if takes_seat(role, organization) and not policy.allows(address):
        raise EmailDomainNotAllowed(policy.email_domains, field="email")
