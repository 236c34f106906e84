"""What the frame of every signed-in page shows: where one is, where one may go, and who one is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from organizations.actor import Actor
from organizations.agreements.gate import needs_agreement
from organizations.models import Organization
from organizations.roles import Capability, Role
from organizations.selectors import Belonging, has_invitations_to_see, organizations_of, switched_off_since
from organizations.views import PersonalRequest

register = template.Library()

#: The pages of the rail, in its order: view name, icon, label, and what somebody needs to open it.
PAGES: tuple[tuple[str, str, Promise, Capability | None], ...] = (
    ("organizations:overview", "grid", gettext_lazy("Overview"), None),
    ("invitations:list", "envelope-paper", gettext_lazy("Invitations"), Capability.VIEW_INVITATIONS),
    ("organizations:people", "people", gettext_lazy("People"), Capability.VIEW_PEOPLE),
    ("practitioners:list", "patch-check", gettext_lazy("Practitioners"), Capability.APPROVE_PRACTITIONERS),
    ("organizations:agreements", "file-earmark-check", gettext_lazy("Agreements"), Capability.VIEW_COMPLIANCE),
    ("organizations:compliance", "shield-check", gettext_lazy("Compliance"), Capability.VIEW_COMPLIANCE),
    ("organizations:directory", "diagram-3", gettext_lazy("Organizations below"), Capability.VIEW_DOWNLINE),
    ("organizations:settings", "building", gettext_lazy("Organization"), Capability.VIEW_ORGANIZATION),
)
#: Pages that stand below one of the rail; what is not listed stands beside it.
PARENTS = {
    "organizations:member": "organizations:people",
    "organizations:sign_agreement": "organizations:agreements",
    "organizations:draft_agreement": "organizations:agreements",
    "organizations:edit_agreement": "organizations:agreements",
    "organizations:terminate_agreement": "organizations:agreements",
    "organizations:end_membership": "organizations:people",
    "organizations:create": "organizations:directory",
    "organizations:organization": "organizations:directory",
    "organizations:change_plan": "organizations:directory",
    "organizations:deactivate": "organizations:directory",
    "accounts:start_factor_reset": "organizations:people",
    "people:review": "organizations:people",
    "people:reset_password": "organizations:people",
    "people:deactivate": "organizations:people",
    "invitations:leave": "organizations:people",
    "invitations:left": "organizations:people",
    "invitations:people_bulk": "organizations:people",
    "invitations:create": "invitations:list",
    "invitations:detail": "invitations:list",
    "invitations:edit": "invitations:list",
    "invitations:cancel": "invitations:list",
    "invitations:correct_address": "invitations:list",
    "practitioners:detail": "practitioners:list",
    "practitioners:approve": "practitioners:list",
    "practitioners:reject": "practitioners:list",
    "practitioners:suspend": "practitioners:list",
}


#: What stands instead of a page's label for those who run the platform.
LABELS_OF_THE_PLATFORM = {"organizations:directory": gettext_lazy("All organizations")}
#: Pages of the platform's own organization alone, whoever acts elsewhere with its rights.
OF_THE_PLATFORM = {"practitioners:list"}


#: From how many organizations on the switcher offers a search.
MANY = 9


@dataclass(frozen=True)
class Shell:
    """The frame of one page."""

    organization: Organization | None
    belongings: list[Belonging]
    others: list[Belonging]
    navigation: list[dict[str, Any]]
    environment: str
    role: str
    #: Whether to say so beside the role; the role Administrator says it itself.
    is_administrator: bool
    #: Whether they are no member here, and may do what they may as an administrator of the platform.
    is_entered: bool
    #: Whether the switcher offers a search.
    has_many: bool
    #: For how long the session lives if nobody acts.
    seconds_left: int
    #: Whether the organization is switched off, which only platform staff enter then, and since when.
    is_off: bool
    off_since: datetime | None


@register.simple_tag(takes_context=True)
def shell(context: Context) -> Shell:
    """Return the frame for the present request."""
    request: PersonalRequest = context["request"]
    actor: Actor | None = getattr(request, "actor", None)
    belongings = organizations_of(request.user)
    is_off = bool(actor and not actor.organization.is_active)
    return Shell(
        organization=actor.organization if actor else None,
        belongings=belongings,
        others=[b for b in belongings if not actor or b.organization.pk != actor.organization_id],
        navigation=_navigation(request, actor) if actor else [],
        environment="" if settings.PRODUCTION else _environment_name(),
        role=", ".join(str(role.label) for role in Role if role in actor.roles) if actor else "",
        has_many=len(belongings) >= MANY,
        is_administrator=bool(actor and actor.is_org_admin and Role.ADMIN not in actor.roles),
        is_entered=bool(
            actor
            and actor.is_platform_staff
            and all(belonging.organization.pk != actor.organization_id for belonging in belongings)
        ),
        seconds_left=request.present_session.seconds_left(at=timezone.now()),
        is_off=is_off,
        off_since=switched_off_since(actor.organization) if actor and is_off else None,
    )


def _navigation(request: HttpRequest, actor: Actor) -> list[dict[str, Any]]:
    here = request.resolver_match.view_name if request.resolver_match else ""
    pages = []
    for name, icon, label, needed in PAGES:
        current = "page" if here == name else "true" if PARENTS.get(here) == name else ""
        may_open = needed is None or actor.has(needed)
        if name == "organizations:agreements" and not current:
            may_open &= needs_agreement(actor.organization) or actor.organization.is_platform
        may_open &= name not in OF_THE_PLATFORM or actor.organization.is_platform
        if may_open and (current or name != "invitations:list" or has_invitations_to_see(actor=actor)):
            pages.append(
                {
                    "url": reverse(name, args=[actor.organization.slug]),
                    "icon": icon,
                    "label": LABELS_OF_THE_PLATFORM.get(name, label) if actor.is_platform_staff else label,
                    "current": current,
                }
            )
    return pages


def _environment_name() -> str:
    return _("Test") if settings.ENVIRONMENT == "test" else _("Development")
