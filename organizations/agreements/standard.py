"""The agreement that the platform offers to everybody: its text by version, as it is shown, hashed, signed and kept.

English alone: a translation would be another agreement. A changed text is a new version; what was signed keeps its own.
"""

from healthivr.kernel.errors import Text
from organizations.models import Organization

from .clauses import Clause
from .models import BusinessAssociateAgreement, Direction

STANDARD_VERSION = "healthivr-2026-1"
BREACH_DAYS = 10
TERM_MONTHS = 12

TITLE = "Business Associate Agreement"
PARTIES = {
    Direction.COVERED_ENTITY: (
        'This agreement is between {organization} (the "Covered Entity") and {platform} (the "Business Associate"),'
        " which operates healthivr for the Covered Entity and thereby creates, receives, maintains or transmits protected"
        " health information (45 CFR 160.103) on its behalf."
    ),
    Direction.BUSINESS_ASSOCIATE: (
        'This agreement is between {platform} (the "Covered Entity" in what follows, acting for the covered entities'
        ' whose business associate it is) and {organization} (the "Business Associate"), its subcontractor, which'
        " creates, receives, maintains or transmits protected health information (45 CFR 160.103) on its behalf."
    ),
}
PARAGRAPHS: dict[Clause, str] = {
    Clause.PERMITTED_USES: (
        "The Business Associate uses and discloses protected health information only to provide the services of healthivr"
        " to the Covered Entity, for its own proper management and administration, and as required by law, and in no way"
        " that would violate Subpart E of 45 CFR Part 164 if done by the Covered Entity. It limits each use, disclosure"
        " and request to the minimum necessary."
    ),
    Clause.SAFEGUARDS: (
        "The Business Associate uses appropriate safeguards, and complies with Subpart C of 45 CFR Part 164 with respect"
        " to electronic protected health information, to prevent any use or disclosure that this agreement does not"
        " provide for."
    ),
    Clause.REPORTING: (
        "The Business Associate reports to the Covered Entity any use or disclosure that this agreement does not provide"
        " for, any security incident, and any breach of unsecured protected health information as 45 CFR 164.410"
        " requires, without unreasonable delay and no later than {breach_days} calendar days after it becomes aware of"
        " it."
    ),
    Clause.SUBCONTRACTORS: (
        "The Business Associate ensures, in accordance with 45 CFR 164.502(e)(1)(ii) and 164.308(b)(2), that any"
        " subcontractor that creates, receives, maintains or transmits protected health information on its behalf agrees"
        " in writing to the same restrictions, conditions and requirements."
    ),
    Clause.ACCESS: (
        "The Business Associate makes protected health information in a designated record set available to the Covered"
        " Entity within ten days of a request, as necessary to satisfy 45 CFR 164.524."
    ),
    Clause.AMENDMENT: (
        "The Business Associate makes any amendment to protected health information in a designated record set that the"
        " Covered Entity directs or agrees to, as necessary to satisfy 45 CFR 164.526."
    ),
    Clause.ACCOUNTING: (
        "The Business Associate keeps, and makes available to the Covered Entity within ten days of a request, what is"
        " required to provide an accounting of disclosures under 45 CFR 164.528."
    ),
    Clause.DELEGATED_DUTIES: (
        "To the extent that the Business Associate carries out an obligation of the Covered Entity under Subpart E of 45"
        " CFR Part 164, it complies with the requirements of Subpart E that apply to the Covered Entity in that"
        " obligation."
    ),
    Clause.BOOKS_AND_RECORDS: (
        "The Business Associate makes its internal practices, books and records relating to the use and disclosure of"
        " protected health information available to the Secretary of Health and Human Services for determining"
        " compliance."
    ),
    Clause.RETURN_OR_DESTROY: (
        "At termination of this agreement the Business Associate, if feasible, returns or destroys all protected health"
        " information that it still maintains in any form and keeps no copies. Where that is not feasible, it extends the"
        " protections of this agreement to the information and limits further use and disclosure to what makes return or"
        " destruction infeasible."
    ),
    Clause.TERMINATION: (
        "The Covered Entity may terminate this agreement if it determines that the Business Associate has violated a"
        " material term of it. Otherwise the agreement holds for {term_months} months from its signature, and ends"
        " earlier by written notice of either party in healthivr."
    ),
}


def standard_paragraphs(
    *, organization: Organization, platform: Organization, direction: Direction
) -> list[tuple[str, Text]]:
    """Return the heading and text of each paragraph, with the parties' names in them."""
    parties = PARTIES[direction].format(organization=organization.name, platform=platform.name)
    terms = {"breach_days": BREACH_DAYS, "term_months": TERM_MONTHS}
    clauses = [
        (f"{number}. {_ENGLISH[clause]}", PARAGRAPHS[clause].format(**terms))
        for number, clause in enumerate(Clause, start=1)
    ]
    return [("Parties", parties), *clauses]


def standard_text(*, organization: Organization, platform: Organization, direction: Direction) -> bytes:
    """Return the agreement as it is hashed and kept: UTF-8, one line a paragraph."""
    paragraphs = standard_paragraphs(organization=organization, platform=platform, direction=direction)
    lines = [TITLE, f"Version {STANDARD_VERSION}", ""]
    for heading, text in paragraphs:
        lines += [heading, str(text), ""]
    return "\n".join(lines).encode()


#: Headings of the text itself, which is not translated.
_ENGLISH = {
    Clause.PERMITTED_USES: "Permitted uses and disclosures",
    Clause.SAFEGUARDS: "Safeguards",
    Clause.REPORTING: "Reporting of incidents and breaches",
    Clause.SUBCONTRACTORS: "Subcontractors",
    Clause.ACCESS: "Access of individuals",
    Clause.AMENDMENT: "Amendment",
    Clause.ACCOUNTING: "Accounting of disclosures",
    Clause.DELEGATED_DUTIES: "Duties carried out for the Covered Entity",
    Clause.BOOKS_AND_RECORDS: "Books and records",
    Clause.RETURN_OR_DESTROY: "Return or destruction",
    Clause.TERMINATION: "Term and termination",
}


def signature_record(agreement: BusinessAssociateAgreement) -> str:
    """Return what stands below a signed standard text when it is handed out: the signature, which is no part of what was
    signed, and the digest by which anybody can see that the text above is what was. English, as the text is."""
    assert agreement.signed_at is not None and agreement.effective is not None and agreement.expires is not None
    lines = [
        "",
        "-" * 72,
        "SIGNATURE RECORD (not part of the signed text)",
        "",
        f"Signed electronically by: {agreement.signer_name}, {agreement.signer_title}",
        f"Signed at:                {agreement.signed_at:%Y-%m-%d %H:%M:%S} UTC",
        f"In force:                 {agreement.effective:%Y-%m-%d} to {agreement.expires:%Y-%m-%d}",
        f"Version:                  {agreement.version}",
        "For the other party:      offered electronically by the platform as its standard agreement",
        f"SHA-256 of the text above the line: {agreement.document.sha256}",
        "",
    ]
    return "\n".join(lines)
