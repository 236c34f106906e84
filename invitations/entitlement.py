"""Whether who invited could still invite now: asked at acceptance and at each new link."""

from django.contrib.auth import get_user_model
from django.db import connection

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.policies import InvitationPolicy
from organizations.roles import Role, may_invite

from .errors import InviterNotEntitled
from .models import UserInvitation

#: The memberships by which somebody may invite in an active organization: there, or as platform staff. By hand, since
#: each acceptance asks it and Django takes longer to write it than PostgreSQL to answer (bench/accepting.py).
INVITER = f"""
    SELECT m.organization_id = o.id, m.role, m.is_org_admin, s.staff_may_invite, s.email_domains
    FROM {Organization._meta.db_table} o
    JOIN {OrganizationSettings._meta.db_table} s ON s.organization_id = o.id
    JOIN {Membership._meta.db_table} m ON m.status = 'active'
    JOIN {get_user_model()._meta.db_table} u ON u.id = m.user_id AND u.is_active
    WHERE o.id = %s AND o.state = 'active' AND m.user_id = %s AND m.organization_id IN (o.id, %s)"""


def inviter_is_entitled(invitation: UserInvitation, role: Role | None = None) -> bool:
    """Say whether the organization is active and who invited could still invite for this role there (the invitation's,
    unless another one is asked for): asked again at the end, as it was at the start (domain.md 3). One statement; asked
    in platform(), for a platform administrator's membership stands elsewhere."""
    return _entitlement(invitation, role or Role(invitation.invitation_type)) is not None


def policy_at_acceptance(invitation: UserInvitation) -> InvitationPolicy:
    """Return the organization's policy for whoever joins it now. The same statement; raises InviterNotEntitled."""
    policy = _entitlement(invitation, Role(invitation.invitation_type))
    if policy is None:
        raise InviterNotEntitled
    return policy


def _entitlement(invitation: UserInvitation, role: Role) -> InvitationPolicy | None:
    """Return the policy under which it can be accepted, None when who invited may not invite any more. What the system
    sends is for the platform's own administrators, whose addresses were checked when it was sent."""
    if invitation.invited_by_id is None:
        return InvitationPolicy() if role == Role.ADMIN else None
    with connection.cursor() as cursor:
        cursor.execute(INVITER, [invitation.organization_id, invitation.invited_by_id, PLATFORM_ORGANIZATION_ID])
        rows = cursor.fetchall()
    for is_here, member_role, is_org_admin, staff_may_invite, email_domains in rows:
        if (is_here or member_role == Role.ADMIN) and may_invite(
            Role(member_role), role, is_org_admin=is_org_admin, staff_may_invite=staff_may_invite
        ):
            return InvitationPolicy(email_domains=tuple(email_domains))
    return None
