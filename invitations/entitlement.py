"""Whether who invited could still invite now, and whether the organization may take in whom they invited: asked at
acceptance and at each new link."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import BooleanField, F, Func, Q

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.agreements.gate import IN_FORCE, AgreementMissing, role_needs_agreement, run_by_nobody
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.policies import InvitationPolicy
from organizations.roles import OrganizationKind, Role, founds_organization, may_invite, starts_organization

from .errors import InviterNotEntitled
from .models import UserInvitation

#: The memberships by which somebody may invite in an active organization: there, or as platform staff. By hand, since
#: each acceptance asks it and Django takes longer to write it than PostgreSQL to answer (bench/accepting.py).
INVITER = f"""
    SELECT m.organization_id = o.id, m.role, m.is_org_admin, s.staff_may_invite, s.email_domains,
        {IN_FORCE.format(organization="o.id")}, {run_by_nobody("o.id")}
    FROM {Organization._meta.db_table} o
    JOIN {OrganizationSettings._meta.db_table} s ON s.organization_id = o.id
    JOIN {Membership._meta.db_table} m ON m.status = 'active'
    JOIN {get_user_model()._meta.db_table} u ON u.id = m.user_id AND u.is_active
    WHERE o.id = %s AND o.state = 'active' AND m.user_id = %s AND m.organization_id IN (o.id, %s)"""


@dataclass(frozen=True)
class Terms:
    """On what terms an invitation can be accepted now."""

    policy: InvitationPolicy
    has_agreement: bool = False
    #: Whether who accepts is the first who runs the organization: the platform invited a role that does, and nobody runs
    #: it.
    starts: bool = False


def inviter_is_entitled(invitation: UserInvitation, role: Role | None = None, *, at: datetime) -> bool:
    """Say whether the organization is active and who invited could still invite for this role there (the invitation's,
    unless another one is asked for): asked again at the end, as it was at the start (domain.md 3). One statement; asked
    in platform(), for a platform administrator's membership stands elsewhere."""
    return _entitlement(invitation, role or Role(invitation.invitation_type), at=at) is not None


def terms_at_acceptance(invitation: UserInvitation, *, at: datetime) -> Terms:
    """Return the terms for whoever joins the organization now. The same statement; raises InviterNotEntitled, and
    AgreementMissing where no agreement lets anybody join for work with patients' data. Who founds an organization is
    exempt, and who is the first to run one: its agreement comes right after."""
    role = Role(invitation.invitation_type)
    found = _entitlement(invitation, role, at=at)
    if found is None:
        raise InviterNotEntitled
    founds = founds_organization(role, OrganizationKind(invitation.organization.kind))
    if role_needs_agreement(role) and not (founds or found.has_agreement or found.starts):
        raise AgreementMissing
    return found


def _entitlement(invitation: UserInvitation, role: Role, *, at: datetime) -> Terms | None:
    """Return the terms on which it can be accepted, None when who invited may not invite any more. What
    the system sends is for the platform's own administrators, whose addresses were checked when it was sent."""
    if invitation.invited_by_id is None:
        return Terms(InvitationPolicy()) if role == Role.ADMIN else None
    with connection.cursor() as cursor:
        cursor.execute(
            INVITER, [at, at, invitation.organization_id, invitation.invited_by_id, PLATFORM_ORGANIZATION_ID]
        )
        rows = cursor.fetchall()
    is_platform_staff = any(member_role == Role.ADMIN for _is_here, member_role, *_rest in rows)
    starts = is_platform_staff and starts_organization(role) and not invitation.organization.is_platform
    for is_here, member_role, is_org_admin, staff_may_invite, domains, has_agreement, is_run_by_nobody in rows:
        if (is_here or member_role == Role.ADMIN) and may_invite(
            Role(member_role), role, is_org_admin=is_org_admin, staff_may_invite=staff_may_invite
        ):
            policy = InvitationPolicy(email_domains=tuple(domains))
            return Terms(policy, has_agreement, starts=starts and is_run_by_nobody)
    return None


#: Who has sent which types that are still open. A walk from one pair to the next in the index invitation_open_inviter:
#: DISTINCT would read every open invitation, of which an organization may have many thousands.
SENT_BY_WHOM = f"""
    WITH RECURSIVE sent AS (
        (SELECT invited_by_id, invitation_type FROM {UserInvitation._meta.db_table}
            WHERE organization_id = %s AND status = 'pending' AND invited_by_id IS NOT NULL
            ORDER BY invited_by_id, invitation_type LIMIT 1)
        UNION ALL
        SELECT later.invited_by_id, later.invitation_type FROM sent CROSS JOIN LATERAL (
            SELECT i.invited_by_id, i.invitation_type FROM {UserInvitation._meta.db_table} i
            WHERE i.organization_id = %s AND i.status = 'pending'
                AND (i.invited_by_id, i.invitation_type) > (sent.invited_by_id, sent.invitation_type)
            ORDER BY i.invited_by_id, i.invitation_type LIMIT 1) later
    ) SELECT invited_by_id, invitation_type FROM sent"""


def _sent_by_whom(organization: Organization) -> set[tuple[UUID, str]]:
    with connection.cursor() as cursor:
        cursor.execute(SENT_BY_WHOM, [organization.pk, organization.pk])
        return set(cursor.fetchall())


def orphans(*, organization: Organization, of: UserInvitation | None = None) -> Q:
    """Return the condition for open invitations of an organization that nobody can accept, for who sent them may not
    invite any more: they wait for somebody entitled to adopt them. The same rule as `inviter_is_entitled`, asked of all
    inviters at once, or of that of one invitation; four statements, however many there are."""
    if of:
        sent = {(of.invited_by_id, of.invitation_type)} if of.invited_by_id else set()
    else:
        sent = _sent_by_whom(organization)
    if not sent:
        return Q(pk__in=[])
    inviters = get_user_model().objects.filter(pk__in={inviter for inviter, _type in sent}, is_active=True)
    is_staff = Func(F("pk"), function="is_platform_administrator", output_field=BooleanField())
    staff = set(inviters.annotate(is_staff=is_staff).filter(is_staff=True).values_list("pk", flat=True))
    held = list(
        Membership.objects.active()
        .filter(organization=organization, user__in=inviters)
        .values_list("user", "role", "is_org_admin")
    )
    staff_may_invite = OrganizationSettings.objects.values_list("staff_may_invite", flat=True).get(
        organization=organization
    )

    def is_entitled(inviter: UUID, wanted: Role) -> bool:
        if inviter in staff and may_invite(Role.ADMIN, wanted):
            return True
        return any(
            user == inviter
            and may_invite(Role(role), wanted, is_org_admin=is_org_admin, staff_may_invite=staff_may_invite)
            for user, role, is_org_admin in held
        )

    condition = Q(pk__in=[])
    for inviter, invitation_type in sent:
        if not is_entitled(inviter, Role(invitation_type)):
            condition |= Q(invited_by=inviter, invitation_type=invitation_type)
    return condition
