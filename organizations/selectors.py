"""Reads: who somebody is where, and who belongs to an organization."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import (
    BooleanField,
    Choices,
    Count,
    Exists,
    Func,
    OuterRef,
    Q,
    QuerySet,
    TextChoices,
    Value,
)
from django.db.models.functions import Concat
from django.utils.translation import gettext_lazy as _

from audit.selectors import last_at
from healthivr.kernel.errors import NotFound
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID

from .actor import Actor
from .models import Membership, MembershipStatus, Organization, OrganizationClosure, OrganizationSettings
from .paging import ROWS, Page, beside, cut_page, read_cursor, read_place
from .roles import INVITATION_TYPES, Capability, OrganizationKind, Role, can_be_sent_from, may_invite
from .standing import ask_standing, read_standing
from .tenancy import platform

if TYPE_CHECKING:  # a name for the type checker; at run time nothing here knows accounts
    from accounts.models import User


def actor_in(
    *, user: "User", organization: Organization, ip: str, request_id: str, verified_at: datetime | None = None
) -> Actor:
    """Return who `user` is in `organization`. Raises NotFound and OrganizationInactive, as requests do."""
    standing = read_standing(ask_standing(user=user, reference=str(organization.pk)))
    return standing.actor(user=user, ip=ip, request_id=request_id, verified_at=verified_at)


def is_platform_administrator(user: "User") -> bool:
    """Say whether somebody is an administrator of the platform itself."""
    return bool(get_user_model().objects.filter(_asks_platform_administrator(user), pk=user.pk).exists())


def _asks_platform_administrator(user: "User") -> Func:
    """The rule as a database function (migration 0004), which may be asked in any door."""
    return Func(Value(user.pk), function="is_platform_administrator", output_field=BooleanField())


@dataclass(frozen=True)
class Belonging:
    """One line of the switcher: an organization, and all that somebody is there."""

    organization: Organization
    role_label: str


def roles_in(user: "User", organization_id: UUID) -> list[Role]:
    """Return what somebody is in an organization now, in the order of the role table."""
    with platform("what somebody is there"):
        held = set(
            Membership.objects.active().filter(organization=organization_id, user=user).values_list("role", flat=True)
        )
    return [role for role in Role if role in held]


def has_role_anywhere(user: "User", roles: frozenset[Role]) -> bool:
    """Say whether somebody has one of these roles in any organization now."""
    with platform("does somebody have a role anywhere", is_logged=False):
        return Membership.objects.active().filter(user=user, role__in=roles).exists()


def is_in_organization(user: "User", organization_id: UUID) -> bool:
    """Say whether somebody is a member of an organization now, or a platform administrator, who acts in all of them."""
    with platform("is this person still there", is_logged=False):
        is_member = Membership.objects.active().filter(organization=organization_id, user=user).exists()
    return is_member or is_platform_administrator(user)


def organizations_of(user: "User") -> list[Belonging]:
    """Return the active organizations in which somebody is a member, by name."""
    with platform("my organizations"):
        memberships = list(
            Membership.objects.active()
            .filter(user=user, organization__state="active")
            .select_related("organization")
            .order_by("organization__name", "organization_id", "role")
        )
    held: dict[UUID, list[Membership]] = {}
    for membership in memberships:
        held.setdefault(membership.organization_id, []).append(membership)
    order = list(Role.values)
    return [
        Belonging(
            there[0].organization,
            ", ".join(str(Role(role).label) for role in sorted({m.role for m in there}, key=order.index)),
        )
        for there in held.values()
    ]


def switched_off_organizations_of(user: "User") -> list[Organization]:
    """Return the organizations that are switched off in which somebody is a member, by name."""
    with platform("my organizations that are switched off"):
        there = Membership.objects.active().filter(user=user).values("organization")
        return list(Organization.objects.filter(pk__in=there, state="inactive").order_by("name", "pk"))


def switched_off_since(organization: Organization) -> datetime | None:
    """Return when an organization was switched off, as its trail says. Asked in a door."""
    return last_at(organization, organization_id=organization.pk, action="organization.deactivated")


@lru_cache(maxsize=32)
def system_actor(name: str) -> Actor:
    """Return the named actor of background work, such as the expiry sweep. The trail says its name."""
    return Actor(None, Organization(pk=PLATFORM_ORGANIZATION_ID, kind=OrganizationKind.PLATFORM), system=name)


def settings_of(organization: Organization) -> OrganizationSettings:
    """Return the seats and settings of an organization."""
    return OrganizationSettings.objects.get(organization=organization)


PEOPLE_ORDER = ("user__last_name", "user__first_name", "pk")


def people(*, actor: Actor, shown: "Shown | None" = None, at: datetime | None = None) -> QuerySet[Membership]:
    """Return the organization's active memberships, or others (`shown`), with their people, by name. Needs the right to
    see people. Somebody who has left and come back is no former member; nor is who changed the role."""
    actor.require(Capability.VIEW_PEOPLE)
    memberships = Membership.objects.filter(organization=actor.organization)
    if shown == Shown.ENDED:
        here = Membership.objects.filter(organization=actor.organization, status=MembershipStatus.ACTIVE)
        memberships = memberships.filter(~Exists(here.filter(user=OuterRef("user"))), status=MembershipStatus.ENDED)
    elif shown == Shown.DEACTIVATED:
        memberships = memberships.filter(status=MembershipStatus.ACTIVE, user__is_active=False)
    elif shown == Shown.UNREVIEWED and at:
        memberships = memberships.unreviewed(at=at)
    else:
        memberships = memberships.active()
    return memberships.select_related("user", "invited_by", "upline").order_by(*PEOPLE_ORDER)


class Shown(TextChoices):
    """Which people a list shows, other than the members now."""

    ENDED = "ended", _("Former members")
    DEACTIVATED = "deactivated", _("Switched off")
    LOCKED = "locked", _("Sign-in locked")
    UNREVIEWED = "unreviewed", _("Access not reviewed for 90 days")


@dataclass(frozen=True)
class PeopleFilters:
    """What the list of people shows. `text` is the beginning of a name or an address."""

    text: str = ""
    role: str = ""
    shown: Shown | None = None
    #: Nobody but these, where what decides stands above this app.
    only: frozenset[UUID] | None = None


def people_page(
    *, actor: Actor, filters: PeopleFilters, cursor: str = "", size: int = ROWS, at: datetime
) -> Page[Membership]:
    """Return one page of the organization's people, by name, with one query and no count. Needs the right to see people.
    Somebody with several roles stands there once for each, and each row knows the others.

    A cursor holds the id of a membership and no name, which must not stand in an address; where it stands among the
    names is read in the same query. Raises Malformed (`cursor`) for one that is not ours.
    """
    memberships = people(actor=actor, shown=filters.shown, at=at)
    if filters.only is not None:
        memberships = memberships.filter(user__in=filters.only)
    if filters.shown != Shown.ENDED:
        of_the_same = Membership.objects.active().filter(organization=OuterRef("organization"), user=OuterRef("user"))
        others = of_the_same.exclude(pk=OuterRef("pk")).order_by("role").values("role")
        memberships = memberships.annotate(other_roles=ArraySubquery(others))
    if filters.role:
        memberships = memberships.filter(role=filters.role)
    if text := " ".join(filters.text.split()):
        by_name = Q(name__istartswith=text) | Q(user__last_name__istartswith=text)
        # The address of who has left may be another by now, and is found out by nobody here.
        has_address = filters.shown != Shown.ENDED or actor.is_platform_staff
        by_address = Q(user__email__startswith=text.lower()) if has_address else Q()
        memberships = memberships.alias(name=Concat("user__first_name", Value(" "), "user__last_name")).filter(
            by_name | by_address
        )
    backwards, position = read_cursor(cursor)
    if position:
        memberships = memberships.filter(
            beside(PEOPLE_ORDER, read_place(Membership, position, PEOPLE_ORDER), backwards=backwards)
        )
    return cut_page(
        memberships,
        order=PEOPLE_ORDER,
        is_first=not position,
        backwards=backwards,
        size=size,
        position=lambda membership: str(membership.pk),
    )


def person(*, actor: Actor, membership_id: UUID) -> Membership:
    """Return one membership with its person; of somebody who is switched off only to who runs the people. Raises
    NotFound."""
    found = people(actor=actor)
    if actor.has(Capability.MANAGE_PEOPLE):
        found = found | people(actor=actor, shown=Shown.DEACTIVATED)
    membership = found.filter(pk=membership_id).first()
    if membership is None:
        raise NotFound
    return membership


def successor(*, actor: Actor, membership_id: UUID) -> Membership | None:
    """Return the membership that somebody has now in place of one that has ended here: that which began at its end, else
    the latest; None for who is no member any more."""
    old = Membership.objects.filter(organization=actor.organization, status=MembershipStatus.ENDED, pk=membership_id)
    ended = old.first()
    if ended is None or ended.ended_at is None:
        return None
    now = people(actor=actor).filter(user=ended.user_id).order_by("-started_at", "pk")
    return now.filter(started_at=ended.ended_at).first() or now.first()


def license_standing(*, actor: Actor, membership: Membership, at: datetime) -> Choices | None:
    """Return where the license of a member who needs one stands, nothing more of it, for those who run the people of the
    organization; None where nothing was submitted. Asked of the person, for licenses stand above this app."""
    actor.require(Capability.MANAGE_PEOPLE)
    try:
        return membership.user.practitioner_credential.standing_at(at)
    except ObjectDoesNotExist:
        return None


def memberships_of(*, actor: Actor, user_id: UUID) -> list[Membership]:
    """Return what a member is in the organization now, the oldest first. Needs the right to see people."""
    actor.require(Capability.VIEW_PEOPLE)
    held = Membership.objects.filter(organization=actor.organization, user=user_id, status=MembershipStatus.ACTIVE)
    return list(held.order_by("started_at", "pk"))


def unreviewed_people(*, actor: Actor, at: datetime) -> int:
    """Return how many people of the organization have a membership that nobody has reviewed for 90 days."""
    actor.require(Capability.REVIEW_ACCESS)
    due = Membership.objects.unreviewed(at=at).filter(organization=actor.organization)
    return due.aggregate(people=Count("user", distinct=True))["people"] or 0


def names_of_members(*, actor: Actor, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of those of some people who are, or were, members of the organization. Needs the right to see
    people."""
    actor.require(Capability.VIEW_PEOPLE)
    members = Membership.objects.filter(organization=actor.organization, user__in=user_ids).select_related("user")
    return {member.user_id: member.user.get_full_name() for member in members}


