"""Reads: where an organization stands with its agreement, and whose is missing or ends soon."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.db.models import DateTimeField, Exists, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from healthivr.kernel.errors import NotFound
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.actor import Actor
from organizations.models import Organization
from organizations.paging import ROWS, Page, beside, cut_page, damaged_cursor, read_cursor
from organizations.roles import Capability
from organizations.tenancy import platform

from .gate import DIRECTION_OF, needs_agreement
from .models import AgreementDocument, BaaReminder, BusinessAssociateAgreement, MediaType
from .standard import signature_record
from .states import AgreementStatus

#: From when on the end of an agreement is near: the first reminder.
ENDING = timedelta(days=90)
SOON = timedelta(days=30)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
URGENCY_ORDER = ("urgency", "pk")


@dataclass(frozen=True)
class Standing:
    """Where an organization stands with its agreement at a moment."""

    organization: Organization
    #: All that there ever were, the newest first.
    agreements: list[BusinessAssociateAgreement]
    at: datetime

    @property
    def is_needed(self) -> bool:
        """Whether organizations of this kind must have one."""
        return needs_agreement(self.organization)

    @cached_property
    def last_signed(self) -> BusinessAssociateAgreement | None:
        """The one signed last, whether it still holds or not."""
        signed = [agreement for agreement in self.agreements if agreement.signed_at]
        return max(signed, key=lambda agreement: (agreement.signed_at, agreement.pk)) if signed else None

    @property
    def last_signed_running(self) -> BusinessAssociateAgreement | None:
        """The one recorded as signed, in force or just over: what a new signature replaces."""
        last = self.last_signed
        return last if last and last.status == AgreementStatus.SIGNED else None

    @cached_property
    def in_force(self) -> BusinessAssociateAgreement | None:
        """The one that holds now."""
        return self.last_signed if self.last_signed and self.last_signed.is_in_force(at=self.at) else None

    @cached_property
    def sent(self) -> BusinessAssociateAgreement | None:
        """The one that waits for its signature."""
        return next((one for one in self.agreements if one.status == AgreementStatus.SENT), None)

    @cached_property
    def draft(self) -> BusinessAssociateAgreement | None:
        """The one that the platform prepares."""
        return next((one for one in self.agreements if one.status == AgreementStatus.DRAFT), None)

    @property
    def shown(self) -> BusinessAssociateAgreement | None:
        """The one to show first."""
        return self.in_force or self.sent or self.last_signed

    @property
    def status(self) -> AgreementStatus:
        """Where it stands, in one word."""
        return self.shown.current_status(at=self.at) if self.shown else AgreementStatus.NONE

    @property
    def days_left(self) -> int | None:
        """How many whole days the one in force still holds."""
        return self.in_force.days_left(at=self.at) if self.in_force else None

    @property
    def is_ending(self) -> bool:
        """Whether the one in force ends within ninety days."""
        return bool(self.in_force and self.in_force.expires and self.in_force.expires - self.at <= ENDING)


def standing_of(*, organization: Organization, at: datetime) -> Standing:
    """Return where an organization stands. One statement, in its door or in platform()."""
    agreements = (
        BusinessAssociateAgreement.objects.filter(organization=organization, counterpart=PLATFORM_ORGANIZATION_ID)
        .select_related("document", "signer", "sent_by", "ended_by")
        .defer("document__content")
        .order_by("-created_at", "-pk")
    )
    return Standing(organization, list(agreements), at)


def attention_of(*, organization: Organization, at: datetime) -> str:
    """Return whether the organization's agreement needs somebody: `missing`, `ending`, or nothing. Costs no statement
    where none is needed."""
    if not needs_agreement(organization):
        return ""
    standing = standing_of(organization=organization, at=at)
    return "ending" if standing.is_ending else "" if standing.in_force else "missing"


def agreement_shown(*, actor: Actor, agreement_id: UUID) -> BusinessAssociateAgreement:
    """Return one of the organization's agreements, drafts to platform staff alone. Raises NotFound."""
    actor.require(Capability.VIEW_COMPLIANCE)
    agreement = (
        BusinessAssociateAgreement.objects.filter(organization=actor.organization, pk=agreement_id)
        .select_related("document")
        .defer("document__content")
        .first()
    )
    if agreement is None or (agreement.status == AgreementStatus.DRAFT and not actor.is_platform_staff):
        raise NotFound
    return agreement


