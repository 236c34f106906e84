"""Identifiers: time-ordered primary keys, and the one organization that always exists."""

from uuid import UUID

from uuid6 import uuid7

#: The platform's own organization, made by a migration. Events that belong to no tenant stand in its audit chain.
PLATFORM_ORGANIZATION_ID = UUID("00000000-0000-7000-8000-000000000001")


def new_id() -> UUID:
    """Return a fresh UUIDv7 (RFC 9562): random enough to be unique, ordered by time so that indexes stay compact.

    An identifier, not a secret: never use one as a token (OWASP ASVS 5.0 11.5.1).
    """
    return UUID(int=uuid7().int)
