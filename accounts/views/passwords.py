"""A password that is forgotten, and one that is changed."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import services
from accounts.forms import ChangePasswordForm, NewPasswordForm, PasswordResetForm
from accounts.passwords import terms_of
from healthivr.kernel.errors import DomainError, LinkClosed, Refused
from healthivr.kernel.limits import count_attempt
from organizations.views import PersonalRequest

from .requests import get_or_post, known_browser, limited, origin


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
    try:
        user = services.open_reset_link(uid=uid, token=token)
    except LinkClosed:
        return render(request, "accounts/password_reset_closed.html", status=410)
    form = NewPasswordForm(request.POST if request.method == "POST" else None, terms=terms_of(user))
    try:
        if form.is_valid():
            services.reset_password(uid=uid, token=token, at=timezone.now(), **form.cleaned_data, **origin(request))
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


@sensitive_post_parameters()
@get_or_post
def change_password(request: PersonalRequest) -> HttpResponse:
    """One's own password. Every other session ends."""
    form = ChangePasswordForm(request.POST if request.method == "POST" else None, terms=terms_of(request.user))
    if form.is_valid():
        try:
            services.change_password(
                user=request.user,
                session=request.user_session,
                known_browser=known_browser(request),
                at=timezone.now(),
                current=form.cleaned_data["current_password"],
                password=form.cleaned_data["password"],
                **origin(request),
            )
        except Refused as error:
            form.refuse(error)
        else:
            request.session.cycle_key()
            messages.success(request, _("Your password is changed. You are signed out everywhere else."))
            return redirect("accounts:profile")
    return render(request, "accounts/change_password.html", {"form": form}, status=422 if form.errors else 200)
