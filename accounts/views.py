"""Pages of accounts: set-up, sign-in, password reset, profile. Each parses, calls one service, and renders."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from healthivr.kernel.errors import DomainError, LinkClosed, Refused
from healthivr.kernel.limits import count_attempt
from organizations.views import PersonalRequest

from . import services
from .forms import ChangePasswordForm, NewPasswordForm, PasswordResetForm, ProfileForm, SetUpForm, SignInForm

BACKEND = "accounts.backends.EmailBackend"
View = Callable[..., HttpResponse]
get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def limited(scope: str) -> Callable[[View], View]:
    """Count each request of a stranger to a public page in `scope` (settings.LIMITS)."""

    def decorate(view: View) -> View:
        @wraps(view)
        def counted(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if scope != "anonymous_pages" or not request.user.is_authenticated:
                count_attempt(request, scope)
            return view(request, *args, **kwargs)

        return counted

    return decorate


def origin(request: HttpRequest) -> dict[str, str]:
    """Return where a request comes from, as services write it into the trail."""
    return {"ip": request.client_address, "request_id": request.request_id}  # type: ignore[attr-defined]


# --- set-up ----------------------------------------------------------------------------------------------------------
@login_not_required
@sensitive_post_parameters()
@get_or_post
@limited("token_pages")
def setup(request: HttpRequest, secret: str) -> HttpResponse:
    """Make the first administrator of an empty installation."""
    form = SetUpForm(request.POST if request.method == "POST" else None)
    try:
        services.open_setup_link(secret=secret, at=timezone.now())
        if form.is_valid():
            user = services.set_up_platform(secret=secret, at=timezone.now(), **form.cleaned_data, **origin(request))
            services.record_session_start(user=user, **origin(request))
            login(request, user, backend=BACKEND)
            messages.success(request, _("You are set up. Now invite the first people."))
            return redirect("home")
    except services.SetupClosed:
        return render(request, "accounts/setup_closed.html", status=404)
    except DomainError as error:
        form.refuse(error)
    return render(request, "accounts/setup.html", {"form": form}, status=422 if form.errors else 200)


# --- signing in and out ----------------------------------------------------------------------------------------------
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
        count_attempt(request, "sign_in_account", key=form.cleaned_data["email"].strip().lower())
        try:
            user = services.check_credentials(**form.cleaned_data, **origin(request))
        except services.InvalidCredentials as error:
            form.refuse(error)
        else:
            login(request, user, backend=BACKEND)
            return redirect(target or "home")
    return render(request, "accounts/sign_in.html", {"form": form, "next": target}, status=422 if form.errors else 200)


def _safe_target(request: HttpRequest) -> str:
    """Return where to go after signing in, if it is a page of ours: a path, for anything else might be a view's name to
    redirect()."""
    target = request.POST.get("next", request.GET.get("next", ""))
    is_ours = target.startswith("/") and url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    return target if is_ours else ""


@require_POST
def sign_out(request: PersonalRequest) -> HttpResponse:
    """End the session."""
    services.record_sign_out(user=request.user, **origin(request))
    logout(request)
    messages.success(request, _("You are signed out."))
    return redirect("accounts:sign_in")


# --- password reset --------------------------------------------------------------------------------------------------
@login_not_required
@get_or_post
@limited("anonymous_pages")
def password_reset(request: HttpRequest) -> HttpResponse:
    """Ask for a reset link. The answer is the same for every address."""
    form = PasswordResetForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        count_attempt(request, "password_reset_address")
        count_attempt(request, "password_reset_account", key=form.cleaned_data["email"].strip().lower())
        services.request_password_reset(at=timezone.now(), **form.cleaned_data, **origin(request))
        return redirect("accounts:password_reset_sent")
    return render(request, "accounts/password_reset.html", {"form": form}, status=422 if form.errors else 200)


@login_not_required
@require_safe
def password_reset_sent(request: HttpRequest) -> HttpResponse:
    """Say what happens next, to everybody alike."""
    return render(request, "accounts/password_reset_sent.html")


@login_not_required
@sensitive_post_parameters()
@get_or_post
@limited("token_pages")
def new_password(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Choose a new password by a mailed link."""
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    try:
        user = services.open_reset_link(uid=uid, token=token)
        if form.is_valid():
            services.reset_password(uid=uid, token=token, **form.cleaned_data, **origin(request))
            return redirect("accounts:password_reset_done")
    except LinkClosed:
        return render(request, "accounts/password_reset_closed.html", status=410)
    except DomainError as error:
        form.refuse(error)
    return render(
        request, "accounts/new_password.html", {"form": form, "email": user.email}, status=422 if form.errors else 200
    )


@login_not_required
@require_safe
def password_reset_done(request: HttpRequest) -> HttpResponse:
    """Say that it worked, and where to sign in."""
    return render(request, "accounts/password_reset_done.html")


# --- profile ---------------------------------------------------------------------------------------------------------
@get_or_post
def profile(request: PersonalRequest) -> HttpResponse:
    """One's own name, time zone and language."""
    user = request.user
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        initial={field: getattr(user, field) for field in ("first_name", "last_name", "time_zone", "language")},
    )
    if form.is_valid():
        try:
            services.update_profile(user=user, **form.cleaned_data, **origin(request))
        except DomainError as error:
            form.refuse(error)
        else:
            translation.activate(user.language)  # the answer is in the language just chosen
            messages.success(request, _("Your profile is saved."))
            return redirect("accounts:profile")
    return render(request, "accounts/profile.html", {"form": form}, status=422 if form.errors else 200)


@sensitive_post_parameters()
@get_or_post
def change_password(request: PersonalRequest) -> HttpResponse:
    """One's own password. Every other session ends."""
    form = ChangePasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        count_attempt(request, "sign_in_account", key=request.user.email)
        try:
            services.change_password(
                user=request.user,
                current=form.cleaned_data["current_password"],
                password=form.cleaned_data["password"],
                **origin(request),
            )
        except Refused as error:
            form.refuse(error)
        else:
            update_session_auth_hash(request, request.user)
            messages.success(request, _("Your password is changed. You are signed out everywhere else."))
            return redirect("accounts:profile")
    return render(request, "accounts/change_password.html", {"form": form}, status=422 if form.errors else 200)


# --- mails as pages --------------------------------------------------------------------------------------------------
#: Where a link of a mail leads; values are escaped there, quotes too.
_LINK = re.compile(r'(<a\b[^<>]*?)\shref="[^"]*"')


def mail_frame(html: str, *, links: bool = False) -> HttpResponse:
    """Return a mail's HTML for a sandboxed frame of ours.

    Mails carry style attributes, which our policy refuses and a frame made from text would inherit. So this answer has
    a policy of its own, stricter in all else: no script, no network, no form. With `links` a click on a link leads the
    whole page there, and the frame's origin is nobody's. Without, links are no links: nothing to stop at or to click; and
    the page around may read how high the mail is, which with no script inside is all that the same origin gives.
    """
    if links:
        sandbox = "allow-top-navigation-by-user-activation"
        html = html.replace("<head>", '<head><base target="_top">', 1)
    else:
        sandbox = "allow-same-origin"
        html = _LINK.sub(r"\1", html).replace("<head>", "<head><style>a { text-decoration: underline; }</style>", 1)
    response = HttpResponse(html)
    response["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox {sandbox}"
    )
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response
