"""The first page of an organization: what needs attention, then numbers."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.practitioners.selectors import needs_license, waiting_practitioners
from invitations import selectors
from organizations.agreements.selectors import attention_of
from organizations.rights import MEMBERS, needs
from organizations.roles import Capability
from organizations.selectors import has_invitations_to_see, invitable_types, unreviewed_people
from organizations.views import TenantRequest


@needs(MEMBERS)
@require_safe
def overview(request: TenantRequest, organization: str) -> HttpResponse:
    """What needs attention first; for those who see no invitations, where to go instead."""
    context: dict[str, Any] = {
        "may_invite": bool(invitable_types(actor=request.actor)),
        "sees_all": request.actor.has(Capability.VIEW_ALL_INVITATIONS),
        "days": selectors.LATELY.days,
        "most": selectors.COUNTED_AT_MOST,
        "practitioners": waiting_practitioners(actor=request.actor, most=selectors.COUNTED_AT_MOST),
        "needs_license": needs_license(actor=request.actor, at=timezone.now()),
    }
    if request.actor.has(Capability.MANAGE_AGREEMENTS):
        context["agreement"] = attention_of(organization=request.actor.organization, at=timezone.now())
    if request.actor.has(Capability.REVIEW_ACCESS):
        context["unreviewed"] = unreviewed_people(actor=request.actor, at=timezone.now())
    if has_invitations_to_see(actor=request.actor):
        numbers = selectors.overview(actor=request.actor, at=timezone.now())
        by_day = numbers.sent_and_accepted_by_day
        context |= {
            "numbers": numbers,
            "by_day": list(reversed(by_day)),
            "chart": {
                "days": [day.isoformat() for day, _sent, _accepted in by_day],
                "sent": [sent for _day, sent, _accepted in by_day],
                "accepted": [accepted for _day, _sent, accepted in by_day],
            },
        }
        context["has_chart"] = any(sent or accepted for _day, sent, accepted in by_day)
        context["is_empty"] = not (numbers.open or context["has_chart"] or context["practitioners"])
    return render(request, "invitations/overview.html", context)
