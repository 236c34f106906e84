"""Reads of invitations by staff."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import (
    Aggregate,
    BooleanField,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Func,
    Q,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Concat, Lower
from django.utils.translation import ngettext

from audit.selectors import changes_of
from healthivr.kernel.errors import NotFound
from organizations.actor import Actor
from organizations.models import Organization
from organizations.paging import ROWS, Page, beside, cut_page, damaged_cursor, read_cursor
from organizations.roles import Capability

from .by_day import sent_and_accepted_by_day
from .entitlement import orphans
from .errors import NotYourInvitation
from .models import ADDRESS_CORRECTED, Delivery, InvitationHistory, InvitationQuerySet, StatusWord, UserInvitation
from .states import Event, Status

ORDER = ("-created_at", "-pk")


def visible_invitations(*, actor: Actor) -> InvitationQuerySet:
    """Return the invitations that the actor may see: all of the organization's, or those they sent."""
    actor.require(Capability.VIEW_INVITATIONS)
    invitations = UserInvitation.objects.filter(organization=actor.organization)
    if not actor.has(Capability.VIEW_ALL_INVITATIONS):
        invitations = invitations.filter(invited_by=actor.user)
    return invitations


def invitation_detail(
    *, actor: Actor, invitation_id: UUID, people: tuple[str, ...] = ("invited_by",)
) -> UserInvitation:
    """Return one invitation, with those of its people that are asked for. Raises NotFound, or NotYourInvitation for a
    colleague's."""
    actor.require(Capability.VIEW_INVITATIONS)
    found = UserInvitation.objects.filter(organization=actor.organization, pk=invitation_id).select_related(*people)
    invitation = next(iter(found), None)  # no first(): the one row needs no sorting
    if invitation is None:
        raise NotFound
    invitation.organization = actor.organization
    if not actor.has(Capability.VIEW_ALL_INVITATIONS) and invitation.invited_by_id != actor.user_id:
        raise NotYourInvitation
    return invitation


def invitation_to_manage(
    *, actor: Actor, invitation_id: UUID, people: tuple[str, ...] = ("invited_by",)
) -> UserInvitation:
    """Return one invitation that the actor may change: their own, or any for those who manage all."""
    invitation = invitation_detail(actor=actor, invitation_id=invitation_id, people=people)
    if invitation.invited_by_id != actor.user_id:
        actor.require(Capability.MANAGE_ALL_INVITATIONS)
    return invitation


# --- the list --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Filters:
    """What the list shows. `email` is the beginning of an address, `text` that of a name or an address; the days count
    from midnight of `since`/`until`."""

    status: str = ""
    invitation_type: str = ""
    email: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    attention: str = ""


def filtered(invitations: InvitationQuerySet, filters: Filters, *, at: datetime) -> InvitationQuerySet:
    """Apply filters to a queryset."""
    if filters.status:
        invitations = invitations.with_status(filters.status, at=at)
    conditions = Q()
    if filters.invitation_type:
        conditions &= Q(invitation_type=filters.invitation_type)
    if filters.email:
        conditions &= _begins(F("email"), filters.email.strip())
    if text := " ".join(filters.text.split()):
        # Without an index: lower() is not leakproof (see _begins), and each index costs every creation and every mail.
        # Among a million rows of one organization: 0.6 seconds where nothing fits, milliseconds where much does.
        name = Concat("first_name", Value(" "), "last_name") if " " in text else F("first_name")
        conditions &= _begins(F("email"), text) | _begins(Lower(name), text) | _begins(Lower("last_name"), text)
    if filters.since:
        conditions &= Q(created_at__gte=filters.since)
    if filters.until:
        conditions &= Q(created_at__lt=filters.until)
    if filters.attention in ("open", "expiring", "orphaned"):
        conditions &= Q(status=Status.PENDING, expires_at__gt=at)
    if filters.attention == "expiring":
        # The plain comparison lets PostgreSQL start in the index; the other leaves out whose life is short and young.
        conditions &= Q(expires_at__lte=at + EXPIRING_SOON) & Q(expires_at__lte=_last_third(at))
    if filters.attention == "accepted":
        conditions &= Q(status=Status.ACCEPTED, accepted_at__gte=at - LATELY)
    return invitations.filter(conditions)


