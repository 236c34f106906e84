"""Access review (45 CFR 164.308(a)(4)(ii)(C)): somebody looks whether each membership is still needed, keeps or ends it,
and signs that with their name and the time."""

from datetime import datetime
from uuid import UUID

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from healthivr.kernel.errors import Malformed
from healthivr.kernel.names import clean_text

from .actor import Actor
from .granting import require_other_person
from .models import Membership
from .rank import Outranked, require_may_administer
from .roles import Capability
from .seats import lock_seats
from .services import end_locked_membership, locked_membership


class Verdict(models.TextChoices):
    """What a review comes to."""

    KEEP = "keep", _("Keep")
    END = "end", _("End")


def review_membership(*, actor: Actor, membership_id: UUID, verdict: str, reason: str = "", at: datetime) -> Membership:
    """Sign that a membership is still needed, or end it, which needs a reason. Nobody reviews their own. Who reviews and
    runs nobody, as a privacy officer, ends nobody who runs the organization, and proves anew who they are.

    Raises Malformed, NotFound, OwnAccount, Outranked, StepUpRequired, LastAdministrator.
    """
    actor.require(Capability.REVIEW_ACCESS)
    if verdict not in Verdict.values:
        raise Malformed(_("Choose whether to keep or to end it."), field="verdict")
    reason = clean_text(reason)
    if verdict == Verdict.END and not reason:
        raise Malformed(_("Say why the membership ends."), field="reason")
    with transaction.atomic():
        lock_seats(organization_id=actor.organization_id)
        membership = locked_membership(actor, membership_id)
        require_other_person(actor, membership.user_id)
        if verdict == Verdict.END:
            _require_may_end(actor, membership, at=at)
            end_locked_membership(actor=actor, membership=membership, reason=reason, at=at, by="access review")
            return membership
        before = membership.reviewed_at
        membership.reviewed_at, membership.reviewed_by = at, actor.user
        membership.save(update_fields=["reviewed_at", "reviewed_by"])
        audit.record(
            actor=actor,
            action="membership.reviewed",
            target=membership,
            changes={"reviewed_at": [before.isoformat() if before else "", at.isoformat()]},
            detail={"user": str(membership.user_id), "role": membership.role, "verdict": verdict},
            reason=reason,
        )
    return membership


def _require_may_end(actor: Actor, membership: Membership, *, at: datetime) -> None:
    """Raise Outranked or StepUpRequired: to review is a right to look, and ends nobody above who looks."""
    require_may_administer(actor, membership.user)
    if actor.has(Capability.MANAGE_PEOPLE):
        return
    here = Membership.objects.active().filter(organization=membership.organization_id, user=membership.user_id)
    if here.filter(is_org_admin=True).exists():
        raise Outranked(_("This person runs the organization. Ask one of its administrators to end this membership."))
    actor.require_step_up(at=at)
