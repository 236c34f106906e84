"""Writes on doctors' licenses: submitting, deciding, and what time decides.

Every event stands in the platform's chain, for a license belongs to no practice: the services run in its door.
"""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.delivery import hint_account_mail
from accounts.models import AccountMail, AccountMailKind, PractitionerCredential, User
from audit import services as audit
from audit.registry import differences
from healthivr.kernel.errors import Conflict, Malformed, NotFound, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.names import clean_text
from organizations.actor import Actor
from organizations.models import Organization
from organizations.selectors import system_actor
from organizations.tenancy import tenant

from .errors import NotAPractitioner, NpiFixed, NpiInUse, OwnCredential, SubmittedAnew
from .npi import is_npi
from .regions import Region, end_of_day
from .selectors import practices_medicine, require_approver
from .states import TRANSITIONS, Event, Standing, next_standing

LICENSE_NUMBER_LENGTH = 30
REASON_LENGTH = 500
#: No board licenses for longer: a later year is a typing error.
LONGEST_LICENSE = timedelta(days=11 * 366)
#: How many days before its end the doctor is reminded of a renewal, once each.
REMINDER_DAYS = (30, 7)
SWEEP_BATCH = 200


# --- what the doctor says --------------------------------------------------------------------------------------------
def clean_npi(typed: str) -> str:
    """Return an NPI as it is stored. Raises Malformed (`npi`) for a wrong check digit too."""
    npi = "".join(typed.split()).replace("-", "")
    if not is_npi(npi):
        raise Malformed(
            _("This is not an NPI. It has 10 digits and begins with 1 or 2; check each of them."),
            code="npi",
            field="npi",
        )
    return npi


def clean_license_number(typed: str) -> str:
    """Return a license number as it is stored, in capitals. Raises Malformed (`license_number`)."""
    number = " ".join(typed.split()).upper()
    is_known = number.isascii() and all(character.isalnum() or character in " .-/#" for character in number)
    if not (is_known and any(map(str.isalnum, number)) and len(number) <= LICENSE_NUMBER_LENGTH):
        raise Malformed(
            _("Enter the license number as it is printed: letters, digits, spaces and . - / # only, 30 at most."),
            code="license_number",
            field="license_number",
        )
    return number


def license_end(day: date, state: str, *, at: datetime) -> datetime:
    """Return when a license with this last day is over. Raises Malformed for an unknown state or a year that cannot be,
    Refused (`license_expired`) when it is over already."""
    if state not in Region.values:
        raise Malformed(_("Choose a state or territory from the list."), code="license_state", field="license_state")
    if not timedelta(days=-36525) < day - at.date() <= LONGEST_LICENSE:
        raise Malformed(
            _("Check the year: no license runs that long."), code="license_expires_on", field="license_expires_on"
        )
    ends_at = end_of_day(day, state)
    if ends_at <= at:
        raise Refused(
            _("This license has expired. Renew it with your state's board first, then submit the new date."),
            code="license_expired",
            field="license_expires_on",
        )
    return ends_at


def submit_license(
    *,
    user: User,
    npi: str,
    license_number: str,
    license_state: str,
    license_expires_on: date,
    ip: str,
    request_id: str,
    at: datetime,
) -> PractitionerCredential:
    """Have a doctor's own license checked: the first, a corrected or a renewed one. It is pending again; an approval that
    is in force stays so until its day. As it stands with the platform already, nothing is written.

    Raises NotAPractitioner, Malformed, Refused (`license_expired`), NpiInUse, NpiFixed, Conflict.
    """
    if not practices_medicine(user):
        raise NotAPractitioner
    new: dict[str, Any] = {
        "npi": clean_npi(npi),
        "license_number": clean_license_number(license_number),
        "license_state": license_state,
        "license_expires_on": license_expires_on,
        "license_ends_at": license_end(license_expires_on, license_state, at=at),
    }
    actor = Actor(user, Organization(pk=PLATFORM_ORGANIZATION_ID), ip=ip, request_id=request_id)
    with tenant(PLATFORM_ORGANIZATION_ID):
        before = PractitionerCredential.objects.select_for_update(no_key=True).filter(user=user).first()
        if before and _says_nothing_new(before, new, at=at):
            return before
        if before and before.is_approved(at=at) and new["npi"] != before.npi:
            raise NpiFixed(field="npi")
        credential = _stored(user, before, new, at=at)
        audit.record(
            actor=actor, action="practitioner.submitted", target=credential, changes=differences(before, credential)
        )
    return credential