def _begins(value: Combinable, text: str) -> Q:
    """Whether a lower-case value begins with a text. Not LIKE: under row-level security PostgreSQL gives an index to
    leakproof functions alone (architecture.md 3)."""
    return Q(Func(value, Value(text.lower()), function="starts_with", output_field=BooleanField()))


#: "Expires soon" is whoever has this long to live, and no more than a third of their life: an administrator's invitation
#: has 48 hours when it is sent.
EXPIRING_SOON = timedelta(hours=48)
LATELY = timedelta(days=30)


def _last_third(at: datetime) -> "ExpressionWrapper[Any]":
    """Return when an invitation ends, at the latest, of which at most a third is left: in half of its age."""
    now = Value(at, output_field=DateTimeField())
    age = ExpressionWrapper(now - Coalesce("sent_at", "created_at"), output_field=DurationField())
    return ExpressionWrapper(now + ExpressionWrapper(age / 2, DurationField()), output_field=DateTimeField())


def expires_soon(invitation: UserInvitation, *, at: datetime) -> bool:
    """Say of one open invitation what the filter `expiring` asks of many."""
    left = invitation.expires_at - at
    return left <= EXPIRING_SOON and left <= (at - (invitation.sent_at or invitation.created_at)) / 2


def invitation_page(
    *, actor: Actor, filters: Filters, cursor: str = "", size: int = ROWS, at: datetime
) -> Page[UserInvitation]:
    """Return one page of the list, newest first, with one query and no count. `cursor` is a neighbour's, opaque.

    Raises Malformed (`cursor`) for one that is not ours.
    """
    visible = visible_invitations(actor=actor)
    if filters.attention == "orphaned":
        visible = visible.filter(orphans(organization=actor.organization))
    invitations = filtered(visible, filters, at=at).select_related("invited_by")
    backwards, position = _decode(cursor)
    if position:
        created_at, _pk = position
        # The plain comparison beside the exact one lets PostgreSQL start in the index instead of filtering.
        bound = Q(created_at__gte=created_at) if backwards else Q(created_at__lte=created_at)
        invitations = invitations.filter(bound & beside(ORDER, position, backwards=backwards))
    return cut_page(
        invitations,
        order=ORDER,
        is_first=not position,
        backwards=backwards,
        size=size,
        position=_position,
    )


def _position(invitation: UserInvitation) -> str:
    return f"{invitation.created_at.isoformat()}|{invitation.pk}"


def _decode(cursor: str) -> tuple[bool, tuple[datetime, UUID] | None]:
    backwards, position = read_cursor(cursor)
    if not position:
        return backwards, None
    try:
        written, pk = position.split("|")
        created_at = datetime.fromisoformat(written)
        if created_at.utcoffset() != timedelta(0):  # as _position writes it
            raise ValueError("not one of ours")
        return backwards, (created_at, UUID(pk))
    except ValueError:
        raise damaged_cursor() from None


# --- one invitation's story ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TimelineItem:
    """One line of the timeline. `kind` is `created`, a lifecycle event, or `delivery`. `changes` are the fields that an
    update changed, each with what the trail shows of it: before and after, or nothing."""

    at: datetime
    kind: str
    delivery: Delivery | None = None
    history: InvitationHistory | None = None
    changes: dict[str, list[str]] = field(default_factory=dict)


def timeline(invitation: UserInvitation) -> list[TimelineItem]:
    """Return what happened to an invitation, in order: creation, each attempt to deliver it, each change."""
    items = [TimelineItem(invitation.created_at, "created")]
    items += [
        TimelineItem(delivery.finished_at or delivery.created_at, "delivery", delivery=delivery)
        for delivery in invitation.deliveries.filter(purpose="invitation")
    ]
    entries = list(InvitationHistory.objects.filter(invitation=invitation).select_related("by").order_by("at"))
    changes = _changes(invitation, [entry for entry in entries if entry.event == Event.UPDATE])
    items += [
        TimelineItem(entry.at, entry.event, history=entry, changes=changes.get(entry.pk, {})) for entry in entries
    ]
    return sorted(items, key=lambda item: item.at)


