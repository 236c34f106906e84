"""Who is mailed about business associate agreements. They stand below this app, so it listens to what they
announce."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.models import Membership
from organizations.tenancy import platform

from .delivery import hint_account_mail
from .models import AccountMail, AccountMailKind


def mail_sent(*, agreement: BusinessAssociateAgreement, at: datetime, **kwargs: Any) -> None:
    """Ask the organization's administrators to read and sign."""
    _queue(AccountMailKind.AGREEMENT_SENT, agreement, [agreement.organization_id], at=at)


def mail_ending(*, agreement: BusinessAssociateAgreement, offset: int, at: datetime, **kwargs: Any) -> None:
    """Tell the administrators of both parties that the agreement ends, or has ended."""
    kind = AccountMailKind.AGREEMENT_ENDING if offset else AccountMailKind.AGREEMENT_ENDED
    _queue(kind, agreement, [agreement.organization_id, PLATFORM_ORGANIZATION_ID], at=at)


def mail_terminated(*, agreement: BusinessAssociateAgreement, at: datetime, **kwargs: Any) -> None:
    """Tell the administrators of both parties that the agreement was terminated, or will not be signed."""
    _queue(
        AccountMailKind.AGREEMENT_TERMINATED, agreement, [agreement.organization_id, PLATFORM_ORGANIZATION_ID], at=at
    )


def _queue(
    kind: AccountMailKind, agreement: BusinessAssociateAgreement, parties: Iterable[UUID], *, at: datetime
) -> None:
    """Write one mail a person, whatever they administer, in the transaction of the act."""
    with platform("who administers the parties of an agreement", is_logged=False):
        administrators = Membership.objects.administrators().filter(organization__in=parties)
        people = sorted(set(administrators.values_list("user_id", flat=True)))
    facts = {
        "organization_id": str(agreement.organization_id),
        "ends": agreement.expires.isoformat() if agreement.expires else "",
    }
    AccountMail.objects.bulk_create(
        AccountMail(kind=kind, user_id=person, facts=facts, next_try_at=at, created_at=at) for person in people
    )
    transaction.on_commit(hint_account_mail)
