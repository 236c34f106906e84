"""What 45 CFR 164.504(e)(2) and 164.314(a)(2) demand of every agreement with a business associate."""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Text


class Clause(models.TextChoices):
    """The eleven required clauses, in the order of the rule."""

    PERMITTED_USES = "permitted_uses", _("Permitted uses and disclosures")
    SAFEGUARDS = "safeguards", _("Safeguards")
    REPORTING = "reporting", _("Reporting of incidents and breaches")
    SUBCONTRACTORS = "subcontractors", _("Subcontractors")
    ACCESS = "access", _("Access of individuals")
    AMENDMENT = "amendment", _("Amendment")
    ACCOUNTING = "accounting", _("Accounting of disclosures")
    DELEGATED_DUTIES = "delegated_duties", _("Duties carried out for the covered entity")
    BOOKS_AND_RECORDS = "books_and_records", _("Books and records")
    RETURN_OR_DESTROY = "return_or_destroy", _("Return or destruction")
    TERMINATION = "termination", _("Termination for cause")


@dataclass(frozen=True)
class Requirement:
    """Where the rule demands a clause, and what it means in a sentence for whoever signs."""

    source: str
    sentence: Text


REQUIREMENTS: dict[Clause, Requirement] = {
    Clause.PERMITTED_USES: Requirement(
        "164.504(e)(2)(i), (ii)(A)",
        _("Patient information is used and disclosed only as the agreement permits, or as the law requires."),
    ),
    Clause.SAFEGUARDS: Requirement(
        "164.504(e)(2)(ii)(B), 164.314(a)(2)(i)(A)",
        _("Appropriate safeguards hold, and the Security Rule is followed for electronic information."),
    ),
    Clause.REPORTING: Requirement(
        "164.504(e)(2)(ii)(C), 164.314(a)(2)(i)(C), 164.410",
        _("Every use that is not permitted, security incident and breach is reported within the agreed days."),
    ),
    Clause.SUBCONTRACTORS: Requirement(
        "164.504(e)(2)(ii)(D), 164.314(a)(2)(i)(B)",
        _("Whoever handles the information for the business associate is bound by the same restrictions."),
    ),
    Clause.ACCESS: Requirement(
        "164.504(e)(2)(ii)(E), 164.524", _("Individuals can see and get copies of what is kept about them.")
    ),
    Clause.AMENDMENT: Requirement(
        "164.504(e)(2)(ii)(F), 164.526", _("What is kept about individuals is amended when the covered entity agrees.")
    ),
    Clause.ACCOUNTING: Requirement(
        "164.504(e)(2)(ii)(G), 164.528", _("What an accounting of disclosures needs is kept and made available.")
    ),
    Clause.DELEGATED_DUTIES: Requirement(
        "164.504(e)(2)(ii)(H)",
        _("Where a duty of the covered entity is carried out for it, the Privacy Rule is followed as the entity must."),
    ),
    Clause.BOOKS_AND_RECORDS: Requirement(
        "164.504(e)(2)(ii)(I)",
        _("Practices, books and records are open to the Secretary of Health and Human Services."),
    ),
    Clause.RETURN_OR_DESTROY: Requirement(
        "164.504(e)(2)(ii)(J)",
        _(
            "When the agreement ends, the information is returned or destroyed, or stays protected where neither can be."
        ),
    ),
    Clause.TERMINATION: Requirement(
        "164.504(e)(2)(iii)", _("The covered entity may end the agreement when a material term of it was violated.")
    ),
}
