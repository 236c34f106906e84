"""Staff's list of invitations, and every act on one. Each parses, calls one service, renders."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.outbox import DeliveryStatus
from healthivr.kernel.errors import Conflict, DomainError
from invitations import selectors, services
from invitations.errors import DuplicateInvitation, NobodyCanJoin
from invitations.forms import CancelForm, CorrectAddressForm, EditInvitationForm, FilterForm, NewInvitationForm
from invitations.models import StatusWord, UserInvitation
from invitations.states import IllegalTransition
from organizations.paging import ROWS, active_filters, address, neighbours
from organizations.rights import needs
from organizations.roles import Capability, OrganizationKind, Role
from organizations.selectors import invitable_types, settings_of
from organizations.views import TenantRequest

get_or_post = require_http_methods(["GET", "HEAD", "POST"])


# --- the list --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    """One row of the list."""

    invitation: UserInvitation
    word: StatusWord
    since: datetime
    is_open: bool


@needs(Capability.VIEW_INVITATIONS)
@require_safe
def invitation_list(request: TenantRequest, organization: str) -> HttpResponse:
    """The invitations, newest first, as the address filters them."""
    at = timezone.now()
    form = FilterForm(request.GET, kind=OrganizationKind(request.actor.organization.kind))
    form.is_valid()
    size = int(form.cleaned_data.get("size") or ROWS)
    page = selectors.invitation_page(
        actor=request.actor,
        filters=form.filters(),
        cursor=request.GET.get("cursor", ""),
        size=size,
        at=at,
    )
    active = _active_filters(request, form)
    is_part = bool(request.htmx) and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    context = {
        "is_part": is_part,
        "form": form,
        "rows": [_row(invitation, at=at) for invitation in page.items],
        "page": neighbours(request, page, size=size),
        "active": active,
        "has_any": bool(page.items or active or form.errors or request.GET.get("cursor")),
        "may_invite": bool(invitable_types(actor=request.actor)),
        "sees_all": request.actor.has(Capability.VIEW_ALL_INVITATIONS),
    }
    response = render(request, "invitations/_list.html" if is_part else "invitations/list.html", context)
    response["Vary"] = "HX-Request"
    return response


def _row(invitation: UserInvitation, *, at: datetime) -> Row:
    since = invitation.closed_at or invitation.sent_at or invitation.created_at
    if invitation.is_expired(at=at):  # not when the sweep noticed it
        since = invitation.expires_at
    return Row(invitation, invitation.status_word(at=at), since, invitation.is_open(at=at))


def _active_filters(request: HttpRequest, form: FilterForm) -> list[tuple[str, str]]:
    """Return each filter in words, with the address of the list without it."""
    active = active_filters(request, form)
    if attention := form.cleaned_data.get("attention"):
        words = {
            "expiring": _("Expires soon"),
            "open": _("Open"),
            "accepted": _("Accepted in 30 days"),
            "orphaned": _("Waits to be adopted"),
        }
        active.append((words.get(attention, attention), address(request, attention="", cursor="")))
    return active


# --- new -------------------------------------------------------------------------------------------------------------
@needs(Capability.INVITE)
@get_or_post
def create(request: TenantRequest, organization: str) -> HttpResponse:
    """Invite somebody; with `?like=<id>` the form is filled in from an earlier invitation, and with `?role=` the role is
    chosen."""
    actor = request.actor
    actor.require(Capability.INVITE)
    roles = invitable_types(actor=actor)
    policy = settings_of(actor.organization).invitation_policy
    if request.method == "POST":
        form = NewInvitationForm(request.POST, roles=roles, policy=policy)
    else:
        form = NewInvitationForm(roles=roles, policy=policy, initial=_like(request) or _for_role(request, roles))
    existing = ""
    if form.is_valid():
        try:
            invitation = services.create_invitation(actor=actor, at=timezone.now(), **form.cleaned_data)
        except DomainError as error:
            form.refuse(error)
            existing = _existing(error)
        else:
            messages.success(request, _created(invitation, organization))
            return redirect("invitations:detail", organization, invitation.pk)
    return render(
        request,
        "invitations/create.html",
        {"form": form, "roles": roles, "existing": existing},
        status=422 if form.errors else 200,
    )


def _for_role(request: TenantRequest, roles: list[Role]) -> dict[str, str]:
    role = request.GET.get("role", "")
    return {"invitation_type": role} if role in roles else {}


def _like(request: TenantRequest) -> dict[str, str]:
    """Return what a new invitation takes from the one that the address names, if the actor may see it. An address that
    does not receive mail is left out."""
    try:
        invitation_id = UUID(request.GET.get("like", ""))
    except ValueError:
        return {}
    like = selectors.invitation_detail(actor=request.actor, invitation_id=invitation_id)
    taken = ["invitation_type", "first_name", "last_name", "language", "message"]
    if like.delivery_status != DeliveryStatus.BOUNCED:
        taken.append("email")
    return {field: getattr(like, field) for field in taken}


def _see_open_one(error: DomainError, organization: str, existing: str) -> str:
    """Return the refusal of a duplicate with a link to the invitation that is open already."""
    return format_html(
        '{} <a href="{}">{}</a>',
        error.message,
        reverse("invitations:detail", args=[organization, existing]),
        _("See the open invitation"),
    )


def _created(invitation: UserInvitation, organization: str) -> str:
    """Return what is said of a new invitation. That it is being sent is hidden by CSS as soon as it is not so."""
    return format_html(
        '{} <span class="while-sending">{}</span> <a href="{}">{}</a>',
        _("Invitation to %(email)s created.") % {"email": invitation.email},
        _("We are sending it now."),
        reverse("invitations:create", args=[organization]),
        _("Invite somebody else"),
    )


def _existing(error: DomainError) -> str:
    """Return the id of the open invitation that is in the way, if that is what was refused."""
    return str(error.extra.get("existing", "")) if isinstance(error, DuplicateInvitation) else ""


def _say(request: HttpRequest, text: str, invitation: UserInvitation) -> None:
    messages.success(request, format_html(text, email=invitation.email))


# --- acts ------------------------------------------------------------------------------------------------------------
@needs(Capability.VIEW_INVITATIONS)
@require_POST
def resend(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """Mail a new link."""
    return _send_again(request, invitation_id, renews=False)


@needs(Capability.VIEW_INVITATIONS)
@require_POST
def renew(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """Open an expired invitation again."""
    return _send_again(request, invitation_id, renews=True)


def _send_again(request: TenantRequest, invitation_id: UUID, *, renews: bool) -> HttpResponse:
    act = services.renew_invitation if renews else services.resend_invitation
    try:
        invitation = act(actor=request.actor, invitation_id=invitation_id, at=timezone.now())
    except (Conflict, NobodyCanJoin) as error:  # the rest (no such invitation, no right) is a page of its own
        existing = _existing(error)
        text = _see_open_one(error, request.actor.organization.slug, existing) if existing else str(error.message)
        messages.error(request, text)
    else:
        _say(request, _("A new link is on its way to {email}. Earlier links do not work any more."), invitation)
    return redirect("invitations:detail", request.actor.organization.slug, invitation_id)


def _closed_meanwhile(request: TenantRequest, error: IllegalTransition, invitation_id: UUID) -> HttpResponse:
    """Leave a form that can do nothing any more, for the page that says where the invitation stands."""
    messages.error(request, str(error.message))
    return redirect("invitations:detail", request.actor.organization.slug, invitation_id)


@needs(Capability.VIEW_INVITATIONS)
@get_or_post
def cancel(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """Ask, then cancel an invitation."""
    invitation = selectors.invitation_to_manage(actor=request.actor, invitation_id=invitation_id)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            services.cancel_invitation(
                actor=request.actor, invitation_id=invitation_id, at=timezone.now(), **form.cleaned_data
            )
        except IllegalTransition as error:
            return _closed_meanwhile(request, error, invitation_id)
        except DomainError as error:
            form.refuse(error)
        else:
            _say(request, _("The invitation to {email} is cancelled. Its link does not work any more."), invitation)
            return redirect("invitations:detail", organization, invitation_id)
    return render(
        request,
        "invitations/cancel.html",
        {"form": form, "invitation": invitation},
        status=422 if form.errors else 200,
    )


@needs(Capability.VIEW_INVITATIONS)
@get_or_post
def edit(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """Change what an open invitation says."""
    actor = request.actor
    invitation = selectors.invitation_to_manage(actor=actor, invitation_id=invitation_id)
    present = Role(invitation.invitation_type)
    roles = invitable_types(actor=actor)
    form = EditInvitationForm(
        request.POST if request.method == "POST" else None,
        roles=roles if present in roles else [present, *roles],
        policy=settings_of(actor.organization).invitation_policy,
        initial={
            field: getattr(invitation, field)
            for field in ("invitation_type", "first_name", "last_name", "language", "message")
        },
    )
    if form.is_valid():
        try:
            changed = services.update_invitation(
                actor=actor, invitation_id=invitation_id, at=timezone.now(), **form.cleaned_data
            )
        except IllegalTransition as error:
            return _closed_meanwhile(request, error, invitation_id)
        except DomainError as error:
            form.refuse(error)
        else:
            if changed.token_nonce != invitation.token_nonce:
                text = _("Saved. A new link is on its way to {email}; earlier links do not work any more.")
            else:
                text = _("Saved. The link that {email} has still works; no new e-mail was sent.")
            _say(request, text, changed)
            return redirect("invitations:detail", organization, invitation_id)
    return render(
        request, "invitations/edit.html", {"form": form, "invitation": invitation}, status=422 if form.errors else 200
    )


@needs(Capability.VIEW_INVITATIONS)
@get_or_post
def correct_address(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """Cancel an invitation and send it to another address."""
    invitation = selectors.invitation_to_manage(actor=request.actor, invitation_id=invitation_id)
    form = CorrectAddressForm(request.POST if request.method == "POST" else None, initial={"email": invitation.email})
    existing = ""
    if form.is_valid():
        try:
            new = services.correct_address(
                actor=request.actor, invitation_id=invitation_id, at=timezone.now(), **form.cleaned_data
            )
        except IllegalTransition as error:
            return _closed_meanwhile(request, error, invitation_id)
        except DomainError as error:
            form.refuse(error)
            existing = _existing(error)
        else:
            _say(request, _("A new invitation is on its way to {email}. The old one is cancelled."), new)
            return redirect("invitations:detail", organization, new.pk)
    return render(
        request,
        "invitations/correct_address.html",
        {"form": form, "invitation": invitation, "existing": existing},
        status=422 if form.errors else 200,
    )
