"""Personal API keys: made for a script, for one organization, for a while (docs/adr/0015-api-tokens.md).

A key is shown once and stored as a keyed digest. It acts as its owner, never with more than their role, within its
scopes, and never where a fresh proof of who one is is asked for.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Func, JSONField, Value
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import Conflict, Malformed, NotFound
from healthivr.kernel.names import clean_line
from organizations.actor import Actor
from organizations.models import Membership
from organizations.scopes import Scope
from organizations.selectors import organizations_of
from organizations.standing import Asked
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .models import AccountMail, AccountMailKind, ApiKey, ApiKeyEnd, User, UserSession
from .outbox import DeliveryStatus
from .terms import terms_of

#: By which anybody, and every scanner of leaked secrets, knows one of ours.
MARK = "hivr_"
SECRET_BYTES = 32
PREFIX_LENGTH = len(MARK) + 8
MOST_DAYS, USUAL_DAYS = 365, 90
MOST_KEYS = 20
KEY_NAME_LENGTH = 60
#: How exact "last used" is.
USED_EVERY = timedelta(minutes=1)


class TooManyKeys(Conflict):
    """The person has as many keys as anybody may have."""

    code = "too_many_keys"
    message = _("You have 20 keys, which is the most. End one that you do not need any more.")


@dataclass(frozen=True)
class PresentKey:
    """A key that a request came with, and what its owner's organizations ask of them now."""

    key: ApiKey
    requires_second_factor: bool
    #: Where its owner stands in its organization.
    standing: Asked

    @property
    def scopes(self) -> frozenset[Scope]:
        return frozenset(Scope(scope) for scope in self.key.scopes)

    @property
    def lacks_second_factor(self) -> bool:
        """Whether its owner had none when they made it, and is asked for one now."""
        return self.requires_second_factor and not self.key.is_second_factor


def _digest(secret: str) -> str:
    return hmac.digest(settings.JWT_SECRET_KEY.encode(), b"api key:" + secret.encode(), hashlib.sha256).hex()


# --- on every request ------------------------------------------------------------------------------------------------
def present_key(*, secret: str, at: datetime) -> PresentKey | None:
    """Return a key with its owner, the terms of their organizations and where they stand in the key's, in one statement.
    None when it is unknown, ended or
    over, and of somebody who may no longer sign in."""
    found = (
        ApiKey.objects.select_related("user", "organization")
        .annotate(
            terms=terms_of(F("user_id")),
            standing=Func(
                F("user_id"), Value(""), F("organization_id"), function="standing_in", output_field=JSONField()
            ),
        )
        .filter(digest=_digest(secret), ended_at=None, expires_at__gt=at, user__is_active=True)
    )
    key = next(iter(found), None)
    if key is None:
        return None
    terms, answer = key.terms, key.standing
    return PresentKey(key, bool(terms["requires_second_factor"]), Asked(str(key.organization_id), answer))


def see_key(key: ApiKey, *, at: datetime) -> None:
    """Write down that a key was used, once a minute."""
    if key.last_used_at and at - key.last_used_at < USED_EVERY:
        return
    ApiKey.objects.filter(pk=key.pk, ended_at=None).update(last_used_at=at)


# --- reading ---------------------------------------------------------------------------------------------------------
def live_keys(*, user: User, at: datetime) -> list[ApiKey]:
    """Return somebody's keys that work, the newest first."""
    live = ApiKey.objects.filter(user=user, ended_at=None, expires_at__gt=at)
    return list(live.select_related("organization").order_by("-created_at", "-pk")[:MOST_KEYS])


