"""Finding an invitation by its link among a million, against among a thousand."""

import random
import sys
from functools import partial

from bench.measure import Ratio, report
from bench.scratch import analyze, make_invitations, make_practice, scratch_database
from bench.turns import in_turns, serve, sides
from invitations.acceptance import find_invitation
from invitations.models import UserInvitation
from invitations.tokens import derive_token, digest_of
from organizations.tenancy import platform

FEW, MANY = 1_000, 1_000_000
ROUNDS, CALLS, SAMPLE = 15, 200, 400
MARK = "bench"


def main() -> int:
    with sides("bench.looking_up", FEW, MANY) as (few, many):
        (pair,) = in_turns(ROUNDS, (partial(many, "look up"), partial(few, "look up")))
    return report(Ratio("token look-up, 1,000,000 / 1,000", *pair, "ms", at_most=1.2))


def be_a_side(rows: int) -> None:
    with scratch_database():
        doctor = make_practice()
        make_invitations(doctor.organization, doctor.user, rows, mark=MARK)
        tokens, picked = links(rows), random.Random(2)
        analyze()
        for token in tokens:
            find_invitation(token)
        serve({"look up": lambda: find_invitation(picked.choice(tokens))}, times=CALLS)


def links(total: int) -> list[str]:
    """Give some of the rows, spread over all of them, links that can be presented; return those. Only they are read: a
    million rows in this process would slow down what it measures."""
    emails = [f"{MARK}{number}@example.org" for number in range(1, total + 1, total // SAMPLE)]
    with platform("bench"):
        rows = list(UserInvitation.objects.filter(email__in=emails[:SAMPLE]))
        for row in rows:
            UserInvitation.objects.filter(pk=row.pk).update(token_hash=digest_of(row.token_nonce))
    tokens = [derive_token(row.token_nonce) for row in rows]
    random.Random(1).shuffle(tokens)
    return tokens


if __name__ == "__main__":
    if sys.argv[1:]:
        be_a_side(int(sys.argv[1]))
    else:
        sys.exit(main())
