"""Encrypted records: what opens, what does not, and that nothing stands in for what does not."""

import secrets
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.test import override_settings

from healthivr.kernel import encryption
from healthivr.kernel.encryption import (
    BLIND_INDEX_LENGTH,
    RecordUnreadable,
    blind_index,
    decrypt,
    decrypt_fields,
    encrypt,
    key_id_of,
    possible_blind_indexes,
)

ROW = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER_ROW = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
PLACE: dict[str, Any] = {"table": "accounts_totpdevice", "purpose": "seed", "row_id": ROW}
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SEED = b"\x00twenty bytes of seed"


@pytest.fixture(autouse=True)
def keys() -> Iterator[None]:
    with override_settings(ENCRYPTION_KEY={"k1": OLD}):
        yield


# --- what opens ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.22")
@pytest.mark.parametrize("plain", [SEED, b"", b"x" * 100_000])
def test_record__at_its_place__opens_and_shows_nothing(plain: bytes) -> None:
    record = encrypt(plain, **PLACE)
    assert decrypt(record, **PLACE) == plain
    assert not plain or plain not in record
    assert len(record) == 2 + len("k1") + 12 + len(plain) + 16


@pytest.mark.seed("S0.22")
def test_fields__come_back_as_they_were__and_are_not_readable() -> None:
    fields = {"first_name": "Núria", "phone": None, "notes": "日本\n", "weights": [1, 2.5], "": {"deep": True}}
    record = encrypt(fields, **PLACE)
    assert decrypt_fields(record, **PLACE) == fields
    assert "Núria".encode() not in record
    assert b"first_name" not in record


def test_record__as_the_database_gives_it__opens() -> None:
    record = memoryview(encrypt(SEED, **PLACE))
    assert decrypt(record, **PLACE) == SEED
    assert key_id_of(record) == "k1"


def test_record__of_one_value_twice__differs() -> None:
    assert len({encrypt(SEED, **PLACE) for _ in range(100)}) == 100


def test_record__written_today__opens_for_ever() -> None:
    """The format is a promise: this record was made once, by another implementation of its description."""
    written = bytes.fromhex("01026b31000102030405060708090a0bce4a22db35bdaa8c12fd7637bc5c5444d12a7a60")
    assert decrypt(written, **PLACE) == b"kept"


# --- what does not ---------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.22")
@pytest.mark.parametrize(
    "elsewhere",
    [
        {"row_id": OTHER_ROW},
        {"purpose": "phone"},
        {"table": "accounts_user"},
        {"table": "accounts_totpdevices", "purpose": "eed"},
        {"table": "accounts_totpdevic", "purpose": "eseed"},
    ],
)
def test_record__moved_elsewhere__does_not_open(elsewhere: dict[str, Any]) -> None:
    record = encrypt(SEED, **PLACE)
    assert decrypt(record, **PLACE) == SEED
    with pytest.raises(RecordUnreadable, match="belongs elsewhere"):
        decrypt(record, **{**PLACE, **elsewhere})


def test_record__with_any_bit_turned__does_not_open() -> None:
    record = encrypt(SEED, **PLACE)
    for index in range(len(record)):
        for bit in range(8):
            damaged = bytearray(record)
            damaged[index] ^= 1 << bit
            with pytest.raises(RecordUnreadable):
                decrypt(bytes(damaged), **PLACE)


def test_record__cut_short_or_longer__does_not_open() -> None:
    record = encrypt(SEED, **PLACE)
    for length in range(len(record)):
        with pytest.raises(RecordUnreadable):
            decrypt(record[:length], **PLACE)
    with pytest.raises(RecordUnreadable):
        decrypt(record + b"\0", **PLACE)


@pytest.mark.parametrize("stored", [b"", b"plain text that nobody encrypted, of some length", b"\x01\x00" * 30])
def test_value__that_was_never_encrypted__is_not_taken_for_one(stored: bytes) -> None:
    with pytest.raises(RecordUnreadable):
        decrypt(stored, **PLACE)
    with pytest.raises(ValueError, match="record"):
        key_id_of(stored)


@pytest.mark.seed("S0.22")
def test_record__without_its_key_or_under_another_of_that_name__says_so() -> None:
    record = encrypt(SEED, **PLACE)
    with (
        override_settings(ENCRYPTION_KEY={"k2": NEW}),
        pytest.raises(RecordUnreadable, match="k1 is not in ENCRYPTION"),
    ):
        decrypt(record, **PLACE)
    with override_settings(ENCRYPTION_KEY={"k1": NEW}), pytest.raises(RecordUnreadable, match="k1 is not the one"):
        decrypt(record, **PLACE)


