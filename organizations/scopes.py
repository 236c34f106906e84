"""What a key for scripts may be allowed to do: one table of scopes, beside that of roles (organizations/roles.py).

A key never does more than its owner's role allows: a scope names capabilities, and the actor of a key has those that both
the role and a scope give. What no scope names, no key can do.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .roles import Capability


class Scope(models.TextChoices):
    """One resource, read or written. To write is to read as well."""

    INVITATIONS_READ = "invitations:read", _("See invitations")
    INVITATIONS_WRITE = "invitations:write", _("Send, change and cancel invitations")
    PEOPLE_READ = "people:read", _("See people and their roles")
    PEOPLE_WRITE = "people:write", _("End people’s access, and sign them out")
    ORGANIZATIONS_READ = "organizations:read", _("See the organization and what lies below it")
    ORGANIZATIONS_WRITE = "organizations:write", _("Change the organization")


_INVITATIONS = frozenset({Capability.VIEW_INVITATIONS, Capability.VIEW_ALL_INVITATIONS})
_PEOPLE = frozenset({Capability.VIEW_PEOPLE, Capability.VIEW_ACCOUNTS})
_ORGANIZATIONS = frozenset(
    {
        Capability.VIEW_ORGANIZATION,
        Capability.VIEW_ORGANIZATIONS,
        Capability.VIEW_DOWNLINE,
        Capability.VIEW_COMPLIANCE,
    }
)

SCOPE_CAPABILITIES: dict[Scope, frozenset[Capability]] = {
    Scope.INVITATIONS_READ: _INVITATIONS,
    Scope.INVITATIONS_WRITE: _INVITATIONS | {Capability.INVITE, Capability.MANAGE_ALL_INVITATIONS},
    Scope.PEOPLE_READ: _PEOPLE,
    Scope.PEOPLE_WRITE: _PEOPLE | {Capability.MANAGE_PEOPLE},
    Scope.ORGANIZATIONS_READ: _ORGANIZATIONS,
    Scope.ORGANIZATIONS_WRITE: _ORGANIZATIONS | {Capability.MANAGE_ORGANIZATION},
}


def scoped(granted: frozenset[Capability], scopes: frozenset[Scope]) -> frozenset[Capability]:
    """Return what is left of capabilities for who acts by a key with these scopes."""
    return granted & frozenset[Capability]().union(*(SCOPE_CAPABILITIES[scope] for scope in scopes))


def allows(scopes: frozenset[Scope], asked: Scope) -> bool:
    """Say whether a key with these scopes may be used where one is asked for."""
    return any(SCOPE_CAPABILITIES[asked] <= SCOPE_CAPABILITIES[scope] for scope in scopes)
