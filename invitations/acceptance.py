"""The invitee's side: look at a link, accept, decline, ask for a new link. GET changes nothing; acceptance is a POST by a
person (architecture.md 4)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError
from django.db.models import F, OuterRef, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.models import EmailChange, User, hash_password
from accounts.passwords import PasswordTerms
from accounts.services import PasswordRefused, clean_person_name, require_good_password
from audit import services as audit
from audit.models import Outcome
from healthivr.kernel.errors import DomainError, Malformed
from healthivr.kernel.ids import new_id
from healthivr.kernel.masking import address_digest
from organizations.actor import Actor
from organizations.agreements.gate import (
    AgreementMissing,
    agreement_in_force,
    needs_agreement,
    role_needs_agreement,
)
from organizations.models import Membership, MembershipStatus, Organization, OrganizationSettings
from organizations.policies import InvitationPolicy
from organizations.roles import HOME, SECOND_FACTOR_ROLES, OrganizationKind, Role, founds_organization
from organizations.seats import lock_seats, release_seat
from organizations.selectors import practices_administered_by, roles_in
from organizations.services import add_membership, clean_name, found_organization
from organizations.tenancy import platform

from .delivery import queue_notice
from .entitlement import Terms, terms_at_acceptance
from .errors import (
    AccountSwitchedOff,
    AlreadyAccepted,
    InvitationClosed,
    InvitationNotFound,
    InviterNotEntitled,
    JoinsNobodyNow,
    LinkReplaced,
    PracticeNotYours,
    SignInRequired,
    WrongAccount,
)
from .lifecycle import advance
from .messages import DECLINE_REASONS
from .models import InvitationHistory, Purpose, UserInvitation
from .services import mail_again, renew_invitation
from .states import Event, Status
from .terms import require_domain
from .tokens import possible_digests

#: How long after its expiry an invitee may have an invitation renewed without asking the organization.
RENEWABLE_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Visitor:
    """Who holds the link: a stranger, or somebody signed in, with the address and request id for the trail."""

    user: User | None
    ip: str
    request_id: str


@dataclass(frozen=True)
class Accepted:
    """What an acceptance made."""

    user: User
    organization: Organization
    membership_role: Role
    is_new_user: bool
    has_founded: bool
    #: Whether they are the first who run the organization, and its agreement is theirs to sign now.
    has_to_sign: bool = False


# --- look-up ---------------------------------------------------------------------------------------------------------
def _look_up(token: str) -> tuple[UserInvitation, bool]:
    """Return the invitation that a token was issued for, and whether it is the present issue. Raises
    InvitationNotFound for a token never issued."""
    digests = possible_digests(token)
    if not digests:
        raise InvitationNotFound
    invitations = UserInvitation.objects.select_related("organization", "invited_by").annotate(
        account_id=Subquery(User.objects.filter(email=OuterRef("email")).values("pk")[:1]),
        requires_second_factor=Subquery(
            OrganizationSettings.objects.filter(organization=OuterRef("organization")).values("requires_second_factor")
        ),
    )
    with platform("token look-up"):
        invitation = invitations.filter(token_hash__in=digests).first()
        if invitation:
            return invitation, True
        earlier = InvitationHistory.objects.filter(token_hash__in=digests).values("invitation")
        invitation = invitations.filter(pk__in=earlier).first()
    if invitation is None:
        raise InvitationNotFound
    return invitation, False


def find_invitation(token: str) -> UserInvitation:
    """Return the invitation of a presented token, with its organization, its inviter and, as `account_id`, the account
    that owns the invited address if there is one. One probe of a unique index.

    Raises InvitationNotFound for a token never issued, and LinkReplaced or InvitationClosed for a link of an earlier
    issue.
    """
    invitation, is_current = _look_up(token)
    if not is_current:
        if invitation.status in (Status.PENDING, Status.EXPIRED):
            raise LinkReplaced(language=invitation.language)
        raise InvitationClosed(Status(invitation.status), language=invitation.language)
    return invitation


def is_known(token: str) -> bool:
    """Say whether a token was ever issued: who presents another one may be guessing, and is counted (C5)."""
    try:
        _look_up(token)
    except InvitationNotFound:
        return False
    return True


def open_invitation(*, token: str, at: datetime) -> UserInvitation:
    """Return the invitation of a link that can be accepted. Changes nothing, however often it is asked.

    Raises what find_invitation raises, and InvitationClosed, which names nobody.
    """
    invitation = find_invitation(token)
    status = invitation.current_status(at=at)
    if status != Status.PENDING:
        raise InvitationClosed(status, language=invitation.language)
    return invitation


def founds(invitation: UserInvitation) -> bool:
    """Say whether accepting founds an organization, so that the page asks for its name."""
    return founds_organization(Role(invitation.invitation_type), OrganizationKind(invitation.organization.kind))


def terms_now(invitation: UserInvitation, *, at: datetime) -> Terms:
    """Return the terms on which an invitation could be accepted now, for the page that shows it: whether who accepts is
    the first who runs the organization, and has its agreement to sign. None of them where it would be refused."""
    if founds(invitation):
        return Terms(InvitationPolicy())
    with platform("terms of an invitation"), suppress(DomainError):
        return terms_at_acceptance(invitation, at=at)
    return Terms(InvitationPolicy())


def has_to_sign(terms: Terms, organization: Organization) -> bool:
    """Say whether who is the first to run an organization finds its agreement unsigned."""
    return terms.starts and needs_agreement(organization) and not terms.has_agreement


def roles_already_held(invitation: UserInvitation, visitor: Visitor) -> list[Role]:
    """Return what the invited person is in the organization beside which they get a further role. Nothing is said of
    anybody who is not signed in as that person; and who has this very role gets none."""
    account_id = invitation.account_id  # type: ignore[attr-defined]
    if visitor.user is None or visitor.user.pk != account_id or founds(invitation):
        return []
    held = roles_in(visitor.user, invitation.organization_id)
    return held if invitation.invitation_type not in held else []


def practices_to_choose(invitation: UserInvitation, visitor: Visitor) -> list[Organization]:
    """Return the practices that an invited doctor may bring instead of founding one."""
    if invitation.invitation_type != Role.DOCTOR or not founds(invitation) or visitor.user is None:
        return []
    return practices_administered_by(visitor.user)


def require_right_account(invitation: UserInvitation, visitor: Visitor) -> None:
    """Raise SignInRequired when the invited address has an account and nobody is signed in, AccountSwitchedOff when its
    owner could not sign in, and WrongAccount when somebody else is signed in. Possession of the link alone never joins
    an existing account."""
    account_id = invitation.account_id  # type: ignore[attr-defined]
    if visitor.user is not None and visitor.user.pk != account_id:
        raise WrongAccount
    if visitor.user is None and account_id is not None:
        if not User.objects.filter(pk=account_id, is_active=True).exists():
            raise AccountSwitchedOff
        raise SignInRequired


def require_open_organization(invitation: UserInvitation) -> None:
    """Raise JoinsNobodyNow where the organization is switched off, before anybody fills in a form for nothing."""
    if not invitation.organization.is_active:
        raise JoinsNobodyNow(organization_name=invitation.organization.name)


# --- accept ----------------------------------------------------------------------------------------------------------
@contextmanager
def refusals_in_trail(*, token: str, visitor: Visitor) -> Iterator[None]:
    """Note an attempt to accept that is refused inside in the trail of the invitation's organization, with its code, and
    raise on (architecture.md 2). Written after the rollback, in a transaction of its own. What is merely mistyped is no
    refusal, and a token never issued belongs to nobody's trail."""
    try:
        yield
    except (Malformed, PasswordRefused):
        raise
    except DomainError as error:
        with suppress(InvitationNotFound):
            _record_refusal(_look_up(token)[0], visitor, code=error.code)
        raise


