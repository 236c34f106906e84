"""One's own sessions: where one is signed in, and how long this one still lives."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import registry
from accounts.middleware import is_background, reachable_without_second_factor
from organizations.views import PersonalRequest

from .requests import end_session, get_or_post, origin


@require_safe
def sessions(request: PersonalRequest) -> HttpResponse:
    """Where one is signed in, the last used first."""
    live = registry.live_sessions(user=request.user, at=timezone.now())
    others = [session for session in live if session.pk != request.user_session.pk]
    idle = int(request.present_session.idle.total_seconds()) // 60
    return render(request, "accounts/sessions.html", {"sessions": live, "others": others, "idle_minutes": idle})


@require_POST
def end_one(request: PersonalRequest, session_id: UUID) -> HttpResponse:
    """End one of one's sessions, this one too."""
    if session_id == request.user_session.pk:
        end_session(request)
        messages.success(request, _("You are signed out."))
        return redirect("accounts:sign_in")
    if registry.end_own_session(user=request.user, session_id=session_id, at=timezone.now(), **origin(request)):
        messages.success(request, _("That session is ended. Whoever used it is signed out with their next click."))
    else:
        messages.warning(request, _("That session had ended already."))
    return redirect("accounts:sessions")


@require_POST
def end_others(request: PersonalRequest) -> HttpResponse:
    """End all of one's sessions but this one."""
    count = registry.end_own_other_sessions(
        user=request.user, but=request.user_session, at=timezone.now(), **origin(request)
    )
    text = ngettext("%(count)d other session is ended.", "%(count)d other sessions are ended.", count)
    messages.success(request, text % {"count": count})
    return redirect("accounts:sessions")


@is_background
@reachable_without_second_factor
@get_or_post
def session(request: PersonalRequest) -> JsonResponse:
    """Say how long this session lives, for pages that warn before it ends; POST, from somebody who wants to stay, has it
    live longer. The token is for forms that were open while their person signed in anew."""
    now = timezone.now()
    if request.method == "POST":
        registry.see_session(request.user_session, at=now, is_exact=True)
    return JsonResponse(
        {
            "seconds": request.present_session.seconds_left(at=now),
            "person": str(request.user.pk),
            "csrf_token": get_token(request),
        }
    )
