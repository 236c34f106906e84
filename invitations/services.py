"""Staff's side of an invitation: create, update, resend, renew, cancel, expire. (The invitee's is acceptance.py.)"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.outbox import WAITING, DeliveryStatus
from accounts.services import clean_person_name
from audit import services as audit
from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import Malformed
from healthivr.kernel.masking import address_digest, mask_email
from healthivr.kernel.names import clean_text
from organizations.actor import Actor
from organizations.agreements.gate import require_agreement
from organizations.models import Membership, Organization
from organizations.policies import EmailDomainNotAllowed, InvitationPolicy
from organizations.roles import (
    INVITATION_TYPES,
    Capability,
    OrganizationKind,
    Role,
    founds_organization,
    starts_organization,
)
from organizations.seats import NoSeatLeft, lock_free_seats, lock_seats, release_seat, reserve_seat
from organizations.selectors import invitable_types, settings_of, system_actor
from organizations.services import AlreadyMember
from organizations.tenancy import platform

from .delivery import hint_relay
from .entitlement import inviter_is_entitled
from .errors import (
    AddressBounced,
    DuplicateInvitation,
    NobodyCanJoin,
    OwnAddress,
    RoleNotAllowed,
    SameAddress,
    SendLimitReached,
)
from .lifecycle import advance
from .models import (
    ADDRESS_CORRECTED,
    INVITEE_LEFT,
    INVITEE_MOVED,
    Channel,
    Delivery,
    InvitationHistory,
    Purpose,
    UserInvitation,
)
from .selectors import invitation_to_manage
from .states import Event, IllegalTransition, Status, next_status
from .tokens import digest_of, new_nonce

SHORT_LIVED = frozenset({Role.ADMIN, Role.CHP_ADMIN})
SHORT_LIFE_HOURS = 48
MAX_HOURS = 720
MAX_SENDS = 10
MESSAGE_LENGTH = 1000
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
    role = _invitable_role(actor, invitation_type)
    require_proof_for(actor, role, at=at)
    address = normalise_email(email)
    if actor.user and address == actor.user.email:
        raise OwnAddress(field="email")
    values: dict[str, Any] = {
        "email": address,
        "first_name": _optional_name(first_name, field="first_name"),
        "last_name": _optional_name(last_name, field="last_name"),
        "message": clean_message(message),
        "language": _known_language(language),
    }
    hours = _known_hours(expires_in_hours)
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
            if blocking is None or not _expire(blocking, at=at):
                raise
        except NoSeatLeft:
            if not expire_overdue(organization_id=actor.organization_id, at=at):
                raise


def _insert(actor: Actor, role: Role, values: dict[str, Any], hours: int | None, *, at: datetime) -> UserInvitation:
    """The three statements of a creation: seat, or where none is taken the settings alone; invitation; delivery."""
    nonce = new_nonce()
    try:
        with transaction.atomic():
            if _takes_seat(role, actor.organization):
                seat = reserve_seat(
                    organization_id=actor.organization_id,
                    email=values["email"],
                    role=role,
                    may_start=_may_start(actor, role),
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
                expires_at=at + _life(role, hours, policy),
                **values,
            )
            _queue(invitation, at=at)
    except IntegrityError as error:
        if "invitation_one_open_an_address" not in str(error):
            raise
        existing = UserInvitation.objects.filter(
            organization=actor.organization, email=values["email"], status=Status.PENDING
        ).first()
        raise DuplicateInvitation(existing.pk if existing else None) from None
    return invitation


def _queue(invitation: UserInvitation, *, at: datetime) -> None:
    """Write the mail as a row of this transaction; a worker takes it from there."""
    Delivery.objects.create(
        organization_id=invitation.organization_id,
        invitation=invitation,
        channel=Channel.EMAIL,
        purpose=Purpose.INVITATION,
        next_try_at=at,
        created_at=at,
    )
    transaction.on_commit(hint_relay)


def _may_start(actor: Actor, role: Role) -> bool:
    """Say whether the actor may bring the first person, who runs it then, into an organization before its agreement: the
    platform's administrators, and the invitee's own wish for a new link, whose inviter was asked for
    (`terms_at_acceptance`)."""
    return starts_organization(role) and (actor.is_platform_staff or bool(actor.system))


def _takes_seat(role: Role, organization: Organization) -> bool:
    """Who founds an organization takes no seat of the sender."""
    return not founds_organization(role, OrganizationKind(organization.kind))


# --- what a value may be ---------------------------------------------------------------------------------------------
def _invitable_role(actor: Actor, invitation_type: str) -> Role:
    actor.require(Capability.INVITE)
    _require_somebody_can_join(actor)
    if invitation_type not in INVITATION_TYPES:
        raise Malformed(_("Choose a role from the list."), code="invitation_type", field="invitation_type")
    role = Role(invitation_type)
    if actor.system and role != Role.ADMIN:
        raise RoleNotAllowed(field="invitation_type")
    if not actor.system and role not in invitable_types(actor=actor):
        raise RoleNotAllowed(field="invitation_type")
    return role


def _require_somebody_can_join(actor: Actor) -> None:
    """Raise NobodyCanJoin in an organization that is switched off, which platform staff enter all the same."""
    if not actor.organization.is_active:
        raise NobodyCanJoin


def require_proof_for(actor: Actor, *roles: Role, at: datetime) -> None:
    """Raise StepUpRequired where a link that makes somebody run things would go out without a fresh proof of who sends
    it. No key gives one (docs/adr/0015-api-tokens.md): none makes an administrator of the platform."""
    if SHORT_LIVED.intersection(roles):
        actor.require_step_up(at=at)


def _optional_name(typed: str, *, field: str) -> str:
    return clean_person_name(typed, field=field) if typed.strip() else ""


def clean_message(typed: str) -> str:
    """Return the note as it is stored and mailed. Raises Malformed when it is too long."""
    message = clean_text(typed)
    if len(message) > MESSAGE_LENGTH:
        raise Malformed(_("Keep the note under 1,000 characters."), code="message_too_long", field="message")
    return message


def _known_language(language: str) -> str:
    if language not in dict(settings.LANGUAGES):
        raise Malformed(_("Choose a language from the list."), code="language", field="language")
    return language


def _known_hours(hours: int | None) -> int | None:
    if hours is not None and not 1 <= hours <= MAX_HOURS:
        raise Malformed(_("Choose between 1 and 720 hours."), code="expires_in_hours", field="expires_in_hours")
    return hours


def usual_hours(role: Role, policy: InvitationPolicy) -> int:
    """Return how long a link works when nobody chooses (C1): what the organization's policy says, else seven days. For
    those who run things 48 hours, which a policy shortens and never lengthens."""
    if role in SHORT_LIVED:
        return min(SHORT_LIFE_HOURS, policy.hours or SHORT_LIFE_HOURS)
    return policy.hours or settings.INVITATION_TOKEN_EXPIRE_DAYS * 24


def _life(role: Role, hours: int | None, policy: InvitationPolicy) -> timedelta:
    """How long a link works: 1 to 720 hours by choice, and never longer than the organization's policy, which could be
    passed over otherwise by whoever invites."""
    _known_hours(hours)
    if hours and policy.hours and hours > policy.hours:
        raise Malformed(
            _("Your organization lets an invitation work for %(most)d hours at most.") % {"most": policy.hours},
            code="expires_in_hours",
            field="expires_in_hours",
        )
    return timedelta(hours=hours or usual_hours(role, policy))


def _within(life: timedelta, policy: InvitationPolicy) -> timedelta:
    """The period of an earlier issue, cut to what the policy has become."""
    return min(life, timedelta(hours=policy.hours)) if policy.hours else life


def require_domain(role: Role, organization: Organization, address: str, policy: InvitationPolicy) -> None:
    """Raise EmailDomainNotAllowed when the policy keeps the address out. It speaks of who joins: a founder's address is
    the founded organization's matter."""
    if _takes_seat(role, organization) and not policy.allows(address):
        raise EmailDomainNotAllowed(policy.email_domains, field="email")


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
        role = _invitable_role(actor, str(invitation_type) if is_new_role else old_role)
        new: dict[str, Any] = {}
        if first_name is not None:
            new["first_name"] = _optional_name(first_name, field="first_name")
        if last_name is not None:
            new["last_name"] = _optional_name(last_name, field="last_name")
        if message is not None:
            new["message"] = clean_message(message)
        if language is not None:
            new["language"] = _known_language(language)
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
            life = _within(_period(invitation), policy) if keeps_period else _life(role, expires_in_hours, policy)
            new |= {"expires_at": at + life, **_new_link(actor, invitation, role, at=at)}
        changes = _changes(invitation, new)
        if not changes and not needs_new_link:
            return invitation
        if not advance(invitation, Event.UPDATE, at=at, by_id=actor.user_id, reason=", ".join(sorted(changes)), **new):
            _raise_what_is_true(invitation, at=at)
        if needs_new_link:
            _mail_new_link(invitation, at=at)
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
        _release(invitation, old)
        _reserve(actor, invitation, new, at=at)


