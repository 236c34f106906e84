"""The review of access as a table, on the page and as a file."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.selectors import people_with_second_factor
from audit import services as audit
from healthivr.kernel.errors import DomainError, Malformed
from healthivr.kernel.spreadsheets import csv_text
from organizations.actor import Actor, StepUpRequired
from organizations.models import Membership
from organizations.paging import ROWS, Page
from organizations.periods import add_member_since
from organizations.reviewing import review_membership
from organizations.roles import Capability
from organizations.selectors import PeopleFilters, Shown, people, people_page

MOST_ROWS = 100


@dataclass(frozen=True)
class Access:
    """One line of the review."""

    membership: Membership
    has_second_factor: bool
    is_due: bool
    is_own: bool
    #: How many invitations that they sent are open, asked where access is about to end.
    open_invitations: int = 0


def access_page(
    *, actor: Actor, only_due: bool = False, cursor: str = "", size: int = ROWS, at: datetime
) -> tuple[Page[Membership], list[Access]]:
    """Return one page of the organization's memberships with what a reviewer looks at. Raises NotPermitted, Malformed."""
    actor.require(Capability.REVIEW_ACCESS)
    filters = PeopleFilters(shown=Shown.UNREVIEWED if only_due else None)
    page = people_page(actor=actor, filters=filters, cursor=cursor, size=size, at=at)
    return page, _accesses(actor, page.items, at=at)


def _accesses(actor: Actor, memberships: Sequence[Membership], *, at: datetime) -> list[Access]:
    add_member_since(memberships)
    enrolled = people_with_second_factor(membership.user_id for membership in memberships)
    return [
        Access(
            membership,
            has_second_factor=membership.user_id in enrolled,
            is_due=membership.is_unreviewed(at=at),
            is_own=membership.user_id == actor.user_id,
        )
        for membership in memberships
    ]


def accesses_to_end(*, actor: Actor, membership_ids: Sequence[UUID], at: datetime) -> list[Access]:
    """Return those of some memberships that a reviewer may end, by name, to be looked at before they end. Raises
    NotPermitted, Malformed."""
    actor.require(Capability.REVIEW_ACCESS)
    require_some(membership_ids)
    chosen = people(actor=actor).filter(pk__in=membership_ids).exclude(user=actor.user_id)
    found = _accesses(actor, list(chosen), at=at)
    require_some(found)
    sent = _open_invitations(actor, {access.membership.user_id for access in found}, at=at)
    return [replace(access, open_invitations=sent[access.membership.user_id]) for access in found]


def _open_invitations(actor: Actor, user_ids: Collection[UUID], *, at: datetime) -> dict[UUID, int]:
    """Return how many invitations each of some people has sent from the organization that are open."""
    is_open = Q(
        sent_invitations__organization=actor.organization,
        sent_invitations__status="pending",
        sent_invitations__expires_at__gt=at,
    )
    people = User.objects.filter(pk__in=user_ids).annotate(sent=Count("sent_invitations", filter=is_open))
    return dict(people.values_list("pk", "sent"))


def require_some(chosen: Sequence[object]) -> None:
    """Raise Malformed unless something was chosen, and no more than is done at once."""
    if not 1 <= len(chosen) <= MOST_ROWS:
        raise Malformed(_("Tick the memberships that you have looked at, 100 at most."), field="ids")


def export_access(*, actor: Actor, at: datetime) -> str:
    """Return every membership of the organization as CSV, as many as the plan has seats for. Needs a step-up; the trail
    says who took how many rows. Raises NotPermitted, StepUpRequired."""
    actor.require(Capability.REVIEW_ACCESS)
    actor.require_step_up(at=at)
    with transaction.atomic():
        rows = _accesses(actor, list(people(actor=actor).select_related("reviewed_by", "invited_by", "user")), at=at)
        audit.record(
            actor=actor,
            action="access_review.exported",
            target=actor.organization,
            organization_id=actor.organization_id,
            detail={"rows": str(len(rows))},
        )
    head = [
        _("Name"),
        _("E-mail"),
        _("Role"),
        _("Administrator"),
        _("Invited by"),
        _("Member since"),
        _("Last sign-in"),
        _("Second factor"),
        _("Last review"),
        _("Reviewed by"),
        _("Review is due"),
    ]
    return csv_text([head, *(_cells(access) for access in rows)])


def _cells(access: Access) -> list[str]:
    row = access.membership
    return [
        row.user.get_full_name(),
        row.user.email,
        str(row.get_role_display()),
        _yes(row.is_org_admin),
        row.invited_by.get_full_name() if row.invited_by else "",
        _moment(row.member_since),  # type: ignore[attr-defined]
        _moment(row.user.last_login),
        _yes(access.has_second_factor),
        _moment(row.reviewed_at),
        row.reviewed_by.get_full_name() if row.reviewed_by else "",
        _yes(access.is_due),
    ]


def _yes(value: bool) -> str:
    return _("Yes") if value else _("No")


def _moment(at: datetime | None) -> str:
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else ""


def review_several(
    *, actor: Actor, membership_ids: Sequence[UUID], verdict: str, reason: str, at: datetime
) -> tuple[int, list[DomainError]]:
    """Keep or end several memberships, signed by the actor. Returns how many were reviewed, and why others were not; what
    one refuses does not stop the others. Raises NotPermitted and Malformed."""
    actor.require(Capability.REVIEW_ACCESS)
    require_some(membership_ids)
    done, refused = 0, []
    with transaction.atomic():
        for membership_id in sorted(set(membership_ids)):
            try:
                with transaction.atomic():
                    review_membership(actor=actor, membership_id=membership_id, verdict=verdict, reason=reason, at=at)
                done += 1
            except StepUpRequired:  # asks for a proof, then the same again: no row's own matter
                raise
            except DomainError as error:
                refused.append(error)
    return done, refused