def further_memberships(membership: Membership) -> list[Membership]:
    """Return what else somebody is in the organization of a membership, in the order of their beginning."""
    here = Membership.objects.filter(
        organization=membership.organization_id, user=membership.user_id, status=MembershipStatus.ACTIVE
    )
    return list(here.exclude(pk=membership.pk).order_by("started_at", "pk"))


def invitations_left_behind(*, membership: Membership, at: datetime) -> int:
    """Return how many open invitations somebody sent from the organization that nobody can accept once this membership
    has ended: none while another one, or the platform's administration, still lets them invite. Asked of the person,
    for invitations stand above this app."""
    others = Membership.objects.active().filter(organization=membership.organization_id, user=membership.user_id)
    if others.exclude(pk=membership.pk).exists() or is_platform_administrator(membership.user):
        return 0
    return membership.user.sent_invitations.open(at=at).filter(organization=membership.organization_id).count()


def invitable_types(*, actor: Actor) -> list[Role]:
    """Return the invitation types that the actor may create here, in the order of the role table."""
    staff_may_invite = bool(actor.staff_may_invite)
    if actor.staff_may_invite is None and Role.OFFICE_ADMIN in actor.roles:
        staff_may_invite = settings_of(actor.organization).staff_may_invite
    kind = OrganizationKind(actor.organization.kind)
    return [
        invitation_type
        for invitation_type in INVITATION_TYPES
        if can_be_sent_from(invitation_type, kind)
        and any(
            may_invite(role, invitation_type, is_org_admin=actor.is_org_admin, staff_may_invite=staff_may_invite)
            for role in actor.roles
        )
    ]


