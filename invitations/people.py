"""Acts on several people at once, with a result for each (checklist S3.50), and the invitation of who never came.

Rows stand apart: what one refuses does not stop the others. Nobody acts on themselves, and the last administrator of an
organization stays. Doing the same again changes nothing and says so.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from accounts.administration import (
    activate_locked,
    deactivate_locked,
    force_password_reset,
    lock_organizations_run_by,
)
from accounts.models import User
from accounts.outbox import WAITING
from healthivr.kernel.errors import DomainError, Malformed, NotFound
from organizations.actor import Actor
from organizations.granting import require_other_person
from organizations.models import Membership
from organizations.roles import Capability
from organizations.seats import lock_seats
from organizations.tenancy import platform

from .errors import AlreadyActivated
from .leaving import leave_organization
from .models import UserInvitation
from .selectors import invitation_to_manage
from .services import resend_invitation

MOST_ROWS = 100


class BulkAct(models.TextChoices):
    """What may be done to several at once."""

    ACTIVATE = "activate", _("Switch accounts on")
    DEACTIVATE = "deactivate", _("Switch accounts off")
    END = "end", _("End memberships")
    RESET = "reset", _("Start password resets")
    RESEND = "resend", _("Send invitations again")


class Outcome(models.TextChoices):
    """What became of one row."""

    DONE = "done", _("Done")
    UNCHANGED = "unchanged", _("Nothing to do")
    REFUSED = "refused", _("Refused")


@dataclass(frozen=True)
class Row:
    """What became of one person or invitation. `code` and `message` say why it was refused."""

    id: UUID
    outcome: Outcome
    code: str = ""
    message: str = ""


def act_on_people(*, actor: Actor, act: str, ids: Sequence[UUID], reason: str = "", at: datetime) -> list[Row]:
    """Do one thing to up to a hundred people (of `resend`: invitations), and say of each what became of it, in the order
    of `ids`. Raises Malformed, and NotPermitted for who may do it to nobody."""
    if act not in BulkAct.values:
        raise Malformed(_("Choose what to do."), field="act")
    if not 1 <= len(ids) <= MOST_ROWS:
        raise Malformed(_("Choose 1 to 100 people."), field="ids")
    _require_right(actor, BulkAct(act))
    one = ACTS[BulkAct(act)]
    is_global = act in (BulkAct.ACTIVATE, BulkAct.DEACTIVATE)
    results: dict[UUID, Row] = {}
    # One door for all rows: a door of its own for each would write its events, and lock the trail's head, before the
    # next row locks an organization.
    with platform("several accounts") if is_global else nullcontext(), transaction.atomic():
        if is_global:
            lock_organizations_run_by(ids)
        else:
            lock_seats(organization_id=actor.organization_id)
        for row_id in sorted(set(ids)):  # always in one order: two of these at once wait for each other in turn
            results[row_id] = _row(one, actor, row_id, reason, at)
    return [results[row_id] for row_id in dict.fromkeys(ids)]


def _require_right(actor: Actor, act: BulkAct) -> None:
    if act in (BulkAct.ACTIVATE, BulkAct.DEACTIVATE):
        actor.require(Capability.RUN_ACCOUNTS)
    else:
        actor.require(Capability.VIEW_INVITATIONS if act == BulkAct.RESEND else Capability.MANAGE_PEOPLE)


def _row(one: "One", actor: Actor, row_id: UUID, reason: str, at: datetime) -> Row:
    try:
        with transaction.atomic():
            return Row(row_id, Outcome.DONE if one(actor, row_id, reason, at) else Outcome.UNCHANGED)
    except DomainError as error:
        return Row(row_id, Outcome.REFUSED, error.code, str(error.message))


# --- one row of each; whether anything changed -----------------------------------------------------------------------
One = Callable[[Actor, UUID, str, datetime], bool]


def _activate(actor: Actor, user_id: UUID, reason: str, at: datetime) -> bool:
    return activate_locked(actor=actor, user_id=user_id, reason=reason)[1]


def _deactivate(actor: Actor, user_id: UUID, reason: str, at: datetime) -> bool:
    return deactivate_locked(actor=actor, user_id=user_id, reason=reason, at=at)[1]


def _end(actor: Actor, user_id: UUID, reason: str, at: datetime) -> bool:
    require_other_person(actor, user_id)
    here = Membership.objects.filter(organization=actor.organization, user=user_id)
    if here.exists() and not here.filter(status="active").exists():
        return False
    leave_organization(actor=actor, user_id=user_id, reason=reason, is_receipt_mailed=False, at=at)
    return True


def _reset(actor: Actor, user_id: UUID, reason: str, at: datetime) -> bool:
    here = Membership.objects.active().filter(organization=actor.organization, user=user_id)
    if User.objects.filter(pk=user_id, must_change_password=True).exists() and (actor.is_everywhere or here.exists()):
        return False
    force_password_reset(actor=actor, user_id=user_id, reason=reason, at=at)
    return True


def _resend(actor: Actor, invitation_id: UUID, reason: str, at: datetime) -> bool:
    invitation = invitation_to_manage(actor=actor, invitation_id=invitation_id)
    if invitation.is_open(at=at) and invitation.delivery_status in WAITING:
        return False
    resend_invitation(actor=actor, invitation_id=invitation_id, at=at)
    return True


ACTS: dict[BulkAct, One] = {
    BulkAct.ACTIVATE: _activate,
    BulkAct.DEACTIVATE: _deactivate,
    BulkAct.END: _end,
    BulkAct.RESET: _reset,
    BulkAct.RESEND: _resend,
}


# --- who never came --------------------------------------------------------------------------------------------------
def resend_to_who_never_came(*, actor: Actor, invitation_id: UUID, at: datetime) -> UserInvitation:
    """Mail an invitation again to somebody who has not accepted it (S2.15). People come into being by accepting, so until
    then the id is the invitation's. Raises AlreadyActivated for the id of a member, NotFound, and what resend_invitation
    raises."""
    try:
        return resend_invitation(actor=actor, invitation_id=invitation_id, at=at)
    except NotFound:
        members = Membership.objects.filter(organization=actor.organization, user=invitation_id)
        is_known = User.objects.filter(pk=invitation_id).exists() if actor.is_everywhere else members.exists()
        if is_known:
            raise AlreadyActivated from None
        raise
