"""Pages of the tree of organizations: for who sees what lies below theirs, and for who runs them all."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from healthivr.kernel.errors import DomainError
from organizations import administration
from organizations import directory as selectors
from organizations.agreements.gate import needs_agreement
from organizations.forms import (
    UNRUN,
    DeactivateOrganizationForm,
    DirectoryFilterForm,
    NewOrganizationForm,
    PlanForm,
)
from organizations.models import Organization
from organizations.paging import ROWS, active_filters, address, neighbours
from organizations.rights import needs
from organizations.roles import Capability, starting_role

from . import TenantRequest


@needs(Capability.VIEW_ORGANIZATIONS)
@require_safe
def directory(request: TenantRequest, organization: str) -> HttpResponse:
    """The organization and those below it, by name, as the address filters them."""
    form = DirectoryFilterForm(request.GET)
    form.is_valid()
    size = int(form.cleaned_data.get("size") or ROWS)
    cursor = request.GET.get("cursor", "")
    page = selectors.organization_page(actor=request.actor, filters=form.filters(), cursor=cursor, size=size)
    if cursor and not page.items:  # whoever stood there has gone meanwhile
        return redirect(address(request, cursor=""))
    context = {
        "form": form,
        "organizations": page.items,
        "page": neighbours(request, page, size=size),
        "active": active_filters(request, form),
        "runs_all": request.actor.has(Capability.RUN_ORGANIZATIONS),
    }
    is_part = request.htmx and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    if not is_part:
        context["figures"] = _figures(request)
    template = "organizations/_directory.html" if is_part else "organizations/directory.html"
    response = render(request, template, context)
    response["Vary"] = "HX-Request"
    return response


def _figures(request: TenantRequest) -> list[tuple[str, str, object]]:
    """Return the numbers above the list: where each leads, what it counts, and how many."""
    stats = selectors.organization_stats(actor=request.actor, at=timezone.now())
    figures: list[tuple[str, str, object]] = [
        (request.path, _("Organizations"), stats.total),
        (f"{request.path}?state=active", _("Active"), stats.active),
        (f"{request.path}?state=inactive", _("Switched off"), stats.inactive),
        (f"{request.path}?state={UNRUN}", _("Nobody runs it"), stats.without_administrator),
        ("", _("People"), stats.people),
    ]
    if stats.seat_limit is not None:
        taken = _("{used} of {limit}").format(used=stats.seats_used, limit=stats.seat_limit)
        figures.append(("", _("Seats taken"), taken))
    return figures


@needs(Capability.RUN_ORGANIZATIONS)
@require_http_methods(["GET", "HEAD", "POST"])
def create_organization(request: TenantRequest, organization: str) -> HttpResponse:
    """Create an organization that nobody belongs to yet."""
    actor = request.actor
    form = NewOrganizationForm(
        request.POST if request.method == "POST" else None, parents=selectors.possible_parents(actor=actor), here=actor
    )
    if form.is_valid():
        try:
            made = administration.create_organization(actor=actor, at=timezone.now(), **form.values())
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, _created(made))
            return redirect("organizations:organization", organization, made.pk)
    return render(request, "organizations/create.html", {"form": form}, status=422 if form.errors else 200)


def _created(organization: Organization) -> str:
    role = starting_role(organization.kind)
    text = _("{name} is created. Invite somebody as {role}: by accepting they become its administrator.")
    return format_html(text, name=organization.name, role=role.label if role else "")


@needs(Capability.VIEW_ORGANIZATIONS)
@require_safe
def show_organization(request: TenantRequest, organization: str, organization_id: UUID) -> HttpResponse:
    """One organization: what it is, who runs it, its seats."""
    detail = selectors.organization_detail(actor=request.actor, organization_id=organization_id)
    return render(
        request,
        "organizations/organization.html",
        {
            "detail": detail,
            "shown": detail.organization,
            "runs_all": request.actor.has(Capability.RUN_ORGANIZATIONS),
            "starting_role": starting_role(detail.organization.kind),
            "needs_agreement": needs_agreement(detail.organization),
        },
    )


@needs(Capability.RUN_ORGANIZATIONS)
@require_http_methods(["GET", "HEAD", "POST"])
def change_plan(request: TenantRequest, organization: str, organization_id: UUID) -> HttpResponse:
    """Change what an organization has bought."""
    detail = selectors.organization_detail(actor=request.actor, organization_id=organization_id)
    terms = detail.settings
    form = PlanForm(
        request.POST if request.method == "POST" else None,
        initial={"plan": terms.plan, "seat_limit": terms.seat_limit} if terms else {},
    )
    if form.is_valid():
        try:
            administration.change_plan(
                actor=request.actor, organization_id=organization_id, at=timezone.now(), **form.cleaned_data
            )
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, format_html(_("The plan of {name} is saved."), name=detail.organization.name))
            return redirect("organizations:organization", organization, organization_id)
    context = {"form": form, "shown": detail.organization, "terms": terms}
    return render(request, "organizations/plan.html", context, status=422 if form.errors else 200)


@needs(Capability.RUN_ORGANIZATIONS)
@require_http_methods(["GET", "HEAD", "POST"])
def deactivate_organization(request: TenantRequest, organization: str, organization_id: UUID) -> HttpResponse:
    """Say what will happen to whom, ask why, then switch the organization off."""
    actor, at = request.actor, timezone.now()
    detail = selectors.organization_detail(actor=actor, organization_id=organization_id)
    form = DeactivateOrganizationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            administration.deactivate_organization(
                actor=actor, organization_id=organization_id, at=at, **form.cleaned_data
            )
        except DomainError as error:
            form.refuse(error)
        else:
            text = _("{name} is switched off. Nothing was deleted; it can be switched on again at any time.")
            messages.success(request, format_html(text, name=detail.organization.name))
            return redirect("organizations:organization", organization, organization_id)
    context = {
        "form": form,
        "shown": detail.organization,
        "foreseen": administration.foresee_deactivation(actor=actor, organization_id=organization_id, at=at),
    }
    return render(request, "organizations/deactivate.html", context, status=422 if form.errors else 200)


@needs(Capability.RUN_ORGANIZATIONS)
@require_POST
def activate_organization(request: TenantRequest, organization: str, organization_id: UUID) -> HttpResponse:
    """Switch an organization on again."""
    made = administration.activate_organization(actor=request.actor, organization_id=organization_id, at=timezone.now())
    text = _("{name} is switched on. Its people can work there again.")
    messages.success(request, format_html(text, name=made.name))
    return redirect("organizations:organization", organization, organization_id)
