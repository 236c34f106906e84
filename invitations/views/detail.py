"""The page of one invitation: where it stands, what happened, and what may be done."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.middleware import is_background
from accounts.outbox import WAITING, DeliveryStatus
from healthivr.kernel.errors import NotPermitted
from invitations import selectors
from invitations.entitlement import orphans
from invitations.models import LEFT_DELIVERY, UserInvitation
from invitations.selectors import TimelineItem
from invitations.states import TRANSITIONS, Event, Status
from organizations.rights import needs
from organizations.roles import Capability, Role
from organizations.selectors import invitable_types
from organizations.views import TenantRequest

from .story import story

#: Whom the page names.
PEOPLE = ("invited_by", "accepted_by", "closed_by")


@needs(Capability.VIEW_INVITATIONS)
@require_safe
def detail(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """One invitation: where it stands, what happened, and what may be done."""
    return render(request, "invitations/detail.html", _standing(request, invitation_id, at=timezone.now()))


@needs(Capability.VIEW_INVITATIONS)
@is_background
@require_safe
def standing(request: TenantRequest, organization: str, invitation_id: UUID) -> HttpResponse:
    """The part of the page that changes while a mail is on its way. Answers 204 while it is as the page shows it."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("invitations:detail", organization, invitation_id)
    context = _standing(request, invitation_id, at=timezone.now())
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "invitations/_standing.html", context | {"is_live": True})


def _visible(request: TenantRequest, invitation_id: UUID) -> tuple[UserInvitation, bool]:
    """Return an invitation that the actor may see, and whether they may act on it."""
    try:
        return selectors.invitation_to_manage(actor=request.actor, invitation_id=invitation_id, people=PEOPLE), True
    except NotPermitted:
        return selectors.invitation_detail(actor=request.actor, invitation_id=invitation_id, people=PEOPLE), False


def _with_timeline(request: TenantRequest, invitation_id: UUID) -> tuple[UserInvitation, bool, list[TimelineItem]]:
    """Return an invitation, whether the actor may act on it, and what happened to it. A mail that leaves between two
    looks would be waiting in one and sent in the other: then look again."""
    for _again in range(3):
        invitation, may_manage = _visible(request, invitation_id)
        items = selectors.timeline(invitation)
        if selectors.is_as_read(invitation):
            break
    return invitation, may_manage, items


def _standing(request: TenantRequest, invitation_id: UUID, *, at: datetime) -> dict[str, object]:
    actor = request.actor
    invitation, may_manage, items = _with_timeline(request, invitation_id)
    status = invitation.current_status(at=at)
    can = {event.value for event in Event if (status, event) in TRANSITIONS} if may_manage else set()
    may_invite = Role(invitation.invitation_type) in invitable_types(actor=actor)
    may_send = may_manage and may_invite
    is_orphan = invitation.is_open(at=at) and _is_orphan(request, invitation, at=at)
    if not may_send:
        can -= {Event.RESEND.value, Event.RENEW.value}
    is_unreachable = invitation.delivery_status == DeliveryStatus.BOUNCED
    is_on_its_way = invitation.is_open(at=at) and invitation.delivery_status in WAITING
    if is_unreachable:  # services refuse to send there again
        can -= {Event.RESEND.value, Event.RENEW.value}
    if is_on_its_way:  # it would kill the link that is just leaving
        can.discard(Event.RESEND.value)
    correction = selectors.correction_of(actor=actor, invitation=invitation)
    may_correct = may_send and Event.CANCEL.value in can
    may_invite_again = (
        may_invite
        and status not in (Status.PENDING, Status.ACCEPTED)
        and (status != Status.EXPIRED or is_unreachable)
        and not correction
    )
    again = ""
    if may_invite_again:
        again = _("Invite the right address") if is_unreachable else _("Invite again")
    lines = story(
        invitation,
        items,
        correct=_("Correct the address") if may_correct else again,
        at=at,
    )
    return {
        "invitation": invitation,
        "name": f"{invitation.first_name} {invitation.last_name}".strip() or invitation.email,
        "role": Role(invitation.invitation_type),
        "word": invitation.status_word(at=at),
        "language_name": dict(settings.LANGUAGES).get(invitation.language, invitation.language),
        "can": can,
        "may_correct": may_correct,
        "is_orphan": is_orphan,
        "may_adopt": is_orphan and may_send,
        "is_unreachable": is_unreachable,
        "resend_is_next": _resend_is_next(invitation, at=at),
        "again": again,
        "correction": correction,
        "lines": lines,
        "is_open": invitation.is_open(at=at),
        "is_expired": status == Status.EXPIRED,
        "is_on_its_way": is_on_its_way,
        "has_left": invitation.delivery_status in LEFT_DELIVERY,
        "pause": "2s" if (at - invitation.updated_at).total_seconds() < 60 else "15s",
        "seen": f"{invitation.delivery_status}-{invitation.status}-{len(lines)}",
    }


def _is_orphan(request: TenantRequest, invitation: UserInvitation, *, at: datetime) -> bool:
    """Whether who sent it may not invite any more, so that nobody can accept it."""
    orphaned = orphans(organization=request.actor.organization, of=invitation)
    return UserInvitation.objects.filter(orphaned, pk=invitation.pk).exists()


def _resend_is_next(invitation: UserInvitation, *, at: datetime) -> bool:
    """Whether sending again is what one most likely came for: the mail did not leave, or the link ends soon and most of
    its time is over."""
    if invitation.delivery_status not in LEFT_DELIVERY:
        return True
    return selectors.expires_soon(invitation, at=at)
