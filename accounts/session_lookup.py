"""The look-up of a session, which every request asks: its row, its person, what their organizations ask of them, and
where they stand in one of them. By hand, for Django takes longer to write this statement than PostgreSQL to answer it
(bench/authenticated.py)."""

import json
from typing import Any
from uuid import UUID

from django.db import connection

from organizations.roles import SECOND_FACTOR_ROLES
from organizations.standing import named

from .models import User, UserSession

_SESSION, _PERSON = UserSession._meta.concrete_fields, User._meta.concrete_fields
_COLUMNS = ", ".join([*(f's."{field.column}"' for field in _SESSION), *(f'u."{field.column}"' for field in _PERSON)])
_LOOK_UP = f"""
    SELECT {_COLUMNS}, sign_in_terms(u.id, %s), CASE WHEN %s THEN standing_in(u.id, %s, %s) END
    FROM {UserSession._meta.db_table} s JOIN {User._meta.db_table} u ON u.id = s.user_id AND u.is_active
    WHERE s.id = %s"""
_FACTOR_ROLES = sorted(str(role.value) for role in SECOND_FACTOR_ROLES)


def look_up_session(
    session_id: UUID, reference: str | None
) -> tuple[UserSession, dict[str, Any], dict[str, Any] | None] | None:
    """Return a session with its person, their terms, and where they stand in the organization that `reference` names
    (None: it is not asked), or None when it is unknown or its person may no longer sign in. One statement, however many
    memberships there are."""
    slug, organization_id = named(reference or "")
    with connection.cursor() as cursor:
        cursor.execute(_LOOK_UP, [_FACTOR_ROLES, reference is not None, slug, organization_id, session_id])
        row = cursor.fetchone()
    if row is None:
        return None
    split = len(_SESSION)
    session = UserSession.from_db("default", [field.attname for field in _SESSION], row[:split])
    session.user = User.from_db("default", [field.attname for field in _PERSON], row[split:-2])
    return session, json.loads(row[-2]), json.loads(row[-1]) if row[-1] else None