def test_record__that_names_another_key__does_not_open() -> None:
    with override_settings(ENCRYPTION_KEY={"k1": OLD, "k2": OLD}):
        record = encrypt(SEED, **PLACE)
        assert decrypt(record, **PLACE) == SEED
        with pytest.raises(RecordUnreadable):
            decrypt(record.replace(b"k1", b"k2", 1), **PLACE)


def test_unreadable__in_its_words__tells_where_and_nothing_of_the_record() -> None:
    record = encrypt(SEED, **PLACE)
    with pytest.raises(RecordUnreadable) as refused:
        decrypt(record, **{**PLACE, "row_id": OTHER_ROW})
    assert str(refused.value).startswith(f"accounts_totpdevice.seed of {OTHER_ROW}: ")
    assert record.hex() not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("content", [b"[1]", b"null", b"no json", b"\xff"])
def test_fields__of_a_record_that_holds_none__raise(content: bytes) -> None:
    with pytest.raises(RecordUnreadable, match="holds no fields"):
        decrypt_fields(encrypt(content, **PLACE), **PLACE)


@pytest.mark.parametrize("missing", [{"table": ""}, {"purpose": ""}, {"row_id": ""}, {"row_id": None}])
def test_place__not_named__is_refused(missing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs its table"):
        encrypt(SEED, **{**PLACE, **missing})


# --- several keys ----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.22")
def test_keys__a_newer_in_front__writes_with_it_and_reads_both() -> None:
    old = encrypt(SEED, **PLACE)
    with override_settings(ENCRYPTION_KEY={"k2": NEW, "k1": OLD}):
        new = encrypt(SEED, **PLACE)
        assert (key_id_of(old), key_id_of(new)) == ("k1", "k2")
        assert decrypt(old, **PLACE) == decrypt(new, **PLACE) == SEED


def test_keys__of_two_uses__are_unrelated_and_none_is_the_one_of_the_environment() -> None:
    derived = [
        encryption._derived(OLD, *use)
        for use in (("record", "a", "b"), ("record", "ab", ""), ("record", "a", "c"), ("blind index", "a"))
    ]
    assert len({OLD, *derived}) == 5
    record = encrypt(SEED, **PLACE)
    bound = encryption._place(record[:4], *PLACE.values())
    own = encryption._derived(OLD, "record", PLACE["table"], PLACE["purpose"])
    assert AESGCM(own).decrypt(record[4:16], record[16:], bound) == SEED
    with pytest.raises(InvalidTag):
        AESGCM(OLD).decrypt(record[4:16], record[16:], bound)


# --- blind indexes ---------------------------------------------------------------------------------------------------
def test_blind_index__of_one_value_and_kind__is_one_and_tells_nothing() -> None:
    index = blind_index("nora@clinic.org", kind="patient.email")
    assert index == blind_index("nora@clinic.org", kind="patient.email")
    assert index.startswith("k1:")
    assert "nora" not in index
    others = {blind_index("nora@clinic.org", kind="patient.phone"), blind_index("lee@clinic.org", kind="patient.email")}
    assert len({index, *others}) == 3


def test_blind_index__under_another_key__is_another() -> None:
    index = blind_index("nora@clinic.org", kind="patient.email")
    with override_settings(ENCRYPTION_KEY={"k1": NEW}):
        assert blind_index("nora@clinic.org", kind="patient.email") != index


def test_blind_index__while_keys_change__is_found_under_each() -> None:
    old = blind_index("nora@clinic.org", kind="patient.email")
    with override_settings(ENCRYPTION_KEY={"k2": NEW, "k1": OLD}):
        new = blind_index("nora@clinic.org", kind="patient.email")
        assert possible_blind_indexes("nora@clinic.org", kind="patient.email") == [new, old]
        assert new.startswith("k2:")


def test_blind_index__of_the_longest_key_id__fits_its_column() -> None:
    with override_settings(ENCRYPTION_KEY={"k2345678": secrets.token_bytes(32)}):
        assert len(blind_index("x" * 10_000, kind="patient.notes")) == BLIND_INDEX_LENGTH


@pytest.mark.parametrize(("value", "kind"), [("", "patient.email"), ("nora", "")])
def test_blind_index__of_nothing__is_refused(value: str, kind: str) -> None:
    with pytest.raises(ValueError, match="needs a value"):
        blind_index(value, kind=kind)
