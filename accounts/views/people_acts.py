"""What is done about one person, each from a form of its own on their page."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts import administration, lockout
from accounts.forms import ReasonForm
from healthivr.kernel.errors import Conflict, Malformed, Refused
from organizations import granting
from organizations.agreements.gate import BaaRequired
from organizations.models import Membership
from organizations.rank import Outranked
from organizations.rights import needs
from organizations.roles import Capability
from organizations.selectors import person
from organizations.views import TenantRequest

from .people import member_page

#: What the page says in place of doing it. Everything else has a page of its own.
TOLD = (Conflict, Malformed, Refused, BaaRequired, granting.RoleNotGrantable, Outranked)


def _do(request: TenantRequest, membership_id: UUID, act: Callable[[Membership], Any], done: Promise) -> HttpResponse:
    """Do something about somebody, say so, and go back to their page: that of the membership that an act returns, or of
    the one that was shown."""
    membership = person(actor=request.actor, membership_id=membership_id)
    shown = membership
    try:
        made = act(membership)
    except TOLD as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, format_html(str(done), name=membership.user.get_full_name()))
        if isinstance(made, Membership):
            shown = made
    return redirect("organizations:member", request.actor.organization.slug, shown.pk)


def _do_with_reason(
    request: TenantRequest,
    membership_id: UUID,
    asked: str,
    act: Callable[[Membership, str], Any],
    done: Promise,
) -> HttpResponse:
    """Do something about somebody that asks for a reason; without one, show their page with the form that lacks it."""
    form = ReasonForm(request.POST, auto_id=f"{asked}-%s")
    if not form.is_valid():
        membership = person(actor=request.actor, membership_id=membership_id)
        return member_page(request, membership, refused={asked: form})
    return _do(request, membership_id, lambda membership: act(membership, form.cleaned_data["reason"]), done)


@needs(Capability.MANAGE_PEOPLE)
@require_POST
def change_role(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Change what somebody is."""

    def act(membership: Membership) -> Membership:
        return granting.change_role(
            actor=request.actor,
            membership_id=membership.pk,
            role=request.POST.get("role", ""),
            reason=request.POST.get("reason", "")[:500],
            at=timezone.now(),
        )

    return _do(request, membership_id, act, _("The role of {name} is changed. {name} is signed out and signs in anew."))


@needs(Capability.MANAGE_PEOPLE)
@require_POST
def grant_role(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Give somebody a further role."""

    def act(membership: Membership) -> Membership:
        return granting.grant_role(
            actor=request.actor,
            user_id=membership.user_id,
            role=request.POST.get("role", ""),
            at=timezone.now(),
        )

    return _do(request, membership_id, act, _("{name} has a further role. {name} is signed out and signs in anew."))


@needs(Capability.UNLOCK_PEOPLE)
@require_POST
def unlock(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """End the lock on somebody's sign-in."""

    def act(membership: Membership) -> None:
        lockout.unlock_account(actor=request.actor, user_id=membership.user_id)

    return _do(request, membership_id, act, _("{name} can try to sign in again."))


@needs(Capability.MANAGE_PEOPLE)
@require_POST
def reset_password(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Void somebody's password and mail them a link."""

    def act(membership: Membership, reason: str) -> None:
        administration.force_password_reset(
            actor=request.actor, user_id=membership.user_id, reason=reason, at=timezone.now()
        )

    return _do_with_reason(
        request,
        membership_id,
        "reset",
        act,
        _("The password of {name} no longer works. A link to choose a new one is on its way by e-mail."),
    )


@needs(Capability.MANAGE_PEOPLE)
@require_POST
def end_sessions(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Sign somebody out: of the session that the button names, or everywhere."""

    def act(membership: Membership) -> None:
        administration.end_person_sessions(
            actor=request.actor, user_id=membership.user_id, session_id=_session(request), at=timezone.now()
        )

    done = _("That session of {name} has ended.") if _session(request) else _("{name} is signed out everywhere.")
    return _do(request, membership_id, act, done)


def _session(request: TenantRequest) -> UUID | None:
    try:
        return UUID(request.POST["session_id"]) if request.POST.get("session_id") else None
    except ValueError:
        raise Malformed(field="session_id") from None


@needs(Capability.RUN_ACCOUNTS)
@require_POST
def deactivate(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Switch somebody's account off."""

    def act(membership: Membership, reason: str) -> None:
        administration.deactivate_user(
            actor=request.actor, user_id=membership.user_id, reason=reason, at=timezone.now()
        )

    return _do_with_reason(
        request,
        membership_id,
        "switch",
        act,
        _("The account of {name} is switched off. {name} is signed out everywhere."),
    )


@needs(Capability.RUN_ACCOUNTS)
@require_POST
def activate(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Switch somebody's account on again."""

    def act(membership: Membership) -> None:
        administration.activate_user(actor=request.actor, user_id=membership.user_id, at=timezone.now())

    return _do(request, membership_id, act, _("The account of {name} is switched on again."))