def _new_link(actor: Actor, invitation: UserInvitation, role: Role, *, at: datetime) -> dict[str, Any]:
    """Columns of a fresh issue. When who invited may not invite for this role any more, the actor adopts the
    invitation (adoption.py): whoever sends it again answers for it, and is the upline."""
    _require_may_be_mailed(actor, invitation)
    if _takes_seat(role, invitation.organization):
        require_agreement(organization=invitation.organization, at=at, role=role, may_start=_may_start(actor, role))
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


def _require_may_be_mailed(actor: Actor, invitation: UserInvitation) -> None:
    """Half of the sends are for staff alone: whoever holds a link and asks for another cannot use those up."""
    if invitation.delivery_status == DeliveryStatus.BOUNCED:
        raise AddressBounced
    if invitation.send_count >= MAX_SENDS:
        raise SendLimitReached
    if actor.user is None and invitation.send_count >= MAX_SENDS // 2:
        raise SendLimitReached(_("This invitation was mailed often enough. Ask the organization to send it again."))


def _mail_new_link(invitation: UserInvitation, *, at: datetime) -> None:
    """Queue the mail of a fresh issue; mails of the old one that have not left are dropped. Only after the invitation
    has moved: whoever changes both locks the invitation first."""
    _drop_waiting_mail(invitation, at=at)
    _queue(invitation, at=at)


