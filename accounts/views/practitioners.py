"""The platform's queue of doctors to approve, and every decision on one. Each parses, calls one service, renders."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import PractitionerCredential
from accounts.practitioners import selectors, services
from accounts.practitioners.forms import ApproveForm, PractitionerFilterForm, RefuseForm
from accounts.practitioners.states import Event, Standing
from accounts.practitioners.story import story
from healthivr.kernel.errors import Conflict, DomainError, NotPermitted
from organizations.paging import ROWS, active_filters, address, neighbours
from organizations.rights import needs
from organizations.roles import Capability
from organizations.views import TenantRequest

from .requests import get_or_post


@dataclass(frozen=True)
class Row:
    """One row of the list."""

    credential: PractitionerCredential
    standing: Standing
    since: datetime


@needs(Capability.APPROVE_PRACTITIONERS)
@require_safe
def practitioners(request: TenantRequest, organization: str) -> HttpResponse:
    """The doctors who submitted a license, those who wait first, as the address filters them."""
    at = timezone.now()
    form = PractitionerFilterForm(request.GET)
    form.is_valid()
    size = int(form.cleaned_data.get("size") or ROWS)
    cursor = request.GET.get("cursor", "")
    page = selectors.practitioner_page(actor=request.actor, filters=form.filters(), cursor=cursor, size=size, at=at)
    if cursor and not page.items:  # whoever stood there has moved meanwhile
        return redirect(address(request, cursor=""))
    is_part = bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    context = {
        "is_part": is_part,
        "form": form,
        "rows": [_row(credential, at=at) for credential in page.items],
        "page": neighbours(request, page, size=size),
        "active": active_filters(request, form),
    }
    response = render(
        request, "accounts/practitioners/_list.html" if is_part else "accounts/practitioners/list.html", context
    )
    response["Vary"] = "HX-Request"
    return response


def _row(credential: PractitionerCredential, *, at: datetime) -> Row:
    standing = credential.standing_at(at)
    if standing == Standing.PENDING:
        return Row(credential, standing, credential.submitted_at)
    if standing != credential.standing:  # over by date, not when the sweep noticed it
        return Row(credential, standing, credential.approved_until or credential.submitted_at)
    return Row(credential, standing, credential.decided_at or credential.submitted_at)


@needs(Capability.APPROVE_PRACTITIONERS)
@require_safe
def practitioner(request: TenantRequest, organization: str, credential_id: UUID) -> HttpResponse:
    """One doctor's license: what to compare, what may be decided, and what happened."""
    credential = selectors.practitioner_detail(actor=request.actor, credential_id=credential_id)
    context = {
        **_facts(request, credential, at=timezone.now()),
        "lines": story(selectors.history(actor=request.actor, credential=credential)),
    }
    return render(request, "accounts/practitioners/detail.html", context)


def _facts(request: TenantRequest, credential: PractitionerCredential, *, at: datetime) -> dict[str, Any]:
    standing = credential.standing_at(at)
    is_own = credential.user_id == request.actor.user_id
    return {
        "credential": credential,
        "name": credential.user.get_full_name(),
        "standing": standing,
        "is_own": is_own,
        "is_approved": credential.is_approved(at=at),
        "can": set() if is_own else services.possible_decisions(credential, at=at),
    }


# --- decisions -------------------------------------------------------------------------------------------------------
@needs(Capability.APPROVE_PRACTITIONERS)
@get_or_post
def approve(request: TenantRequest, organization: str, credential_id: UUID) -> HttpResponse:
    """Ask, then approve what a doctor submitted."""
    text = _("The license of {name} is approved. We mail the doctor.")
    return _decide(request, credential_id, ApproveForm, Event.APPROVE, services.approve_practitioner, text)


@needs(Capability.APPROVE_PRACTITIONERS)
@get_or_post
def reject(request: TenantRequest, organization: str, credential_id: UUID) -> HttpResponse:
    """Ask why, then reject what a doctor submitted."""
    text = _("The license of {name} is rejected. We mail the doctor, who can correct it.")
    return _decide(request, credential_id, RefuseForm, Event.REJECT, services.reject_practitioner, text)


@needs(Capability.APPROVE_PRACTITIONERS)
@get_or_post
def suspend(request: TenantRequest, organization: str, credential_id: UUID) -> HttpResponse:
    """Ask why, then take a doctor's approval back."""
    text = _("{name} is suspended. We mail the doctor.")
    return _decide(request, credential_id, RefuseForm, Event.SUSPEND, services.suspend_practitioner, text)


def _decide(
    request: TenantRequest, credential_id: UUID, form_class: Any, event: Event, service: Any, text: str
) -> HttpResponse:
    """Show what is decided about, and decide. What was decided or submitted meanwhile is shown instead."""
    organization = request.actor.organization.slug
    credential = selectors.practitioner_detail(actor=request.actor, credential_id=credential_id)
    facts = _facts(request, credential, at=timezone.now())
    form = form_class(request.POST if request.method == "POST" else None, initial={"submission": credential.submission})
    if form.is_valid():
        try:
            service(actor=request.actor, credential_id=credential_id, at=timezone.now(), **form.cleaned_data)
        except Conflict as error:
            messages.error(request, str(error.message))
            return redirect("practitioners:detail", organization, credential_id)
        except NotPermitted:
            raise
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, format_html(text, name=facts["name"]))
            return redirect("practitioners:detail", organization, credential_id)
    elif request.method != "POST" and event not in facts["can"]:
        return redirect("practitioners:detail", organization, credential_id)
    context = {**facts, "form": form, "act": event.value}
    return render(request, "accounts/practitioners/decide.html", context, status=422 if form.errors else 200)
