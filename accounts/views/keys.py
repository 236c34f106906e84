"""One's own API keys: which there are, a new one, and the end of one."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.forms import ApiKeyForm
from accounts.keys import choices_of, create_key, end_own_key, live_keys
from healthivr.kernel.errors import Conflict, Malformed
from organizations.views import PersonalRequest

from . import once
from .requests import get_or_post, origin


@require_safe
def keys(request: PersonalRequest) -> HttpResponse:
    """One's own keys that work, the newest first."""
    return render(request, "accounts/keys.html", {"keys": live_keys(user=request.user, at=timezone.now())})


@get_or_post
def new_key(request: PersonalRequest) -> HttpResponse:
    """Make a key, and show it this once."""
    if once.was_done(request):
        return _made_before(request)
    organizations = choices_of(request.user)
    form = ApiKeyForm(request.POST if request.method == "POST" else None, organizations=organizations)
    if form.is_valid():
        if not once.is_first(request):
            return _made_before(request)
        try:
            key, secret = create_key(
                user=request.user,
                session=request.user_session,
                at=timezone.now(),
                **{**form.cleaned_data, **origin(request)},
            )
        except (Malformed, Conflict) as error:
            form.refuse(error)
        else:
            once.note_done(request)
            return render(request, "accounts/key_created.html", {"key": key, "secret": secret})
    context = {"form": form, "has_organization": bool(organizations), "once": once.new_name()}
    return render(request, "accounts/new_key.html", context, status=422 if form.errors else 200)


def _made_before(request: PersonalRequest) -> HttpResponse:
    text = _("That key is made, and was shown once. If you did not copy it, end it below and make another.")
    messages.warning(request, text)
    return redirect("accounts:keys")


@require_POST
def end_key(request: PersonalRequest, key_id: UUID) -> HttpResponse:
    """End a key."""
    if end_own_key(user=request.user, key_id=key_id, at=timezone.now(), **origin(request)):
        messages.success(request, _("That key is ended. It stops working with its next request."))
    else:
        messages.warning(request, _("That key had ended already."))
    return redirect("accounts:keys")
