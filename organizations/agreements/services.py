"""Writes on agreements: draft, send, sign, renew, terminate, expire. Every one locks the organization first."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import Conflict, Malformed, NotFound, NotPermitted, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.kernel.names import clean_line, clean_text
from organizations.actor import Actor
from organizations.models import Membership, Organization
from organizations.roles import Capability
from organizations.seats import lock_seats

from .clauses import Clause
from .documents import checked_pdf, digest
from .gate import DIRECTION_OF
from .models import AgreementDocument, BusinessAssociateAgreement, MediaType
from .standard import BREACH_DAYS, STANDARD_VERSION, TERM_MONTHS, standard_text
from .states import AgreementEvent, AgreementStatus, next_status

#: Sent inside the transaction in which an agreement was sent to the organization, with `agreement` and `at`. Rooms above
#: mail its administrators.
agreement_sent = Signal()
#: The same when one was terminated.
agreement_terminated = Signal()

#: How long before its end an agreement may be signed anew.
RENEWABLE_FOR = timedelta(days=90)
REVIEW_AFTER_MONTHS = 12


class NoAgreementNeeded(Refused):
    """Organizations of this kind handle no patient data here."""

    code = "agreement_not_needed"
    message = _("Organizations of this kind handle no patient data here, and need no agreement.")


class AgreementStillRuns(Conflict):
    """The agreement in force is the present version, and far from its end."""

    code = "agreement_in_force"
    message = _("An agreement is in force. It can be signed anew in the 90 days before it ends.")


class AgreementOpen(Conflict):
    """One is being prepared already."""

    code = "agreement_open"
    message = _(
        "An agreement is being prepared or waits for its signature already. Finish or terminate that one first."
    )


class AgreementChanged(Conflict):
    """What is to be signed is not what was read."""

    code = "agreement_changed"
    message = _("The text changed since you opened it. Read it again, then sign.")


class ClausesMissing(Refused):
    """Not every clause that the rule demands is there, or confirmed."""

    code = "clauses_missing"
    message = _("Confirm each of the eleven clauses.")


class NotTheSigner(NotPermitted):
    """Signs for an organization: somebody who administers it, and no one in its stead."""

    code = "not_the_signer"
    message = _("Only an administrator of the organization itself signs its agreement.")


# --- who may ---------------------------------------------------------------------------------------------------------
def is_own_administrator(actor: Actor) -> bool:
    """Say whether somebody runs this organization as a member of it. Platform administrators act everywhere and sign
    nowhere, members or not: an agreement has two sides, and nobody is both."""
    if actor.is_platform_staff:
        return False
    own = Membership.objects.administrators().filter(organization=actor.organization, user=actor.user_id)
    return actor.has(Capability.MANAGE_AGREEMENTS) and own.exists()


def _locked(actor: Actor, agreement_id: UUID) -> BusinessAssociateAgreement:
    """Lock the organization, then one of its agreements. Raises NotFound."""
    lock_seats(organization_id=actor.organization_id)
    agreement = (
        BusinessAssociateAgreement.objects.select_for_update(of=("self",), no_key=True)
        .select_related("document", "organization")
        .filter(organization=actor.organization, pk=agreement_id)
        .first()
    )
    if agreement is None:
        raise NotFound
    return agreement


def _advance(agreement: BusinessAssociateAgreement, event: AgreementEvent, *, at: datetime, **changes: Any) -> None:
    """Move a locked agreement along the table. Raises IllegalAgreementTransition."""
    agreement.status = next_status(agreement.current_status(at=at), event)
    agreement.updated_at = at
    for name, value in changes.items():
        setattr(agreement, name, value)
    agreement.save(update_fields=["status", "updated_at", *changes])


# --- the platform's side ---------------------------------------------------------------------------------------------
def draft_agreement(
    *,
    actor: Actor,
    version: str,
    document: bytes,
    clauses: Sequence[str],
    breach_sla_days: int,
    term_months: int,
    at: datetime,
) -> BusinessAssociateAgreement:
    """Prepare an agreement of its own for the actor's organization, for platform staff. Raises NoAgreementNeeded,
    AgreementOpen, DocumentRefused, Malformed."""
    actor.require(Capability.DRAFT_AGREEMENTS)
    values = _terms(version, clauses, breach_sla_days, term_months)
    content = checked_pdf(document)
    with transaction.atomic():
        _require_none_open(actor)
        kept = _keep(actor.organization, content, MediaType.PDF, at=at)
        agreement = _create(actor, AgreementEvent.DRAFT, kept, at=at, is_standard=False, **values)
        _record(actor, "agreement.drafted", agreement)
    return agreement


def edit_draft(
    *,
    actor: Actor,
    agreement_id: UUID,
    version: str,
    document: bytes | None,
    clauses: Sequence[str],
    breach_sla_days: int,
    term_months: int,
    at: datetime,
) -> BusinessAssociateAgreement:
    """Change a draft; without `document` its file stays. Raises IllegalAgreementTransition once it was sent,
    DocumentRefused, Malformed."""
    actor.require(Capability.DRAFT_AGREEMENTS)
    values = _terms(version, clauses, breach_sla_days, term_months)
    content = checked_pdf(document) if document is not None else None
    with transaction.atomic():
        agreement = _locked(actor, agreement_id)
        before = {**{name: getattr(agreement, name) for name in values}, "document": agreement.document.sha256}
        if content is not None:
            values["document"] = _keep(actor.organization, content, MediaType.PDF, at=at)
        _advance(agreement, AgreementEvent.EDIT, at=at, **values)
        after = {**{name: getattr(agreement, name) for name in before}, "document": agreement.document.sha256}
        changes = {name: [_said(before[name]), _said(after[name])] for name in before if before[name] != after[name]}
        audit.record(actor=actor, action="agreement.changed", target=agreement, changes=changes)
    return agreement


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def send_agreement(*, actor: Actor, agreement_id: UUID, at: datetime) -> BusinessAssociateAgreement:
    """Send a draft to the organization's administrators, who sign it; sending is the platform's own signature. Raises
    IllegalAgreementTransition, ClausesMissing when the draft lacks one that the rule demands."""
    actor.require(Capability.DRAFT_AGREEMENTS)
    with transaction.atomic():
        agreement = _locked(actor, agreement_id)
        next_status(agreement.current_status(at=at), AgreementEvent.SEND)
        if set(agreement.clauses) != set(Clause.values):
            raise ClausesMissing(_("The draft lacks clauses that the rule demands. Add them to the agreement first."))
        _advance(agreement, AgreementEvent.SEND, at=at, sent_at=at, sent_by_id=actor.user_id)
        _record(actor, "agreement.sent", agreement)
        agreement_sent.send(sender=BusinessAssociateAgreement, agreement=agreement, at=at)
    return agreement


def renew_agreement(*, actor: Actor, agreement_id: UUID, at: datetime) -> BusinessAssociateAgreement:
    """Draft a copy of an agreement that was signed, to change and send, for platform staff. The organization's own
    administrators sign the standard agreement anew instead (`sign_agreement`). Raises AgreementOpen, Refused."""
    actor.require(Capability.DRAFT_AGREEMENTS)
    with transaction.atomic():
        old = _locked(actor, agreement_id)
        if old.signed_at is None:
            raise Refused(_("This agreement was never signed. Draft a new one instead."), code="agreement_state")
        _require_none_open(actor)
        copied = ("version", "clauses", "breach_sla_days", "term_months")
        agreement = _create(
            actor,
            AgreementEvent.DRAFT,
            old.document,
            at=at,
            is_standard=old.is_standard and old.version == STANDARD_VERSION,
            renews=old,
            **{name: getattr(old, name) for name in copied},
        )
        _record(actor, "agreement.renewal_drafted", agreement, renews=str(old.pk))
    return agreement


def _terms(version: str, clauses: Sequence[str], breach_sla_days: int, term_months: int) -> dict[str, Any]:
    version = clean_line(version, code="malformed_field", field="version")
    if not 1 <= len(version) <= 40:
        raise Malformed(_("Name the version in 1 to 40 characters."), field="version")
    if not set(clauses) <= set(Clause.values):
        raise Malformed(_("Choose clauses from the list."), field="clauses")
    if not 1 <= breach_sla_days <= 60:
        raise Malformed(_("Choose between 1 and 60 days."), field="breach_sla_days")
    if not 1 <= term_months <= 60:
        raise Malformed(_("Choose between 1 and 60 months."), field="term_months")
    return {
        "version": version,
        "clauses": [clause for clause in Clause.values if clause in clauses],
        "breach_sla_days": breach_sla_days,
        "term_months": term_months,
    }


def _require_none_open(actor: Actor) -> None:
    lock_seats(organization_id=actor.organization_id)
    if actor.organization.kind not in DIRECTION_OF:
        raise NoAgreementNeeded
    if BusinessAssociateAgreement.objects.open().filter(organization=actor.organization).exists():
        raise AgreementOpen


def _keep(organization: Organization, content: bytes, media_type: MediaType, *, at: datetime) -> AgreementDocument:
    return AgreementDocument.objects.create(
        organization=organization,
        content=content,
        media_type=media_type,
        sha256=digest(content),
        size=len(content),
        created_at=at,
    )


def _create(
    actor: Actor, event: AgreementEvent, document: AgreementDocument, *, at: datetime, **values: Any
) -> BusinessAssociateAgreement:
    return BusinessAssociateAgreement.objects.create(
        organization=actor.organization,
        direction=DIRECTION_OF[actor.organization.kind],  # type: ignore[index]
        status=next_status(AgreementStatus.NONE, event),
        document=document,
        created_at=at,
        created_by=actor.user,
        updated_at=at,
        **values,
    )


def _record(actor: Actor, action: str, agreement: BusinessAssociateAgreement, **detail: str) -> None:
    shown = {
        "version": agreement.version,
        "document_sha256": agreement.document.sha256,
        "expires": agreement.expires.isoformat() if agreement.expires else "",
    }
    audit.record(actor=actor, action=action, target=agreement, detail={**shown, **detail})


# --- the organization's side -----------------------------------------------------------------------------------------
def sign_agreement(
    *,
    actor: Actor,
    signer_name: str,
    signer_title: str,
    clauses: Sequence[str],
    document_sha256: str,
    at: datetime,
) -> BusinessAssociateAgreement:
    """Sign what the organization has before it: the agreement that was sent to it, else the platform's standard one.

    `document_sha256` is the digest of the text that the signer read, `clauses` are those that they confirmed. What is in
    force until then is replaced. Raises NotTheSigner, NoAgreementNeeded, AgreementStillRuns, AgreementChanged,
    ClausesMissing, Malformed.
    """
    actor.require(Capability.MANAGE_AGREEMENTS)
    if actor.organization.kind not in DIRECTION_OF:
        raise NoAgreementNeeded
    if not is_own_administrator(actor):
        raise NotTheSigner
    name = _filled(signer_name, 200, "signer_name", _("Enter your full name, as it signs."))
    title = _filled(signer_title, 100, "signer_title", _("Enter your title in the organization."))
    if set(clauses) != set(Clause.values):
        raise ClausesMissing(field="clauses")
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        signed, sent = _signed_and_sent(actor)
        if sent is None:
            _require_renewable(signed, at=at)
            content = standard_for(actor.organization)
            sha256 = digest(content)
        else:
            sha256 = sent.document.sha256
        if sha256 != document_sha256.strip().lower():
            raise AgreementChanged(field="document_sha256")
        if signed is not None:
            ended = {"ended_at": min(at, signed.expires), "ended_by_id": actor.user_id}  # type: ignore[type-var]
            is_over = signed.current_status(at=at) == AgreementStatus.EXPIRED
            _close(signed, AgreementEvent.EXPIRE if is_over else AgreementEvent.REPLACE, at=at, **ended)
        months = sent.term_months if sent else TERM_MONTHS
        expires = months_later(at, months)
        signature: dict[str, Any] = {
            "signer": actor.user,
            "signer_name": name,
            "signer_title": title,
            "signed_at": at,
            "effective": at,
            "expires": expires,
            "next_review": min(months_later(at, REVIEW_AFTER_MONTHS), expires - RENEWABLE_FOR)
            if months > 3
            else expires,
        }
        if sent is not None:
            agreement = sent
            _advance(agreement, AgreementEvent.SIGN, at=at, **signature)
        else:
            agreement = _create(
                actor,
                AgreementEvent.SIGN,
                _keep(actor.organization, content, MediaType.TEXT, at=at),
                at=at,
                version=STANDARD_VERSION,
                is_standard=True,
                clauses=list(Clause.values),
                breach_sla_days=BREACH_DAYS,
                term_months=TERM_MONTHS,
                renews=signed,
                **signature,
            )
        _record(actor, "agreement.signed", agreement)
    return agreement


def platform_organization() -> Organization:
    """Return the counterpart of every agreement."""
    return Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID)


def standard_for(organization: Organization) -> bytes:
    """Return the standard agreement with the parties' names in it."""
    return standard_text(
        organization=organization,
        platform=platform_organization(),
        direction=DIRECTION_OF[organization.kind],  # type: ignore[index]
    )