def _record_refusal(invitation: UserInvitation, visitor: Visitor, *, code: str) -> None:
    actor = Actor(visitor.user, invitation.organization, ip=visitor.ip, request_id=visitor.request_id)
    with platform("refused acceptance"):
        audit.record(
            actor=actor,
            action="invitation.accept_refused",
            target=invitation,
            outcome=Outcome.REFUSED,
            detail={"code": code},
        )


def accept_invitation(
    *,
    token: str,
    visitor: Visitor,
    password: str = "",
    first_name: str = "",
    last_name: str = "",
    organization_name: str = "",
    practice_id: UUID | None = None,
    at: datetime,
) -> Accepted:
    """Accept an invitation: create the account if the address has none, and the membership, in one transaction.

    The role comes from the invitation and from nowhere else. The password is hashed before the transaction opens. Raises
    InvitationNotFound, InvitationClosed, LinkReplaced, AlreadyAccepted, SignInRequired, AccountSwitchedOff, WrongAccount,
    InviterNotEntitled, AgreementMissing, EmailDomainNotAllowed, PasswordRefused, Malformed, AlreadyMember,
    PracticeNotYours; nothing is consumed then, and what is refused stands in the trail.
    """
    with refusals_in_trail(token=token, visitor=visitor):
        invitation = find_invitation(token)
        _require_acceptable(invitation, at=at)
        require_right_account(invitation, visitor)
        founding = founds(invitation)
        practice = _chosen_practice(invitation, visitor, practice_id)
        if founding and practice is None:
            organization_name = clean_name(organization_name)
        user = visitor.user or _new_user(
            invitation,
            password=password,
            first_name=first_name,
            last_name=last_name,
            organization_name=organization_name if founding else "",
            at=at,
        )
        is_new_user = visitor.user is None
        try:
            with platform("accept invitation"):
                return _accept(
                    invitation, user, visitor, is_new_user, organization_name if founding else "", practice, at=at
                )
        except IntegrityError as error:
            if "user_email_once" in str(error):  # an account appeared in this very moment, by another invitation
                raise SignInRequired from None
            raise


