"""What mails about business associate agreements say, looked up when they leave."""

from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils import formats, timezone, translation

from organizations.models import Organization

from .models import AccountMail, AccountMailKind, User


def agreement_values(mail: AccountMail, user: User) -> dict[str, str]:
    """Return what a mail about an agreement says, in its reader's language and time zone."""
    organization = Organization.objects.get(pk=mail.facts["organization_id"])
    values = {
        "first_name": user.first_name,
        "organization_name": organization.name,
        "url": settings.BASE_URL + reverse("organizations:agreements", args=[organization.slug]),
    }
    if mail.facts["ends"]:
        ends = datetime.fromisoformat(mail.facts["ends"])
        with translation.override(user.language), timezone.override(user.time_zone):
            values["ends"] = formats.date_format(timezone.localtime(ends), "SHORT_DATE_FORMAT")
    return values


#: The mails that `agreement_values` is for.
AGREEMENT_MAILS = frozenset(
    {
        AccountMailKind.AGREEMENT_SENT,
        AccountMailKind.AGREEMENT_ENDING,
        AccountMailKind.AGREEMENT_ENDED,
        AccountMailKind.AGREEMENT_TERMINATED,
    }
)
