"""Signing in by an identity provider: there, back, and taking the link away. Nothing of it exists where the installation
names no provider."""

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from accounts.oidc import is_on, provider_name
from accounts.oidc.errors import (
    EXTERNAL_ERRORS,
    ExternalDenied,
    ExternalExpired,
    ExternalInvalid,
    ExternalUnavailable,
    ExternalUnknown,
)
from accounts.oidc.provider import authorization_url, redeem
from accounts.oidc.services import person_of, remove_identity
from accounts.registry import SecondFactorRequired
from accounts.second_factor import is_enrolled
from healthivr.kernel.errors import Busy, DomainError, NotPermitted
from healthivr.kernel.limits import count_attempt
from organizations.views import PersonalRequest

from .requests import View, is_ours, limited, origin, safe_target
from .sign_in import begin_second_step, complete_sign_in

#: In the browser's session between there and back.
PENDING = "external"
PENDING_LIFE = timedelta(minutes=10)
#: What a provider says when it is in trouble itself (RFC 6749 4.1.2.1).
IN_TROUBLE = ("server_error", "temporarily_unavailable")
IS_NO = ("access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required")


def only_where_on(view: View) -> View:
    """Answer 404 where the installation names no identity provider."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_on():
            raise Http404
        return view(request, *args, **kwargs)

    return asked


def explaining(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Show what went wrong on a page that says what to do next, and offers the password."""

    @wraps(view)
    def explained(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except EXTERNAL_ERRORS as error:
            return _problem(request, error)

    return explained


def _problem(request: HttpRequest, error: DomainError) -> HttpResponse:
    status = 403 if isinstance(error, NotPermitted) else 503 if isinstance(error, Busy) else 401
    context = {
        "error": error,
        "is_unknown": isinstance(error, ExternalUnknown),
        "provider": provider_name(),
        "next": getattr(request, "going_to", "") or safe_target(request),
    }
    response = render(request, "accounts/external_problem.html", context, status=status)
    if error.retry_after:
        response["Retry-After"] = str(error.retry_after)
    return response


@only_where_on
@login_not_required
@require_safe  # a link: a form may lead to no other site (form-action of our policy). It changes this browser alone.
@limited("anonymous_pages")
@never_cache
@explaining
def begin(request: HttpRequest) -> HttpResponse:
    """Send a browser to the identity provider, and remember in it what the answer must fit."""
    target = safe_target(request)
    if request.user.is_authenticated:
        return redirect(target or "home")
    pending = {
        "state": secrets.token_urlsafe(32),
        "nonce": secrets.token_urlsafe(32),
        "verifier": secrets.token_urlsafe(64),
    }
    url = authorization_url(**pending, asks_which_account="choose" in request.GET)
    request.session[PENDING] = {**pending, "since": timezone.now().timestamp(), "next": target}
    return HttpResponseRedirect(url)


@only_where_on
@login_not_required
@require_safe
@never_cache
@explaining
@sensitive_variables()
def callback(request: HttpRequest) -> HttpResponse:
    """Take a browser back that comes from the identity provider, and sign in whom the provider vouches for."""
    if request.user.is_authenticated:
        return redirect("home")
    count_attempt(request, "sign_in_address")
    pending = _taken(request)
    target = request.going_to = pending["next"] if is_ours(pending["next"]) else ""  # type: ignore[attr-defined]
    if request.GET.get("iss", settings.OIDC_ISSUER) != settings.OIDC_ISSUER:  # RFC 9207: another provider's answer
        raise ExternalInvalid
    if said := request.GET.get("error"):
        raise ExternalDenied if said in IS_NO else ExternalUnavailable if said in IN_TROUBLE else ExternalInvalid
    if not (code := request.GET.get("code")):
        raise ExternalInvalid
    now = timezone.now()
    assertion = redeem(code=code, verifier=pending["verifier"], nonce=pending["nonce"], at=now)
    user = person_of(assertion=assertion, **origin(request))
    if is_enrolled(user):
        return begin_second_step(request, user, target, subject=assertion.subject)
    try:
        return complete_sign_in(request, user, target, subject=assertion.subject)
    except SecondFactorRequired:  # set up in this very moment, in another browser
        return begin_second_step(request, user, target, subject=assertion.subject)


def _taken(request: HttpRequest) -> dict[str, Any]:
    """Return what this browser remembers of the sign-in that an answer belongs to, and forget it: an answer is taken
    once. Raises ExternalExpired."""
    pending: dict[str, Any] = request.session.get(PENDING) or {}
    if not constant_time_compare(request.GET.get("state", ""), pending.get("state", "-")):
        raise ExternalExpired
    del request.session[PENDING]
    if timezone.now().timestamp() - pending["since"] > PENDING_LIFE.total_seconds():
        raise ExternalExpired
    return pending


@only_where_on
@require_POST
def remove(request: PersonalRequest, identity_id: UUID) -> HttpResponse:
    """Take the link with an account elsewhere away."""
    remove_identity(
        user=request.user,
        session=request.user_session,
        identity_id=identity_id,
        at=timezone.now(),
        **origin(request),
    )
    messages.success(request, _("That account signs you in no longer. You are signed out everywhere else."))
    return redirect("accounts:profile")
