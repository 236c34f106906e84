"""Signing in and out."""

from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import services
from accounts.forms import SignInForm
from healthivr.kernel.limits import count_attempt
from organizations.views import PersonalRequest

from .requests import BACKEND, get_or_post, limited, origin


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
