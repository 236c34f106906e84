"""Where somebody stands in an organization: the organization, their roles and rights there, in one call of the database
that may be part of any statement, asked in any door (organizations/migrations/0010). So the look-up of a session
(accounts/registry.py) brings it along, and a request pays for both with one round trip, however many memberships there
are."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.validators import slug_re
from django.db.models import F, Func, JSONField, TextField, UUIDField, Value
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Malformed, NotFound, NotPermitted

from .actor import Actor
from .models import Organization
from .roles import Role
from .scopes import Scope

if TYPE_CHECKING:  # a name for the type checker; at run time nothing here knows accounts
    from accounts.models import User


class OrganizationInactive(NotPermitted):
    """The organization was switched off: nothing can be done there."""

    code = "organization_inactive"
    message = _("This organization is switched off. Ask support to switch it on again.")


class OrganizationHeaderMissing(Malformed):
    """Somebody with several memberships did not say where they act."""

    code = "organization_required"
    message = _("Say where you act: send the header X-Organization with the slug or id of one of your organizations.")


class NoMembership(NotPermitted):
    """Signed in, and a member of nothing."""

    code = "no_membership"
    message = _("You are not a member of any organization.")


@dataclass(frozen=True)
class Standing:
    """What somebody is in an organization now."""

    organization: Organization
    roles: frozenset[Role]
    is_org_admin: bool
    is_platform_staff: bool
    staff_may_invite: bool

    def actor(
        self,
        *,
        user: "User",
        ip: str,
        request_id: str,
        verified_at: datetime | None = None,
        scopes: frozenset[Scope] | None = None,
        key_id: UUID | None = None,
        session_id: UUID | None = None,
    ) -> Actor:
        """Return them acting there. A platform administrator acts inside any organization as administrator, and with the
        roles of a member where they are one too (domain.md 3). Raises OrganizationInactive for everybody else where the
        organization is switched off."""
        if not self.organization.is_active and not self.is_platform_staff:
            raise OrganizationInactive
        return Actor(
            user=user,
            organization=self.organization,
            roles=self.roles | ({Role.ADMIN} if self.is_platform_staff else set()),
            is_org_admin=self.is_org_admin or self.is_platform_staff,
            ip=ip,
            request_id=request_id,
            verified_at=verified_at,
            staff_may_invite=self.staff_may_invite,
            scopes=scopes,
            key_id=key_id,
            session_id=session_id,
        )


@dataclass(frozen=True)
class Asked:
    """That it was asked where somebody stands, by which reference, and what the database answered."""

    reference: str
    answer: dict[str, Any] | None


def standing_of(person: Any, reference: str) -> Func:
    """Return the question as a database function. `reference` is a slug or an id; none asks for somebody's only
    organization."""
    slug, organization_id = named(reference)
    return Func(
        person,
        Value(slug, output_field=TextField()),
        Value(organization_id, output_field=UUIDField()),
        function="standing_in",
        output_field=JSONField(),
    )


def ask_standing(*, user: "User", reference: str) -> Asked:
    """Ask it of somebody, in a statement of its own."""
    answers = get_user_model().objects.filter(pk=user.pk).values_list(standing_of(F("pk"), reference), flat=True)
    return Asked(reference, answers.first())


def read_standing(asked: Asked) -> Standing:
    """Return what was answered. Raises NotFound where the person has nothing to look for, whether or not there is such an
    organization, and NoMembership or OrganizationHeaderMissing for who named none and has no only one."""
    answer = asked.answer
    if answer is None:
        raise NotFound
    if "organizations" in answer:
        raise OrganizationHeaderMissing(field="X-Organization") if answer["organizations"] else NoMembership
    fields = Organization._meta.concrete_fields
    row = answer["organization"]
    return Standing(
        organization=Organization.from_db(
            "default", [field.attname for field in fields], [field.to_python(row[field.column]) for field in fields]
        ),
        roles=frozenset(Role(role) for role in answer["roles"]),
        is_org_admin=answer["is_org_admin"],
        is_platform_staff=answer["is_platform_staff"],
        staff_may_invite=answer["staff_may_invite"],
    )


def named(reference: str) -> tuple[str, UUID | None]:
    """Return the slug or the id that a reference is; what can be neither names nothing, and no slug is so short."""
    try:
        return "", UUID(reference)
    except ValueError:
        return (reference if not reference or slug_re.match(reference) else "?"), None
