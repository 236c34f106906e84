"""Who belongs to an organization, and one of them."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import selectors
from accounts.devices import device_name
from accounts.forms import ReasonForm
from accounts.models import User, UserSession
from audit.selectors import acts_on, targets_of
from healthivr.kernel.errors import NotFound
from organizations.forms import PeopleFilterForm
from organizations.granting import can_change_role, grantable_roles
from organizations.models import Membership
from organizations.paging import ROWS, active_filters, address, neighbours
from organizations.periods import add_member_since
from organizations.rank import Outranked, outranks
from organizations.rights import needs
from organizations.roles import LICENSED_ROLES, SALES_CHAIN, Capability, OrganizationKind, Role
from organizations.selectors import (
    Shown,
    invitable_types,
    license_standing,
    memberships_of,
    people_page,
    person,
    successor,
)
from organizations.services import PERSON_LEFT, can_change_administrator
from organizations.views import TenantRequest


@needs(Capability.VIEW_PEOPLE)
@require_safe
def people(request: TenantRequest, organization: str) -> HttpResponse:
    """Who belongs to the organization, by name, as the address filters them."""
    actor, at = request.actor, timezone.now()
    form = PeopleFilterForm(
        request.GET,
        kind=OrganizationKind(actor.organization.kind),
        sees_accounts=actor.has(Capability.VIEW_ACCOUNTS),
    )
    form.is_valid()
    size = int(form.cleaned_data.get("size") or ROWS)
    filters, cursor = form.filters(), request.GET.get("cursor", "")
    if filters.shown == Shown.LOCKED:
        filters = replace(filters, only=frozenset(selectors.locked_members(actor=actor, at=at)))
    page = people_page(actor=actor, filters=filters, cursor=cursor, size=size, at=at)
    if cursor and not page.items:  # whoever stood there has gone meanwhile
        return redirect(address(request, cursor=""))
    has_ended = filters.shown == Shown.ENDED
    add_member_since(page.items)
    context = {
        "form": form,
        "memberships": page.items,
        "page": neighbours(request, page, size=size),
        "active": active_filters(request, form),
        "has_ended": has_ended,
        "receipts": _receipts(request, page.items) if has_ended and actor.has(Capability.REVIEW_ACCESS) else set(),
        "may_invite": bool(invitable_types(actor=actor)),
        "may_review": actor.has(Capability.REVIEW_ACCESS),
        "may_manage": actor.has(Capability.MANAGE_PEOPLE) and not has_ended,
        "may_run_accounts": actor.has(Capability.RUN_ACCOUNTS),
        "links_all": actor.has(Capability.MANAGE_PEOPLE) or filters.shown != Shown.DEACTIVATED,
    }
    is_part = request.htmx and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    if not is_part and actor.has(Capability.VIEW_ACCOUNTS):
        context["figures"] = [
            (f"{request.path}?status={shown}", shown.label, number)
            if shown
            else (request.path, _("Members now"), number)
            for shown, number in selectors.numbers_of_list(actor=actor, at=at)
        ]
    response = render(request, "accounts/people/_list.html" if is_part else "accounts/people/list.html", context)
    response["Vary"] = "HX-Request"
    return response


def _receipts(request: TenantRequest, memberships: list[Membership]) -> set[UUID]:
    """Return of which former members there is a receipt."""
    ids = [str(membership.user_id) for membership in memberships]
    found = targets_of(target_ids=ids, organization_id=request.actor.organization_id, action=PERSON_LEFT)
    return {UUID(pk) for pk in found}


@needs(Capability.VIEW_PEOPLE)
@require_safe
def member(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """One person's membership, what is to know of their account, and what may be done."""
    try:
        membership = person(actor=request.actor, membership_id=membership_id)
    except NotFound:
        if present := successor(actor=request.actor, membership_id=membership_id):
            return redirect("organizations:member", organization, present.pk)
        raise
    return member_page(request, membership)


#: The acts on a person's page that ask for a reason, each with the beginning of its field's id.
ASKS_WHY = ("reset", "switch")


def member_page(
    request: TenantRequest, membership: Membership, *, refused: dict[str, ReasonForm] | None = None
) -> HttpResponse:
    """Show the page of a membership, with the form of an act that was refused, by the act's name."""
    actor, at = request.actor, timezone.now()
    add_member_since([membership])
    may_manage = actor.has(Capability.MANAGE_PEOPLE)
    is_me = membership.user_id == actor.user_id
    standing, shows_license = None, may_manage and membership.role in LICENSED_ROLES
    if shows_license:
        standing = license_standing(actor=actor, membership=membership, at=at)
    held = memberships_of(actor=actor, user_id=membership.user_id)
    roles = grantable_roles(actor=actor)
    context: dict[str, Any] = {
        "membership": membership,
        "others": [row for row in held if row.pk != membership.pk],
        "may_manage": may_manage,
        "shows_license": shows_license,
        "has_sales_chain": actor.organization.kind in SALES_CHAIN,
        "license_standing": standing,
        "can_change": can_change_administrator(membership),
        "is_me": is_me,
        "new_roles": [role for role in roles if role != membership.role]
        if can_change_role(actor=actor, membership=membership)
        else [],
        "further_roles": [] if is_me else [role for role in roles if role not in {Role(row.role) for row in held}],
        "role_change": _role_change(membership) if may_manage else None,
        "is_due": membership.is_unreviewed(at=at),
    }
    if actor.has(Capability.VIEW_ACCOUNTS):
        context |= _account(request, membership)
    refused = refused or {}
    context["why"] = {act: refused.get(act) or ReasonForm(auto_id=f"{act}-%s") for act in ASKS_WHY}
    context["form"] = next(iter(refused.values()), None)  # its mistakes stand on top
    return render(request, "accounts/people/member.html", context, status=422 if refused else 200)


def _role_change(membership: Membership) -> dict[str, Any] | None:
    """Return by what act a membership followed one with another role, as the trail has it."""
    acts = acts_on(
        target_id=str(membership.pk), organization_id=membership.organization_id, action="membership.role_changed"
    )
    if not acts:
        return None
    by = User.objects.filter(pk=acts[0].actor_id).first() if acts[0].actor_id else None
    return {
        "before": Role(acts[0].changes["role"][0]).label,
        "by": by.get_full_name() if by else acts[0].actor_name,
        "reason": acts[0].reason,
    }


def _account(request: TenantRequest, membership: Membership) -> dict[str, Any]:
    """What is to know of the account, and what may be done about it."""
    actor, at = request.actor, timezone.now()
    selectors.add_account_facts([membership.user], at=at)
    sessions: list[UserSession] = []
    is_me = membership.user_id == actor.user_id
    may_administer = actor.has(Capability.MANAGE_PEOPLE) and not is_me  # one's own stand on the profile
    if may_administer:
        try:
            sessions = selectors.person_sessions(actor=actor, user_id=membership.user_id, at=at)
        except Outranked:
            may_administer = False
    return {
        "account": membership.user,
        "sessions": [{"row": row, "device": device_name(row.user_agent)} for row in sessions],
        "may_administer": may_administer,
        "may_unlock": actor.has(Capability.UNLOCK_PEOPLE)
        and membership.user.is_active
        and not outranks(membership.user, actor),
        "may_reset": may_administer and not is_me and membership.user.is_active,
        "may_switch": actor.has(Capability.RUN_ACCOUNTS) and not is_me,
    }
