"""Staff's side of an invitation: create, update, resend, renew, correct, cancel. (The invitee's is acceptance.py.)"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.outbox import WAITING, DeliveryStatus
from audit import services as audit
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import Malformed
from healthivr.kernel.masking import address_digest, mask_email
from healthivr.kernel.names import clean_text
from organizations.actor import Actor
from organizations.agreements.gate import require_agreement
from organizations.policies import InvitationPolicy
from organizations.roles import (
    Role,
)
from organizations.seats import NoSeatLeft, reserve_seat
from organizations.selectors import invitable_types, settings_of
from organizations.services import AlreadyMember
from organizations.tenancy import platform

from .entitlement import inviter_is_entitled
from .errors import (
    DuplicateInvitation,
    OwnAddress,
    RoleNotAllowed,
    SameAddress,
)
from .expiry import expire, expire_overdue
from .lifecycle import advance
from .mailing import copy_delivery_status, mail_new_link, mail_nothing_more, queue_mail, require_may_be_mailed
from .models import (
    ADDRESS_CORRECTED,
    Delivery,
    InvitationHistory,
    Purpose,
    UserInvitation,
)
from .seats import may_start, release, reserve, takes_seat
from .selectors import invitation_to_manage
from .states import Event, IllegalTransition, Status, next_status
from .terms import (
    SHORT_LIVED,
    clean_message,
    invitable_role,
    known_hours,
    known_language,
    life_of,
    optional_name,
    require_domain,
    require_proof_for,
    require_somebody_can_join,
    within,
)
from .tokens import digest_of, new_nonce

Result = TypeVar("Result")


# --- create ----------------------------------------------------------------------------------------------------------
def create_invitation(
    *,
    actor: Actor,
    invitation_type: str,
    email: str,
    first_name: str = "",
    last_name: str = "",
    message: str = "",
    language: str = "en",
    expires_in_hours: int | None = None,
    at: datetime,
) -> UserInvitation:
    """Invite somebody, and queue the mail in the same transaction.

    `expires_in_hours` is 1 to 720, and no more than the organization's policy; without it the policy, or the type's
    default, holds (C1). Inviting somebody who would run things (SHORT_LIVED) needs a step-up, now and at every later
    issue, as giving them the role would. Raises StepUpRequired, Malformed, Refused (`email_look_alike`, `own_address`),
    RoleNotAllowed, BaaRequired, AlreadyMember, EmailDomainNotAllowed, DuplicateInvitation, NoSeatLeft.
    """
    role = invitable_role(actor, invitation_type)
    require_proof_for(actor, role, at=at)
    address = normalise_email(email)
    if actor.user and address == actor.user.email:
        raise OwnAddress(field="email")
    values: dict[str, Any] = {
        "email": address,
        "first_name": optional_name(first_name, field="first_name"),
        "last_name": optional_name(last_name, field="last_name"),
        "message": clean_message(message),
        "language": known_language(language),
    }
    hours = known_hours(expires_in_hours)
    invitation = _unless_overdue_blocks(lambda: _insert(actor, role, values, hours, at=at), actor, address, at=at)
    audit.record(
        actor=actor,
        action="invitation.created",
        target=invitation,
        detail={
            "invitation_type": role,
            "address": mask_email(invitation.email or ""),
            "address_digest": address_digest(invitation.email or ""),
            "expires_at": invitation.expires_at.isoformat(),
        },
    )
    return invitation


def _unless_overdue_blocks(attempt: Callable[[], Result], actor: Actor, address: str, *, at: datetime) -> Result:
    """What blocks an address or a seat may be overdue and merely unswept: record that, and try again. For the address it
    is one row; for a seat as many as it takes, since members' invitations free none."""
    while True:
        try:
            return attempt()
        except DuplicateInvitation:
            overdue = UserInvitation.objects.overdue(at=at).select_related("organization")
            blocking = overdue.filter(organization_id=actor.organization_id, email=address).first()
            if blocking is None or not expire(blocking, at=at):
                raise
        except NoSeatLeft:
            if not expire_overdue(organization_id=actor.organization_id, at=at):
                raise


