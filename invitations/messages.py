"""What the mails about an invitation say. No patient data, ever; values are plain text."""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils import formats, translation
from django.utils.translation import gettext_lazy

from accounts.mail import MailText, write_mail
from healthivr.kernel.mail import build_message
from organizations.roles import OrganizationKind, Role, founds_organization
from organizations.selectors import is_in_organization

from .models import Delivery, Purpose, UserInvitation
from .tokens import invitation_url

ZONE = ZoneInfo("America/New_York")

#: Why somebody declined. The rows hold the key: whoever reads it has a language of their own.
DECLINE_REASONS = {
    "not_me": gettext_lazy("This is not me"),
    "not_wanted": gettext_lazy("I do not want to join"),
    "other": gettext_lazy("Another reason"),
}


def invitation_values(invitation: UserInvitation, *, url: str) -> dict[str, str]:
    """Return the values of an invitation's mail: what leaves, and nothing else (S0.25)."""
    inviter = invitation.invited_by
    with translation.override(invitation.language):
        label = str(Role(invitation.invitation_type).label)
        expiry = when(invitation.expires_at)
    founds = founds_organization(Role(invitation.invitation_type), OrganizationKind(invitation.organization.kind))
    return {
        "invitation_type": label,
        "role_label": label,
        "invitation_url": url,
        "expiry_date": expiry,
        "organization_name": invitation.organization.name,
        # Who founds an organization of their own is told where the inviter is from. Whom one invites to join need not be
        # from there: the platform's administrators invite into every organization.
        "is_to_join": "" if founds else "yes",
        "inviter_name": inviter.get_full_name() if inviter else "",
        "first_name": invitation.first_name,
        "message": invitation.message,
    }


def write_invitation(invitation: UserInvitation, *, url: str) -> MailText:
    """Return the text of an invitation's mail; the preview calls this with a link that opens nothing."""
    return write_mail(
        "invitations/email/invitation", invitation_values(invitation, url=url), language=invitation.language
    )


def compose(delivery: Delivery, *, at: datetime) -> tuple[bytes, str] | None:
    """Return the message of a delivery and its recipient, or None when there is nobody to tell."""
    invitation = delivery.invitation
    if delivery.purpose == Purpose.INVITATION:
        mail = write_invitation(invitation, url=invitation_url(invitation.token_nonce))
        to, message_id = invitation.email or "", invitation.message_id
    else:
        inviter = invitation.invited_by
        if inviter is None or not is_in_organization(inviter, invitation.organization_id):
            return None  # whoever has left learns nothing more of its people
        mail = _write_notice(delivery)
        to, message_id = inviter.email, f"{invitation.message_id}.{delivery.purpose}"
    message = build_message(to=to, subject=mail.subject, text=mail.text, html=mail.html, message_id=message_id, at=at)
    return message, to


def _write_notice(delivery: Delivery) -> MailText:
    """A word to the inviter, who knows the address; the organization's page says the rest."""
    invitation, inviter = delivery.invitation, delivery.invitation.invited_by
    assert inviter is not None
    name = f"{invitation.first_name} {invitation.last_name}".strip()
    if not name and invitation.accepted_by:
        name = invitation.accepted_by.get_full_name()  # who had an account was invited by the address alone
    with translation.override(inviter.language):
        values = {
            "first_name": inviter.first_name,
            "invitee": f"{name} ({invitation.email})" if name else invitation.email or "",
            "role_label": str(Role(invitation.invitation_type).label),
            "organization_name": invitation.organization.name,
            "reason": str(DECLINE_REASONS.get(delivery.reason, delivery.reason)),
            "invitation_page": _page(invitation),
        }
    return write_mail(f"invitations/email/{delivery.purpose}", values, language=inviter.language)


def _page(invitation: UserInvitation) -> str:
    return settings.BASE_URL + reverse("invitations:detail", args=[invitation.organization.slug, invitation.pk])


def when(moment: datetime) -> str:
    """Return a moment as pages write it, with its time zone, for somebody whose own zone we do not know."""
    return _in_words(moment.replace(second=0, microsecond=0), translation.get_language())


@lru_cache(maxsize=1024)
def _in_words(minute: datetime, language: str | None) -> str:
    return formats.date_format(minute.astimezone(ZONE), "DATETIME_FORMAT")
