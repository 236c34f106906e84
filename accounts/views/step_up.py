"""Proving anew who one is, for what asks for a fresh proof, without losing what one was doing.

A page that is refused leads here and back. A form that is refused is shown again as the hidden fields of the question;
its answer is a 307, with which the browser sends them to where they were going.
"""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import second_factor
from accounts.forms import ProveAgainForm
from accounts.lockout import Locked
from accounts.middleware import page_behind, reachable_without_second_factor
from healthivr.kernel.errors import Malformed, Refused
from organizations.views import PersonalRequest

from .requests import get_or_post, is_ours, known_browser, locked_out, origin

#: Stands before the names of our own fields: what is carried has any other.
PREFIX = "verification"
PATH, REPLAYS = f"{PREFIX}-path", f"{PREFIX}-replays"


def ask(request: HttpRequest) -> HttpResponse:
    """Answer a request that was refused for want of a fresh proof."""
    if request.headers.get("HX-Request"):
        behind = page_behind(request) or resolve_url("home")
        return HttpResponse(status=403, headers={"HX-Redirect": reverse("accounts:verify", query={"next": behind})})
    if request.method != "POST":
        return redirect(reverse("accounts:verify", query={"next": request.get_full_path()}))
    return _page(request, _form(request, bound=False), path=request.get_full_path(), replays=True, status=403)


@reachable_without_second_factor
@sensitive_post_parameters(f"{PREFIX}-code", f"{PREFIX}-password")
@get_or_post
@never_cache
def verify(request: PersonalRequest) -> HttpResponse:
    """Ask for the second factor, or for the password of who has none, and go back to where it was asked for."""
    path = request.POST.get(PATH) or request.GET.get("next", "")
    if not is_ours(path):
        path = resolve_url("home")
    replays = REPLAYS in request.POST
    form = _form(request, bound=request.method == "POST")
    if not form.is_valid():
        return _page(request, form, path=path, replays=replays, status=422 if form.errors else 200)
    try:
        second_factor.prove_again(
            user=request.user,
            session=request.user_session,
            known_browser=known_browser(request),
            at=timezone.now(),
            **form.cleaned_data,
            **origin(request),
        )
    except Locked as error:
        form.refuse(error)
        return locked_out(request, _page(request, form, path=path, replays=replays, status=429), error)
    except (Malformed, Refused) as error:
        form.refuse(error)
        return _page(request, form, path=path, replays=replays, status=422)
    request.session.cycle_key()
    if replays:
        return HttpResponse(status=307, headers={"Location": path})
    return redirect(path)


def _form(request: HttpRequest, *, bound: bool) -> ProveAgainForm:
    has_factor = second_factor.is_enrolled(request.user)  # type: ignore[arg-type]  # signed in: nobody else gets here
    return ProveAgainForm(request.POST if bound else None, prefix=PREFIX, by_code=has_factor)


def _page(request: HttpRequest, form: ProveAgainForm, *, path: str, replays: bool, status: int) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "path": path,
        "replays": replays,
        "carried": list(_carried(request)) if replays else [],
        "path_name": PATH,
        "replays_name": REPLAYS,
    }
    return render(request, "accounts/second_factor/verify.html", context, status=status)


def _carried(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """Yield what a form sent, to be sent again. No secrets: the page would show them to whoever reads its source, and
    their form asks for them again. Files are no fields: a browser gives none back."""
    hidden = getattr(request, "sensitive_post_parameters", ())
    for name, values in request.POST.lists():
        is_ours_own = name == "csrfmiddlewaretoken" or name.startswith(f"{PREFIX}-")
        if is_ours_own or "password" in name or hidden == "__ALL__" or name in hidden:
            continue
        for value in values:
            yield name, str(value)
