"""Writes on organizations and memberships."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Model
from django.dispatch import Signal
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import Conflict, Malformed, NotFound, NotPermitted, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.names import clean_line, clean_text

from .actor import Actor
from .models import Membership, MembershipStatus, Organization, OrganizationSettings
from .policies import clean_domains, clean_idle_minutes, clean_invitation_hours, in_words, lowers
from .rank import require_may_administer
from .roles import NEVER_ADMINISTRATORS, Capability, OrganizationKind, Role, capabilities
from .seats import free_member_seat, lock_seats
from .selectors import is_platform_administrator

#: Sent inside the transaction in which somebody's last membership in an organization ended, with `membership`, `actor`
#: and `at`. Rooms above react to it: invitations, sessions.
membership_ended = Signal()
#: Sent inside the transaction in which what somebody is in an organization changed and they stay a member, with
#: `membership` (the one given, changed or ended), `actor` and `at`. Who refuses raises a domain error: nothing happens.
roles_changed = Signal()

#: The act in the trail that ends all of somebody's access to an organization; its receipt is read from there.
PERSON_LEFT = "person.left"

SLUG_LENGTH = 60


class LastAdministrator(Conflict):
    """An organization always has somebody who runs it."""

    code = "last_administrator"
    message = _("This person is the only administrator of the organization. Make somebody else an administrator first.")


class AdministrationFixed(Refused):
    """Some roles always administer, some never do."""

    code = "administration_fixed"
    message = _("Administration comes with the role here. To change it, end the membership or invite the person again.")


class AccountInactive(Conflict):
    """The account is switched off: nothing that is about signing in, or running things, makes sense."""

    code = "account_inactive"
    message = _("This account is switched off. Switch it on first.")


class SlugTaken(Conflict):
    """Another organization has it."""

    code = "slug_taken"
    message = _("Another organization has this short name. Choose another one.")


class AlreadyMember(Conflict):
    """The person has this role there already."""

    code = "already_member"
    message = _("This person already has this role in the organization.")


def found_organization(
    *, actor: Actor, name: str, kind: OrganizationKind, parent: Organization, at: datetime
) -> Organization:
    """Create an organization below `parent` on the default plan, for a founder who takes its first seat.

    Two statements: the organization (a trigger keeps the closure table) and its settings. Runs in platform(). Raises
    Malformed for an empty name.
    """
    organization = Organization.objects.create(
        name=clean_name(name), slug=free_slug(name), kind=kind, parent=parent, created_at=at
    )
    OrganizationSettings.objects.create(organization=organization, seats_used=1, updated_at=at)
    audit.record(
        actor=actor,
        action="organization.founded",
        target=organization,
        organization_id=organization.pk,
        detail={"kind": kind, "parent": str(parent.pk)},
    )
    return organization


def clean_name(name: str) -> str:
    """Return an organization's name on one line. Raises Malformed when nothing, or too much, is left, or when it carries
    what no name does."""
    cleaned = clean_line(name, code="organization_name", field="organization_name")
    if not 2 <= len(cleaned) <= 120:
        raise Malformed(
            _("Enter the name of the organization, 2 to 120 characters."),
            code="organization_name",
            field="organization_name",
        )
    return cleaned


def free_slug(name: str) -> str:
    """A readable slug with four random characters, so that it is free without asking and tells nobody which names exist.
    Letters that read alike (0 o, 1 l) are left out."""
    suffix = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _character in range(4))
    return f"{slugify(name)[:SLUG_LENGTH].strip('-') or 'organization'}-{suffix}"


def clean_slug(typed: str) -> str:
    """Return a short name as it stands in addresses. Raises Malformed."""
    slug = typed.strip().lower()
    if slug != slugify(slug).replace("_", "") or not 3 <= len(slug) <= 80:
        raise Malformed(
            _("Use 3 to 80 small letters, digits and hyphens, such as hill-street-clinic."), code="slug", field="slug"
        )
    return slug


def save_unless_taken(organization: Organization, **how: Any) -> None:
    """Save a directory entry. Raises SlugTaken."""
    try:
        with transaction.atomic():
            organization.save(**how)
    except IntegrityError as error:
        if "organization_slug_once" not in str(error):
            raise
        raise SlugTaken(field="slug") from None


def add_membership(
    *,
    actor: Actor,
    user_id: UUID,
    organization: Organization,
    role: Role,
    is_org_admin: bool,
    upline_id: UUID | None,
    invited_by_id: UUID | None,
    at: datetime,
) -> Membership:
    """Make somebody a member. The seat was taken by the invitation, or by founding. An upline that would close a loop is
    left out by the database (S0.14, migration 0005). Raises AlreadyMember."""
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                organization=organization,
                user_id=user_id,
                role=role,
                is_org_admin=is_org_admin,
                upline_id=upline_id,
                invited_by_id=invited_by_id,
                started_at=at,
            )
    except IntegrityError as error:
        if "membership_role_once" in str(error):
            raise AlreadyMember from None
        raise
    audit.record(
        actor=actor,
        action="membership.created",
        target=membership,
        detail={"user": str(user_id), "role": role, "is_org_admin": str(is_org_admin).lower()},
    )
    return membership


def change_administrator(*, actor: Actor, membership_id: UUID, is_org_admin: bool, at: datetime) -> Membership:
    """Make a member an administrator of the organization, which needs a step-up, or no longer one. Raises Outranked,
    AccountInactive, LastAdministrator, and AdministrationFixed on the platform, which its Admins run, and for
    patients."""
    actor.require(Capability.MANAGE_PEOPLE)
    if is_org_admin:
        actor.require_step_up(at=at)
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        membership = locked_membership(actor, membership_id)
        require_may_administer(actor, membership.user)
        if membership.is_org_admin == is_org_admin:
            return membership
        if not can_change_administrator(membership):
            raise AdministrationFixed
        if is_org_admin and not membership.user.is_active:
            raise AccountInactive
        if not is_org_admin:
            require_another_administrator(membership)
        require_still(actor, membership)
        membership.is_org_admin = is_org_admin
        membership.save(update_fields=["is_org_admin"])
        audit.record(
            actor=actor,
            action="membership.administrator_changed",
            target=membership,
            changes={"is_org_admin": [str(not is_org_admin).lower(), str(is_org_admin).lower()]},
            detail={"user": str(membership.user_id)},
        )
    return membership


def can_change_administrator(membership: Membership) -> bool:
    """Say whether administration is given and taken in this membership, or fixed by its role."""
    return membership.organization_id != PLATFORM_ORGANIZATION_ID and membership.role not in NEVER_ADMINISTRATORS


def end_membership(*, actor: Actor, membership_id: UUID, reason: str, at: datetime) -> Membership:
    """End a membership; it stays as history, and the person can be invited again. Raises Outranked,
    LastAdministrator."""
    actor.require(Capability.MANAGE_PEOPLE)
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        membership = locked_membership(actor, membership_id)
        require_may_administer(actor, membership.user)
        end_locked_membership(actor=actor, membership=membership, reason=reason, at=at)
    return membership


def end_locked_membership(*, actor: Actor, membership: Membership, reason: str, at: datetime, **detail: str) -> None:
    """End a membership whose organization and row the caller has locked, and whose rights it has asked for. Raises
    LastAdministrator."""
    if membership.is_org_admin:
        require_another_administrator(membership)
    require_still(actor, membership)
    close_period(membership, at=at)
    audit.record(
        actor=actor,
        action="membership.ended",
        target=membership,
        reason=clean_text(reason),
        detail={"user": str(membership.user_id), "role": membership.role, **detail},
    )
    # Also of somebody who is switched off: what they are here takes a seat all the same.
    others = Membership.objects.filter(
        organization=membership.organization_id, user=membership.user_id, status=MembershipStatus.ACTIVE
    )
    if others.exists():
        roles_changed.send(sender=Membership, membership=membership, actor=actor, at=at)
    else:
        free_member_seat(organization_id=membership.organization_id)
        membership_ended.send(sender=Membership, membership=membership, actor=actor, at=at)


def close_period(membership: Membership, *, at: datetime) -> None:
    """End the period of a membership; the row stays."""
    membership.status = MembershipStatus.ENDED
    membership.ended_at = at
    membership.save(update_fields=["status", "ended_at"])


def locked_membership(actor: Actor, membership_id: UUID) -> Membership:
    """Return an active membership of the actor's organization, locked; the organization comes first. Raises NotFound."""
    membership = (
        Membership.objects.select_for_update(of=("self",), no_key=True)
        .filter(organization=actor.organization, status=MembershipStatus.ACTIVE, pk=membership_id)
        .first()
    )
    if membership is None:
        raise NotFound
    return membership


