"""The life of an agreement as data. That one has run out is true the moment it has, whatever a sweep recorded."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict


class AgreementStatus(models.TextChoices):
    """Where an agreement stands. `none` is where an organization without any stands; no row holds it."""

    NONE = "none", _("Missing")
    DRAFT = "draft", _("Draft")
    SENT = "sent", _("Waiting for a signature")
    SIGNED = "signed", _("In force")
    EXPIRED = "expired", _("Ended")
    TERMINATED = "terminated", _("Terminated")


class AgreementEvent(models.TextChoices):
    """What can happen to it."""

    DRAFT = "draft", _("Drafted")
    EDIT = "edit", _("Changed")
    SEND = "send", _("Sent")
    SIGN = "sign", _("Signed")
    EXPIRE = "expire", _("Ended")
    REPLACE = "replace", _("Replaced by a newer one")
    TERMINATE = "terminate", _("Terminated")


TRANSITIONS: dict[tuple[AgreementStatus, AgreementEvent], AgreementStatus] = {
    (AgreementStatus.NONE, AgreementEvent.DRAFT): AgreementStatus.DRAFT,
    # What the platform offers to everybody was sent by being published: it is signed without a draft.
    (AgreementStatus.NONE, AgreementEvent.SIGN): AgreementStatus.SIGNED,
    (AgreementStatus.DRAFT, AgreementEvent.EDIT): AgreementStatus.DRAFT,
    (AgreementStatus.DRAFT, AgreementEvent.SEND): AgreementStatus.SENT,
    (AgreementStatus.DRAFT, AgreementEvent.TERMINATE): AgreementStatus.TERMINATED,
    (AgreementStatus.SENT, AgreementEvent.SIGN): AgreementStatus.SIGNED,
    (AgreementStatus.SENT, AgreementEvent.TERMINATE): AgreementStatus.TERMINATED,
    (AgreementStatus.SIGNED, AgreementEvent.EXPIRE): AgreementStatus.EXPIRED,
    (AgreementStatus.SIGNED, AgreementEvent.REPLACE): AgreementStatus.EXPIRED,
    (AgreementStatus.SIGNED, AgreementEvent.TERMINATE): AgreementStatus.TERMINATED,
}
#: Prepared and not signed yet: there is one at most of a pair.
OPEN = (AgreementStatus.DRAFT, AgreementStatus.SENT)
#: What a row can hold.
STORED = tuple(status for status in AgreementStatus if status != AgreementStatus.NONE)

MESSAGES = {
    AgreementStatus.NONE: _("There is no such agreement."),
    AgreementStatus.DRAFT: _("This agreement is still a draft. Send it first."),
    AgreementStatus.SENT: _("This agreement has been sent and waits for its signature."),
    AgreementStatus.SIGNED: _("This agreement has been signed. To change it, renew it."),
    AgreementStatus.EXPIRED: _("This agreement has ended. Renew it instead."),
    AgreementStatus.TERMINATED: _("This agreement was terminated. Draft or sign a new one instead."),
}


class IllegalAgreementTransition(Conflict):
    """The agreement is not where this could happen to it. `extra["agreement_status"]` says where it is."""

    code = "agreement_state"

    def __init__(self, status: AgreementStatus) -> None:
        super().__init__(MESSAGES[status], agreement_status=str(status.value))


def next_status(current: AgreementStatus, event: AgreementEvent) -> AgreementStatus:
    """Return where `event` leads from `current`. Raises IllegalAgreementTransition."""
    try:
        return TRANSITIONS[current, event]
    except KeyError:
        raise IllegalAgreementTransition(current) from None
