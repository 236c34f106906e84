"""The invited person's pages. Opening a link changes nothing, however often a scanner does it; every act is a POST
that a person makes, and from the first one on the token is in no address any more (invitations.md 3.2).

Between the pages the link is kept in a cookie of this browser, for an hour and for /i/ alone: the session stands in a
table, where no token may be.
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import services as accounts
from accounts.practitioners.selectors import needs_license
from accounts.views import begin_session, end_session, limited, origin, remember_owner
from healthivr.kernel.errors import Conflict, DomainError, Malformed, NotFound, Refused
from healthivr.kernel.limits import count_attempt
from healthivr.kernel.masking import mask_email
from invitations import acceptance
from invitations.errors import (
    AccountSwitchedOff,
    AlreadyAccepted,
    InvitationClosed,
    InvitationNotFound,
    InviterNotEntitled,
    JoinsNobodyNow,
    LinkReplaced,
    PracticeNotYours,
    SignInRequired,
    WrongAccount,
)
from invitations.forms import AcceptForm, DeclineForm
from invitations.messages import when
from invitations.models import UserInvitation
from organizations.agreements.gate import AgreementMissing
from organizations.policies import EmailDomainNotAllowed
from organizations.rights import MEMBERS, needs
from organizations.roles import HOME, ROLE_SENTENCES, OrganizationKind, Role
from organizations.selectors import invitable_types
from organizations.services import AlreadyMember
from organizations.views import TenantRequest

COOKIE = "invitation"
COOKIE_SECONDS = 3600
get_or_post = require_http_methods(["GET", "HEAD", "POST"])
View = Callable[..., HttpResponse]

ORGANIZATION_LABELS: dict[OrganizationKind, Promise] = {
    OrganizationKind.CHP: _("Name of your community health program"),
    OrganizationKind.MASTER_DISTRIBUTOR: _("Name of your company"),
    OrganizationKind.DISTRIBUTOR: _("Name of your company"),
    OrganizationKind.PRACTICE: _("Name of your practice"),
    OrganizationKind.IVR_COMPANY: _("Name of your company"),
    OrganizationKind.LOGISTICS: _("Name of your company"),
}
#: The page of each refusal, and its status. The first that fits is shown.
OUTCOMES: tuple[tuple[type[DomainError], str, str, int], ...] = (
    (InvitationNotFound, "", "unknown", 404),
    (InvitationClosed, "invitation_expired", "expired", 410),
    (InvitationClosed, "invitation_cancelled", "cancelled", 410),
    (InvitationClosed, "invitation_declined", "declined", 410),
    (InvitationClosed, "invitation_accepted", "accepted", 410),
    (LinkReplaced, "", "replaced", 410),
    (AlreadyAccepted, "", "accepted", 409),
    (AlreadyMember, "", "member", 409),
    (AccountSwitchedOff, "", "switched_off", 422),
    (JoinsNobodyNow, "", "organization_off", 422),
    (InviterNotEntitled, "", "not_entitled", 422),
    (AgreementMissing, "", "no_agreement", 422),
    (EmailDomainNotAllowed, "", "domain", 422),
    (Conflict, "", "not_now", 409),
)


def visitor_of(request: HttpRequest) -> acceptance.Visitor:
    """Return who holds the link."""
    user = request.user if request.user.is_authenticated else None
    return acceptance.Visitor(user=user, **origin(request))


def owes_second_factor(request: HttpRequest) -> bool:
    """Say whether who is signed in has yet to set up the second factor that their role asks for. These pages are open to
    strangers, so the middleware lets them pass: a link says what it is for, and lets nobody join before that."""
    return request.user.is_authenticated and request.present_session.lacks_second_factor  # type: ignore[attr-defined]


def speak(request: HttpRequest, language: str) -> None:
    """Show the page in the invitation's language to somebody whose own we do not know. LocaleMiddleware names it in
    Content-Language, and starts the next request afresh."""
    if language and not request.user.is_authenticated:
        translation.activate(language)
        request.LANGUAGE_CODE = translation.get_language()


def open_invitation(request: HttpRequest, *, token: str) -> UserInvitation:
    """Return the invitation of a link that can be accepted, and speak its language. Raises what the service raises."""
    try:
        invitation = acceptance.open_invitation(token=token, at=timezone.now())
    except (InvitationClosed, LinkReplaced) as error:
        speak(request, error.language)
        raise
    speak(request, invitation.language)
    return invitation


def outcome(request: HttpRequest, error: DomainError, *, token: str) -> HttpResponse:
    """Show why a link opens nothing, and the way on. Where none is presented, most likely because somebody went back to
    a form that they have sent, there is nothing to say of any invitation."""
    if not token:
        return render(request, "invitations/link/nothing_open.html", status=404)
    for kind, code, page, status in OUTCOMES:
        if isinstance(error, kind) and code in ("", error.code):
            return render(request, f"invitations/link/{page}.html", {"token": token, "error": error}, status=status)
    raise error


def wrong_account(request: HttpRequest, invitation: UserInvitation, *, token: str) -> HttpResponse:
    """Say who is signed in and whom the invitation is for. Nothing is consumed."""
    context = {"token": token, "invited": mask_email(invitation.email or "")}
    return render(request, "invitations/link/wrong_account.html", context, status=403)


def invitation_facts(invitation: UserInvitation, visitor: acceptance.Visitor) -> dict[str, Any]:
    """Return what an invited person is told: who, where, as what, until when; of a further role, beside which one."""
    role = Role(invitation.invitation_type)
    terms = acceptance.terms_now(invitation, at=timezone.now())
    return {
        "invitation": invitation,
        "organization_name": invitation.organization.name,
        "inviter_name": invitation.invited_by.get_full_name() if invitation.invited_by else "",
        "role": role,
        "role_sentence": ROLE_SENTENCES[role],
        "founds": acceptance.founds(invitation),
        "starts": terms.starts,
        "is_to_sign": acceptance.has_to_sign(terms, invitation.organization),
        "held": ", ".join(str(held.label) for held in acceptance.roles_already_held(invitation, visitor)),
        "expires": when(invitation.expires_at),  # in the same words as the mail
    }


# --- the link --------------------------------------------------------------------------------------------------------
@login_not_required
@require_safe
@never_cache
@limited("token_pages")
def landing(request: HttpRequest, token: str) -> HttpResponse:
    """What the mailed link opens. Changes nothing and can be opened again, in any browser."""
    visitor = visitor_of(request)
    try:
        invitation = open_invitation(request, token=token)
    except DomainError as error:
        return outcome(request, error, token=token)
    needs_sign_in = False
    try:
        acceptance.require_right_account(invitation, visitor)
    except WrongAccount:
        return wrong_account(request, invitation, token=token)
    except SignInRequired:
        needs_sign_in = True
    except DomainError as error:
        return outcome(request, error, token=token)
    try:
        acceptance.require_open_organization(invitation)
    except DomainError as error:
        return outcome(request, error, token=token)
    context = {"token": token, "needs_sign_in": needs_sign_in, **invitation_facts(invitation, visitor)}
    return render(request, "invitations/link/landing.html", context)


@login_not_required
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Leave the address with the token: keep it in a cookie, and go on."""
    token = request.POST.get("token", "")[:200]
    if not acceptance.is_known(token):
        count_attempt(request, "token_pages")
    goes_on_to = {"decline": "invitations:decline", "accept": "invitations:accept_form"}
    response = redirect(goes_on_to.get(request.POST.get("act", ""), "invitations:accept_form"))
    if request.POST.get("act") == "switch" and request.user.is_authenticated:
        end_session(request)
    response.set_cookie(
        COOKIE,
        token if token.isascii() and token.isprintable() else "",  # nothing else is one, or can stand in a header
        max_age=COOKIE_SECONDS,
        path=reverse("invitations:start").removesuffix("start/"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def _presented_token(request: HttpRequest) -> str:
    """Return the link that this browser is busy with: the form's own, else the cookie's. What is sent counts towards the
    limit; a page that is merely shown again does not, since a whole clinic may share one address."""
    if request.method == "POST":
        count_attempt(request, "token_pages")
    return str(request.POST.get("token") or request.COOKIES.get(COOKIE, ""))


def _presented_invitation(request: HttpRequest, *, token: str) -> UserInvitation:
    """Return the invitation of the presented link. One that we do not know counts when it is merely looked at, too."""
    try:
        return open_invitation(request, token=token)
    except InvitationNotFound:
        if request.method != "POST":
            count_attempt(request, "token_pages")
        raise


# --- accept ----------------------------------------------------------------------------------------------------------
@login_not_required
@sensitive_post_parameters("password", "token")
@get_or_post
@never_cache
def accept(request: HttpRequest) -> HttpResponse:
    """Ask for what is missing, then accept. An existing person signs in first and comes back here."""
    token, visitor = _presented_token(request), visitor_of(request)
    is_attempt = request.method == "POST"
    try:
        with acceptance.refusals_in_trail(token=token, visitor=visitor) if is_attempt else nullcontext():
            invitation = _presented_invitation(request, token=token)
            acceptance.require_right_account(invitation, visitor)
            acceptance.require_open_organization(invitation)
    except SignInRequired:
        return redirect(reverse("accounts:sign_in", query={"next": reverse("invitations:accept_form")}))
    except WrongAccount:
        return wrong_account(request, invitation, token=token)
    except DomainError as error:
        return outcome(request, error, token=token)
    if owes_second_factor(request):
        return redirect(reverse("accounts:second_factor_enrol", query={"next": reverse("invitations:accept_form")}))
    form = _accept_form(request, invitation, visitor)
    if is_attempt and form.is_valid():
        return _accept(request, invitation, visitor, form, token=token)
    return _accept_page(request, invitation, form, token=token)


def _accept_form(request: HttpRequest, invitation: UserInvitation, visitor: acceptance.Visitor) -> AcceptForm:
    founds = acceptance.founds(invitation)
    return AcceptForm(
        request.POST if request.method == "POST" else None,
        is_new_person=visitor.user is None,
        terms=acceptance.password_terms(invitation),
        organization_label=ORGANIZATION_LABELS[HOME[Role(invitation.invitation_type)]] if founds else "",
        practices=acceptance.practices_to_choose(invitation, visitor),
        initial={"first_name": invitation.first_name, "last_name": invitation.last_name},
    )


def _accept(
    request: HttpRequest, invitation: UserInvitation, visitor: acceptance.Visitor, form: AcceptForm, *, token: str
) -> HttpResponse:
    given = dict(form.cleaned_data)
    practice_id = given.pop("practice_id", None)
    is_further_role = bool(acceptance.roles_already_held(invitation, visitor))
    try:
        accepted = acceptance.accept_invitation(
            token=token,
            visitor=visitor,
            practice_id=UUID(practice_id) if practice_id else None,
            at=timezone.now(),
            **given,
        )
    except (Malformed, accounts.PasswordRefused, PracticeNotYours) as error:
        form.refuse(error)
        return _accept_page(request, invitation, form, token=token)
    except SignInRequired:
        return redirect(reverse("accounts:sign_in", query={"next": reverse("invitations:accept_form")}))
    except DomainError as error:
        return outcome(request, error, token=token)
    if accepted.is_new_user:
        begin_session(request, accepted.user)
    if is_further_role:
        text = _("You have a further role now: {role}.")
        messages.success(request, format_html(str(text), role=accepted.membership_role.label))
    # Whoever founds an organization for patient care, or starts one, reads its agreement first; "later" leads to the
    # welcome.
    response = redirect(
        "organizations:sign_agreement" if accepted.has_to_sign else "invitations:welcome", accepted.organization.slug
    )
    if accepted.is_new_user:
        remember_owner(request, response, accepted.user)
    return _forget(response)


def _accept_page(request: HttpRequest, invitation: UserInvitation, form: AcceptForm, *, token: str) -> HttpResponse:
    facts = invitation_facts(invitation, visitor_of(request))
    context = {"form": form, "token": token, "is_new_person": "password" in form.fields, **facts}
    return render(request, "invitations/link/accept.html", context, status=422 if form.errors else 200)


def _forget(response: HttpResponse) -> HttpResponse:
    """The link is used: this browser need not keep it."""
    response.delete_cookie(COOKIE, path=reverse("invitations:start").removesuffix("start/"), samesite="Lax")
    return response


def _keep_language(response: HttpResponse) -> HttpResponse:
    """The page that says it is done knows no link: LocaleMiddleware reads its language from this cookie."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        translation.get_language() or settings.LANGUAGE_CODE,
        max_age=COOKIE_SECONDS,
        path=reverse("invitations:start").removesuffix("start/"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


@needs(MEMBERS)
@require_safe
def welcome(request: TenantRequest, organization: str) -> HttpResponse:
    """Done: where to go first."""
    roles = [role for role in Role if role in request.actor.roles]
    sentences = [(role.label, ROLE_SENTENCES.get(role, "")) for role in roles]
    context = {
        "roles": sentences,
        "may_invite": bool(invitable_types(actor=request.actor)),
        "needs_license": needs_license(actor=request.actor, at=timezone.now()),
    }
    return render(request, "invitations/welcome.html", context)


# --- decline ---------------------------------------------------------------------------------------------------------
@login_not_required
@sensitive_post_parameters("token")
@get_or_post
@never_cache
def decline(request: HttpRequest) -> HttpResponse:
    """Ask why, then decline."""
    token = _presented_token(request)
    form = DeclineForm(request.POST if request.method == "POST" else None)
    try:
        invitation = _presented_invitation(request, token=token)
        if request.method == "POST" and form.is_valid():
            return _decline(request, form, token=token)
    except DomainError as error:
        return outcome(request, error, token=token)
    context = {"form": form, "token": token, **invitation_facts(invitation, visitor_of(request))}
    return render(request, "invitations/link/decline.html", context, status=422 if form.errors else 200)


def _decline(request: HttpRequest, form: DeclineForm, *, token: str) -> HttpResponse:
    acceptance.decline_invitation(token=token, visitor=visitor_of(request), at=timezone.now(), **form.cleaned_data)
    return _forget(_keep_language(redirect("invitations:decline_done")))


@login_not_required
@require_safe
def decline_done(request: HttpRequest) -> HttpResponse:
    """Say that it is done, and that nothing more will come."""
    return render(request, "invitations/link/decline_done.html")


# --- a new link ------------------------------------------------------------------------------------------------------
@login_not_required
@sensitive_post_parameters("token")
@require_POST
def new_link(request: HttpRequest) -> HttpResponse:
    """Have a working link mailed to the invited address, and to no other."""
    token = _presented_token(request)
    with suppress(DomainError):  # only for its language: here a link may be a dead one
        open_invitation(request, token=token)
    try:
        acceptance.request_new_link(token=token, visitor=visitor_of(request), at=timezone.now())
    except (Conflict, NotFound, Refused, InvitationClosed) as error:
        return outcome(request, error, token=token)
    return _keep_language(redirect("invitations:new_link_sent"))


@login_not_required
@require_safe
def new_link_sent(request: HttpRequest) -> HttpResponse:
    """Say where to look."""
    return render(request, "invitations/link/new_link_sent.html")
