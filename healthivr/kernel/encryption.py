"""What is stored encrypted: AES-256-GCM under keys of the environment, bound to its place (docs/adr/0010-encryption.md).

A record is bytes for one `bytea` column:

    version (1 byte, 1) | length of the key id (1 byte) | key id | nonce (12 bytes) | ciphertext and tag (16 bytes)

Table, purpose and row id are authenticated with it: a record copied to another row, column or table does not open. Each
table and purpose has a key of its own, derived by HKDF-SHA-256 from the key in ENCRYPTION_KEY that the record names;
blind indexes have further ones. Whatever is wrong with a record or its key raises RecordUnreadable: nothing is ever
returned in place of the value.
"""

import hashlib
import hmac
import json
import secrets
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

VERSION = 1
NONCE_BYTES, TAG_BYTES, KEY_BYTES = 12, 16, 32
#: The longest blind index: a key id of eight letters, a colon, 64 hex digits. For the column's `max_length`.
BLIND_INDEX_LENGTH = 73

RowId = UUID | int | str


class RecordUnreadable(Exception):
    """An encrypted record does not open: its key is missing or is another one, it was damaged, or it belongs
    to another row. A failure of ours, not of a request: it says where, never what."""

    def __init__(self, why: str, *, table: str, purpose: str, row_id: RowId) -> None:
        super().__init__(f"{table}.{purpose} of {row_id}: {why}")


# --- records ---------------------------------------------------------------------------------------------------------
def encrypt(plain: bytes | dict[str, Any], *, table: str, purpose: str, row_id: RowId) -> bytes:
    """Return the record that keeps `plain` for one row and purpose, under the newest key. A dict is kept as JSON.

    Two records of one value differ. Raises ValueError when the place is not named: what is bound to nothing can be
    moved anywhere.
    """
    content = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
    key_id, key = next(iter(settings.ENCRYPTION_KEY.items()))
    header = bytes((VERSION, len(key_id))) + key_id.encode()
    place = _place(header, table, purpose, row_id)
    nonce = secrets.token_bytes(NONCE_BYTES)
    return header + nonce + _cipher(key, table, purpose).encrypt(nonce, content, place)


def decrypt(record: bytes | memoryview, *, table: str, purpose: str, row_id: RowId) -> bytes:
    """Return what `encrypt` was given for this row and purpose. Raises RecordUnreadable."""
    stored = bytes(record)
    at: dict[str, Any] = {"table": table, "purpose": purpose, "row_id": row_id}
    try:
        key_id = key_id_of(stored)
    except ValueError as error:
        raise RecordUnreadable(str(error), **at) from None
    key = settings.ENCRYPTION_KEY.get(key_id)
    if key is None:
        raise RecordUnreadable(f"the key {key_id} is not in ENCRYPTION_KEY", **at)
    body = 2 + len(key_id)
    header, nonce, sealed = stored[:body], stored[body : body + NONCE_BYTES], stored[body + NONCE_BYTES :]
    try:
        return _cipher(key, table, purpose).decrypt(nonce, sealed, _place(header, table, purpose, row_id))
    except InvalidTag:
        why = f"it is damaged, belongs elsewhere, or the key {key_id} is not the one it was written with"
        raise RecordUnreadable(why, **at) from None


def decrypt_fields(record: bytes | memoryview, *, table: str, purpose: str, row_id: RowId) -> dict[str, Any]:
    """Return the dict that `encrypt` was given for this row and purpose. Raises RecordUnreadable, also for bytes that
    are no dict."""
    content = decrypt(record, table=table, purpose=purpose, row_id=row_id)
    try:
        fields = json.loads(content)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise RecordUnreadable("it holds no fields", table=table, purpose=purpose, row_id=row_id)
    return fields


def key_id_of(record: bytes | memoryview) -> str:
    """Return which key a record was written with, for rotation; it is in clear. Raises ValueError for what cannot be a
    record."""
    stored = bytes(record)
    if len(stored) < 2 or stored[0] != VERSION:
        raise ValueError("it is no record of a known version")
    key_id = stored[2 : 2 + stored[1]]
    if not key_id or not key_id.isalnum() or len(stored) < 2 + stored[1] + NONCE_BYTES + TAG_BYTES:
        raise ValueError("it is cut short or no record")
    return key_id.decode("ascii")


def _place(header: bytes, table: str, purpose: str, row_id: RowId) -> bytes:
    """Return what is authenticated beside the content. Each part carries its length: `a`, `bc` is not `ab`, `c`."""
    parts = [part.encode() for part in (table, purpose, "" if row_id is None else str(row_id))]
    if not all(parts):
        raise ValueError("A record needs its table, purpose and row id.")
    return header + b"".join(len(part).to_bytes(4) + part for part in parts)


# --- finding what is encrypted ---------------------------------------------------------------------------------------
def blind_index(value: str, *, kind: str) -> str:
    """Return the keyed digest under which an encrypted value is found and kept unique, `<key id>:<64 hex digits>`, under
    the newest key. `kind` says what it is (`patient.email`): one value has unrelated indexes under two kinds.

    Normalise first: equal means equal code points. Raises ValueError for nothing, since all that is missing would be
    one value.
    """
    return _blind_index(next(iter(settings.ENCRYPTION_KEY)), value, kind)


def possible_blind_indexes(value: str, *, kind: str) -> list[str]:
    """Return the indexes under which a value may be stored, one for each key in use: look up with `__in`."""
    return [_blind_index(key_id, value, kind) for key_id in settings.ENCRYPTION_KEY]


def _blind_index(key_id: str, value: str, kind: str) -> str:
    if not value or not kind:
        raise ValueError("A blind index needs a value and its kind.")
    key = _derived(settings.ENCRYPTION_KEY[key_id], "blind index", kind)
    return f"{key_id}:{hmac.digest(key, value.encode(), hashlib.sha256).hex()}"


# --- keys ------------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=256)
def _cipher(key: bytes, table: str, purpose: str) -> AESGCM:
    return AESGCM(_derived(key, "record", table, purpose))


@lru_cache(maxsize=256)
def _derived(key: bytes, *use: str) -> bytes:
    """Return the key for one use: nothing encrypts with what another use has, and each has its own 2³² random nonces."""
    info = json.dumps(["healthivr", VERSION, *use]).encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
