"""Pages of agreements. Each parses, calls one service, renders."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from healthivr.kernel.errors import Conflict, DomainError, Refused
from organizations.actor import Actor
from organizations.compliance import compliance_of
from organizations.models import Organization
from organizations.paging import ROWS, active_filters, address, neighbours
from organizations.rights import needs
from organizations.roles import Capability
from organizations.selectors import invitable_types
from organizations.views import TenantRequest

from . import selectors, services
from .clauses import REQUIREMENTS, Clause
from .documents import digest
from .forms import AgreementFilterForm, DraftForm, SignForm, TerminateForm
from .gate import DIRECTION_OF
from .models import BusinessAssociateAgreement, Direction, MediaType
from .standard import BREACH_DAYS, STANDARD_VERSION, TERM_MONTHS, standard_paragraphs
from .states import AgreementStatus

get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@needs(Capability.VIEW_COMPLIANCE)
def agreements(request: TenantRequest, organization: str) -> HttpResponse:
    """The organization's agreement: where it stands, what it says, what there was before. On the platform, whose are
    missing or end soon."""
    actor, at = request.actor, timezone.now()
    if actor.organization.is_platform:
        return _all_organizations(request, at=at)
    standing = selectors.standing_of(organization=actor.organization, at=at)
    shown = standing.shown
    is_own = services.is_own_administrator(actor)
    may_prepare = actor.has(Capability.DRAFT_AGREEMENTS) and standing.is_needed
    can_sign = bool(standing.sent) or services.can_be_signed_anew(standing.last_signed_running, at=at)
    context = {
        "standing": standing,
        "shown": shown,
        "status": AgreementStatus(standing.status),
        "parties": _parties(actor.organization, shown.direction if shown else None),
        "clauses": _clauses(shown),
        "history": [
            (agreement, AgreementStatus(agreement.current_status(at=at)))
            for agreement in standing.agreements
            if agreement.status != AgreementStatus.DRAFT or actor.is_platform_staff
        ],
        "may_sign": is_own and standing.is_needed and can_sign,
        "needs_signer": standing.is_needed and can_sign and not is_own,
        "may_prepare": may_prepare,
        "may_terminate": is_own or (actor.is_platform_staff and actor.has(Capability.MANAGE_AGREEMENTS)),
        "can_draft": may_prepare and not standing.draft and not standing.sent,
    }
    return render(request, "organizations/agreements.html", context)


def _all_organizations(request: TenantRequest, *, at: datetime) -> HttpResponse:
    form = AgreementFilterForm(request.GET)
    form.is_valid()
    size = int(form.cleaned_data.get("size") or ROWS)
    cursor = request.GET.get("cursor", "")
    page = selectors.organizations_by_urgency(
        actor=request.actor, which=form.cleaned_data.get("which", ""), cursor=cursor, size=size, at=at
    )
    if cursor and not page.items:
        return redirect(address(request, cursor=""))
    rows = [(row, selectors.severity(row, at=at), selectors.last_status(row)) for row in page.items]
    context = {
        "form": form,
        "rows": rows,
        "page": neighbours(request, page, size=size),
        "active": active_filters(request, form),
    }
    is_part = request.htmx and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    template = "organizations/_all_agreements.html" if is_part else "organizations/all_agreements.html"
    response = render(request, template, context)
    response["Vary"] = "HX-Request"
    return response


def _parties(organization: Organization, direction: str | None) -> dict[str, str]:
    """Return who is the covered entity and who the business associate."""
    names = (organization.name, services.platform_organization().name)
    side = direction or DIRECTION_OF.get(organization.kind)  # type: ignore[call-overload]
    if side == Direction.COVERED_ENTITY:
        return {"covered": names[0], "associate": names[1]}
    return {"covered": names[1], "associate": names[0]}


def _clauses(agreement: BusinessAssociateAgreement | None) -> list[dict[str, Any]]:
    """Return every required clause, and whether the agreement has it."""
    held = set(agreement.clauses if agreement else [])
    return [
        {
            "label": clause.label,
            "sentence": REQUIREMENTS[clause].sentence,
            "source": REQUIREMENTS[clause].source,
            "is_held": clause.value in held,
        }
        for clause in Clause
    ]


@get_or_post
@needs(Capability.MANAGE_AGREEMENTS)
def sign(request: TenantRequest, organization: str) -> HttpResponse:
    """Read what is to be signed, and sign it or come back later."""
    actor, at = request.actor, timezone.now()
    standing = selectors.standing_of(organization=actor.organization, at=at)
    is_own = services.is_own_administrator(actor)
    running = standing.last_signed_running
    if not standing.is_needed or not (standing.sent or services.can_be_signed_anew(running, at=at)):
        return redirect("organizations:agreements", organization)
    if not is_own:
        raise services.NotTheSigner
    sha256 = standing.sent.document.sha256 if standing.sent else digest(services.standard_for(actor.organization))
    name = request.user.get_full_name()
    initial = {"signer_name": name, "document_sha256": sha256}
    form = SignForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        try:
            services.sign_agreement(actor=actor, at=at, **form.cleaned_data)
        except DomainError as error:
            form.refuse(error)
            if isinstance(error, services.AgreementChanged):  # what is shown now is what is signed next
                form.data = form.data.copy()  # type: ignore[attr-defined]
                form.data["document_sha256"] = sha256  # type: ignore[index]
        else:
            messages.success(request, _what_comes_next(actor))
            return redirect("organizations:agreements", organization)
    return render(
        request,
        "organizations/sign_agreement.html",
        {
            "form": form,
            "standing": standing,
            "sent": standing.sent,
            "paragraphs": _standard(actor.organization),
            "parties": _parties(actor.organization, None),
            "version": standing.sent.version if standing.sent else STANDARD_VERSION,
            "breach_days": standing.sent.breach_sla_days if standing.sent else BREACH_DAYS,
            "term_months": standing.sent.term_months if standing.sent else TERM_MONTHS,
            "sha256": sha256,
        },
        status=422 if form.errors else 200,
    )


def _what_comes_next(actor: Actor) -> str:
    """Say that the agreement is signed, and lead on whoever may invite."""
    if not invitable_types(actor=actor):
        return _("The agreement is signed.")
    create = reverse("invitations:create", args=[actor.organization.slug])
    link = format_html('<a href="{}">{}</a>', create, _("Invite the people you work with"))
    return format_html(_("The agreement is signed. {link}"), link=link)


def _standard(organization: Organization) -> list[tuple[str, Any]]:
    return standard_paragraphs(
        organization=organization,
        platform=services.platform_organization(),
        direction=DIRECTION_OF[organization.kind],  # type: ignore[index]
    )


@get_or_post
@needs(Capability.DRAFT_AGREEMENTS)
def draft(request: TenantRequest, organization: str, agreement_id: UUID | None = None) -> HttpResponse:
    """Prepare an agreement of its own for the organization, or change what is prepared; for platform staff."""
    actor, at = request.actor, timezone.now()
    present = selectors.agreement_shown(actor=actor, agreement_id=agreement_id) if agreement_id else None
    initial = {
        name: getattr(present, name)
        for name in ("version", "clauses", "breach_sla_days", "term_months")
        if present is not None
    }
    form = DraftForm(
        request.POST if request.method == "POST" else None,
        request.FILES if request.method == "POST" else None,
        has_document=present is not None,
        initial=initial,
    )
    if form.is_valid():
        try:
            if present is None:
                services.draft_agreement(actor=actor, at=at, **form.cleaned_data)
            else:
                services.edit_draft(actor=actor, agreement_id=present.pk, at=at, **form.cleaned_data)
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, _("The draft is saved. Read it once more, then send it."))
            return redirect("organizations:agreements", organization)
    return render(
        request,
        "organizations/draft_agreement.html",
        {"form": form, "present": present},
        status=422 if form.errors else 200,
    )


@require_POST
@needs(Capability.DRAFT_AGREEMENTS)
def send(request: TenantRequest, organization: str, agreement_id: UUID) -> HttpResponse:
    """Send a draft to the organization's administrators."""
    try:
        services.send_agreement(actor=request.actor, agreement_id=agreement_id, at=timezone.now())
    except (Conflict, services.ClausesMissing) as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, _("The agreement is sent. The organization's administrators get an e-mail."))
    return redirect("organizations:agreements", organization)


