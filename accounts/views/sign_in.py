"""Signing in and out."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import services
from accounts.forms import SignInForm
from accounts.lockout import Locked, browser_for_unlock_link, forget_failures
from accounts.middleware import reachable_without_second_factor
from healthivr.kernel.errors import LinkClosed
from healthivr.kernel.limits import count_attempt
from organizations.views import PersonalRequest

from .requests import (
    begin_session,
    end_session,
    get_or_post,
    known_browser,
    limited,
    origin,
    remember_browser,
    remember_owner,
)


@login_not_required
@sensitive_post_parameters("password")
@get_or_post
@limited("anonymous_pages")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in, and go on to where one was going."""
    target = _safe_target(request)
    if request.user.is_authenticated:
        return redirect(target or "home")
    form = SignInForm(request.POST if request.method == "POST" else None)
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
            forget_failures(guess)
            begin_session(request, user)
            response = redirect(target or "home")
            remember_owner(request, response, user)
            return response
    return _sign_in_page(request, form, target)


def _sign_in_page(
    request: HttpRequest, form: SignInForm, target: str, *, refusal: Locked | None = None
) -> HttpResponse:
    status = 429 if refusal else 422 if form.errors else 200
    response = render(request, "accounts/sign_in.html", {"form": form, "next": target}, status=status)
    if refusal:
        response["Retry-After"] = str(refusal.retry_after)
        request.rate_limit = (refusal.limit, 0, refusal.window)  # type: ignore[attr-defined]
    return response


def _safe_target(request: HttpRequest) -> str:
    """Return where to go after signing in, if it is a page of ours: a path, for anything else might be a view's name to
    redirect()."""
    target = request.POST.get("next", request.GET.get("next", ""))
    is_ours = target.startswith("/") and url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    return target if is_ours else ""


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
        cookie = browser_for_unlock_link(token)
    except LinkClosed as error:
        return render(request, "accounts/unlock_closed.html", {"error": error}, status=410)
    if request.method != "POST":
        return render(request, "accounts/unlock.html")
    response = redirect("accounts:sign_in")
    remember_browser(response, cookie)
    messages.success(request, _("You can try again in this browser. Your password is asked as always."))
    return response
