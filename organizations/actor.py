"""Who acts, where, and with which rights. No service can be called without one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import NotPermitted

from .roles import Capability, Role, capabilities
from .scopes import Scope, scoped

if TYPE_CHECKING:
    from accounts.models import User

    from .models import Organization


#: How long a proof of who one is lasts for what needs a fresh one.
STEP_UP_LASTS = timedelta(minutes=5)


class StepUpRequired(NotPermitted):
    """The act needs a proof of who one is that is fresh: the second factor, or the password of who has none."""

    code = "step_up_required"
    message = _("Confirm that it is you, then do this again: it needs a proof that is not older than five minutes.")


@dataclass(frozen=True)
class Actor:
    """A person in one organization, or a named system actor.

    `user` is None for a system actor (which `system` names) and for a stranger who holds a link. `ip` and `request_id`
    go into the trail.
    """

    user: "User | None"
    organization: "Organization"
    roles: frozenset[Role] = frozenset()
    is_org_admin: bool = False
    ip: str = ""
    request_id: str = ""
    system: str = ""
    #: Whether the organization lets office administrators invite, read with their membership. None: not read yet.
    staff_may_invite: bool | None = None
    #: When the person last proved who they are, in the session that asks. None outside of requests.
    verified_at: datetime | None = None
    #: What the key may do that the request came with; None: no key, and nothing is taken away.
    scopes: frozenset[Scope] | None = None
    #: Which key that was. The trail names it: who loses a key must be able to see what was done with it.
    key_id: UUID | None = None
    #: In which session they act: the trail shows by it which proof stood behind an act.
    session_id: UUID | None = None

    @property
    def user_id(self) -> UUID | None:
        return self.user.pk if self.user else None

    @property
    def organization_id(self) -> UUID:
        return self.organization.pk

    @property
    def role(self) -> str:
        """The role that names the actor in the trail: the first in the order of the role table."""
        return next((str(role.value) for role in Role if role in self.roles), "")

    @cached_property
    def capabilities(self) -> frozenset[Capability]:
        """What the actor may do here. A system actor may do anything: its code is its limit."""
        if self.system:
            return frozenset(Capability)
        granted = capabilities(roles=self.roles, is_org_admin=self.is_org_admin)
        return granted if self.scopes is None else scoped(granted, self.scopes)

    def has(self, capability: Capability) -> bool:
        """Say whether the actor may do this."""
        return capability in self.capabilities

    @property
    def is_platform_staff(self) -> bool:
        """Whether the actor is an administrator of the platform, here or in an organization entered for others."""
        return Role.ADMIN in self.roles

    @property
    def is_everywhere(self) -> bool:
        """Whether the actor sees the people of all organizations: at home in the platform's, its administrators and its
        support (domain.md 3.1). What they may do to them is asked apart."""
        return self.organization.is_platform and bool(self.roles & {Role.ADMIN, Role.SUPPORT})

    def require_platform_staff(self) -> None:
        """Raise NotPermitted unless the actor is an administrator of the platform, and no key of one."""
        if not self.is_platform_staff or self.scopes is not None:
            raise NotPermitted

    def require(self, capability: Capability) -> None:
        """Raise NotPermitted unless the actor may do this."""
        if not self.has(capability):
            raise NotPermitted

    def require_step_up(self, *, at: datetime) -> None:
        """Raise StepUpRequired unless the person proved who they are within the last five minutes. A system actor has
        nobody to ask."""
        if self.system:
            return
        if self.verified_at is None or at - self.verified_at > STEP_UP_LASTS:
            raise StepUpRequired
