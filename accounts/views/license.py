"""A doctor's own license: what was submitted, where it stands, and the form."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.practitioners import selectors, services
from accounts.practitioners.errors import NotAPractitioner
from accounts.practitioners.forms import LicenseForm
from healthivr.kernel.errors import DomainError
from organizations.views import PersonalRequest

from .requests import get_or_post, origin

FIELDS = ("npi", "license_number", "license_state", "license_expires_on")


@get_or_post
def license(request: PersonalRequest) -> HttpResponse:
    """One's own license. Open to doctors, and to who was one."""
    at = timezone.now()
    credential = selectors.own_credential(request.user)
    may_submit = selectors.practices_medicine(request.user)
    if not (may_submit or credential):
        raise NotAPractitioner
    form = LicenseForm(
        request.POST if request.method == "POST" else None,
        initial={field: getattr(credential, field) for field in FIELDS} if credential else {},
    )
    if form.is_valid():
        try:
            made = services.submit_license(user=request.user, **{**form.cleaned_data, **origin(request)}, at=at)
        except NotAPractitioner:
            raise
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, _said(is_new=made.submitted_at == at, is_approved=made.is_approved(at=at)))
            return redirect("accounts:license")
    context = {
        "form": form,
        "credential": credential,
        "may_submit": may_submit,
        "standing": credential.standing_at(at) if credential else None,
        "is_approved": bool(credential and credential.is_approved(at=at)),
    }
    return render(request, "accounts/license.html", context, status=422 if form.errors else 200)


def _said(*, is_new: bool, is_approved: bool) -> str:
    """Return what came of a submission: the same facts again change nothing."""
    if is_new:
        return _("Your license is submitted. We mail you as soon as it is checked.")
    if is_approved:
        return _("Nothing changed: this is the license that we have approved.")
    return _("Nothing changed: this is the license that we are checking.")
