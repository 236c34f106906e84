"""What mails about changed roles and ended access say, looked up when they leave."""

from django.conf import settings
from django.urls import reverse
from django.utils import translation

from healthivr.kernel.errors import NotFound
from organizations.models import Organization
from organizations.roles import Role
from organizations.selectors import organizations_of
from organizations.standing import Standing, ask_standing, read_standing

from .models import AccountMail, AccountMailKind, User


def role_values(mail: AccountMail, user: User) -> dict[str, str] | None:
    """Return what such a mail says in its reader's language. None when it is not so any more: who was told of a role and
    has left since is told of that by another mail, and who came back before they were told is not without access."""
    organization = Organization.objects.get(pk=mail.facts["organization_id"])
    standing = _standing(user, organization)
    values = {"first_name": user.first_name, "organization_name": organization.name}
    if mail.kind == AccountMailKind.ACCESS_ENDED:
        if standing:
            return None
        is_elsewhere = bool(organizations_of(user))
        return values | {
            "url": settings.BASE_URL + reverse("accounts:sign_in"),
            "elsewhere": "yes" if is_elsewhere else "",
        }
    if standing is None:
        return None
    with translation.override(user.language):
        roles = ", ".join(str(role.label) for role in Role if role in standing.roles)
    return values | {
        "url": settings.BASE_URL + reverse("organizations:overview", args=[organization.slug]),
        "roles": roles,
        "administers": "yes" if standing.is_org_admin else "",
    }


def _standing(user: User, organization: Organization) -> Standing | None:
    """Return what somebody is there as a member, if they are one and may sign in."""
    try:
        standing = read_standing(ask_standing(user=user, reference=str(organization.pk)))
    except NotFound:
        return None
    return standing if standing.roles else None


#: The mails that `role_values` is for.
ROLE_MAILS = frozenset({AccountMailKind.ROLE_CHANGED, AccountMailKind.ACCESS_ENDED})