def _changes(invitation: UserInvitation, updates: list[InvitationHistory]) -> dict[UUID, dict[str, list[str]]]:
    """Return what each update changed. The history holds the fields and the trail their values, masked where they are
    personal; an update of which the trail knows other fields, or nothing, shows no values."""
    if not updates:
        return {}
    recorded = changes_of(invitation, organization_id=invitation.organization_id, action="invitation.updated")
    found = {}
    for update, changes in zip(updates, [*recorded, *({} for _update in updates)], strict=False):
        names = [name for name in update.reason.split(", ") if name]
        found[update.pk] = {name: changes[name] if changes.keys() == set(names) else [] for name in names}
    return found


def is_as_read(invitation: UserInvitation) -> bool:
    """Say whether an invitation and its delivery still stand where they stood when it was read."""
    columns = ("status", "delivery_status", "send_count", "token_nonce", "updated_at")
    return UserInvitation.objects.filter(
        pk=invitation.pk, **{name: getattr(invitation, name) for name in columns}
    ).exists()


def correction_of(*, actor: Actor, invitation: UserInvitation) -> UserInvitation | None:
    """Return what took the place of an invitation whose address was corrected, if the actor may see it: the invitation
    that the same person made in the very moment in which they cancelled this one (services.correct_address)."""
    corrected = invitation.history.filter(event=Event.CANCEL, reason=ADDRESS_CORRECTED)
    if invitation.closed_at is None or invitation.closed_by_id is None or not corrected.exists():
        return None
    made = visible_invitations(actor=actor).exclude(pk=invitation.pk)
    return made.filter(created_at=invitation.closed_at, invited_by=invitation.closed_by_id).first()


# --- numbers ---------------------------------------------------------------------------------------------------------
COUNTED_AT_MOST = 1000


class Median(Aggregate):
    """The value in the middle: half are below it. PostgreSQL leaves nulls out."""

    function = "percentile_cont"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"


@dataclass(frozen=True)
class Overview:
    """What needs attention, and what happened lately. Every number has a list behind it, and none is counted beyond
    COUNTED_AT_MOST: one more means "more than that"."""

    failed: int
    #: Open, and nobody can accept them until a colleague adopts them.
    orphaned: int
    expiring: int
    waiting: int
    open: int
    accepted: int
    #: From being invited to having accepted, the median of those counted as accepted; None while nobody has.
    time_to_accept: timedelta | None
    #: The reader's days, oldest first. An invitation counts on the day it was last sent.
    sent_and_accepted_by_day: list[tuple[date, int, int]]


def overview(*, actor: Actor, at: datetime) -> Overview:
    """Return the numbers of the overview page, over the invitations that the actor may see. What it costs does not grow
    with what the organization has ever sent."""
    visible = visible_invitations(actor=actor)

    def number(filters: Filters) -> int:
        return filtered(visible, filters, at=at)[: COUNTED_AT_MOST + 1].count()

    accepted = (
        filtered(visible, Filters(attention="accepted"), at=at)
        .annotate(took=F("accepted_at") - F("created_at"))
        .order_by("-accepted_at")[: COUNTED_AT_MOST + 1]
        .aggregate(count=Count("pk"), median=Median("took", output_field=DurationField()))
    )
    return Overview(
        failed=number(Filters(status=StatusWord.FAILED)),
        orphaned=visible.open(at=at).filter(orphans(organization=actor.organization))[: COUNTED_AT_MOST + 1].count(),
        expiring=number(Filters(attention="expiring")),
        waiting=number(Filters(status=StatusWord.PENDING)),
        open=number(Filters(attention="open")),
        accepted=accepted["count"],
        time_to_accept=accepted["median"],
        sent_and_accepted_by_day=sent_and_accepted_by_day(actor=actor, days=LATELY.days, at=at),
    )


# --- what an organization that is switched off leaves waiting --------------------------------------------------------
def invitations_that_wait(*, organization: Organization, at: datetime, **kwargs: Any) -> str:
    """Return the sentence about open invitations for whoever is about to switch an organization off; empty when there
    are none."""
    waiting = UserInvitation.objects.open(at=at).filter(organization=organization).count()
    if not waiting:
        return ""
    text = ngettext(
        "%(n)d open invitation cannot be accepted until it is switched on again.",
        "%(n)d open invitations cannot be accepted until it is switched on again.",
        waiting,
    )
    return text % {"n": waiting}