def _insert(actor: Actor, role: Role, values: dict[str, Any], hours: int | None, *, at: datetime) -> UserInvitation:
    """The three statements of a creation: seat, or where none is taken the settings alone; invitation; delivery."""
    nonce = new_nonce()
    try:
        with transaction.atomic():
            if takes_seat(role, actor.organization):
                seat = reserve_seat(
                    organization_id=actor.organization_id,
                    email=values["email"],
                    role=role,
                    may_start=may_start(actor, role),
                    at=at,
                )
                if role in seat.held:
                    raise AlreadyMember(field="email")
                policy = seat.policy
            else:
                policy = settings_of(actor.organization).invitation_policy
            require_domain(role, actor.organization, values["email"], policy)
            invitation = UserInvitation.objects.create(
                organization=actor.organization,
                invitation_type=role,
                token_nonce=nonce,
                token_hash=digest_of(nonce),
                invited_by=actor.user,  # the person, whom every answer names; the key alone would cost a query
                upline_id=actor.user_id,
                created_at=at,
                updated_at=at,
                expires_at=at + life_of(role, hours, policy),
                **values,
            )
            queue_mail(invitation, at=at)
    except IntegrityError as error:
        if "invitation_one_open_an_address" not in str(error):
            raise
        existing = UserInvitation.objects.filter(
            organization=actor.organization, email=values["email"], status=Status.PENDING
        ).first()
        raise DuplicateInvitation(existing.pk if existing else None) from None
    return invitation


# --- change ----------------------------------------------------------------------------------------------------------
def update_invitation(
    *,
    actor: Actor,
    invitation_id: UUID,
    invitation_type: str | None = None,
    email: str | None = None,
    first_name: str | None = None,
    last_name: str | None = None,
    message: str | None = None,
    language: str | None = None,
    expires_in_hours: int | None = None,
    at: datetime,
) -> UserInvitation:
    """Change an open invitation; None leaves a value as it is.

    A changed role or expiry kills the link and mails a new one. `email` may be the invitation's own, and no other: an
    address is not changed beside anything else, but by `correct_address`. Who changes anything must be allowed to invite
    for the role (architecture.md 4). Raises StepUpRequired, IllegalTransition once it is closed, RoleNotAllowed,
    AlreadyMember, NoSeatLeft, SendLimitReached, AddressBounced, EmailDomainNotAllowed, Malformed.
    """
    with transaction.atomic():
        invitation = invitation_to_manage(actor=actor, invitation_id=invitation_id)
        _require_still_open(invitation, Event.UPDATE, at=at)
        if email is not None and normalise_email(email) != invitation.email:
            raise Malformed(_("Correct the address by itself: send no other change with it."), field="email")
        old_role = Role(invitation.invitation_type)
        is_new_role = invitation_type is not None and invitation_type != old_role
        role = invitable_role(actor, str(invitation_type) if is_new_role else old_role)
        new: dict[str, Any] = {}
        if first_name is not None:
            new["first_name"] = optional_name(first_name, field="first_name")
        if last_name is not None:
            new["last_name"] = optional_name(last_name, field="last_name")
        if message is not None:
            new["message"] = clean_message(message)
        if language is not None:
            new["language"] = known_language(language)
        needs_new_link = is_new_role or expires_in_hours is not None
        if needs_new_link:
            require_proof_for(actor, role, at=at)
            if is_new_role:
                _unless_overdue_blocks(
                    lambda: _move_seat(actor, invitation, old_role, role, at=at), actor, invitation.email or "", at=at
                )
                new["invitation_type"] = str(role.value)
            policy = _policy_for(invitation, role)
            keeps_period = expires_in_hours is None and not (is_new_role and role in SHORT_LIVED)
            life = within(_period(invitation), policy) if keeps_period else life_of(role, expires_in_hours, policy)
            new |= {"expires_at": at + life, **_new_link(actor, invitation, role, at=at)}
        changes = _changes(invitation, new)
        if not changes and not needs_new_link:
            return invitation
        if not advance(invitation, Event.UPDATE, at=at, by_id=actor.user_id, reason=", ".join(sorted(changes)), **new):
            _raise_what_is_true(invitation, at=at)
        if needs_new_link:
            mail_new_link(invitation, at=at)
        audit.record(actor=actor, action="invitation.updated", target=invitation, changes=changes)
    return invitation


def _changes(invitation: UserInvitation, new: dict[str, Any]) -> dict[str, list[str]]:
    """What really changes, with personal data masked."""
    shown = {"invitation_type", "language", "expires_at"}
    hidden = {"first_name", "last_name", "message"}
    return {
        field: [str(getattr(invitation, field)), str(new[field])] if field in shown else ["•••", "•••"]
        for field in new
        if field in shown | hidden and getattr(invitation, field) != new[field]
    }