def require_still(actor: Actor, membership: Membership) -> None:
    """Ask again, behind the lock of the organization, whether the actor may act on somebody else's membership: of two
    administrators who end each other at the same moment one is none any more when it is their turn. Raises
    NotPermitted."""
    if actor.user is None or actor.user_id == membership.user_id:
        return
    held = Membership.objects.active().filter(organization=actor.organization, user=actor.user)
    found = list(held.values_list("role", "is_org_admin"))
    granted = capabilities(
        roles=frozenset(Role(role) for role, _runs in found), is_org_admin=any(runs for _role, runs in found)
    )
    may_act = granted & {Capability.MANAGE_PEOPLE, Capability.REVIEW_ACCESS}
    if not may_act and not is_platform_administrator(actor.user):
        raise NotPermitted


def require_another_administrator(membership: Membership) -> None:
    """The organization is locked, so the answer still holds when the change is written; a trigger holds it beside us."""
    others = Membership.objects.administrators().filter(organization=membership.organization_id)
    if not others.exclude(user=membership.user_id).exists():
        raise LastAdministrator


class Keep(Enum):
    """Says that a value which may be None stays as it is."""

    IT = 1


def update_organization(
    *,
    actor: Actor,
    name: str | None = None,
    slug: str | None = None,
    staff_may_invite: bool | None = None,
    idle_minutes: int | None = None,
    invitation_hours: int | Keep | None = Keep.IT,
    requires_second_factor: bool | None = None,
    email_domains: Sequence[str] | None = None,
    at: datetime,
) -> Organization:
    """Change the name of the actor's organization and what its administrators decide; what is not given stays. Its short
    name stands in everybody's addresses: only who runs all organizations changes that. To make a policy weaker needs a
    step-up, which no key can give.

    Raises Malformed (`organization_name`, `slug`, `idle_minutes`, `invitation_hours`, `email_domains`), SlugTaken,
    StepUpRequired.
    """
    actor.require(Capability.MANAGE_ORGANIZATION)
    named: dict[str, Any] = {}
    if name is not None:
        named["name"] = clean_name(name)
    if slug is not None:
        actor.require(Capability.RUN_ORGANIZATIONS)
        named["slug"] = clean_slug(slug)
    asked: dict[str, Any] = {}
    if staff_may_invite is not None:
        asked["staff_may_invite"] = staff_may_invite
    if idle_minutes is not None:
        asked["idle_minutes"] = clean_idle_minutes(idle_minutes)
    if invitation_hours is not Keep.IT:
        asked["invitation_hours"] = clean_invitation_hours(invitation_hours)
    if requires_second_factor is not None:
        asked["requires_second_factor"] = requires_second_factor
    if email_domains is not None:
        asked["email_domains"] = clean_domains(email_domains)
    with transaction.atomic():
        settings = lock_seats(organization_id=actor.organization_id)
        if any(lowers(policy, getattr(settings, policy), value) for policy, value in asked.items()):
            actor.require_step_up(at=at)
        organization = Organization.objects.select_for_update(no_key=True).get(pk=actor.organization_id)
        changes = _changed(organization, named)
        if changes:
            save_unless_taken(organization, update_fields=[*changes])
        changed = _changed(settings, asked)
        if changed:
            settings.updated_at = at
            settings.save(update_fields=[*changed, "updated_at"])
        if changes or changed:
            audit.record(
                actor=actor,
                action="organization.updated",
                target=organization,
                organization_id=organization.pk,
                changes=changes | changed,
            )
    return organization


def _changed(row: Model, values: dict[str, Any]) -> dict[str, list[str]]:
    """Set what differs, and return before and after as the trail shows them."""
    changes = {}
    for field, value in values.items():
        before = getattr(row, field)
        if before != value:
            setattr(row, field, value)
            changes[field] = [in_words(before), in_words(value)]
    return changes