@require_POST
@needs(Capability.DRAFT_AGREEMENTS)
def renew(request: TenantRequest, organization: str, agreement_id: UUID) -> HttpResponse:
    """Draft the renewal of an agreement; for platform staff."""
    try:
        services.renew_agreement(actor=request.actor, agreement_id=agreement_id, at=timezone.now())
    except (Conflict, Refused) as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, _("The renewal is drafted with the same terms. Change it if need be, then send it."))
    return redirect("organizations:agreements", organization)


@get_or_post
@needs(Capability.MANAGE_AGREEMENTS)
def terminate(request: TenantRequest, organization: str, agreement_id: UUID) -> HttpResponse:
    """Ask, then end an agreement, or withdraw one that is not signed."""
    agreement = selectors.agreement_shown(actor=request.actor, agreement_id=agreement_id)
    form = TerminateForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            services.terminate_agreement(
                actor=request.actor, agreement_id=agreement_id, at=timezone.now(), **form.cleaned_data
            )
        except Conflict as error:
            messages.error(request, str(error.message))
            return redirect("organizations:agreements", organization)
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, _("The agreement is terminated. It stays in the history with its reason."))
            return redirect("organizations:agreements", organization)
    return render(
        request,
        "organizations/terminate_agreement.html",
        {"form": form, "agreement": agreement, "was_signed": agreement.signed_at is not None},
        status=422 if form.errors else 200,
    )


@require_safe
@needs(Capability.VIEW_COMPLIANCE)
def document(request: TenantRequest, organization: str, agreement_id: UUID) -> HttpResponse:
    """Download what was agreed to: never shown in the page, whatever is in it."""
    kept, content = selectors.document_of(actor=request.actor, agreement_id=agreement_id)
    ending = "pdf" if kept.media_type == MediaType.PDF else "txt"
    content_type = kept.media_type if ending == "pdf" else f"{kept.media_type}; charset=utf-8"
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="agreement-{agreement_id}.{ending}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "no-store, private"
    return response


@require_safe
@needs(Capability.VIEW_COMPLIANCE)
def compliance(request: TenantRequest, organization: str) -> HttpResponse:
    """How the organization stands with what the law asks, and what to do about the rest."""
    found = compliance_of(actor=request.actor, at=timezone.now())
    return render(request, "organizations/compliance.html", {"compliance": found})
