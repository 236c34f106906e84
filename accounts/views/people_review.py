"""The review of access."""

from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts.people.review import access_page, accesses_to_end, export_access, review_several
from healthivr.kernel.errors import Malformed
from organizations.forms import EndAccessForm
from organizations.paging import ROWS, address, neighbours
from organizations.reviewing import Verdict
from organizations.rights import needs
from organizations.roles import Capability
from organizations.views import TenantRequest


@needs(Capability.REVIEW_ACCESS)
@require_http_methods(["GET", "HEAD", "POST"])
def review(request: TenantRequest, organization: str) -> HttpResponse:
    """Every membership, to keep or to end; those that are due first seen on their own."""
    if request.method == "POST":
        return _sign(request)
    only_due, cursor, at = request.GET.get("show") == "due", request.GET.get("cursor", ""), timezone.now()
    page, rows = access_page(actor=request.actor, only_due=only_due, cursor=cursor, at=at)
    if cursor and not rows:
        return redirect(address(request, cursor=""))
    context = {
        "rows": rows,
        "only_due": only_due,
        "page": neighbours(request, page, size=ROWS),
        "verdicts": Verdict,
    }
    return render(request, "accounts/people/review.html", context)


def _sign(request: TenantRequest) -> HttpResponse:
    """Sign what is kept at once; of what is to end, show first what that is, and ask why."""
    at, verdict = timezone.now(), request.POST.get("verdict", "")
    try:
        ids = [UUID(pk) for pk in request.POST.getlist("ids")]
    except ValueError:
        raise Malformed(field="ids") from None
    try:
        if verdict != Verdict.END:
            return _signed(request, ids, verdict, "", at=at)
        rows = accesses_to_end(actor=request.actor, membership_ids=ids, at=at)
    except Malformed as error:
        messages.warning(request, str(error.message))
        return redirect(_here(request))
    form = EndAccessForm(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        ids = [row.membership.pk for row in rows]
        return _signed(request, ids, verdict, form.cleaned_data["reason"], at=at)
    context = {"form": form, "rows": rows, "verdict": Verdict.END.value, "back": _here(request)}
    return render(request, "accounts/people/review_end.html", context, status=422 if form.errors else 200)


def _signed(request: TenantRequest, ids: list[UUID], verdict: str, reason: str, *, at: datetime) -> HttpResponse:
    done, refused = review_several(actor=request.actor, membership_ids=ids, verdict=verdict, reason=reason, at=at)
    if done and verdict == Verdict.END:
        text = ngettext(
            "%(n)d membership has ended, signed by you.", "%(n)d memberships have ended, signed by you.", done
        )
        messages.success(request, text % {"n": done})
    elif done:
        text = ngettext("%(n)d membership is kept, signed by you.", "%(n)d memberships are kept, signed by you.", done)
        messages.success(request, text % {"n": done})
    for why in dict.fromkeys(str(error.message) for error in refused):
        count = sum(str(error.message) == why for error in refused)
        messages.error(request, _("Not reviewed (%(n)d): %(reason)s") % {"n": count, "reason": why})
    return redirect(_here(request))


def _here(request: TenantRequest) -> str:
    here = reverse("people:review", args=[request.actor.organization.slug])
    return f"{here}?show=due" if request.GET.get("show") == "due" else here


@needs(Capability.REVIEW_ACCESS)
@require_POST
def table(request: TenantRequest, organization: str) -> HttpResponse:
    """The same as a file for a spreadsheet; the trail says who took it."""
    text = export_access(actor=request.actor, at=timezone.now())
    name = f"access-review-{request.actor.organization.slug}-{timezone.localdate().isoformat()}.csv"
    return HttpResponse(
        text,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