def _signed_and_sent(
    actor: Actor,
) -> tuple[BusinessAssociateAgreement | None, BusinessAssociateAgreement | None]:
    rows = (
        BusinessAssociateAgreement.objects.select_for_update(of=("self",), no_key=True)
        .select_related("document")
        .filter(
            organization=actor.organization,
            counterpart=PLATFORM_ORGANIZATION_ID,
            status__in=(AgreementStatus.SIGNED, AgreementStatus.SENT),
        )
    )
    found = {row.status: row for row in rows}
    return found.get(AgreementStatus.SIGNED), found.get(AgreementStatus.SENT)


def can_be_signed_anew(signed: BusinessAssociateAgreement | None, *, at: datetime) -> bool:
    """Say whether the standard agreement may be signed beside one that was signed: it has ended or soon will, or is an
    earlier version of the same."""
    if signed is None or signed.expires is None or signed.expires - at <= RENEWABLE_FOR:
        return True
    return signed.is_standard and signed.version != STANDARD_VERSION


def _require_renewable(signed: BusinessAssociateAgreement | None, *, at: datetime) -> None:
    if not can_be_signed_anew(signed, at=at):
        raise AgreementStillRuns


def _filled(typed: str, most: int, field: str, message: Any) -> str:
    line = clean_line(typed, code="malformed_field", field=field)
    if not 2 <= len(line) <= most:
        raise Malformed(message, field=field)
    return line