def _says_nothing_new(before: PractitionerCredential, new: dict[str, Any], *, at: datetime) -> bool:
    is_same = all(getattr(before, name) == value for name, value in new.items())
    return is_same and before.standing_at(at) in (Standing.PENDING, Standing.APPROVED)


def _stored(
    user: User, before: PractitionerCredential | None, new: dict[str, Any], *, at: datetime
) -> PractitionerCredential:
    """Write what was submitted. Of two first submissions at once, one wins."""
    if before:
        row = PractitionerCredential.objects.get(pk=before.pk)
        row.standing = next_standing(Standing(before.standing), Event.SUBMIT)
        row.submission += 1
        row.decided_at, row.decided_by, row.reason = None, None, ""
    else:
        row = PractitionerCredential(user=user)
    for name, value in {**new, "submitted_at": at}.items():
        setattr(row, name, value)
    try:
        with transaction.atomic():
            row.save(force_insert=before is None)
    except IntegrityError as error:
        if "credential_npi_once" in str(error):
            raise NpiInUse(settings.SUPPORT_EMAIL) from None
        if "user_id" in str(error):
            raise Conflict from None
        raise
    return row


# --- what the platform decides ---------------------------------------------------------------------------------------
def approve_practitioner(*, actor: Actor, credential_id: UUID, submission: int, at: datetime) -> PractitionerCredential:
    """Approve what a doctor submitted, until the day on which the license expires.

    Raises NotFound, OwnCredential, IllegalDecision, SubmittedAnew, StepUpRequired, and Refused (`license_expired`) when
    the license is over by now.
    """
    with transaction.atomic():
        credential = _to_decide(actor, credential_id, submission, at=at)
        before = _state_of(credential)
        credential.standing = next_standing(Standing(credential.standing), Event.APPROVE)
        if credential.license_ends_at <= at:
            raise Refused(
                _("This license has expired meanwhile. Reject it and ask for the renewed one."),
                code="license_expired",
            )
        credential.approved_until = credential.license_ends_at
        credential.reminded_days = None
        _decided(actor, credential, before, action="practitioner.approved", at=at)
        _mail(credential.user, AccountMailKind.LICENSE_APPROVED, at=at)
    return credential


def reject_practitioner(
    *, actor: Actor, credential_id: UUID, submission: int, reason: str, at: datetime
) -> PractitionerCredential:
    """Reject what a doctor submitted; an earlier approval that is in force stays so until its day (suspend to end it).

    Raises Malformed without a reason, NotFound, OwnCredential, IllegalDecision, SubmittedAnew, StepUpRequired.
    """
    with transaction.atomic():
        credential = _to_decide(actor, credential_id, submission, at=at)
        before = _state_of(credential)
        credential.standing = next_standing(Standing(credential.standing), Event.REJECT)
        _decided(actor, credential, before, action="practitioner.rejected", reason=_clean_reason(reason), at=at)
        _mail(credential.user, AccountMailKind.LICENSE_REJECTED, at=at)
    return credential


def suspend_practitioner(
    *, actor: Actor, credential_id: UUID, submission: int, reason: str, at: datetime
) -> PractitionerCredential:
    """Take a doctor's approval back at once, whatever is being checked besides.

    Raises Malformed without a reason, NotFound, OwnCredential, IllegalDecision, SubmittedAnew, StepUpRequired.
    """
    with transaction.atomic():
        credential = _to_decide(actor, credential_id, submission, at=at)
        before = _state_of(credential)
        # By date it may be suspended already, before the sweep has said so.
        credential.standing = next_standing(credential.standing_at(at), Event.SUSPEND)
        credential.approved_until = None
        _decided(actor, credential, before, action="practitioner.suspended", reason=_clean_reason(reason), at=at)
        _mail(credential.user, AccountMailKind.LICENSE_SUSPENDED, at=at)
    return credential


def _to_decide(actor: Actor, credential_id: UUID, submission: int, *, at: datetime) -> PractitionerCredential:
    """Return a credential, locked, that the actor may decide about and has looked at as it is."""
    require_approver(actor)
    credential = (
        PractitionerCredential.objects.select_for_update(of=("self",), no_key=True)
        .select_related("user")
        .filter(pk=credential_id)
        .first()
    )
    if credential is None:
        raise NotFound
    if credential.user_id == actor.user_id:
        raise OwnCredential
    actor.require_step_up(at=at)
    if credential.submission != submission:
        raise SubmittedAnew
    return credential