def _accept(
    invitation: UserInvitation,
    user: User,
    visitor: Visitor,
    is_new_user: bool,
    organization_name: str,
    practice: Organization | None,
    *,
    at: datetime,
) -> Accepted:
    """The transaction: at most five statements, two more when an organization is founded."""
    terms = _terms(invitation, founds_one=bool(practice or organization_name), at=at)
    require_domain(Role(invitation.invitation_type), invitation.organization, invitation.email or "", terms.policy)
    if not advance(invitation, Event.ACCEPT, at=at, by_id=user.pk, accepted_by_id=user.pk):
        _raise_why_not(invitation, at=at)
    actor = Actor(user, invitation.organization, ip=visitor.ip, request_id=visitor.request_id)
    audit.record(
        actor=actor,
        action="invitation.accepted",
        target=invitation,
        changes={"status": [Status.PENDING, Status.ACCEPTED]},
    )
    if is_new_user:
        user.invitation_id, user.invited_by_id, user.invitation_accepted_at = (
            invitation.pk,
            invitation.invited_by_id,
            at,
        )
        user.save(force_insert=True)
        audit.record(
            actor=actor,
            action="user.created",
            target=user,
            organization_id=invitation.organization_id,
            detail={"address_digest": address_digest(user.email)},
        )
    elif user.invitation_id is None:  # S0.2: a person's first acceptance, and it stays
        User.objects.filter(pk=user.pk, invitation=None).update(
            invitation=invitation, invited_by=invitation.invited_by_id, invitation_accepted_at=at
        )
    role = Role(invitation.invitation_type)
    home, has_founded = invitation.organization, False
    if practice:
        home = practice
    elif organization_name:
        home, has_founded = (
            found_organization(
                actor=actor,
                name=organization_name,
                kind=HOME[role],
                parent=invitation.organization,
                at=at,
            ),
            True,
        )
    starts = terms.starts and home.pk == invitation.organization_id
    _join(actor, invitation, home, role, is_founder=has_founded, starts=starts, at=at)
    queue_notice(invitation, Purpose.ACCEPTED, at=at)
    signs = (has_founded and needs_agreement(home)) or (starts and has_to_sign(terms, home))
    return Accepted(user, home, role, is_new_user, has_founded, signs)