def document_of(*, actor: Actor, agreement_id: UUID) -> tuple[AgreementDocument, bytes]:
    """Return the document of one of the organization's agreements, and its bytes as they are handed out: below a text
    that was signed stands who signed it and when, with the digest of what stands above. Raises NotFound."""
    agreement = agreement_shown(actor=actor, agreement_id=agreement_id)
    document = AgreementDocument.objects.get(organization=actor.organization, pk=agreement.document_id)
    content = bytes(document.content)
    if document.media_type == MediaType.TEXT and agreement.signed_at:
        content += signature_record(agreement).encode()
    return document, content


# --- all organizations -----------------------------------------------------------------------------------------------
def organizations_by_urgency(
    *, actor: Actor, which: str = "", cursor: str = "", size: int = ROWS, at: datetime
) -> Page[Organization]:
    """Return one page of the active organizations that need an agreement, those without one first, then by its end, with
    one query and no count. `which` is `missing`, `ending`, `all`, or empty for missing and ending.

    Each has `holds_until` (None without an agreement in force), `is_waiting` (one was sent), `last_status` and
    `last_reminder` (days). For platform staff in the platform's organization; anybody else gets their own. Raises
    NotPermitted, Malformed (`cursor`).
    """
    actor.require(Capability.VIEW_COMPLIANCE)
    own = BusinessAssociateAgreement.objects.filter(
        organization=OuterRef("pk"), counterpart=PLATFORM_ORGANIZATION_ID
    ).order_by("-created_at", "-pk")
    holding = own.in_force(at=at).values("expires")[:1]
    reminders = BaaReminder.objects.filter(
        organization=OuterRef("pk"), sent_at__isnull=False, agreement__status=AgreementStatus.SIGNED
    )
    organizations = Organization.objects.filter(kind__in=list(DIRECTION_OF), state="active").annotate(
        holds_until=Subquery(holding),
        is_waiting=Exists(own.filter(status=AgreementStatus.SENT)),
        last_status=Subquery(own.exclude(status=AgreementStatus.DRAFT).values("status")[:1]),
        last_reminder=Subquery(reminders.order_by("offset").values("offset")[:1]),
        urgency=Coalesce(Subquery(holding), Value(_BEGINNING), output_field=DateTimeField()),
    )
    if not (actor.is_platform_staff and actor.organization.is_platform):
        organizations = organizations.filter(pk=actor.organization_id)
    ending = Q(holds_until__lte=at + ENDING)
    narrowed = {"": Q(holds_until=None) | ending, "missing": Q(holds_until=None), "ending": ending}
    if which in narrowed:
        organizations = organizations.filter(narrowed[which])
    backwards, position = read_cursor(cursor)
    if position:
        organizations = organizations.filter(beside(URGENCY_ORDER, _place(position), backwards=backwards))
    with platform("whose agreements are missing or end soon"):
        return cut_page(
            organizations,
            order=URGENCY_ORDER,
            is_first=not position,
            backwards=backwards,
            size=size,
            position=lambda row: f"{row.urgency.isoformat()}|{row.pk}",  # type: ignore[attr-defined]
        )


def _place(position: str) -> tuple[datetime, UUID]:
    try:
        written, pk = position.split("|")
        moment = datetime.fromisoformat(written)
        if moment.utcoffset() is None:
            raise ValueError("not one of ours")
        return moment, UUID(pk)
    except ValueError:
        raise damaged_cursor() from None


def last_status(organization: Organization) -> AgreementStatus:
    """Return the state of the newest agreement of a row of `organizations_by_urgency`: one whose time is over is over."""
    last = AgreementStatus(organization.last_status or AgreementStatus.NONE)  # type: ignore[attr-defined]
    is_over = last == AgreementStatus.SIGNED and organization.holds_until is None  # type: ignore[attr-defined]
    return AgreementStatus.EXPIRED if is_over else last


def severity(organization: Organization, *, at: datetime) -> str:
    """Return how urgent a row of `organizations_by_urgency` is: `critical` without an agreement in force, `warning`
    within thirty days of its end, `notice` within ninety, else nothing."""
    holds_until: datetime | None = organization.holds_until  # type: ignore[attr-defined]
    if holds_until is None:
        return "critical"
    left = holds_until - at
    return "warning" if left <= SOON else "notice" if left <= ENDING else ""
