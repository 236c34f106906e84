"""Who is mailed when their role in an organization changes or their access to it ends: nobody finds out by being signed
out. Memberships stand below this app, so it listens to what they announce."""

from datetime import datetime
from typing import Any

from django.db import transaction

from organizations.actor import Actor
from organizations.models import Membership

from .delivery import hint_account_mail
from .models import AccountMail, AccountMailKind
from .outbox import DeliveryStatus
from .role_mail import ROLE_MAILS


def mail_role_changed(*, membership: Membership, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """Tell somebody whose role was changed by somebody else."""
    _queue(AccountMailKind.ROLE_CHANGED, membership, actor, at=at)


def mail_access_ended(*, membership: Membership, actor: Actor, at: datetime, **kwargs: Any) -> None:
    """Tell somebody whose last membership in an organization was ended by somebody else."""
    _queue(AccountMailKind.ACCESS_ENDED, membership, actor, at=at)


def _queue(kind: AccountMailKind, membership: Membership, actor: Actor, *, at: datetime) -> None:
    """Write the mail in the transaction of the act. What they did themselves, they know. One act may end several
    memberships of a person one by one: what it comes to in the end is said, once."""
    if actor.user_id == membership.user_id:
        return
    facts = {"organization_id": str(membership.organization_id)}
    said_before = AccountMail.objects.filter(
        status=DeliveryStatus.QUEUED, next_try_at=at, user=membership.user_id, kind__in=ROLE_MAILS, facts=facts
    )
    said_before.delete()
    AccountMail.objects.create(kind=kind, user_id=membership.user_id, facts=facts, next_try_at=at, created_at=at)
    transaction.on_commit(hint_account_mail)
