"""The row of a person."""

from itertools import pairwise

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID, new_id
from healthivr.testing.factories import UserFactory
from healthivr.testing.world import World


def test_model__is_the_projects_user_and_signs_in_by_address() -> None:
    assert get_user_model() is User
    assert (User.USERNAME_FIELD, User.EMAIL_FIELD) == ("email", "email")
    assert {"username", "is_superuser", "is_staff"} & {field.name for field in User._meta.get_fields()} == set()


def test_id__uuid_version_7__unique_and_in_order_of_time() -> None:
    ids = [new_id() for _count in range(5000)]
    assert {(made.version, made.variant) for made in ids} == {(7, "specified in RFC 4122")}
    assert len(set(ids)) == 5000
    assert all(earlier < later for earlier, later in pairwise(ids))


@pytest.mark.django_db
def test_id__of_a_new_person__known_before_it_is_stored() -> None:
    user = UserFactory.build()
    assert user.pk.version == 7
    assert UserFactory().pk.version == 7
    assert PLATFORM_ORGANIZATION_ID.version == 7


@pytest.mark.seed("S4.13")
@pytest.mark.django_db
def test_address__a_second_time__refused_by_the_database() -> None:
    UserFactory(email="a@x.example")
    with pytest.raises(IntegrityError, match="user_email_once"), transaction.atomic():
        UserFactory(email="a@x.example")


@pytest.mark.seed("S4.13")
@pytest.mark.django_db
@pytest.mark.parametrize("email", ["A@x.example", "a@X.example", "a", ""])
def test_address__not_in_its_normal_form__refused_by_the_database(email: str) -> None:
    """Stored in lower case alone, so that uniqueness is uniqueness without case, whatever path wrote it."""
    UserFactory(email="a@x.example")
    with pytest.raises(IntegrityError, match="user_email_normalised"), transaction.atomic():
        UserFactory(email=email)
    with (
        pytest.raises(IntegrityError, match="user_email"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE accounts_user SET email = 'A@x.example'")


@pytest.mark.django_db
def test_address__found_by_its_natural_key_in_any_case() -> None:
    user = UserFactory(email="a@x.example")
    assert User.objects.get_by_natural_key(" A@X.example ") == user


@pytest.mark.seed("S0.2")
@pytest.mark.django_db
def test_invitation_fields__the_three_of_the_checklist__exist_in_the_table() -> None:
    with connection.cursor() as cursor:
        columns = {
            column.name for column in connection.introspection.get_table_description(cursor, User._meta.db_table)
        }
    assert {"invited_by_id", "invitation_id", "invitation_accepted_at"} <= columns


def test_invitation__of_two_people__refused_by_the_database(world: World) -> None:
    UserFactory(invitation_id=world.invitation.pk)
    with pytest.raises(IntegrityError, match="invitation_id"), transaction.atomic():
        UserFactory(invitation_id=world.invitation.pk)


def test_text_of_a_person__has_no_personal_data() -> None:
    user = UserFactory.build(first_name="Ana", email="ana@example.org")
    assert str(user) == f"user {user.pk}"
    assert "ana" not in repr(user).lower()


def test_permissions_of_django__give_nothing() -> None:
    user = UserFactory.build()
    assert not user.has_perm("accounts.view_user")
    assert not user.has_module_perms("accounts")
    assert user.get_full_name() == f"{user.first_name} {user.last_name}"
    assert user.get_short_name() == user.first_name
