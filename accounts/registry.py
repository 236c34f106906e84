"""The registry of sessions: begun here, asked on every request, ended here (checklist C4, S3.5).

A row stands for a browser's session or a family of API tokens. What ends it is written in the transaction of the act
that causes it, so the next request already finds it ended.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import NotFound, NotSignedIn
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.actor import Actor
from organizations.models import Membership, Organization
from organizations.selectors import system_actor
from organizations.standing import Asked
from organizations.tenancy import platform

from .keys import end_keys_of
from .models import ApiKeyEnd, SessionEnd, SessionKind, SignInMethod, User, UserSession
from .session_lookup import look_up_session
from .terms import terms_of

#: Of a session from its beginning, whatever happens in it (checklist S3.5, C24).
ABSOLUTE_LIFE = timedelta(hours=24)
#: How exact "last seen" is: a row written on every request would cost more than it tells.
SEEN_EVERY = timedelta(seconds=20)
USER_AGENT_LENGTH = 300
SWEEP_BATCH = 500
#: With which ends of somebody's sessions their API keys end as well. (With a membership, those of its organization.)
ENDS_KEYS = {
    SessionEnd.PASSWORD_CHANGED: ApiKeyEnd.PASSWORD_CHANGED,
    SessionEnd.FACTOR_CHANGED: ApiKeyEnd.FACTOR_CHANGED,
    SessionEnd.EMAIL_CHANGED: ApiKeyEnd.EMAIL_CHANGED,
    SessionEnd.DEACTIVATED: ApiKeyEnd.DEACTIVATED,
    SessionEnd.ENDED_BY_ADMINISTRATOR: ApiKeyEnd.ENDED_BY_ADMINISTRATOR,
}


class CredentialsChanged(NotSignedIn):
    """What was proved does not hold any more: another password was set, or the account switched off, meanwhile."""

    code = "invalid_credentials"
    message = _("Your password or account was changed at this very moment. Sign in again.")


class SecondFactorRequired(NotSignedIn):
    """The password is right, and the second factor is still to be given."""

    code = "second_factor_required"
    message = _("Give a code of your authenticator app, or a recovery code, as well.")


@dataclass(frozen=True)
class PresentSession:
    """A session that a request came with, its person, and what the person's organizations ask of it now."""

    session: UserSession
    idle: timedelta
    requires_second_factor: bool
    #: Why it is over, written down yet or not; None while it lives.
    over: SessionEnd | None
    #: Where the person stands, if that was asked.
    standing: Asked | None = None

    def seconds_left(self, *, at: datetime) -> int:
        """Return for how many more seconds it lives if nobody acts."""
        ends = min(self.session.last_seen_at + self.idle, self.session.expires_at)
        return max(0, int((ends - at).total_seconds()))

    @property
    def lacks_second_factor(self) -> bool:
        """Whether it opens nothing but the enrolment of a second factor."""
        return self.requires_second_factor and self.session.second_factor_at is None


def _own_actor(user: User | None, *, ip: str, request_id: str) -> Actor:
    """Who signs in or out acts in no organization: the event goes into the platform's chain."""
    return Actor(user, Organization(pk=PLATFORM_ORGANIZATION_ID), ip=ip, request_id=request_id)


# --- beginning -------------------------------------------------------------------------------------------------------
def start_session(
    *,
    user: User,
    kind: SessionKind,
    ip: str,
    user_agent: str,
    request_id: str,
    second_factor_at: datetime | None,
    method: SignInMethod = SignInMethod.PASSWORD,
    at: datetime,
) -> UserSession:
    """Register a session of somebody who has just proved who they are, and note it in the trail. `second_factor_at` is
    None for who has no second factor: where one is asked for, the session leads to its enrolment and nowhere else.
    Raises SecondFactorRequired for who has one and did not give it.

    An identity provider may have asked for its own proof hours ago: a session that began there with nothing of ours has
    no fresh proof, and what needs one asks for it (docs/adr/0016-oidc.md).
    """
    is_fresh = method != SignInMethod.EXTERNAL or second_factor_at is not None
    with platform("session begins"):
        # From here the row of the person is ours: what is changed at this very moment is not passed by.
        proved = User.objects.filter(pk=user.pk, is_active=True, password=user.password)
        if not proved.update(last_login=at):
            raise CredentialsChanged
        if second_factor_at is None and user.authenticators.filter(confirmed_at__isnull=False).exists():
            raise SecondFactorRequired
        session = UserSession.objects.create(
            user=user,
            kind=kind,
            method=method,
            address=ip,
            user_agent=" ".join(user_agent.split())[:USER_AGENT_LENGTH],
            created_at=at,
            last_seen_at=at,
            expires_at=at + ABSOLUTE_LIFE,
            verified_at=at if is_fresh else at - ABSOLUTE_LIFE,
            second_factor_at=second_factor_at,
        )
        audit.record(
            actor=_own_actor(user, ip=ip, request_id=request_id),
            action="session.started",
            target=session,
            detail={"kind": kind, "method": method, "second_factor": "yes" if second_factor_at else "no"},
        )
    user.last_login = at
    return session