def _terms(invitation: UserInvitation, *, founds_one: bool, at: datetime) -> Terms:
    """Return the terms of the acceptance. Of several who would be the first to run the organization, one is: they are
    asked again, one after the other."""
    terms = terms_at_acceptance(invitation, at=at)
    if not terms.starts or founds_one:
        return terms
    lock_seats(organization_id=invitation.organization_id)
    return terms_at_acceptance(invitation, at=at)


def _join(
    actor: Actor,
    invitation: UserInvitation,
    home: Organization,
    role: Role,
    *,
    is_founder: bool,
    starts: bool,
    at: datetime,
) -> None:
    """Make the invitee a member. Seat-neutral: the invitation's seat becomes the member's. Who founds an organization,
    or is the first in one that nobody runs, runs it. Raises AgreementMissing, AlreadyMember."""
    upline_id = invitation.upline_id if invitation.upline_id != actor.user_id else None
    if home.pk != invitation.organization_id and not is_founder:
        held = {
            membership.role: membership
            for membership in Membership.objects.select_for_update(no_key=True)
            .filter(organization=home, user=actor.user, status=MembershipStatus.ACTIVE)
            .order_by("pk")
        }
        # A doctor who brings a practice they run keeps their membership there, and the seller whom they came by first.
        if role in held:
            _fill_upline(actor, held[role], upline_id)
            return
        # Whoever runs a practice need not see its patients. The invitation's organization was asked for its agreement;
        # this is another one.
        has_patient_data = any(role_needs_agreement(Role(other)) for other in held)
        if role_needs_agreement(role) and not has_patient_data and not agreement_in_force(organization=home, at=at):
            raise AgreementMissing(
                _(
                    "Your practice's business associate agreement is not in force, so nobody gets new access to patient"
                    " data there now. Sign it, then accept. Nothing was changed, and the link is not used up."
                ),
                practice=home.slug,
            )
    add_membership(
        actor=actor,
        user_id=actor.user.pk,  # type: ignore[union-attr]
        organization=home,
        role=role,
        is_org_admin=is_founder or starts or role == Role.ADMIN,
        upline_id=upline_id,
        invited_by_id=invitation.invited_by_id,
        at=at,
    )


def _fill_upline(actor: Actor, membership: Membership, upline_id: UUID | None) -> None:
    """Name the sponsor of a membership that has none, in its own organization's trail. One that stands is never replaced
    here: re-parenting is a platform administrator's (domain.md 3)."""
    if upline_id is None or membership.upline_id is not None:
        return
    membership.upline_id = upline_id
    membership.save(update_fields=["upline"])
    audit.record(
        actor=actor,
        action="membership.upline_changed",
        target=membership,
        changes={"upline": ["", str(upline_id)]},
    )


def password_terms(invitation: UserInvitation) -> PasswordTerms:
    """Return what a new person's password is held against: whether a second factor is demanded beside it, by the role, by
    the organization that the person joins, or of them as the one who runs what they found; and the words of the invited
    address and of the organization's name."""
    second_factor = (
        founds(invitation)
        or Role(invitation.invitation_type) in SECOND_FACTOR_ROLES
        or invitation.requires_second_factor  # type: ignore[attr-defined]
    )
    return PasswordTerms(second_factor).knowing(invitation.email or "", invitation.organization.name)


def _new_user(
    invitation: UserInvitation,
    *,
    password: str,
    first_name: str,
    last_name: str,
    organization_name: str,
    at: datetime,
) -> User:
    """Build the account of a new person, its password hashed. The mailed link proves the address."""
    user = User(
        pk=new_id(),
        email=invitation.email or "",
        first_name=clean_person_name(first_name, field="first_name"),
        last_name=clean_person_name(last_name, field="last_name"),
        language=invitation.language,
        created_at=at,
        last_login=None,
    )
    terms = password_terms(invitation).knowing(user.first_name, user.last_name, organization_name)
    require_good_password(password, terms=terms)
    user.password = hash_password(password)
    return user