def _policy_for(invitation: UserInvitation, role: Role) -> InvitationPolicy:
    """Return the policy that a fresh issue has to keep. Raises EmailDomainNotAllowed: it is asked at every issue."""
    policy = settings_of(invitation.organization).invitation_policy
    require_domain(role, invitation.organization, invitation.email or "", policy)
    return policy


def _move_seat(actor: Actor, invitation: UserInvitation, old: Role, new: Role, *, at: datetime) -> None:
    """Give back what the old role took, and take what the new one needs."""
    with transaction.atomic():
        release(invitation, old)
        reserve(actor, invitation, new, at=at)


def _new_link(actor: Actor, invitation: UserInvitation, role: Role, *, at: datetime) -> dict[str, Any]:
    """Columns of a fresh issue. When who invited may not invite for this role any more, the actor adopts the
    invitation (adoption.py): whoever sends it again answers for it, and is the upline."""
    require_may_be_mailed(actor, invitation)
    if takes_seat(role, invitation.organization):
        require_agreement(organization=invitation.organization, at=at, role=role, may_start=may_start(actor, role))
    nonce = new_nonce()
    columns = {"token_nonce": nonce, "token_hash": digest_of(nonce), "delivery_status": DeliveryStatus.QUEUED}
    if actor.user and not _inviter_may_still(invitation, role, at=at):
        note_adoption(actor, invitation, heir_id=actor.user.pk)
        return {**columns, "invited_by_id": actor.user.pk, "upline_id": actor.user.pk}
    return columns


def note_adoption(actor: Actor, invitation: UserInvitation, *, heir_id: UUID) -> None:
    """Note in the trail who answers for an invitation from now on, and who did before."""
    audit.record(
        actor=actor,
        action="invitation.adopted",
        target=invitation,
        changes={"invited_by": [str(invitation.invited_by_id or ""), str(heir_id)]},
    )


def _period(invitation: UserInvitation) -> timedelta:
    """How long the present link lives from its issue: a resend gives the same again."""
    issued = (
        InvitationHistory.objects.filter(
            invitation=invitation, token_hash__isnull=False, event__in=(Event.RESEND, Event.RENEW, Event.UPDATE)
        )
        .order_by("-at")
        .values_list("at", flat=True)
        .first()
    )
    return invitation.expires_at - (issued or invitation.created_at)


def resend_invitation(*, actor: Actor, invitation_id: UUID, at: datetime) -> UserInvitation:
    """Mail a new link with a full new period, as long as the last or what the policy has left of it; earlier links die.
    An expired invitation is renewed.

    Raises IllegalTransition when it is closed, StepUpRequired, AddressBounced, SendLimitReached, EmailDomainNotAllowed.
    """
    with transaction.atomic():
        invitation = invitation_to_manage(actor=actor, invitation_id=invitation_id)
        if invitation.is_expired(at=at):
            return renew_invitation(actor=actor, invitation_id=invitation_id, at=at)
        next_status(Status(invitation.status), Event.RESEND)
        _require_still_entitled(actor, invitation, at=at)
        return _reissue(actor, invitation, Event.RESEND, action="invitation.resent", at=at)


def renew_invitation(*, actor: Actor, invitation_id: UUID, at: datetime) -> UserInvitation:
    """Open an expired invitation again, with a new link, a full new period and a seat.

    Raises IllegalTransition unless it has expired, RoleNotAllowed, StepUpRequired, DuplicateInvitation, NoSeatLeft,
    AlreadyMember, EmailDomainNotAllowed.
    """
    with transaction.atomic():
        invitation = invitation_to_manage(actor=actor, invitation_id=invitation_id)
        if invitation.status == Status.PENDING and invitation.is_expired(at=at):
            expire(invitation, at=at)
        next_status(Status(invitation.status), Event.RENEW)
        _require_still_entitled(actor, invitation, at=at)
        return _unless_overdue_blocks(lambda: _reopen(actor, invitation, at=at), actor, invitation.email or "", at=at)


def _reopen(actor: Actor, invitation: UserInvitation, *, at: datetime) -> UserInvitation:
    try:
        with transaction.atomic():
            reserve(actor, invitation, Role(invitation.invitation_type), at=at)
            return _reissue(actor, invitation, Event.RENEW, action="invitation.renewed", at=at)
    except IntegrityError as error:
        if "invitation_one_open_an_address" not in str(error):
            raise
        existing = UserInvitation.objects.filter(
            organization=invitation.organization, email=invitation.email, status=Status.PENDING
        ).first()
        raise DuplicateInvitation(existing.pk if existing else None) from None


