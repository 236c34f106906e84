"""Somebody leaves an organization, in one step: what it will touch, doing it, and the receipt.

Memberships there, sessions and tokens everywhere, and open invitations end together or not at all. The receipt is read
from the trail, so it can be opened again for as long as the trail is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.delivery import hint_account_mail
from accounts.models import AccountMail, AccountMailKind, SessionEnd, User, UserSession
from accounts.registry import end_sessions_of
from audit import services as audit
from audit.models import AuditEvent
from audit.selectors import acts_on
from healthivr.kernel.errors import Malformed, NotFound
from healthivr.kernel.names import clean_text
from organizations.actor import Actor
from organizations.models import Membership, MembershipStatus
from organizations.rank import require_may_administer
from organizations.roles import Capability, Role
from organizations.seats import lock_seats
from organizations.services import PERSON_LEFT, end_locked_membership, require_another_administrator
from organizations.tenancy import platform

from .adoption import entitled_heir, heirs_for, pass_on
from .models import INVITER_LEFT, UserInvitation
from .services import cancel_invitation
from .terms import require_proof_for
from .withdrawal import invitation_of_member

#: How many of those below somebody in the sales chain are named; all of them are counted.
NAMED_AT_MOST = 50


# --- before ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Leaving:
    """What it will touch when somebody leaves."""

    person: User
    memberships: list[Membership]
    sessions: int
    invitations: list[UserInvitation]
    #: Their own open invitation to another role in the organization. It is cancelled in any case.
    own_invitation: UserInvitation | None
    #: Who may take the invitations over.
    heirs: list[User]
    #: How many stand below the person in the sales chain, wherever they are, and those of them who are in this
    #: organization, whom the actor may see.
    below: int
    below_here: list[User]
    is_last_administrator: bool


def preview_leaving(*, actor: Actor, user_id: UUID, at: datetime) -> Leaving:
    """Return what it will touch when a member leaves the organization. Raises NotPermitted, NotFound."""
    actor.require(Capability.MANAGE_PEOPLE)
    memberships = _memberships(actor, user_id)
    invitations = _open_invitations(actor, user_id, at=at)
    below = _below(user_id)
    here = [person for person, organizations in below.items() if actor.organization_id in organizations]
    others = Membership.objects.administrators().filter(organization=actor.organization).exclude(user=user_id)
    return Leaving(
        person=memberships[0].user,
        memberships=memberships,
        sessions=_live_sessions(user_id, at=at),
        invitations=invitations,
        own_invitation=invitation_of_member(organization_id=actor.organization_id, email=memberships[0].user.email),
        heirs=heirs_for(actor=actor, leaver_id=user_id, roles=_roles_of(invitations)),
        below=len(below),
        below_here=list(User.objects.filter(pk__in=here).order_by("last_name", "first_name", "pk")[:NAMED_AT_MOST]),
        is_last_administrator=any(row.is_org_admin for row in memberships) and not others.exists(),
    )


def _memberships(actor: Actor, user_id: UUID) -> list[Membership]:
    found = list(
        Membership.objects.filter(organization=actor.organization, status=MembershipStatus.ACTIVE, user=user_id)
        .select_related("user")
        .order_by("started_at", "pk")
    )
    if not found:
        raise NotFound
    return found


def _open_invitations(actor: Actor, user_id: UUID, *, at: datetime) -> list[UserInvitation]:
    sent = UserInvitation.objects.open(at=at).filter(organization=actor.organization, invited_by=user_id)
    return list(sent.select_related("organization", "invited_by").order_by("-created_at", "-pk"))


def _roles_of(invitations: Sequence[UserInvitation]) -> set[Role]:
    return {Role(invitation.invitation_type) for invitation in invitations}


def _live_sessions(user_id: UUID, *, at: datetime) -> int:
    return UserSession.objects.live(at=at).filter(user=user_id).count()


def _below(user_id: UUID) -> dict[UUID, set[UUID]]:
    """Return who stands below somebody in the sales chain, and in which organizations they do."""
    table = Membership._meta.db_table
    with platform("who stands below somebody", is_logged=False), connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE below AS ("
            f" SELECT m.user_id, m.organization_id FROM {table} m WHERE m.upline_id = %s AND m.status = 'active'"
            f" UNION SELECT m.user_id, m.organization_id FROM below b"
            f" JOIN {table} m ON m.upline_id = b.user_id AND m.status = 'active')"
            " SELECT user_id, organization_id FROM below WHERE user_id <> %s",
            [user_id, user_id],
        )
        found: dict[UUID, set[UUID]] = {}
        for person, organization in cursor.fetchall():
            found.setdefault(person, set()).add(organization)
    return found


# --- leaving ---------------------------------------------------------------------------------------------------------
def leave_organization(
    *,
    actor: Actor,
    user_id: UUID,
    reason: str,
    hand_over_to: UUID | None = None,
    is_receipt_mailed: bool = True,
    at: datetime,
) -> "Receipt":
    """End all that a member has in the organization: every membership, their sessions and tokens, an open invitation of
    theirs to another role there, and the open invitations that they sent, which are cancelled, or handed over to somebody
    who may invite for all of their roles. Who stands below
    them in the sales chain keeps the upline until a platform administrator changes it.

    The person can be invited again. Raises Malformed, NotFound, Outranked, LastAdministrator, HeirNotEntitled, and
    StepUpRequired for handing over what create_invitation asks for one.
    """
    actor.require(Capability.MANAGE_PEOPLE)
    reason = clean_text(reason)
    if not reason:
        raise Malformed(_("Say why the person leaves."), field="reason")
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        memberships = _memberships(actor, user_id)
        require_may_administer(actor, memberships[0].user)
        for membership in memberships:
            if membership.is_org_admin:
                require_another_administrator(membership)
        # Ends with the last membership (withdrawal.withdraw_from_leaver), also where they sent it themselves, to the
        # address that they have by now.
        own = invitation_of_member(organization_id=actor.organization_id, email=memberships[0].user.email)
        sent = _open_invitations(actor, user_id, at=at)
        invitations = [invitation for invitation in sent if own is None or invitation.pk != own.pk]
        heir = None
        if hand_over_to and invitations:
            roles = _roles_of(invitations)
            require_proof_for(actor, *roles, at=at)
            heir = entitled_heir(actor=actor, leaver_id=user_id, heir_id=hand_over_to, roles=roles)
        for invitation in invitations:  # invitations before people: the lock order of architecture.md 2
            if heir:
                pass_on(actor=actor, invitation=invitation, heir=heir, at=at)
            else:
                cancel_invitation(actor=actor, invitation_id=invitation.pk, reason=INVITER_LEFT, at=at)
        below = len(_below(user_id))
        # Before the memberships, so that the sessions say why they ended: of several, the first leaves roles behind.
        sessions = end_sessions_of(user_id=user_id, reason=SessionEnd.MEMBERSHIP_ENDED, actor=actor, at=at)
        rows = Membership.objects.select_for_update(of=("self",), no_key=True).filter(organization=actor.organization)
        for membership in rows.filter(pk__in=[row.pk for row in memberships]).order_by("pk"):
            end_locked_membership(actor=actor, membership=membership, reason=reason, at=at)
        person = memberships[0].user
        cancelled = [*([] if heir else invitations), *([own] if own else [])]
        handed_over = invitations if heir else []
        audit.record(
            actor=actor,
            action=PERSON_LEFT,
            target=person,
            organization_id=actor.organization_id,
            reason=reason,
            detail={
                "at": at.isoformat(),
                "memberships": ",".join(str(row.pk) for row in memberships),
                "sessions": str(sessions),
                "cancelled": ",".join(str(invitation.pk) for invitation in cancelled),
                "handed_over": ",".join(str(invitation.pk) for invitation in handed_over),
                "heir": str(heir.pk) if heir else "",
                "below": str(below),
            },
        )
        receipt = Receipt(
            person=person,
            at=at,
            by=actor.user,
            reason=reason,
            memberships=memberships,
            sessions=sessions,
            cancelled=cancelled,
            handed_over=handed_over,
            heir=heir,
            below=below,
        )
        if is_receipt_mailed and actor.user and actor.user_id != user_id:
            _mail(actor, actor.user, receipt)
    return receipt


def _mail(actor: Actor, to: User, receipt: "Receipt") -> None:
    """Mail the receipt to who did it: numbers alone, for a mailbox is no place for names."""
    AccountMail.objects.create(
        kind=AccountMailKind.LEAVER_RECEIPT,
        user=to,
        facts={
            "path": reverse("invitations:left", args=[actor.organization.slug, receipt.person.pk]),
            "memberships": len(receipt.memberships),
            "sessions": receipt.sessions,
            "cancelled": len(receipt.cancelled),
            "handed_over": len(receipt.handed_over),
        },
        next_try_at=receipt.at,
        created_at=receipt.at,
    )
    transaction.on_commit(hint_account_mail)


# --- afterwards ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Receipt:
    """What was done when somebody left."""

    person: User
    at: datetime
    by: User | None
    reason: str
    memberships: list[Membership]
    sessions: int
    cancelled: list[UserInvitation]
    handed_over: list[UserInvitation]
    heir: User | None
    below: int


def receipts(*, actor: Actor, user_id: UUID) -> list[Receipt]:
    """Return the receipts of somebody who left the organization, the latest first, as the trail has them. Raises
    NotPermitted, and NotFound where there are none."""
    actor.require(Capability.REVIEW_ACCESS)
    events = acts_on(target_id=str(user_id), organization_id=actor.organization_id, action=PERSON_LEFT)
    person = User.objects.filter(pk=user_id).first()
    if not events or person is None:
        raise NotFound
    wanted = {
        name: {UUID(pk) for event in events for pk in event.detail[name].split(",") if pk}
        for name in ("memberships", "cancelled", "handed_over", "heir")
    }
    people = User.objects.in_bulk([*wanted["heir"], *(event.actor_id for event in events if event.actor_id)])
    rows = Membership.objects.filter(organization=actor.organization).in_bulk(list(wanted["memberships"]))
    sent = UserInvitation.objects.filter(organization=actor.organization).in_bulk(
        list(wanted["cancelled"] | wanted["handed_over"])
    )

    def named(event: AuditEvent, name: str, table: dict[UUID, object]) -> list[object]:
        found = (table.get(UUID(pk)) for pk in event.detail[name].split(",") if pk)
        return [row for row in found if row is not None]

    return [
        Receipt(
            person=person,
            at=datetime.fromisoformat(event.detail["at"]),
            by=people.get(event.actor_id),
            reason=event.reason,
            memberships=named(event, "memberships", rows),  # type: ignore[arg-type]
            sessions=int(event.detail["sessions"]),
            cancelled=named(event, "cancelled", sent),  # type: ignore[arg-type]
            handed_over=named(event, "handed_over", sent),  # type: ignore[arg-type]
            heir=people.get(UUID(event.detail["heir"])) if event.detail["heir"] else None,
            below=int(event.detail["below"]),
        )
        for event in events
    ]