def _drop_waiting_mail(invitation: UserInvitation, *, at: datetime) -> bool:
    """Close what no worker holds, and say whether there was any. What one is sending this very moment is the worker's to
    close: it asks again before each mail, and says `sent` of what had left."""
    waiting = Delivery.objects.filter(invitation=invitation, purpose=Purpose.INVITATION, status=DeliveryStatus.QUEUED)
    return bool(waiting.update(status=DeliveryStatus.CANCELLED, finished_at=at))


def _mail_nothing_more(invitation: UserInvitation, *, at: datetime) -> None:
    """Drop the mail of an invitation that is closed now. Like _mail_new_link, only after it has moved."""
    if _drop_waiting_mail(invitation, at=at):
        _copy_delivery_status(invitation, DeliveryStatus.CANCELLED)


def _copy_delivery_status(invitation: UserInvitation, status: DeliveryStatus) -> None:
    """An invitation shows the state of its newest delivery (domain.md 2.2, column 17)."""
    UserInvitation.objects.filter(pk=invitation.pk).update(delivery_status=status)
    invitation.delivery_status = status


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
            _expire(invitation, at=at)
        next_status(Status(invitation.status), Event.RENEW)
        _require_still_entitled(actor, invitation, at=at)
        return _unless_overdue_blocks(lambda: _reopen(actor, invitation, at=at), actor, invitation.email or "", at=at)


