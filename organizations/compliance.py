"""How an organization stands with what HIPAA asks of it: computed anew from evidence each time, and stored nowhere.

Rooms above know evidence that this one does not (second factors, sign-ins) and register it here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from healthivr.kernel.errors import Text

from .actor import Actor
from .agreements.selectors import standing_of
from .models import Membership, Organization
from .roles import Capability


class Met(models.TextChoices):
    """How far a point is met."""

    MET = "met", _("Met")
    PARTLY = "partly", _("Partly met")
    UNMET = "unmet", _("Not met")


@dataclass(frozen=True)
class Evidence:
    """One point: how many of how many meet it, and what to do about the rest."""

    code: str
    title: Text
    #: Where the law asks for it.
    source: str
    met: int
    of: int
    #: How much it counts beside the others.
    weight: int
    finding: Text
    #: What to do, and the page of the organization where it is done; nothing where all is well.
    todo: Text
    page: str

    @property
    def share(self) -> float:
        """Which part is met; of nobody and nothing, all."""
        return self.met / self.of if self.of else 1.0

    @property
    def state(self) -> Met:
        """How far it is met."""
        return Met.MET if self.share == 1 else Met.PARTLY if self.share > 0 else Met.UNMET


Source = Callable[[Organization, datetime], Evidence | None]
_SOURCES: list[Source] = []


def register_evidence(source: Source) -> None:
    """Have a point on the page. A source is asked inside the organization's door and returns None where the point does
    not arise."""
    if source not in _SOURCES:
        _SOURCES.append(source)


@dataclass(frozen=True)
class Compliance:
    """All points, and their weighted share in percent."""

    points: list[Evidence]

    @property
    def score(self) -> int:
        """Return 0 to 100; 100 only when every point is met in full."""
        weights = sum(point.weight for point in self.points)
        reached = sum(point.weight * point.share for point in self.points)
        return int(100 * reached / weights + 1e-9) if weights else 100


def compliance_of(*, actor: Actor, at: datetime) -> Compliance:
    """Return how the actor's organization stands now."""
    actor.require(Capability.VIEW_COMPLIANCE)
    found = [source(actor.organization, at) for source in _SOURCES]
    return Compliance(sorted((point for point in found if point is not None), key=lambda point: -point.weight))


# --- what is known here ----------------------------------------------------------------------------------------------
def agreement_evidence(organization: Organization, at: datetime) -> Evidence | None:
    """Whether the business associate agreement is in force."""
    standing = standing_of(organization=organization, at=at)
    if not standing.is_needed:
        return None
    finding: Text = _("No agreement is in force.")
    todo: Text = _("Read and sign the agreement")
    if standing.in_force:
        days = standing.days_left or 0
        finding = ngettext("In force for %(days)d more day.", "In force for %(days)d more days.", days) % {"days": days}
        todo = _("Renew the agreement") if standing.is_ending else ""
    return Evidence(
        code="agreement",
        title=_("Business associate agreement"),
        source="45 CFR 164.308(b), 164.504(e)",
        met=int(standing.in_force is not None),
        of=1,
        weight=4,
        finding=finding,
        todo=todo,
        page="organizations:agreements",
    )


def review_evidence(organization: Organization, at: datetime) -> Evidence | None:
    """Which memberships somebody reviewed within ninety days."""
    memberships = Membership.objects.active().filter(organization=organization)
    everybody, overdue = memberships.count(), memberships.unreviewed(at=at).count()
    return Evidence(
        code="access_reviews",
        title=_("Reviews of access"),
        source="45 CFR 164.308(a)(4)(ii)(C)",
        met=everybody - overdue,
        of=everybody,
        weight=2,
        finding=ngettext(
            "%(overdue)d membership was not reviewed for 90 days.",
            "%(overdue)d memberships were not reviewed for 90 days.",
            overdue,
        )
        % {"overdue": overdue}
        if overdue
        else _("Every membership was reviewed, or began, within 90 days."),
        todo=_("Review who has access") if overdue else "",
        page="organizations:people",
    )