def has_invitations_to_see(*, actor: Actor) -> bool:
    """Say whether the pages of invitations can ever show the actor one: all of the organization's, those they may send,
    or those they once sent. Asked of the person, for invitations stand above this app."""
    if not actor.has(Capability.VIEW_INVITATIONS) or actor.user is None:
        return False
    if actor.has(Capability.VIEW_ALL_INVITATIONS) or invitable_types(actor=actor):
        return True
    return actor.user.sent_invitations.filter(organization=actor.organization_id).exists()


@dataclass(frozen=True)
class Below:
    """An organization below one's own: its directory entry and a count, never its people."""

    organization: Organization
    depth: int
    members: int


def organizations_below(*, actor: Actor, text: str = "", limit: int = ROWS) -> tuple[list[Below], bool]:
    """Return the first organizations by name that lie below the actor's in the sales chain and whose name contains
    `text`, and whether there are more."""
    actor.require(Capability.VIEW_DOWNLINE)
    below = OrganizationClosure.objects.filter(
        ancestor=actor.organization, depth__gt=0, descendant__name__icontains=" ".join(text.split())
    )
    with platform("organizations below one's own"):
        entries = list(
            below.select_related("descendant").order_by("descendant__name", "descendant_id")[: limit + 1],
        )
        members = dict(
            Membership.objects.active()
            .filter(organization__in=[entry.descendant_id for entry in entries[:limit]])
            .values_list("organization_id")
            .annotate(count=Count("user", distinct=True))
            .order_by()
        )
    shown = [Below(entry.descendant, entry.depth, members.get(entry.descendant_id, 0)) for entry in entries[:limit]]
    return shown, len(entries) > limit


def practices_administered_by(user: "User") -> list[Organization]:
    """Return the active practices that somebody runs: an invited doctor may choose one instead of founding another."""
    with platform("practices somebody runs"):
        return list(
            Organization.objects.filter(
                kind=OrganizationKind.PRACTICE,
                state="active",
                pk__in=Membership.objects.administrators().filter(user=user).values("organization"),
            ).order_by("name")
        )
