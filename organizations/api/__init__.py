"""The organization of an API request: the X-Organization header, or the only membership."""

from typing import TYPE_CHECKING, ClassVar

from rest_framework.request import Request

from healthivr.kernel.errors import NotFound
from organizations.actor import Actor
from organizations.middleware import enter
from organizations.rights import Right, require_right

if TYPE_CHECKING:
    from rest_framework.views import APIView as Base
else:
    Base = object


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
    if bound is None:
        return header
    if header not in ("", bound.slug, str(bound.pk)):
        raise NotFound  # a key works in its organization; others do not exist for it
    return str(bound.pk)