def _chosen_practice(invitation: UserInvitation, visitor: Visitor, practice_id: UUID | None) -> Organization | None:
    if practice_id is None:
        return None
    for practice in practices_to_choose(invitation, visitor):
        if practice.pk == practice_id:
            return practice
    raise PracticeNotYours(field="practice_id")


def _require_acceptable(invitation: UserInvitation, *, at: datetime) -> None:
    """Accepting what is accepted is a conflict (409); any other closed invitation is gone (410)."""
    status = invitation.current_status(at=at)
    if status == Status.ACCEPTED:
        raise AlreadyAccepted
    if status != Status.PENDING:
        raise InvitationClosed(status, language=invitation.language)


def _raise_why_not(invitation: UserInvitation, *, at: datetime) -> None:
    """Somebody was faster, or time ran out: say what is true now."""
    held = invitation.token_hash
    now = UserInvitation.objects.get(pk=invitation.pk)
    _require_acceptable(now, at=at)
    if now.token_hash != held:
        raise LinkReplaced
    raise AlreadyAccepted


# --- decline, and ask again ------------------------------------------------------------------------------------------
def decline_invitation(*, token: str, visitor: Visitor, reason: str, at: datetime) -> UserInvitation:
    """Decline an invitation: terminal, its seat is free, the inviter is told. `reason` is a key of DECLINE_REASONS.

    Raises InvitationNotFound, InvitationClosed, LinkReplaced, AlreadyAccepted.
    """
    invitation = find_invitation(token)
    _require_acceptable(invitation, at=at)
    reason = reason if reason in DECLINE_REASONS else "other"
    with platform("decline invitation"):
        if not founds(invitation):
            release_seat(organization_id=invitation.organization_id, email=invitation.email or "")
        if not advance(invitation, Event.DECLINE, at=at, by_id=None, reason=reason):
            _raise_why_not(invitation, at=at)
        actor = Actor(visitor.user, invitation.organization, ip=visitor.ip, request_id=visitor.request_id)
        audit.record(actor=actor, action="invitation.declined", target=invitation, reason=reason)
        queue_notice(invitation, Purpose.DECLINED, at=at, reason=reason)
    return invitation


def _has_left_since(invitation: UserInvitation) -> bool:
    """Say whether the address was that of a member, who has left the organization or the address since they were
    invited. What was meant for them then is nobody's now, until a person there invites again."""
    ended = Membership.objects.filter(
        organization=invitation.organization_id, user__email=invitation.email, ended_at__gt=invitation.created_at
    )
    is_member = Membership.objects.active().filter(
        organization=invitation.organization_id, user__email=invitation.email
    )
    moved = EmailChange.objects.filter(old_email=invitation.email, closed_at__gt=invitation.created_at).exclude(
        user__email=F("old_email")
    )
    return (ended.exists() and not is_member.exists()) or moved.exists()


def request_new_link(*, token: str, visitor: Visitor, at: datetime) -> None:
    """Mail a working link to the invited address, and to no other, for the holder of a dead one.

    An expired invitation is renewed if who invited still may, a seat is free and it expired less than 30 days ago; an
    open one's newest link is mailed once more. Raises InvitationNotFound, InvitationClosed, AlreadyAccepted,
    InviterNotEntitled, AgreementMissing, EmailDomainNotAllowed, NoSeatLeft, SendLimitReached, AddressBounced.
    """
    invitation, _is_current = _look_up(token)
    status = invitation.current_status(at=at)
    if status not in (Status.PENDING, Status.EXPIRED):
        _require_acceptable(invitation, at=at)
    actor = Actor(None, invitation.organization, ip=visitor.ip, request_id=visitor.request_id, system="invitee-request")
    with platform("invitee asks for a new link"):
        if at - invitation.expires_at > RENEWABLE_FOR or _has_left_since(invitation):
            raise InviterNotEntitled
        terms_at_acceptance(invitation, at=at)
        if status == Status.EXPIRED:
            renew_invitation(actor=actor, invitation_id=invitation.pk, at=at)
        else:
            mail_again(actor=actor, invitation=invitation, at=at)