def _reissue(actor: Actor, invitation: UserInvitation, event: Event, *, action: str, at: datetime) -> UserInvitation:
    role = Role(invitation.invitation_type)
    life = within(_period(invitation), _policy_for(invitation, role))
    changes: dict[str, Any] = {"expires_at": at + life, **_new_link(actor, invitation, role, at=at)}
    if not advance(invitation, event, at=at, by_id=actor.user_id, **changes):
        _raise_what_is_true(invitation, at=at)
    mail_new_link(invitation, at=at)
    audit.record(
        actor=actor, action=action, target=invitation, detail={"expires_at": invitation.expires_at.isoformat()}
    )
    return invitation


def _require_still_entitled(actor: Actor, invitation: UserInvitation, *, at: datetime) -> None:
    """Who sends it again must be allowed to send it: rights and proof are asked at every issue, not only at the first."""
    require_somebody_can_join(actor)
    role = Role(invitation.invitation_type)
    if not actor.system and role not in invitable_types(actor=actor):
        raise RoleNotAllowed
    require_proof_for(actor, role, at=at)


def _inviter_may_still(invitation: UserInvitation, role: Role, *, at: datetime) -> bool:
    with platform("is the inviter still entitled"):
        return inviter_is_entitled(invitation, role, at=at)


def mail_again(*, actor: Actor, invitation: UserInvitation, at: datetime) -> None:
    """Queue the present link again, unless that mail is waiting already. Raises AddressBounced, SendLimitReached, and
    IllegalTransition when somebody closed it in this moment."""
    here = UserInvitation.objects.filter(pk=invitation.pk, status=invitation.status, token_hash=invitation.token_hash)
    if not here.select_for_update(no_key=True).exists():
        _raise_what_is_true(invitation, at=at)
    require_may_be_mailed(actor, invitation)
    waiting = Delivery.objects.filter(invitation=invitation, purpose=Purpose.INVITATION, status__in=WAITING)
    if not waiting.exists():
        queue_mail(invitation, at=at)
        copy_delivery_status(invitation, DeliveryStatus.QUEUED)
        audit.record(actor=actor, action="invitation.mailed_again", target=invitation)


def correct_address(*, actor: Actor, invitation_id: UUID, email: str, at: datetime) -> UserInvitation:
    """Cancel an open invitation and send a new one, with the same content, to another address. Returns the new one.

    Raises SameAddress, and what cancel_invitation and create_invitation raise; nothing happens then.
    """
    with transaction.atomic():
        if invitation_to_manage(actor=actor, invitation_id=invitation_id).email == normalise_email(email):
            raise SameAddress(field="email")
        old = cancel_invitation(actor=actor, invitation_id=invitation_id, reason=ADDRESS_CORRECTED, at=at)
        life = within(_period(old), settings_of(actor.organization).invitation_policy)
        hours = max(1, round(life.total_seconds() / 3600))
        return create_invitation(
            actor=actor,
            invitation_type=old.invitation_type,
            email=email,
            first_name=old.first_name,
            last_name=old.last_name,
            message=old.message,
            language=old.language,
            expires_in_hours=hours,
            at=at,
        )


def cancel_invitation(*, actor: Actor, invitation_id: UUID, reason: str = "", at: datetime) -> UserInvitation:
    """Cancel an open invitation: its link dies, its seat is free, mail that has not left does not leave.

    Raises IllegalTransition when it is closed already.
    """
    reason = clean_text(reason)
    with transaction.atomic():
        invitation = invitation_to_manage(actor=actor, invitation_id=invitation_id)
        _require_still_open(invitation, Event.CANCEL, at=at)
        release(invitation, Role(invitation.invitation_type))
        if not advance(invitation, Event.CANCEL, at=at, by_id=actor.user_id, reason=reason):
            _raise_what_is_true(invitation, at=at)
        mail_nothing_more(invitation, at=at)
        audit.record(actor=actor, action="invitation.cancelled", target=invitation, reason=reason)
    return invitation


def _require_still_open(invitation: UserInvitation, event: Event, *, at: datetime) -> None:
    """Overdue and unswept counts as expired: staff and invitee read the same state."""
    next_status(invitation.current_status(at=at), event)


def _raise_what_is_true(invitation: UserInvitation, *, at: datetime) -> None:
    """Somebody was faster: say where it stands now."""
    invitation.refresh_from_db()
    raise IllegalTransition(invitation.current_status(at=at))
