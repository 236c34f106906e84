"""One's own second factor: set up, seen, replaced, removed."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from accounts import second_factor
from accounts.forms import EnrolmentForm
from accounts.middleware import reachable_without_second_factor
from accounts.qr import qr_code
from healthivr.kernel.errors import Conflict, Malformed, Refused
from organizations.views import PersonalRequest

from . import once
from .requests import get_or_post, origin, safe_target


@reachable_without_second_factor
@sensitive_post_parameters("code")
@get_or_post
@never_cache
def enrol(request: PersonalRequest) -> HttpResponse:
    """Set up an authenticator app: its key as a QR code, as text and as a link, then its first code. Ends on the recovery
    codes, which are shown this once."""
    target, user, session = safe_target(request), request.user, request.user_session
    if once.was_done(request):
        return _shown_before(request, _("Your second factor is set up. Its recovery codes were shown once."))
    if session.second_factor_at is None and second_factor.is_enrolled(user):  # set up meanwhile, in another session
        return redirect(reverse("accounts:verify", query={"next": target or reverse("home")}))
    form = EnrolmentForm(request.POST if request.method == "POST" else None)
    act: dict[str, Any] = {"user": user, "session": session, "at": timezone.now(), **origin(request)}
    if form.is_valid():
        try:
            codes = second_factor.confirm_enrolment(code=form.cleaned_data["code"], **act)
        except second_factor.EnrolmentClosed as error:
            messages.warning(request, str(error.message))
            return redirect(reverse("accounts:second_factor_enrol", query={"next": target}))
        except (Malformed, Refused) as error:
            form.refuse(error)
        else:
            request.session.cycle_key()
            once.note_done(request)
            return _codes_page(request, codes, target, is_new=True)
    authenticator = second_factor.begin_enrolment(**act)
    context = {
        "form": form,
        "next": target,
        "key": " ".join(authenticator.key[start : start + 4] for start in range(0, len(authenticator.key), 4)),
        "uri": authenticator.uri(),
        "qr": qr_code(authenticator.uri()),
        "is_asked_for": request.present_session.requires_second_factor,
        "replaces": session.second_factor_at is not None,
        "once": once.new_name(),
    }
    return render(request, "accounts/second_factor/enrol.html", context, status=422 if form.errors else 200)


@sensitive_variables("codes")
def _codes_page(request: HttpRequest, codes: list[str], target: str, *, is_new: bool) -> HttpResponse:
    """Show recovery codes. No redirect to a page of theirs: they would have to be kept somewhere in clear."""
    context = {"codes": "\n".join(codes), "next": target, "is_new": is_new}
    return render(request, "accounts/second_factor/codes.html", context)


def _shown_before(request: HttpRequest, what: str) -> HttpResponse:
    """Answer a form that was sent again after its codes were shown: they are kept nowhere in clear."""
    messages.warning(request, what + " " + _("If you did not keep them, replace them below."))
    return redirect("accounts:second_factor")


@require_POST
def codes_kept(request: PersonalRequest) -> HttpResponse:
    """Note that the recovery codes are in a safe place, and go on to where one was going."""
    try:
        second_factor.note_codes_kept(user=request.user, at=timezone.now(), **origin(request))
    except Conflict as error:
        messages.warning(request, str(error.message))
        return redirect("accounts:second_factor")
    messages.success(request, _("Your second factor is set up."))
    return redirect(safe_target(request) or "accounts:second_factor")


@require_safe
def overview(request: PersonalRequest) -> HttpResponse:
    """What one has, and what can be done with it."""
    state = second_factor.factor_state(request.user)
    is_asked_for = request.present_session.requires_second_factor
    context = {"state": state, "is_asked_for": is_asked_for, "once": once.new_name()}
    return render(request, "accounts/second_factor/overview.html", context)


@require_POST
@never_cache
def replace_codes(request: PersonalRequest) -> HttpResponse:
    """New recovery codes, shown this once."""
    if once.was_done(request) or not once.is_first(request):
        return _shown_before(request, _("Your recovery codes were replaced before, and the new ones were shown once."))
    try:
        codes = second_factor.replace_recovery_codes(
            user=request.user, session=request.user_session, at=timezone.now(), **origin(request)
        )
    except Conflict as error:
        messages.warning(request, str(error.message))
        return redirect("accounts:second_factor")
    once.note_done(request)
    return _codes_page(request, codes, reverse("accounts:second_factor"), is_new=False)


@require_POST
def remove(request: PersonalRequest) -> HttpResponse:
    """Go on without a second factor, where none is asked for."""
    try:
        second_factor.remove_factor(
            user=request.user, session=request.user_session, at=timezone.now(), **origin(request)
        )
    except (Conflict, Refused) as error:
        messages.warning(request, str(error.message))
    else:
        messages.success(request, _("Your second factor is removed. You are signed out everywhere else."))
    return redirect("accounts:second_factor")
