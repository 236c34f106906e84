"""Changing the address that one signs in with."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import addresses
from accounts.forms import ChangeEmailForm
from healthivr.kernel.errors import Conflict, DomainError, LinkClosed
from healthivr.kernel.limits import count_attempt
from organizations.policies import EmailDomainNotAllowed
from organizations.views import PersonalRequest

from .requests import get_or_post, known_browser, origin, remember_owner


@sensitive_post_parameters()
@get_or_post
def change_email(request: PersonalRequest) -> HttpResponse:
    """Ask for a link to a new address. The answer is the same for every address."""
    form = ChangeEmailForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        count_attempt(request, "password_reset_account", key=f"address of {request.user.pk}")
        count_attempt(request, "password_reset_account", key=form.cleaned_data["email"])
        try:
            addresses.request_email_change(
                user=request.user,
                email=form.cleaned_data["email"],
                password=form.cleaned_data["current_password"],
                known_browser=known_browser(request),
                at=timezone.now(),
                **origin(request),
            )
        except DomainError as error:
            form.refuse(error)
        else:
            return redirect("accounts:change_email_sent")
    return render(request, "accounts/change_email.html", {"form": form}, status=422 if form.errors else 200)


@require_safe
def change_email_sent(request: PersonalRequest) -> HttpResponse:
    """Say what happens next, for every address alike."""
    return render(request, "accounts/change_email_sent.html")


@get_or_post
@never_cache
def confirm_email(request: PersonalRequest, token: str) -> HttpResponse:
    """Confirm a new address by the mailed link. Opening the page changes nothing."""
    session, at = request.user_session, timezone.now()
    try:
        change = addresses.open_email_link(user=request.user, token=token, at=at)
        if request.method != "POST":
            return render(request, "accounts/confirm_email.html", {"new_email": change.new_email})
        addresses.confirm_email_change(user=request.user, token=token, session=session, at=at, **origin(request))
    except (LinkClosed, Conflict, EmailDomainNotAllowed) as error:
        status = 410 if isinstance(error, LinkClosed) else 409 if isinstance(error, Conflict) else 422
        context = {"error": error, "is_confirmed": addresses.is_confirmed(user=request.user, token=token)}
        return render(request, "accounts/confirm_email_closed.html", context, status=status)
    request.session.cycle_key()
    messages.success(request, _("Your address is changed. You are signed out everywhere else."))
    response = redirect("accounts:profile")
    remember_owner(request, response, request.user)
    return response
