"""The first person of an empty installation."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts import services
from accounts.forms import SetUpForm
from healthivr.kernel.errors import DomainError

from .requests import begin_session, get_or_post, limited, origin, remember_owner


@login_not_required
@sensitive_post_parameters()
@get_or_post
@limited("token_pages")
def setup(request: HttpRequest, secret: str) -> HttpResponse:
    """Make the first administrator of an empty installation."""
    form = SetUpForm(request.POST if request.method == "POST" else None, terms=services.SETUP_TERMS)
    try:
        services.open_setup_link(secret=secret, at=timezone.now())
        if form.is_valid():
            user = services.set_up_platform(secret=secret, at=timezone.now(), **form.cleaned_data, **origin(request))
            begin_session(request, user)
            messages.success(request, _("You are the first administrator. Now a second factor."))
            response = redirect("home")
            remember_owner(request, response, user)
            return response
    except services.SetupClosed:
        return render(request, "accounts/setup_closed.html", status=404)
    except DomainError as error:
        form.refuse(error)
    return render(request, "accounts/setup.html", {"form": form}, status=422 if form.errors else 200)
