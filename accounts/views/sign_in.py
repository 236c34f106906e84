"""Signing in, in one step or two, and out."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import services
from accounts.forms import CodeForm, SignInForm
from accounts.lockout import Locked, browser_for_unlock_link, forget_failures, use_unlock_link
from accounts.middleware import reachable_without_second_factor
from accounts.models import SignInMethod, User
from accounts.oidc import is_on, provider_name
from accounts.oidc.errors import ExternalUnknown
from accounts.oidc.services import note_sign_in
from accounts.registry import SecondFactorRequired
from accounts.second_factor import await_second_factor, check_second_factor, is_enrolled
from healthivr.kernel.errors import LinkClosed, Malformed, Refused
from healthivr.kernel.limits import count_attempt
from organizations.views import PersonalRequest

from .requests import (
    begin_session,
    end_session,
    get_or_post,
    known_browser,
    limited,
    locked_out,
    origin,
    remember_browser,
    remember_owner,
    safe_target,
)

#: In the browser's session between the two steps.
HALF_WAY = "half_way"
#: In the browser's session after a link that unlocks it: whose address need not be typed again. Never in an address.
UNLOCKED = "unlocked"
HALF_WAY_LIFE = timedelta(minutes=10)


@login_not_required
@sensitive_post_parameters("password")
@get_or_post
@limited("anonymous_pages")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in, and go on to where one was going."""
    target = safe_target(request)
    if request.user.is_authenticated:
        return redirect(target or "home")
    if request.method == "POST":
        form = SignInForm(request.POST)
    else:  # the address once only: the browser may be shared
        form = SignInForm(initial={"email": request.session.pop(UNLOCKED, "")})
    if form.is_valid():
        count_attempt(request, "sign_in_address")
        try:
            user, guess = services.check_credentials(
                **form.cleaned_data, known_browser=known_browser(request), at=timezone.now(), **origin(request)
            )
        except Locked as error:
            form.refuse(error)
            return _sign_in_page(request, form, target, refusal=error)
        except services.InvalidCredentials as error:
            form.refuse(error)
        else:
            if is_enrolled(user):
                await_second_factor(user=user, **origin(request))
                return begin_second_step(request, user, target)
            try:
                response = complete_sign_in(request, user, target)
            except SecondFactorRequired:  # set up in this very moment, in another browser
                return begin_second_step(request, user, target)
            forget_failures(guess)
            return response
    return _sign_in_page(request, form, target)


def _sign_in_page(
    request: HttpRequest, form: SignInForm, target: str, *, refusal: Locked | None = None
) -> HttpResponse:
    status = 429 if refusal else 422 if form.errors else 200
    context = {"form": form, "next": target, "provider": provider_name() if is_on() else ""}
    response = render(request, "accounts/sign_in.html", context, status=status)
    return locked_out(request, response, refusal) if refusal else response


# --- the second step -------------------------------------------------------------------------------------------------
def begin_second_step(request: HttpRequest, user: User, target: str, *, subject: str = "") -> HttpResponse:
    """Remember in this browser, for ten minutes, whose password was given, or whom the identity provider vouched for as
    `subject`. It opens nothing: the session is nobody's."""
    request.session.flush()
    request.session[HALF_WAY] = {
        "user": str(user.pk),
        "since": timezone.now().timestamp(),
        "next": target,
        "subject": subject,
        "password": user.get_session_auth_hash(),  # a keyed digest: another password ends it
    }
    request.session.set_expiry(6 * HALF_WAY_LIFE)  # long enough to say that it is over
    return redirect("accounts:sign_in_verify")


def _half_way(request: HttpRequest) -> tuple[User, str, str] | None:
    """Return who has done the first step in this browser within ten minutes and still may sign in, where they were going,
    and as whom the identity provider knows them, if it was that."""
    kept = request.session.get(HALF_WAY)
    if not kept or timezone.now().timestamp() - kept["since"] > HALF_WAY_LIFE.total_seconds():
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), kept["password"]):
        return None
    return (user, kept["next"], kept["subject"]) if is_enrolled(user) else None


@login_not_required
@sensitive_post_parameters("code")
@get_or_post
@never_cache
def sign_in_verify(request: HttpRequest) -> HttpResponse:
    """Ask whose password was right for the second factor. Nobody gets here by the address alone."""
    if request.user.is_authenticated:
        return redirect("home")
    found = _half_way(request)
    if found is None:
        if request.session.get(HALF_WAY):
            request.session.flush()
            messages.warning(request, _("Ten minutes are over, or your account has changed. Sign in again."))
        return redirect("accounts:sign_in")
    user, target, subject = found
    by_recovery_code = request.POST.get("by", request.GET.get("by", "")) == "recovery-code"
    form = CodeForm(request.POST if request.method == "POST" else None, by_recovery_code=by_recovery_code)
    refusal: Locked | None = None
    if form.is_valid():
        count_attempt(request, "sign_in_address")
        now = timezone.now()
        try:
            check_second_factor(
                user=user, at=now, known_browser=known_browser(request), **form.cleaned_data, **origin(request)
            )
        except Locked as error:
            refusal = error
            form.refuse(error)
        except (Malformed, Refused) as error:
            form.refuse(error)
        else:
            try:
                return complete_sign_in(request, user, target, subject=subject, second_factor_at=now)
            except ExternalUnknown as error:
                request.session.flush()
                messages.warning(request, str(error.message))
                return redirect("accounts:sign_in")
    status = 429 if refusal else 422 if form.errors else 200
    context = {"form": form, "by_recovery_code": by_recovery_code, "is_external": bool(subject)}
    page = render(request, "accounts/second_factor/sign_in.html", context, status=status)
    return locked_out(request, page, refusal) if refusal else page


def complete_sign_in(
    request: HttpRequest, user: User, target: str, *, subject: str = "", second_factor_at: datetime | None = None
) -> HttpResponse:
    """Sign in who gave all that was asked, and go on. Raises ExternalUnknown, SecondFactorRequired."""
    method = SignInMethod.EXTERNAL if subject else SignInMethod.PASSWORD
    if subject:
        note_sign_in(user=user, subject=subject, at=timezone.now(), **origin(request))
    begin_session(request, user, second_factor_at=second_factor_at, method=method)
    response = redirect(target or "home")
    remember_owner(request, response, user)
    return response


@reachable_without_second_factor
@require_POST
def sign_out(request: PersonalRequest) -> HttpResponse:
    """End the session."""
    end_session(request)
    messages.success(request, _("You are signed out."))
    return redirect("accounts:sign_in")


@login_not_required
@get_or_post
@limited("token_pages")
def unlock(request: HttpRequest, token: str) -> HttpResponse:
    """Give this browser tries of its own, for who holds the mail that a lock caused. Opening the page does nothing."""
    try:
        if request.method != "POST":
            browser_for_unlock_link(token)
            return render(request, "accounts/unlock.html")
        cookie, address = use_unlock_link(token, known_browser(request), **origin(request))
    except LinkClosed as error:
        return render(request, "accounts/unlock_closed.html", {"error": error}, status=410)
    response = redirect("accounts:sign_in")
    remember_browser(response, cookie)
    request.session[UNLOCKED] = address
    messages.success(request, _("You can try again in this browser. Your password is asked as always."))
    return response
