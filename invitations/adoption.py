"""Open invitations of somebody who may not invite any more: they cannot be accepted until somebody entitled adopts them
(domain.md 3.1). The link, its end and its seat stay; who answers for it changes, and with that the upline, which is
whoever invites."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.models import User
from organizations.actor import Actor
from organizations.models import Membership
from organizations.roles import INVITABLE_BY, Role, may_invite
from organizations.selectors import invitable_types, settings_of
from organizations.tenancy import platform

from .entitlement import inviter_is_entitled
from .errors import HeirNotEntitled, InviterStillEntitled, RoleNotAllowed
from .lifecycle import advance
from .models import UserInvitation
from .selectors import invitation_to_manage
from .services import note_adoption
from .states import Event, IllegalTransition, next_status
from .terms import require_proof_for


def adopt_invitation(*, actor: Actor, invitation_id: UUID, at: datetime) -> UserInvitation:
    """Answer from now on for an open invitation whose inviter may not invite any more.

    Raises IllegalTransition once it is closed, RoleNotAllowed, StepUpRequired, InviterStillEntitled.
    """
    with transaction.atomic():
        invitation = invitation_to_manage(actor=actor, invitation_id=invitation_id)
        next_status(invitation.current_status(at=at), Event.ADOPT)
        if Role(invitation.invitation_type) not in invitable_types(actor=actor) or actor.user is None:
            raise RoleNotAllowed
        require_proof_for(actor, Role(invitation.invitation_type), at=at)
        with platform("is the inviter still entitled"):
            is_entitled = inviter_is_entitled(invitation, at=at)
        if is_entitled:
            raise InviterStillEntitled
        return pass_on(actor=actor, invitation=invitation, heir=actor.user, at=at)


def pass_on(*, actor: Actor, invitation: UserInvitation, heir: User, at: datetime) -> UserInvitation:
    """Make `heir`, who may invite for it, answer for an open invitation. Raises IllegalTransition when it was closed in
    this moment."""
    note_adoption(actor, invitation, heir_id=heir.pk)
    moved = advance(invitation, Event.ADOPT, at=at, by_id=actor.user_id, invited_by_id=heir.pk, upline_id=heir.pk)
    if not moved:
        invitation.refresh_from_db()
        raise IllegalTransition(invitation.current_status(at=at))
    return invitation


def heirs_for(*, actor: Actor, leaver_id: UUID, roles: set[Role]) -> list[User]:
    """Return who could take over open invitations for some roles from somebody who leaves: colleagues who may invite for
    each of them, and the actor, by name."""
    if not roles:
        return []
    staff_may_invite = settings_of(actor.organization).staff_may_invite
    members = Membership.objects.active().filter(organization=actor.organization).exclude(user=leaver_id)
    able: dict[UUID, set[Role]] = {}
    people: dict[UUID, User] = {}
    for member in members.select_related("user"):
        people[member.user_id] = member.user
        able.setdefault(member.user_id, set()).update(
            role
            for role in roles
            if may_invite(Role(member.role), role, is_org_admin=member.is_org_admin, staff_may_invite=staff_may_invite)
        )
    if actor.user and actor.is_platform_staff and actor.user_id != leaver_id:
        people[actor.user.pk], able[actor.user.pk] = actor.user, roles & INVITABLE_BY[Role.ADMIN]
    entitled = [user for user_id, user in people.items() if able[user_id] == roles]
    return sorted(entitled, key=lambda user: (user.last_name, user.first_name, user.pk))


def entitled_heir(*, actor: Actor, leaver_id: UUID, heir_id: UUID, roles: set[Role]) -> User:
    """Return who takes over, having asked whether they may invite for every role. Raises HeirNotEntitled."""
    for heir in heirs_for(actor=actor, leaver_id=leaver_id, roles=roles):
        if heir.pk == heir_id:
            return heir
    raise HeirNotEntitled(field="hand_over_to")