def months_later(at: datetime, months: int) -> datetime:
    """Return the same day and time some months later; the month's last day where it has no such day."""
    index = at.month - 1 + months
    year, month = at.year + index // 12, index % 12 + 1
    return at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))


def _close(agreement: BusinessAssociateAgreement, event: AgreementEvent, *, at: datetime, **changes: Any) -> None:
    """End a signed agreement, recorded as over or not: the table knows one state of each."""
    agreement.status = next_status(AgreementStatus.SIGNED, event)
    agreement.updated_at = at
    for name, value in changes.items():
        setattr(agreement, name, value)
    agreement.save(update_fields=["status", "updated_at", *changes])


def terminate_agreement(*, actor: Actor, agreement_id: UUID, reason: str, at: datetime) -> BusinessAssociateAgreement:
    """End an agreement before its time, or withdraw one that is not signed yet: by the organization's own administrators,
    or by platform staff. Raises IllegalAgreementTransition, Malformed without a reason."""
    actor.require(Capability.MANAGE_AGREEMENTS)
    if not actor.is_platform_staff and not is_own_administrator(actor):
        raise NotTheSigner
    reason = clean_text(reason)
    if not 3 <= len(reason) <= 500:
        raise Malformed(_("Say why the agreement ends, in 3 to 500 characters."), field="reason")
    with transaction.atomic():
        agreement = _locked(actor, agreement_id)
        if agreement.status == AgreementStatus.DRAFT:
            actor.require(Capability.DRAFT_AGREEMENTS)
        before = agreement.current_status(at=at)
        _advance(agreement, AgreementEvent.TERMINATE, at=at, ended_at=at, ended_by_id=actor.user_id, end_reason=reason)
        audit.record(
            actor=actor,
            action="agreement.terminated",
            target=agreement,
            changes={"status": [before, AgreementStatus.TERMINATED]},
            reason=reason,
        )
        if before != AgreementStatus.DRAFT:
            agreement_terminated.send(sender=BusinessAssociateAgreement, agreement=agreement, at=at)
    return agreement
