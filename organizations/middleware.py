"""Opens the door for each request and shuts it when the response is rendered."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from audit import services as audit
from audit.models import Outcome
from healthivr.kernel.errors import NotFound, NotPermitted

from .actor import Actor, StepUpRequired
from .rights import require_right
from .standing import Asked, OrganizationInactive, ask_standing, read_standing
from .tenancy import tenant

if TYPE_CHECKING:  # a name for the type checker; at run time nothing here knows accounts
    from accounts.models import User


class _Refused(Exception):
    """Carries a 4xx or 5xx past the open doors, so that they roll back."""


class TenancyMiddleware:
    """Last in MIDDLEWARE, instead of ATOMIC_REQUESTS (whose transaction ends before a TemplateResponse is rendered, and
    which no middleware can reach into). A URL with <slug:organization> runs in tenant(); API views and Django admin put
    their door on request.doors once they know who asks; all else is autocommit (services are atomic themselves), so
    sign-in and accept hash passwords outside any transaction."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with suppress(_Refused), ExitStack() as doors:
            request.doors = doors  # type: ignore[attr-defined]
            response = self.get_response(request)  # rendered; an exception has already become a response
            if response.status_code >= 400:
                raise _Refused
        if response.status_code == 403:
            self._record_refusal(request)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if "organization" not in kwargs or not request.user.is_authenticated:
            return
        try:
            enter(request, kwargs["organization"])
            require_right(request.actor, view, str(request.method))  # type: ignore[attr-defined]
        except NotFound:
            raise Http404 from None
        except NotPermitted as error:
            raise PermissionDenied from error  # the page of 403 says why

    def _record_refusal(self, request: HttpRequest) -> None:
        """A refused attempt goes into the trail after its request was rolled back, in a transaction of its own. That a
        fresh proof was asked for is another event: people meet it every day, and it must not hide refusals."""
        actor = getattr(request, "actor", None) or getattr(request, "refused_actor", None)
        if actor is None:
            return
        match = request.resolver_match
        code = getattr(request, "refusal_code", "")
        with tenant(actor.organization):
            audit.record(
                actor=actor,
                action="session.proof_asked" if code == StepUpRequired.code else "access.refused",
                outcome=Outcome.REFUSED,
                detail={"method": str(request.method), "route": match.view_name if match else "", "code": code},
            )


def enter(request: HttpRequest, reference: str) -> None:
    """Open the organization's door for this request and say who acts there. `reference` is a slug or an id; none means
    somebody's only organization. Raises NotFound where the person has nothing to look for, and OrganizationInactive in
    an organization that is switched off."""
    user: User = request.user  # type: ignore[assignment]  # signed in: checked by whoever calls
    asked: Asked | None = getattr(request, "standing", None)  # with the session, if who asked then guessed right
    if asked is None or asked.reference != reference:
        asked = ask_standing(user=user, reference=reference)
    standing = read_standing(asked)
    request.doors.enter_context(tenant(standing.organization))  # type: ignore[attr-defined]
    session = request.user_session  # type: ignore[attr-defined]
    origin = {
        "ip": request.client_address,  # type: ignore[attr-defined]
        "request_id": request.request_id,  # type: ignore[attr-defined]
        "key_id": getattr(request, "key_id", None),
        "session_id": session.pk if session else None,
    }
    try:
        request.actor = standing.actor(  # type: ignore[attr-defined]
            user=user,
            verified_at=session.verified_at if session else None,
            scopes=getattr(request, "key_scopes", None),
            **origin,
        )
    except OrganizationInactive:  # a member, who acts nowhere and whose attempt stands in the trail all the same
        request.refused_actor = Actor(user, standing.organization, **origin)  # type: ignore[attr-defined]
        raise


def reference_in(request: HttpRequest) -> str | None:
    """Return by which reference `enter` will be asked for an organization, as far as the address and headers tell: what
    is looked up beside the session saves a round trip. None: most likely not at all."""
    _empty, first, *rest = request.path_info.split("/")
    if first == "o" and rest:
        return rest[0]
    return request.headers.get("X-Organization", "") if first == "api" else None
