"""Finding an invitation by its link among a million, against among a thousand."""

import random
import sys

from bench.measure import Ratio, milliseconds, report
from bench.scratch import analyze, make_invitations, make_practice, scratch_database
from invitations.acceptance import find_invitation
from invitations.models import UserInvitation
from invitations.tokens import derive_token, digest_of
from organizations.tenancy import platform

FEW, MANY = 1_000, 1_000_000
ROUNDS, CALLS, SAMPLE = 9, 200, 400


def main() -> int:
    with scratch_database():
        doctor = make_practice()
        make_invitations(doctor.organization, doctor.user, FEW, mark="few")
        analyze()
        other = measure(links("few", FEW))
        make_invitations(doctor.organization, doctor.user, MANY - FEW, mark="many")
        analyze()
        ours = measure(links("many", MANY - FEW))
    return report(Ratio("token look-up, 1,000,000 / 1,000", ours, other, "ms", at_most=1.2))


def links(mark: str, total: int) -> list[str]:
    """Give some of the rows of a mark, spread over all of them, links that can be presented; return those. Only they are
    read: a million rows in this process would slow down what it measures."""
    emails = [f"{mark}{number}@example.org" for number in range(1, total + 1, max(1, total // SAMPLE))]
    with platform("bench"):
        rows = list(UserInvitation.objects.filter(email__in=emails[:SAMPLE]))
        for row in rows:
            UserInvitation.objects.filter(pk=row.pk).update(token_hash=digest_of(row.token_nonce))
    tokens = [derive_token(row.token_nonce) for row in rows]
    random.Random(1).shuffle(tokens)
    return tokens


def measure(tokens: list[str]) -> list[float]:
    """Look links up, over and over."""
    for token in tokens:
        find_invitation(token)
    picked = random.Random(2)
    return [milliseconds(lambda: find_invitation(picked.choice(tokens)), times=CALLS) for _round in range(ROUNDS)]


if __name__ == "__main__":
    sys.exit(main())
