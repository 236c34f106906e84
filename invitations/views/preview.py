"""The live preview of a mail: exactly what leaves, before it leaves."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.views import mail_frame
from invitations.errors import RoleNotAllowed
from invitations.forms import NewInvitationForm
from invitations.messages import write_invitation
from invitations.models import UserInvitation
from invitations.terms import clean_message, usual_hours
from invitations.tokens import LINK_PATH
from organizations.actor import Actor
from organizations.policies import InvitationPolicy
from organizations.rights import needs
from organizations.roles import Capability, Role
from organizations.selectors import invitable_types, settings_of
from organizations.views import TenantRequest

#: Stands where the link will be; it opens nothing.
NO_LINK = f"{LINK_PATH}made-when-it-is-sent/"


@needs(Capability.INVITE)
@require_POST
def preview(request: TenantRequest, organization: str) -> HttpResponse:
    """Show the mail of a form that may not be finished: for htmx its head, text and a fresh frame; sent into that
    frame, the HTML as the mailbox gets it."""
    actor = request.actor
    actor.require(Capability.INVITE)
    roles = invitable_types(actor=actor)
    if not roles:
        raise RoleNotAllowed
    policy = settings_of(actor.organization).invitation_policy
    typed = NewInvitationForm(request.POST, roles=roles, policy=policy).typed()
    role = Role(typed["invitation_type"]) if typed.get("invitation_type") else None
    invitation = _unsaved(actor, typed, role or roles[0], policy)
    mail = write_invitation(invitation, url=settings.BASE_URL + NO_LINK)
    if not request.htmx:  # type: ignore[attr-defined]
        return mail_frame(mail.html)
    context = {
        "mail": mail,
        "to": request.POST.get("email", ""),
        "sender": settings.DEFAULT_FROM_EMAIL,
        "assumed_role": None if role else roles[0],
    }
    return render(request, "invitations/_preview.html", context)


def _unsaved(actor: Actor, typed: dict[str, Any], role: Role, policy: InvitationPolicy) -> UserInvitation:
    """Return the invitation that the form describes so far; nothing is stored."""
    return UserInvitation(
        organization=actor.organization,
        invited_by=actor.user,
        invitation_type=role.value,
        email=typed.get("email"),
        first_name=" ".join(typed.get("first_name", "").split()),
        last_name=" ".join(typed.get("last_name", "").split()),
        message=clean_message(typed.get("message", "")),
        language=typed.get("language") or "en",
        expires_at=timezone.now() + timedelta(hours=typed.get("expires_in_hours") or usual_hours(role, policy)),
    )
