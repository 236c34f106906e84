"""Who may give which role to whom, and giving it (checklist S2.12): one table, organizations/roles.py.

A membership is a role for a period. So a changed role ends one period and begins the next: what somebody was, and until
when, is not overwritten (docs/adr/0017-running-people.md).
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted, Refused
from healthivr.kernel.names import clean_text

from .actor import Actor
from .agreements.gate import require_agreement
from .models import Membership, MembershipStatus
from .rank import require_may_administer
from .roles import NEVER_ADMINISTRATORS, PATIENT_DATA_ROLES, Capability, OrganizationKind, Role, may_grant
from .seats import lock_seats
from .services import (
    AlreadyMember,
    add_membership,
    change_administrator,
    close_period,
    locked_membership,
    require_another_administrator,
    require_still,
    roles_changed,
)


class RoleNotGrantable(NotPermitted):
    """The actor may not give this role, or not take away the one that the person has."""

    code = "role_not_grantable"
    message = _("Your role does not allow you to give this role, or to take away the present one.")


class OwnAccount(Refused):
    """Nobody does this to themselves."""

    code = "own_account"
    message = _("You cannot do this to yourself. Ask another administrator.")


def require_other_person(actor: Actor, user_id: UUID) -> None:
    """Raise OwnAccount for what nobody does to themselves."""
    if actor.user_id == user_id:
        raise OwnAccount


def grantable_roles(*, actor: Actor) -> list[Role]:
    """Return the roles that the actor may give to members of the organization, in the order of the role table."""
    if not actor.has(Capability.MANAGE_PEOPLE):
        return []
    return [role for role in Role if _may_grant(actor, role)]


def can_change_role(*, actor: Actor, membership: Membership) -> bool:
    """Say whether the actor may change the role of a membership at all."""
    return membership.user_id != actor.user_id and Role(membership.role) in grantable_roles(actor=actor)


def _may_grant(actor: Actor, role: Role) -> bool:
    kind = OrganizationKind(actor.organization.kind)
    return may_grant(actor.roles, role, kind, is_org_admin=actor.is_org_admin)


def _known(role: str) -> Role:
    if role not in Role.values:
        raise Malformed(_("Choose a role from the list."), field="role")
    return Role(role)


def _require_agreement(actor: Actor, role: Role, *, has: frozenset[Role], at: datetime) -> None:
    """Demand an agreement in force for who would begin to work with patients' data. Raises BaaRequired."""
    if not has & PATIENT_DATA_ROLES:
        require_agreement(organization=actor.organization, role=role, at=at)


def change_role(*, actor: Actor, membership_id: UUID, role: str, reason: str = "", at: datetime) -> Membership:
    """Change what a member is. The old period ends, a new one begins at the same moment, with the administrator's flag
    where the new role can carry it; the seat stays. Returns the new membership, or the present one for its own role.

    Needs a step-up. Raises Malformed, NotFound, OwnAccount, Outranked, RoleNotGrantable, BaaRequired, AlreadyMember,
    LastAdministrator.
    """
    actor.require(Capability.MANAGE_PEOPLE)
    actor.require_step_up(at=at)
    new_role = _known(role)
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        old = locked_membership(actor, membership_id)
        require_other_person(actor, old.user_id)
        require_may_administer(actor, old.user)
        old_role = Role(old.role)
        if not (_may_grant(actor, old_role) and _may_grant(actor, new_role)):
            raise RoleNotGrantable(field="role")
        if new_role == old_role:
            return old
        _require_agreement(actor, new_role, has=frozenset({old_role}), at=at)
        is_org_admin = new_role == Role.ADMIN or (
            old.is_org_admin and new_role not in NEVER_ADMINISTRATORS and not actor.organization.is_platform
        )
        if old.is_org_admin and not is_org_admin:
            require_another_administrator(old)
        require_still(actor, old)
        here = Membership.objects.active().filter(organization=old.organization_id, user=old.user_id)
        if here.filter(role=new_role).exists():
            raise AlreadyMember(field="role")
        close_period(old, at=at)
        new = Membership.objects.create(
            organization_id=old.organization_id,
            user_id=old.user_id,
            role=new_role,
            is_org_admin=is_org_admin,
            upline_id=old.upline_id,
            invited_by_id=old.invited_by_id,
            started_at=at,
        )
        changes = {"role": [str(old_role.value), str(new_role.value)]}
        if old.is_org_admin != is_org_admin:
            changes["is_org_admin"] = [str(old.is_org_admin).lower(), str(is_org_admin).lower()]
        audit.record(
            actor=actor,
            action="membership.role_changed",
            target=new,
            changes=changes,
            detail={"user": str(old.user_id), "ended": str(old.pk)},
            reason=clean_text(reason),
        )
        roles_changed.send(sender=Membership, membership=new, actor=actor, at=at)
    return new


def grant_role(*, actor: Actor, user_id: UUID, role: str, at: datetime) -> Membership:
    """Give a member a further role beside those they have, such as privacy officer. It takes no seat.

    Needs a step-up. Raises Malformed, NotFound, OwnAccount, Outranked, RoleNotGrantable, BaaRequired, AlreadyMember.
    """
    actor.require(Capability.MANAGE_PEOPLE)
    actor.require_step_up(at=at)
    new_role = _known(role)
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        here = list(
            Membership.objects.active()
            .filter(organization=actor.organization_id, user=user_id)
            .select_related("user")
            .order_by("pk")
        )
        if not here:
            raise NotFound
        require_other_person(actor, user_id)
        require_may_administer(actor, here[0].user)
        if not _may_grant(actor, new_role):
            raise RoleNotGrantable(field="role")
        held = frozenset(Role(membership.role) for membership in here)
        _require_agreement(actor, new_role, has=held, at=at)
        membership = add_membership(
            actor=actor,
            user_id=user_id,
            organization=actor.organization,
            role=new_role,
            is_org_admin=new_role == Role.ADMIN,
            upline_id=None,
            invited_by_id=actor.user_id,
            at=at,
        )
        roles_changed.send(sender=Membership, membership=membership, actor=actor, at=at)
    return membership


def update_member(
    *,
    actor: Actor,
    user_id: UUID,
    role: str | None = None,
    is_org_admin: bool | None = None,
    membership_id: UUID | None = None,
    reason: str = "",
    at: datetime,
) -> Membership:
    """Change what a member is: the role, whether they administer, or both; None leaves it. `membership_id` says which
    membership, of somebody with several. Raises Malformed, NotFound, and what change_role and change_administrator
    raise; nothing happens then."""
    actor.require(Capability.MANAGE_PEOPLE)
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        held = Membership.objects.filter(organization=actor.organization, status=MembershipStatus.ACTIVE, user=user_id)
        found = list(held.filter(pk=membership_id) if membership_id else held[:2])
        if not found:
            raise NotFound
        if len(found) > 1:
            raise Malformed(
                _("This person has several roles here. Say which membership you mean."), field="membership_id"
            )
        membership = found[0]
        if role is not None:
            membership = change_role(actor=actor, membership_id=membership.pk, role=role, reason=reason, at=at)
        if is_org_admin is not None:
            membership = change_administrator(
                actor=actor, membership_id=membership.pk, is_org_admin=is_org_admin, at=at
            )
    return membership
