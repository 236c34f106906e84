"""Pages of an organization: its people, its settings, and the way into it."""

from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from healthivr.kernel.errors import DomainError
from organizations import selectors, services
from organizations.actor import Actor
from organizations.forms import BelowFilterForm, EndMembershipForm, OrganizationForm
from organizations.models import Membership
from organizations.rights import needs
from organizations.roles import Capability

if TYPE_CHECKING:
    from accounts.models import User, UserSession
    from accounts.registry import PresentSession


class PersonalRequest(HttpRequest):
    """A request of somebody signed in."""

    user: "User"
    user_session: "UserSession"
    present_session: "PresentSession"


class TenantRequest(PersonalRequest):
    """A request inside an organization: the middleware has said who acts."""

    actor: Actor


@require_safe
def home(request: PersonalRequest) -> HttpResponse:
    """The first page after sign-in: the only organization, or a choice, or a word when there is none."""
    belongings = selectors.organizations_of(request.user)
    if len(belongings) == 1:
        return redirect("organizations:overview", belongings[0].organization.slug)
    switched_off = [] if belongings else selectors.switched_off_organizations_of(request.user)
    return render(request, "organizations/home.html", {"belongings": belongings, "switched_off": switched_off})


@needs(Capability.MANAGE_PEOPLE)
@require_POST
def change_administrator(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Make somebody an administrator, or no longer one."""
    makes = request.POST.get("is_org_admin") == "yes"
    try:
        membership = services.change_administrator(
            actor=request.actor, membership_id=membership_id, is_org_admin=makes, at=timezone.now()
        )
    except (services.LastAdministrator, services.AdministrationFixed) as error:
        messages.error(request, str(error.message))
        return redirect("organizations:member", organization, membership_id)
    name = membership.user.get_full_name()
    if makes:
        text = _("{name} now runs the organization: its people, its settings and all of its invitations.")
    else:
        text = _("{name} no longer runs the organization. The role stays as it was.")
    messages.success(request, format_html(text, name=name))
    return _to_member_or_home(request, membership)


def _to_member_or_home(request: TenantRequest, membership: Membership) -> HttpResponseRedirect:
    """Who took the rights from themselves may no longer open the page they come from."""
    if membership.user_id == request.actor.user_id:
        return redirect("organizations:overview", request.actor.organization.slug)
    return redirect("organizations:member", request.actor.organization.slug, membership.pk)


@needs(Capability.MANAGE_PEOPLE)
@require_http_methods(["GET", "HEAD", "POST"])
def end_membership(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Ask, then end somebody's membership."""
    request.actor.require(Capability.MANAGE_PEOPLE)
    membership = selectors.person(actor=request.actor, membership_id=membership_id)
    further = selectors.further_memberships(membership)
    form = EndMembershipForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            services.end_membership(
                actor=request.actor, membership_id=membership_id, at=timezone.now(), **form.cleaned_data
            )
        except services.LastAdministrator as error:
            form.refuse(error)
        else:
            if further:
                text = _("{name} is no longer {role} in {organization}. What else they are here stays.")
            else:
                text = _("{name} no longer belongs to {organization}. To bring them back, invite them again.")
            said = {"role": membership.get_role_display(), "organization": request.actor.organization.name}
            messages.success(request, format_html(text, name=membership.user.get_full_name(), **said))
            if membership.user_id == request.actor.user_id:
                return redirect("home")
            return redirect("organizations:people", organization)
    return render(
        request,
        "organizations/end_membership.html",
        {
            "membership": membership,
            "form": form,
            "is_me": membership.user_id == request.actor.user_id,
            "further": further,
            "left_behind": selectors.invitations_left_behind(membership=membership, at=timezone.now()),
        },
        status=422 if form.errors else 200,
    )


@needs(GET=Capability.VIEW_ORGANIZATION, POST=Capability.MANAGE_ORGANIZATION)
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: TenantRequest, organization: str) -> HttpResponse:
    """What the organization is called and allows; for those who may not change it, to read."""
    actor = request.actor
    actor.require(Capability.MANAGE_ORGANIZATION if request.method == "POST" else Capability.VIEW_ORGANIZATION)
    now = selectors.settings_of(actor.organization)
    form = OrganizationForm(
        request.POST if request.method == "POST" else None,
        kind=actor.organization.kind,
        initial={
            "organization_name": actor.organization.name,
            "email_domains": "\n".join(now.email_domains),
            **{
                field: getattr(now, field)
                for field in ("staff_may_invite", "idle_minutes", "invitation_hours", "requires_second_factor")
            },
        },
    )
    if form.is_valid():
        values = dict(form.cleaned_data)
        try:
            services.update_organization(actor=actor, name=values.pop("organization_name"), at=timezone.now(), **values)
        except DomainError as error:
            if error.field not in form.fields:
                raise
            form.refuse(error)
        else:
            messages.success(request, _("The organization's settings are saved."))
            return redirect("organizations:settings", organization)
    search = BelowFilterForm(request.GET)
    search.is_valid()
    below, has_more_below = None, False
    if actor.has(Capability.VIEW_DOWNLINE):
        below, has_more_below = selectors.organizations_below(actor=actor, text=search.cleaned_data.get("below", ""))
    return render(
        request,
        "organizations/settings.html",
        {
            "form": form,
            "settings": now,
            "may_manage": actor.has(Capability.MANAGE_ORGANIZATION),
            "search": search,
            "below": below,
            "has_more_below": has_more_below,
        },
        status=422 if form.errors else 200,
    )