# --- on every request ------------------------------------------------------------------------------------------------
def present_session(*, session_id: UUID, at: datetime, reference: str | None = None) -> PresentSession | None:
    """Return a session with its person and the terms of their organizations, and where they stand in one of them
    (organizations/standing.py) if a `reference` names it: in one statement, however many memberships there are. None when
    it is unknown, and of somebody who may no longer sign in."""
    found = look_up_session(session_id, reference)
    if found is None:
        return None
    session, terms, answer = found
    idle = timedelta(minutes=terms["idle_minutes"])
    over = SessionEnd(session.end_reason) if session.ended_at else session.is_overdue(idle=idle, at=at)
    asked = None if reference is None else Asked(reference, answer)
    return PresentSession(session, idle, bool(terms["requires_second_factor"]), over, asked)


def end_of_session(named: str) -> SessionEnd | None:
    """Return why a session ended whose person may not sign in any more, to be told to whoever still has its cookie; None
    for what never was one."""
    with suppress(ValueError):
        reason = UserSession.objects.filter(pk=UUID(named)).values_list("end_reason", flat=True).first()
        return SessionEnd(reason) if reason else None
    return None


@dataclass(frozen=True)
class SignInTerms:
    """What somebody's organizations ask of how they sign in."""

    idle: timedelta
    requires_second_factor: bool


def sign_in_terms(user: User) -> SignInTerms:
    """Return the shortest idle time among somebody's organizations, and whether one of them or one of the person's roles
    wants a second factor."""
    terms = User.objects.filter(pk=user.pk).values_list(terms_of(F("pk")), flat=True).get()
    return SignInTerms(timedelta(minutes=terms["idle_minutes"]), bool(terms["requires_second_factor"]))


def see_session(session: UserSession, *, at: datetime, is_exact: bool = False) -> None:
    """Write down that a person acted in a session: once in 20 seconds, or, `is_exact`, because they ask to stay."""
    if not is_exact and at - session.last_seen_at < SEEN_EVERY:
        return
    UserSession.objects.filter(pk=session.pk, ended_at=None, last_seen_at__lt=at).update(last_seen_at=at)
    session.last_seen_at = at


def renew_verification(session: UserSession, *, is_second_factor: bool, at: datetime) -> None:
    """Note that the person proved anew who they are (a step-up, or a second factor enrolled in this session)."""
    session.verified_at = at
    if is_second_factor:
        session.second_factor_at = at
    UserSession.objects.filter(pk=session.pk, ended_at=None).update(
        verified_at=session.verified_at, second_factor_at=session.second_factor_at
    )


# --- ending ----------------------------------------------------------------------------------------------------------
def sign_out(*, session: UserSession, ip: str, request_id: str, at: datetime) -> None:
    """End the session that its person leaves."""
    with platform("sign-out"):
        _end(
            UserSession.objects.filter(pk=session.pk),
            actor=_own_actor(session.user, ip=ip, request_id=request_id),
            reason=SessionEnd.SIGNED_OUT,
            at=at,
        )


def end_overdue_session(*, session: UserSession, reason: SessionEnd, at: datetime) -> None:
    """Write down that a session is over because nobody used it, or because its 24 hours are. Nobody's act."""
    with platform("session is over"):
        _end(UserSession.objects.filter(pk=session.pk), actor=system_actor("session-expiry"), reason=reason, at=at)


def end_reused_family(*, session: UserSession, ip: str, request_id: str, at: datetime) -> None:
    """End a family of tokens of which a used refresh token came back: by whose hand, nobody can say."""
    with platform("a used refresh token"):
        _end(
            UserSession.objects.filter(pk=session.pk),
            actor=_own_actor(None, ip=ip, request_id=request_id),
            reason=SessionEnd.TOKEN_REUSED,
            at=at,
        )


def end_own_session(*, user: User, session_id: UUID, ip: str, request_id: str, at: datetime) -> bool:
    """End one of one's own sessions, from whichever other. Returns False for one that had ended. Raises NotFound."""
    own = UserSession.objects.filter(pk=session_id, user=user)
    actor = _own_actor(user, ip=ip, request_id=request_id)
    with platform("own session"):
        if not own.exists():
            raise NotFound
        return bool(_end(own, actor=actor, reason=SessionEnd.ENDED_BY_OWNER, at=at))