def possible_decisions(credential: PractitionerCredential, *, at: datetime) -> set[Event]:
    """Return what can be decided about a credential now."""
    standing = credential.standing_at(at)
    found = {event for event in (Event.APPROVE, Event.REJECT, Event.SUSPEND) if (standing, event) in TRANSITIONS}
    return found - {Event.APPROVE} if credential.license_ends_at <= at else found


def _clean_reason(typed: str) -> str:
    reason = clean_text(typed)
    if not reason or len(reason) > REASON_LENGTH:
        raise Malformed(_("Say why, in 1 to 500 characters. The doctor reads it."), code="reason", field="reason")
    return reason


def _state_of(credential: PractitionerCredential) -> dict[str, str]:
    """Return what a decision can change, as the trail writes it."""
    until = credential.approved_until
    return {"standing": str(credential.standing), "approved_until": until.isoformat() if until else ""}


def _decided(
    actor: Actor,
    credential: PractitionerCredential,
    before: dict[str, str],
    *,
    action: str,
    at: datetime,
    reason: str = "",
) -> None:
    credential.decided_at, credential.decided_by, credential.reason = at, actor.user, reason
    credential.save(update_fields=["standing", "approved_until", "reminded_days", "decided_at", "decided_by", "reason"])
    after = _state_of(credential)
    audit.record(
        actor=actor,
        action=action,
        target=credential,
        organization_id=PLATFORM_ORGANIZATION_ID,
        reason=reason,
        changes={name: [before[name], after[name]] for name in before if before[name] != after[name]},
        detail={"submission": str(credential.submission)},
    )


def _mail(user: User, kind: AccountMailKind, *, at: datetime) -> None:
    """Tell the doctor; who may not sign in any more is told nothing."""
    if user.is_active:
        AccountMail.objects.create(kind=kind, user=user, next_try_at=at, created_at=at)
        transaction.on_commit(hint_account_mail)


# --- what time decides -----------------------------------------------------------------------------------------------
def record_expired_licenses(*, at: datetime) -> int:
    """Record of a batch of approvals that they are over by date, once each, and tell the doctors. Returns how many."""
    actor = system_actor("license sweep")
    with tenant(PLATFORM_ORGANIZATION_ID):
        credentials = list(
            PractitionerCredential.objects.over(at=at)
            .select_for_update(of=("self",), no_key=True, skip_locked=True)
            .select_related("user")
            .order_by("approved_until")[:SWEEP_BATCH]
        )
        for credential in credentials:
            before = _state_of(credential)
            was_approved = credential.standing == Standing.APPROVED
            ended_at = credential.approved_until
            credential.standing = next_standing(Standing(credential.standing), Event.EXPIRE)
            credential.approved_until = None
            if was_approved:  # else the decision about the renewal stands, or is still to come
                credential.decided_at, credential.decided_by, credential.reason = ended_at, None, ""
            credential.save(update_fields=["standing", "approved_until", "decided_at", "decided_by", "reason"])
            after = _state_of(credential)
            audit.record(
                actor=actor,
                action="practitioner.expired",
                target=credential,
                organization_id=PLATFORM_ORGANIZATION_ID,
                changes={name: [before[name], after[name]] for name in before if before[name] != after[name]},
            )
            _mail(credential.user, AccountMailKind.LICENSE_EXPIRED, at=at)
    return len(credentials)


def remind_of_licenses(*, at: datetime) -> int:
    """Remind doctors of a renewal, 30 and 7 days before their approval ends and once each; not whose renewal is being
    checked. Returns how many mails were written."""
    sent = 0
    with tenant(PLATFORM_ORGANIZATION_ID):
        for days in sorted(REMINDER_DAYS):  # nearest first: who is late for one reminder does not get two
            credentials = (
                PractitionerCredential.objects.approved(at=at)
                .unreminded(days)
                .filter(standing=Standing.APPROVED, approved_until__lte=at + timedelta(days=days))
                .select_for_update(of=("self",), no_key=True, skip_locked=True)
                .select_related("user")
                .order_by("approved_until")[:SWEEP_BATCH]
            )
            for credential in credentials:
                credential.reminded_days = days
                credential.save(update_fields=["reminded_days"])
                _mail(credential.user, AccountMailKind.LICENSE_EXPIRING, at=at)
                sent += 1
    return sent
