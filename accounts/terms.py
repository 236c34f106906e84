"""What somebody's organizations ask of how they sign in, as part of any statement."""

from typing import Any

from django.db.models import Func, JSONField, Value

from organizations.roles import SECOND_FACTOR_ROLES


def terms_of(person: Any) -> Func:
    """Return the terms as a database function (organizations/migrations/0007), which may be asked in any door."""
    roles = "{" + ",".join(sorted(SECOND_FACTOR_ROLES)) + "}"
    return Func(person, Value(roles), function="sign_in_terms", output_field=JSONField())
