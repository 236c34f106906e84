"""Pages about people that reach into invitations: leaving and its receipt, adopting, and acts on several at once."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from healthivr.kernel.errors import DomainError
from invitations import adoption
from invitations.errors import HeirNotEntitled, InviterStillEntitled
from invitations.leaving import leave_organization, preview_leaving, receipts
from invitations.leaving_forms import BulkForm, LeaveForm
from invitations.people import BulkAct, act_on_people
from invitations.states import IllegalTransition
from organizations.rights import needs
from organizations.roles import SALES_CHAIN, Capability, Role
from organizations.selectors import names_of_members
from organizations.services import LastAdministrator
from organizations.views import TenantRequest


@needs(Capability.MANAGE_PEOPLE)
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: TenantRequest, organization: str, user_id: UUID) -> HttpResponse:
    """Show what it will touch when somebody leaves, then do it all at once."""
    at = timezone.now()
    leaving = preview_leaving(actor=request.actor, user_id=user_id, at=at)
    form = LeaveForm(request.POST if request.method == "POST" else None, heirs=leaving.heirs)
    if form.is_valid():
        try:
            leave_organization(actor=request.actor, user_id=user_id, at=at, **form.arguments())
        except (LastAdministrator, HeirNotEntitled) as error:
            form.refuse(error)
        else:
            if user_id == request.actor.user_id:
                messages.success(request, _("You have left. To come back, ask for a new invitation."))
                return redirect("home")
            text = _("{name} has left {organization}. This is the receipt; to bring them back, invite them again.")
            messages.success(
                request,
                format_html(text, name=leaving.person.get_full_name(), organization=request.actor.organization.name),
            )
            return redirect("invitations:left", organization, user_id)
    return render(
        request,
        "invitations/leave.html",
        {
            "leaving": leaving,
            "invitations": [
                {"row": row, "role": Role(row.invitation_type).label, "word": row.status_word(at=at)}
                for row in leaving.invitations
            ],
            "has_sales_chain": request.actor.organization.kind in SALES_CHAIN,
            "unnamed": leaving.below - len(leaving.below_here),
            "form": form,
            "is_me": user_id == request.actor.user_id,
        },
        status=422 if form.errors else 200,
    )


@needs(Capability.REVIEW_ACCESS)
@require_safe
def left(request: TenantRequest, organization: str, user_id: UUID) -> HttpResponse:
    """The receipt of who left, as the trail has it."""
    found = receipts(actor=request.actor, user_id=user_id)
    return render(
        request,
        "invitations/left.html",
        {
            "receipts": found,
            "person": found[0].person,
            "has_sales_chain": request.actor.organization.kind in SALES_CHAIN,
        },
    )


@needs(Capability.VIEW_INVITATIONS)
@require_POST
def adopt(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """Answer for an invitation whose inviter may not invite any more."""
    try:
        adoption.adopt_invitation(actor=request.actor, invitation_id=invitation_id, at=timezone.now())
    except (IllegalTransition, InviterStillEntitled) as error:
        messages.warning(request, str(error.message))
    else:
        messages.success(request, _("The invitation is yours now. Its link works again, and stays the same."))
    return redirect("invitations:detail", organization, invitation_id)


@needs(Capability.MANAGE_PEOPLE)
@require_POST
def bulk(request: TenantRequest, organization: str) -> HttpResponse:
    """Say what is about to happen to those who were chosen; once that is confirmed, do it and say what became of each."""
    form = BulkForm(request.POST, is_platform_staff=request.actor.is_platform_staff)
    if not form.is_valid():
        messages.warning(request, form.first_mistake())
        return redirect("organizations:people", organization)
    act, ids = BulkAct(form.cleaned_data["act"]), form.cleaned_data["ids"]
    names = names_of_members(actor=request.actor, user_ids=ids)
    context = {"act": act, "form": form, "people": [{"id": pk, "name": names[pk]} for pk in ids if pk in names]}
    if not form.cleaned_data["confirmed"]:
        return render(request, "invitations/people_bulk.html", context)
    if form.lacks_reason():
        form.add_error("reason", _("Say why."))
        return render(request, "invitations/people_bulk.html", context, status=422)
    try:
        rows = act_on_people(
            actor=request.actor, act=act, ids=ids, reason=form.cleaned_data["reason"], at=timezone.now()
        )
    except DomainError as error:
        if error.field not in form.fields:
            raise
        form.refuse(error)
        return render(request, "invitations/people_bulk.html", context, status=422)
    results = [{"name": names.get(row.id, ""), "row": row} for row in rows]
    return render(request, "invitations/people_bulk_done.html", {"act": act, "results": results})