def _reopen(actor: Actor, invitation: UserInvitation, *, at: datetime) -> UserInvitation:
    try:
        with transaction.atomic():
            _reserve(actor, invitation, Role(invitation.invitation_type), at=at)
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
    life = _within(_period(invitation), _policy_for(invitation, role))
    changes: dict[str, Any] = {"expires_at": at + life, **_new_link(actor, invitation, role, at=at)}
    if not advance(invitation, event, at=at, by_id=actor.user_id, **changes):
        _raise_what_is_true(invitation, at=at)
    _mail_new_link(invitation, at=at)
    audit.record(
        actor=actor, action=action, target=invitation, detail={"expires_at": invitation.expires_at.isoformat()}
    )
    return invitation


def _require_still_entitled(actor: Actor, invitation: UserInvitation, *, at: datetime) -> None:
    """Who sends it again must be allowed to send it: rights and proof are asked at every issue, not only at the first."""
    _require_somebody_can_join(actor)
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
    _require_may_be_mailed(actor, invitation)
    waiting = Delivery.objects.filter(invitation=invitation, purpose=Purpose.INVITATION, status__in=WAITING)
    if not waiting.exists():
        _queue(invitation, at=at)
        _copy_delivery_status(invitation, DeliveryStatus.QUEUED)
        audit.record(actor=actor, action="invitation.mailed_again", target=invitation)


def correct_address(*, actor: Actor, invitation_id: UUID, email: str, at: datetime) -> UserInvitation:
    """Cancel an open invitation and send a new one, with the same content, to another address. Returns the new one.

    Raises SameAddress, and what cancel_invitation and create_invitation raise; nothing happens then.
    """
    with transaction.atomic():
        if invitation_to_manage(actor=actor, invitation_id=invitation_id).email == normalise_email(email):
            raise SameAddress(field="email")
        old = cancel_invitation(actor=actor, invitation_id=invitation_id, reason=ADDRESS_CORRECTED, at=at)
        life = _within(_period(old), settings_of(actor.organization).invitation_policy)
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
        _release(invitation, Role(invitation.invitation_type))
        if not advance(invitation, Event.CANCEL, at=at, by_id=actor.user_id, reason=reason):
            _raise_what_is_true(invitation, at=at)
        _mail_nothing_more(invitation, at=at)
        audit.record(actor=actor, action="invitation.cancelled", target=invitation, reason=reason)
    return invitation


def _reserve(actor: Actor, invitation: UserInvitation, role: Role, *, at: datetime) -> None:
    """Take the seat of an invitation for `role`. Raises NoSeatLeft, BaaRequired, and AlreadyMember when its owner has the
    role."""
    if _takes_seat(role, invitation.organization):
        seat = reserve_seat(
            organization_id=invitation.organization_id,
            email=invitation.email or "",
            role=role,
            may_start=_may_start(actor, role),
            at=at,
        )
        if role in seat.held:
            raise AlreadyMember


def _release(invitation: UserInvitation, role: Role) -> None:
    """Give the seat of an invitation for `role` back."""
    if _takes_seat(role, invitation.organization):
        release_seat(organization_id=invitation.organization_id, email=invitation.email or "")


def _require_still_open(invitation: UserInvitation, event: Event, *, at: datetime) -> None:
    """Overdue and unswept counts as expired: staff and invitee read the same state."""
    next_status(invitation.current_status(at=at), event)


def _raise_what_is_true(invitation: UserInvitation, *, at: datetime) -> None:
    """Somebody was faster: say where it stands now."""
    invitation.refresh_from_db()
    raise IllegalTransition(invitation.current_status(at=at))