# --- making ----------------------------------------------------------------------------------------------------------
def create_key(
    *,
    user: User,
    session: UserSession,
    organization: str,
    name: str,
    scopes: list[str],
    days: int,
    ip: str,
    request_id: str,
    at: datetime,
) -> tuple[ApiKey, str]:
    """Make a key for one of the person's organizations, named by slug or id, and mail them that it was made. Returns it
    with its secret, which nobody can show again.

    Raises StepUpRequired, NotFound for an organization that is not theirs, Malformed, TooManyKeys.
    """
    where = next(
        (
            belonging.organization
            for belonging in organizations_of(user)
            if organization in (belonging.organization.slug, str(belonging.organization.pk))
        ),
        None,
    )
    if where is None:
        raise NotFound
    actor = Actor(user, where, ip=ip, request_id=request_id, verified_at=session.verified_at)
    actor.require_step_up(at=at)
    secret = MARK + secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey(
        user=user,
        organization=where,
        name=_clean_name(name),
        prefix=secret[:PREFIX_LENGTH],
        digest=_digest(secret),
        scopes=_clean_scopes(scopes),
        is_second_factor=session.second_factor_at is not None,
        created_at=at,
        expires_at=at + timedelta(days=_clean_days(days)),
    )
    with platform("API key made"):
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # one at a time, so that the count holds
        if ApiKey.objects.filter(user=user, ended_at=None, expires_at__gt=at).count() >= MOST_KEYS:
            raise TooManyKeys
        key.save(force_insert=True)
        audit.record(
            actor=actor,
            action="api_key.created",
            target=key,
            organization_id=where.pk,
            detail={"scopes": " ".join(key.scopes), "days": str(days)},
        )
        AccountMail.objects.create(
            kind=AccountMailKind.API_KEY_CREATED,
            user=user,
            status=DeliveryStatus.QUEUED,
            next_try_at=at,
            created_at=at,
        )
        transaction.on_commit(hint_account_mail)
    return key, secret


def _clean_name(typed: str) -> str:
    name = clean_line(typed, code="key_name", field="name")
    if not 1 <= len(name) <= KEY_NAME_LENGTH:
        raise Malformed(_("Give the key a name of 1 to 60 characters."), code="key_name", field="name")
    return name


def _clean_scopes(chosen: list[str]) -> list[str]:
    if not chosen or not set(chosen) <= set(Scope.values):
        raise Malformed(_("Choose at least one thing that the key may do."), code="scopes", field="scopes")
    return [scope for scope in Scope.values if scope in chosen]


def _clean_days(days: int) -> int:
    if not 1 <= days <= MOST_DAYS:
        raise Malformed(_("A key works for 1 to 365 days."), code="days", field="days")
    return days


# --- ending ----------------------------------------------------------------------------------------------------------
def end_own_key(*, user: User, key_id: UUID, ip: str, request_id: str, at: datetime) -> bool:
    """End one of one's own keys. Returns False for one that had ended. Raises NotFound for what is none."""
    key = ApiKey.objects.select_related("organization").filter(pk=key_id, user=user).first()
    if key is None:
        raise NotFound
    with platform("own API key"):
        actor = Actor(user, key.organization, ip=ip, request_id=request_id)
        reason = ApiKeyEnd.ENDED_BY_OWNER
        return bool(end_keys_of(user_id=user.pk, reason=reason, actor=actor, at=at, only=key.pk))


def end_keys_of(
    *,
    user_id: UUID,
    reason: ApiKeyEnd,
    actor: Actor,
    at: datetime,
    only: UUID | None = None,
    organization_id: UUID | None = None,
) -> int:
    """End somebody's keys, or those of one organization: within the transaction of what ends them. Returns how many."""
    keys = ApiKey.objects.filter(user=user_id, ended_at=None)
    if only:
        keys = keys.filter(pk=only)
    if organization_id:
        keys = keys.filter(organization=organization_id)
    ended = list(keys.order_by("pk").select_for_update(no_key=True))
    ApiKey.objects.filter(pk__in=[key.pk for key in ended]).update(ended_at=at, end_reason=reason)
    for key in ended:
        audit.record(
            actor=actor,
            action="api_key.ended",
            target=key,
            organization_id=actor.organization_id,
            detail={"user": str(user_id), "reason": reason},
        )
    return len(ended)


def end_keys_on_leaving(*, membership: Membership, actor: Actor, at: datetime, **kwargs: object) -> None:
    """Who leaves an organization leaves no key behind there."""
    end_keys_of(
        user_id=membership.user_id,
        reason=ApiKeyEnd.MEMBERSHIP_ENDED,
        actor=actor,
        at=at,
        organization_id=membership.organization_id,
    )


def choices_of(user: User) -> list[tuple[str, str]]:
    """Return for which organizations somebody may make a key."""
    return [(belonging.organization.slug, belonging.organization.name) for belonging in organizations_of(user)]
