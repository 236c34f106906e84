"""A lost second factor: what an administrator starts, and what its person finishes."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import factor_reset
from accounts.forms import FinishFactorResetForm
from accounts.lockout import Locked
from healthivr.kernel.errors import Conflict, LinkClosed, Refused
from organizations import selectors
from organizations.rank import Outranked
from organizations.rights import needs
from organizations.roles import Capability
from organizations.views import TenantRequest

from .requests import get_or_post, known_browser, limited, locked_out, origin


@needs(Capability.MANAGE_PEOPLE)
@get_or_post
def start(request: TenantRequest, organization: str, membership_id: UUID) -> HttpResponse:
    """Say what a reset does and who may start it; start it."""
    membership = selectors.person(actor=request.actor, membership_id=membership_id)
    if request.method != "POST":
        return render(request, "accounts/second_factor/start_reset.html", {"membership": membership})
    try:
        factor_reset.start_factor_reset(actor=request.actor, user_id=membership.user_id, at=timezone.now())
    except (Conflict, Refused, Outranked) as error:
        messages.error(request, str(error.message))
    else:
        text = _("{name} gets a mail with a link, which works for one hour. Until then nothing has changed.")
        messages.success(request, format_html(text, name=membership.user.get_full_name()))
    return redirect("organizations:member", organization, membership_id)


@login_not_required
@sensitive_post_parameters("password")
@get_or_post
@never_cache
@limited("token_pages")
def finish(request: HttpRequest, token: str) -> HttpResponse:
    """Remove one's second factor by the mailed link and the password. Opening the page does nothing."""
    form = FinishFactorResetForm(request.POST if request.method == "POST" else None)
    refusal: Locked | None = None
    try:
        user = factor_reset.open_factor_reset(token=token, at=timezone.now()).user
        if form.is_valid():
            factor_reset.finish_factor_reset(
                token=token,
                known_browser=known_browser(request),
                at=timezone.now(),
                **form.cleaned_data,
                **origin(request),
            )
            messages.success(request, _("Your second factor is removed. Sign in, and set up a new one."))
            return redirect("accounts:sign_in")
    except LinkClosed as error:
        return render(request, "accounts/second_factor/reset_closed.html", {"error": error}, status=410)
    except Locked as error:
        refusal = error
        form.refuse(error)
    except Refused as error:
        form.refuse(error)
    status = 429 if refusal else 422 if form.errors else 200
    context = {"form": form, "email": user.email}
    page = render(request, "accounts/second_factor/finish_reset.html", context, status=status)
    return locked_out(request, page, refusal) if refusal else page
