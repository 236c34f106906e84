"""The check digit of an NPI: in Python and in the database, which must agree."""

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from accounts.practitioners.npi import check_digit, is_npi

pytestmark = pytest.mark.seed("S3.51")

first_nine = some.builds(lambda first, rest: f"{first}{rest:08d}", some.sampled_from("12"), some.integers(0, 10**8 - 1))
npis = first_nine.map(lambda digits: f"{digits}{check_digit(digits)}")
in_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def is_npi_in_sql(*texts: str) -> list[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT npi_is_valid(t) FROM unnest(%s::text[]) WITH ORDINALITY u(t, n) ORDER BY n", [[*texts]])
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("npi", ["1234567893", "1245319599", "1000000004"])  # the first is CMS's own example
def test_npi__published_example__is_one(npi: str) -> None:
    assert is_npi(npi)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234567890",
        "123456789",
        "12345678933",
        "3234567891",
        "0234567894",
        "808401234567893",
        "123456789３",
        "1234567893\n",
        " 1234567893",
        "123456789a",
        "12345-67893",
    ],
)
def test_npi__anything_else__is_none_in_python_and_in_the_database(text: str, db: None) -> None:
    assert not is_npi(text)
    assert is_npi_in_sql(text, "1234567893") == [False, True]


@given(npis)
def test_npi__each_single_digit_changed__refused(npi: str) -> None:
    assert is_npi(npi)
    for position, digit in enumerate(npi):
        for other in set("0123456789") - {digit}:
            assert not is_npi(npi[:position] + other + npi[position + 1 :])


@in_database
@given(npi=npis, position=some.integers(0, 9), other=some.sampled_from("0123456789"))
def test_npi__one_and_its_neighbour__judged_alike_by_python_and_the_database(
    npi: str, position: int, other: str, db: None
) -> None:
    changed = npi[:position] + other + npi[position + 1 :]
    assert is_npi_in_sql(npi, changed) == [is_npi(npi), is_npi(changed)] == [True, changed == npi]


@in_database
@given(text=some.text(alphabet="0123456789a ３-", max_size=12))
def test_npi__any_text__judged_alike_by_python_and_the_database(text: str, db: None) -> None:
    assert is_npi_in_sql(text) == [is_npi(text)]
