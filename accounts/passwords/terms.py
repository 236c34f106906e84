"""The terms under which somebody who has an account chooses a new password."""

from accounts.models import User
from accounts.registry import sign_in_terms
from organizations.models import Membership, MembershipStatus
from organizations.tenancy import platform

from .rules import PasswordTerms


def terms_of(user: User) -> PasswordTerms:
    """Return what somebody's roles and organizations demand beside a password, and the words of their own name and
    address and of their organizations."""
    with platform("names of one's organizations"):
        memberships = Membership.objects.filter(user=user.pk, status=MembershipStatus.ACTIVE)
        names = list(memberships.values_list("organization__name", flat=True).distinct())
    terms = PasswordTerms(sign_in_terms(user).requires_second_factor)
    return terms.knowing(user.first_name, user.last_name, user.email, *names)
