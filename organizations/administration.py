"""Running organizations from outside: create, update, switch off and on, administrators, plan. Each act in the door of
the organization that it is about, and in that one's trail."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.validators import slug_re
from django.db import transaction
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from audit import services as audit
from healthivr.kernel.errors import Conflict, Malformed, Refused
from healthivr.kernel.names import clean_text

from .actor import Actor
from .directory import acting_in, organization_in_tree
from .models import Membership, Organization, OrganizationClosure, OrganizationSettings, OrganizationState
from .roles import NEVER_ADMINISTRATORS, Capability, OrganizationKind, Role, may_stand_below
from .seats import lock_seats
from .services import (
    change_administrator,
    clean_name,
    clean_slug,
    free_slug,
    save_unless_taken,
    update_organization,
)
from .tenancy import tenant

#: Asked before an organization is switched off, with `organization` and `at`, in its door. Rooms above answer with a
#: sentence of what happens to what is theirs, or nothing.
deactivation_foreseen = Signal()

MOST_SEATS = 100_000
REASON_LENGTH = 500


class PlatformStays(Refused):
    """Without the platform nobody runs the others."""

    code = "platform_stays"
    message = _("The platform itself cannot be switched off.")


class ParentNotPossible(Refused):
    """An organization of that kind has no place there."""

    code = "parent_not_possible"
    message = _("An organization of this kind cannot stand below that one. Choose another kind, or another place.")


class NotAMember(Refused):
    """Only who belongs to an organization can run it."""

    code = "not_a_member"
    message = _("Choose somebody who is an active member of the organization now.")


class SeatsInUse(Conflict):
    """A plan has at least the seats that are taken. `extra["seats_used"]` says how many."""

    code = "seats_in_use"
    message = _("More seats are in use. End memberships or cancel invitations first.")

    def __init__(self, used: int) -> None:
        text = ngettext(
            "%(used)d seat is in use. End memberships or cancel invitations first.",
            "%(used)d seats are in use. End memberships or cancel invitations first.",
            used,
        )
        super().__init__(text % {"used": used}, field="seat_limit", seats_used=used)


# --- create and update -----------------------------------------------------------------------------------------------
def create_organization(
    *,
    actor: Actor,
    name: str,
    kind: str,
    slug: str = "",
    parent_id: UUID | None = None,
    plan: str | None = None,
    seat_limit: int | None = None,
    at: datetime,
) -> Organization:
    """Create an organization that nobody belongs to yet, below `parent_id` or the actor's own.

    For who runs them all; everybody else founds by inviting the founder. Raises NotFound, ParentNotPossible, SlugTaken,
    Malformed (`organization_name`, `slug`, `kind`, `plan`, `seat_limit`).
    """
    actor.require(Capability.RUN_ORGANIZATIONS)
    parent = organization_in_tree(actor=actor, organization_id=parent_id or actor.organization_id)
    if kind not in OrganizationKind.values:
        raise Malformed(_("Choose a kind from the list."), code="kind", field="kind")
    if not parent.is_active or not may_stand_below(OrganizationKind(kind), OrganizationKind(parent.kind)):
        raise ParentNotPossible(field="parent")
    row = Organization(
        name=clean_name(name),
        slug=clean_slug(slug) if slug.strip() else free_slug(name),
        kind=kind,
        parent=parent,
        created_at=at,
    )
    terms = _clean_terms(plan=plan, seat_limit=seat_limit)
    with transaction.atomic():
        save_unless_taken(row)
        with tenant(row):
            OrganizationSettings.objects.create(organization=row, updated_at=at, **terms)
            audit.record(
                actor=actor,
                action="organization.created",
                target=row,
                organization_id=row.pk,
                detail={"kind": kind, "parent": str(parent.pk)},
            )
    return row


def update_organization_in_tree(*, actor: Actor, organization_id: UUID, at: datetime, **values: Any) -> Organization:
    """Change the name and the policies of an organization (`update_organization`): its administrators, and who runs
    them all. Raises NotFound, NotPermitted, Malformed."""
    with acting_in(actor=actor, organization_id=organization_id) as inside:
        return update_organization(actor=inside, at=at, **values)


# --- off and on ------------------------------------------------------------------------------------------------------
def foresee_deactivation(*, actor: Actor, organization_id: UUID, at: datetime) -> list[str]:
    """Return, sentence by sentence, whom it would concern if the organization were switched off."""
    actor.require(Capability.RUN_ORGANIZATIONS)
    with acting_in(actor=actor, organization_id=organization_id) as inside:
        members = Membership.objects.active().filter(organization=inside.organization).values("user").distinct().count()
        found = [
            ngettext(
                "%(n)d person loses access with the next click.",
                "%(n)d people lose access with their next click.",
                members,
            )
            % {"n": members}
        ]
        answers = deactivation_foreseen.send(Organization, organization=inside.organization, at=at)
        found += [text for _receiver, text in answers if text]
        below = OrganizationClosure.objects.filter(
            ancestor=inside.organization, depth__gt=0, descendant__state=OrganizationState.ACTIVE
        ).count()
        if below:
            found.append(
                ngettext(
                    "%(n)d organization below it stays as it is.",
                    "%(n)d organizations below it stay as they are.",
                    below,
                )
                % {"n": below}
            )
    return found


def deactivate_organization(*, actor: Actor, organization_id: UUID, reason: str, at: datetime) -> Organization:
    """Switch an organization off: its people cannot act in it from their next request on; nothing is deleted.

    Raises NotFound, NotPermitted, PlatformStays, Malformed (`reason`).
    """
    actor.require(Capability.RUN_ORGANIZATIONS)
    reason = clean_text(reason)
    if not reason:
        raise Malformed(_("Say why the organization is switched off."), code="reason", field="reason")
    return _change_state(actor, organization_id, OrganizationState.INACTIVE, reason=reason, at=at)


def activate_organization(*, actor: Actor, organization_id: UUID, reason: str = "", at: datetime) -> Organization:
    """Switch an organization on again, as it was. Raises NotFound, NotPermitted."""
    actor.require(Capability.RUN_ORGANIZATIONS)
    return _change_state(actor, organization_id, OrganizationState.ACTIVE, reason=clean_text(reason), at=at)


def _change_state(
    actor: Actor, organization_id: UUID, state: OrganizationState, *, reason: str, at: datetime
) -> Organization:
    """Asked twice, it happens once."""
    with acting_in(actor=actor, organization_id=organization_id) as inside:
        if inside.organization.is_platform:
            raise PlatformStays
        lock_seats(organization_id=organization_id)
        organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
        before = organization.state
        if before != state:
            organization.state = state
            organization.save(update_fields=["state"])
            is_off = state == OrganizationState.INACTIVE
            audit.record(
                actor=inside,
                action="organization.deactivated" if is_off else "organization.activated",
                target=organization,
                organization_id=organization.pk,
                changes={"state": [before, state.value]},
                reason=reason[:REASON_LENGTH],
            )
    return organization


# --- administrators --------------------------------------------------------------------------------------------------
def assign_administrator(
    *, actor: Actor, organization_id: UUID, user_id: UUID, is_org_admin: bool = True, at: datetime
) -> Membership:
    """Make an active member an administrator of an organization, or no longer one.

    Whoever has several roles there runs it by the first that can, in the order of the role table, and hands over by all.
    Raises NotFound, NotPermitted, NotAMember, AdministrationFixed, LastAdministrator, StepUpRequired.
    """
    with acting_in(actor=actor, organization_id=organization_id) as inside:
        inside.require(Capability.MANAGE_PEOPLE)
        lock_seats(organization_id=organization_id)
        active = Membership.objects.active().filter(organization=inside.organization, user=user_id)
        order = list(Role.values)
        memberships = sorted(active, key=lambda membership: order.index(membership.role))
        if not memberships:
            raise NotAMember(field="user_id")
        now = [membership for membership in memberships if membership.is_org_admin]
        if bool(now) == is_org_admin:
            return (now or memberships)[0]
        if is_org_admin:
            can = [membership for membership in memberships if membership.role not in NEVER_ADMINISTRATORS]
            chosen = (can or memberships)[:1]
        else:
            chosen = now
        changed = [
            change_administrator(actor=inside, membership_id=membership.pk, is_org_admin=is_org_admin, at=at)
            for membership in chosen
        ]
    return changed[0]


# --- the plan --------------------------------------------------------------------------------------------------------
def change_plan(
    *, actor: Actor, organization_id: UUID, plan: str | None = None, seat_limit: int | None = None, at: datetime
) -> OrganizationSettings:
    """Change what an organization has bought; what is not given stays. Raises NotFound, NotPermitted, SeatsInUse when
    more are taken than would be left, Malformed (`plan`, `seat_limit`)."""
    actor.require(Capability.RUN_ORGANIZATIONS)
    terms = _clean_terms(plan=plan, seat_limit=seat_limit)
    with acting_in(actor=actor, organization_id=organization_id) as inside:
        settings = lock_seats(organization_id=organization_id)
        before = {name: str(getattr(settings, name)) for name in terms}
        left = OrganizationSettings.objects.filter(organization_id=organization_id)
        if seat_limit is not None:
            left = left.filter(seats_used__lte=seat_limit)
        if not left.update(updated_at=at, **terms):
            raise SeatsInUse(settings.seats_used)
        settings.refresh_from_db()
        changes = {name: [before[name], str(value)] for name, value in terms.items() if before[name] != str(value)}
        if changes:
            audit.record(actor=inside, action="organization.plan_changed", target=settings, changes=changes)
    return settings


def _clean_terms(*, plan: str | None, seat_limit: int | None) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    if plan is not None:
        if not slug_re.match(plan) or len(plan) > 30:
            raise Malformed(
                _("Name the plan in up to 30 letters, digits, hyphens and underscores."), code="plan", field="plan"
            )
        terms["plan"] = plan
    if seat_limit is not None:
        if not 1 <= seat_limit <= MOST_SEATS:
            raise Malformed(_("Choose between 1 and 100,000 seats."), code="seat_limit", field="seat_limit")
        terms["seat_limit"] = seat_limit
    return terms