# --- expiry ----------------------------------------------------------------------------------------------------------
def expire_overdue(*, organization_id: UUID | None = None, limit: int = 200, at: datetime) -> int:
    """Record that overdue invitations have expired, and free their seats; of one organization, or of all in platform().

    Safe to run twice and beside itself: rows that somebody else holds are left to the next run, and so are whole
    organizations when all are swept, so that one that is busy holds up no other. Returns how many.
    """
    overdue = UserInvitation.objects.overdue(at=at)
    with transaction.atomic():  # seats first, then rows: the lock order of architecture.md 2
        if organization_id:
            lock_seats(organization_id=organization_id)
            organizations = [organization_id]
        else:
            organizations = lock_free_seats(organizations=overdue.order_by().values("organization_id"), limit=limit)
        rows = (
            overdue.filter(organization_id__in=organizations)
            .select_related("organization")
            .select_for_update(of=("self",), no_key=True, skip_locked=True)
            .order_by("organization_id", "pk")[:limit]
        )
        return sum(_expire(invitation, at=at) for invitation in list(rows))


def _expire(invitation: UserInvitation, *, at: datetime) -> bool:
    """Seat first, then the row. A row that moved meanwhile gives its seat back."""
    with transaction.atomic():
        _release(invitation, Role(invitation.invitation_type))
        if not advance(invitation, Event.EXPIRE, at=at, by_id=None):
            transaction.set_rollback(True)
            return False
        _mail_nothing_more(invitation, at=at)
        audit.record(actor=system_actor("expiry"), action="invitation.expired", target=invitation)
    return True


# --- people who leave ------------------------------------------------------------------------------------------------
def withdraw_from_leaver(*, membership: Membership, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """Somebody's last membership ended: an open invitation of theirs to join for another role ends with it, or they would
    come back by a link that was mailed while they belonged there."""
    withdraw_from_member(
        organization_id=membership.organization_id,
        email=membership.user.email,
        reason=INVITEE_LEFT,
        actor=actor,
        at=at,
    )


def invitation_of_member(*, organization_id: UUID, email: str) -> UserInvitation | None:
    """Return the open invitation of a member to join for another role. One that founds an organization is no such."""
    open_ones = UserInvitation.objects.filter(organization_id=organization_id, email=email, status=Status.PENDING)
    invitation = open_ones.select_related("organization").first()
    if invitation is None or not _takes_seat(Role(invitation.invitation_type), invitation.organization):
        return None
    return invitation


def withdraw_from_member(*, organization_id: UUID, email: str, reason: str, actor: Actor, at: datetime) -> None:
    """Cancel a member's open invitation to join for another role, whoever sent it. It took no seat, and gives none back.
    Asked behind the lock of the organization's seats."""
    invitation = invitation_of_member(organization_id=organization_id, email=email)
    if invitation and advance(invitation, Event.CANCEL, at=at, by_id=actor.user_id, reason=reason):
        _mail_nothing_more(invitation, at=at)
        audit.record(actor=actor, action="invitation.cancelled", target=invitation, reason=reason)


# --- people whose address changes ------------------------------------------------------------------------------------
def follow_address(*, user: User, old_email: str, new_email: str, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """A member's address is about to change. An open invitation to the old one, for another role, dies with it: the
    mailbox may be another's by now. One to the new one gives back its seat, for its owner has one. Asked in
    platform()."""
    memberships = Membership.objects.active().filter(user=user).order_by("organization")
    for organization_id in memberships.values_list("organization", flat=True).distinct():
        lock_seats(organization_id=organization_id)
        withdraw_from_member(organization_id=organization_id, email=old_email, reason=INVITEE_MOVED, actor=actor, at=at)
        to_new = UserInvitation.objects.filter(organization_id=organization_id, email=new_email, status=Status.PENDING)
        for invitation in to_new.select_related("organization"):
            _release(invitation, Role(invitation.invitation_type))
