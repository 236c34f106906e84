"""What people decide about themselves."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts import services
from accounts.forms import ProfileForm
from accounts.oidc import is_on, provider_name
from accounts.oidc.services import own_identities
from accounts.practitioners import selectors as practitioners
from healthivr.kernel.errors import DomainError
from organizations.views import PersonalRequest

from .requests import get_or_post, origin


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
    credential = practitioners.own_credential(user)
    context = {
        "form": form,
        "has_license": credential is not None or practitioners.practices_medicine(user),
        "provider": provider_name() if is_on() else "",
        "identities": own_identities(user) if is_on() else [],
        "license_standing": credential.standing_at(timezone.now()) if credential else None,
    }
    return render(request, "accounts/profile.html", context, status=422 if form.errors else 200)
