"""A whole acceptance (look-up, hash, transaction) against one hash of a password."""

import sys

from django.utils import timezone

from accounts.models import hash_password
from bench.measure import Ratio, milliseconds, report
from bench.scratch import make_practice, scratch_database
from invitations.acceptance import Visitor, accept_invitation
from invitations.services import create_invitation
from invitations.tokens import derive_token
from organizations.actor import Actor
from organizations.roles import Role
from organizations.tenancy import tenant

ROUNDS, CALLS = 9, 20
PASSWORD = "seven quiet otters swim upstream"


def main() -> int:
    with scratch_database():
        doctor = make_practice()
        actor = Actor(doctor.user, doctor.organization, frozenset({Role.DOCTOR}), True)
        tokens = []
        for number in range((ROUNDS + 1) * CALLS):
            with tenant(doctor.organization):
                invitation = create_invitation(
                    actor=actor, invitation_type="medical_staff", email=f"a{number}@example.org", at=timezone.now()
                )
            tokens.append(derive_token(invitation.token_nonce))
        ours, other = [], []
        for _round in range(ROUNDS):
            other.append(milliseconds(lambda: hash_password(PASSWORD), times=CALLS))
            ours.append(milliseconds(lambda: accept(tokens.pop()), times=CALLS))
    return report(Ratio("accepting / one Argon2id hash", ours, other, "ms", at_most=1.3))


def accept(token: str) -> None:
    """Accept as a new person."""
    accept_invitation(
        token=token,
        visitor=Visitor(None, "192.0.2.1", "bench"),
        password=PASSWORD,
        first_name="Nora",
        last_name="Quist",
        at=timezone.now(),
    )


if __name__ == "__main__":
    sys.exit(main())
