"""The organization of an API request: the X-Organization header, or the only membership."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from organizations.actor import Actor
from organizations.middleware import enter
from organizations.rights import Right, require_right
from organizations.selectors import organizations_of

if TYPE_CHECKING:
    from rest_framework.views import APIView as Base
else:
    Base = object


class OrganizationHeaderMissing(Malformed):
    """Somebody with several memberships did not say where they act."""

    code = "organization_required"
    message = _("Say where you act: send the header X-Organization with the slug or id of one of your organizations.")


class NoMembership(NotPermitted):
    """Signed in, and a member of nothing."""

    code = "no_membership"
    message = _("You are not a member of any organization.")


class OrganizationAPIMixin(Base):
    """An API view inside an organization. DRF knows the user only inside the view: authenticate, then open the door,
    then permissions and throttles."""

    #: What each method needs; one that declares nothing opens to nobody (organizations/rights.py).
    rights: ClassVar[dict[str, Right]] = {}

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if request.user.is_authenticated:
            enter(request._request, _reference(request))
            require_right(self.actor, self, str(request.method))

    @property
    def actor(self) -> Actor:
        """Who acts in this request. Views that strangers may call never read it."""
        actor = getattr(self.request, "actor", None)
        if actor is None:
            raise NotFound
        return actor  # type: ignore[no-any-return]


def _reference(request: Request) -> str:
    header = request.headers.get("X-Organization", "")
    bound = getattr(request._request, "key_organization", None)
    if bound and header not in ("", bound.slug, str(bound.pk)):
        raise NotFound  # a key works in its organization; others do not exist for it
    if header or bound:
        return header or str(bound.pk)
    belongings: list[Any] = organizations_of(request.user)  # type: ignore[arg-type]
    if not belongings:
        raise NoMembership
    if len(belongings) > 1:
        raise OrganizationHeaderMissing(field="X-Organization")
    return str(belongings[0].organization.pk)