def end_own_other_sessions(*, user: User, but: UserSession, ip: str, request_id: str, at: datetime) -> int:
    """End every session of one's own but this one. Returns how many."""
    actor = _own_actor(user, ip=ip, request_id=request_id)
    with platform("own sessions"):
        return end_sessions_of(user_id=user.pk, reason=SessionEnd.ENDED_BY_OWNER, but=but.pk, actor=actor, at=at)


def end_sessions_of(*, user_id: UUID, reason: SessionEnd, actor: Actor, at: datetime, but: UUID | None = None) -> int:
    """End every session of somebody, token families too, save `but`, and with what makes an account another one
    (ENDS_KEYS) their API keys: within the transaction of what ends them. Returns how many sessions ended.

    A session is the person's everywhere; a key is one organization's. So who signs a member of theirs out ends the keys
    that were made for their organization, and platform staff at home all of them."""
    if reason in ENDS_KEYS:
        is_everywhere = actor.is_platform_staff and actor.organization.is_platform
        of_one = reason == SessionEnd.ENDED_BY_ADMINISTRATOR and not is_everywhere
        end_keys_of(
            user_id=user_id,
            reason=ENDS_KEYS[reason],
            actor=actor,
            at=at,
            organization_id=actor.organization_id if of_one else None,
        )
    sessions = UserSession.objects.filter(user=user_id)
    if but:
        sessions = sessions.exclude(pk=but)
    return len(_end(sessions, actor=actor, reason=reason, at=at))


def end_session_of_person(
    *, user_id: UUID, session_id: UUID, reason: SessionEnd, actor: Actor, at: datetime
) -> UserSession:
    """End one session of somebody, within the transaction of what ends it. Raises NotFound for what is none of theirs, or
    has ended."""
    ended = _end(UserSession.objects.filter(pk=session_id, user=user_id), actor=actor, reason=reason, at=at)
    if not ended:
        raise NotFound
    return ended[0]


def end_sessions_on_leaving(*, membership: Membership, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """Who leaves an organization is out at once, everywhere: what they may still do elsewhere, they sign in for anew."""
    end_sessions_of(user_id=membership.user_id, reason=SessionEnd.MEMBERSHIP_ENDED, actor=actor, at=at)


def end_sessions_on_changed_roles(*, membership: Membership, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """What somebody is has changed: they sign in anew, with all that the new role asks of it (openemr#11565)."""
    end_sessions_of(user_id=membership.user_id, reason=SessionEnd.ROLE_CHANGED, actor=actor, at=at)


def _end(sessions: "QuerySet[UserSession]", *, actor: Actor, reason: SessionEnd, at: datetime) -> list[UserSession]:
    """End those of some sessions that live, each with its event in the chain of the organization where that is done.
    Locked first: of two that end one session, one does."""
    with transaction.atomic():
        ended = list(sessions.filter(ended_at=None).order_by("pk").select_for_update(of=("self",), no_key=True))
        UserSession.objects.filter(pk__in=[session.pk for session in ended]).update(ended_at=at, end_reason=reason)
        for session in ended:
            session.ended_at, session.end_reason = at, reason
            audit.record(
                actor=actor,
                action="session.ended",
                target=session,
                organization_id=actor.organization_id,
                detail={"user": str(session.user_id), "reason": reason},
            )
    return ended


def end_overdue_sessions(*, at: datetime) -> int:
    """Write down which sessions are over, so that lists and the trail say so without waiting for their next request,
    which may never come. Returns how many ended."""
    with platform("sessions that are over"):
        overdue = list(_overdue(at=at))
        for reason in (SessionEnd.EXPIRED, SessionEnd.IDLE):
            found = [session.pk for session, over in overdue if over == reason]
            if found:
                _end(
                    UserSession.objects.filter(pk__in=found),
                    actor=system_actor("session-expiry"),
                    reason=reason,
                    at=at,
                )
    return len(overdue)


def _overdue(*, at: datetime) -> Iterable[tuple[UserSession, SessionEnd]]:
    """Yield sessions that are over, with the reason. Five minutes is the shortest idle time that a policy may have."""
    candidates = (
        UserSession.objects.filter(ended_at=None, last_seen_at__lte=at - timedelta(minutes=5))
        .annotate(terms=terms_of(F("user_id")))
        .order_by("last_seen_at")[:SWEEP_BATCH]
    )
    for session in candidates:
        idle = timedelta(minutes=session.terms["idle_minutes"])  # type: ignore[attr-defined]
        if over := session.is_overdue(idle=idle, at=at):
            yield session, over


# --- reading ---------------------------------------------------------------------------------------------------------
def live_sessions(*, user: User, at: datetime) -> list[UserSession]:
    """Return somebody's sessions that have not ended and are not over, the last used first."""
    idle = sign_in_terms(user).idle
    rows = UserSession.objects.live(at=at).filter(user=user).order_by("-last_seen_at", "-pk")
    return [session for session in rows if session.is_overdue(idle=idle, at=at) is None]
