"""django-auditlog as we use it: registration, masking and differences; never its table, its signals or a second row."""

from datetime import timedelta

import auditlog.registry
import pytest
from django.apps import apps
from django.db import connection
from django.db.models import signals

from accounts.models import User
from audit.models import AuditEvent
from audit.registry import differences, is_registered, mask, registry
from healthivr.testing.world import World
from invitations.models import UserInvitation
from organizations.models import Organization
from organizations.tenancy import TenantModel


# --- registration ----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.23", "S2.26")
def test_registered__every_tenant_model_people_and_organizations() -> None:
    expected = {model for model in apps.get_models() if issubclass(model, TenantModel)} | {User, Organization}
    assert len(expected) >= 9
    assert {model for model in expected if not is_registered(model)} == set()
    assert not is_registered(AuditEvent)


def test_registry__ours_is_the_one_that_the_library_reads() -> None:
    assert auditlog.registry.auditlog is registry


def test_signals__of_the_library__none_is_connected() -> None:
    """Each would add a SELECT to every save() and a second row to every act."""
    names = ("pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed", "pre_init", "post_init")
    for name in names:
        for _key, receiver, *_rest in getattr(signals, name).receivers:
            function = receiver() if hasattr(receiver, "__callback__") or callable(receiver) else receiver
            assert not str(getattr(function, "__module__", "")).startswith("auditlog"), name
        for model in apps.get_models():
            heard = getattr(signals, name)._live_receivers(model)
            assert not [r for group in heard for r in group if "auditlog" in str(getattr(r, "__module__", ""))]


@pytest.mark.django_db
def test_table__of_the_library__does_not_exist() -> None:
    tables = connection.introspection.table_names()
    assert "audit_event" in tables
    assert [name for name in tables if "auditlog" in name] == []


# --- differences -----------------------------------------------------------------------------------------------------
def test_differences__personal_fields__that_they_changed_and_not_what_they_are() -> None:
    before = User(email="old@example.org", first_name="Old", last_name="", time_zone="UTC", password="a")
    after = User(
        pk=before.pk, email="new@example.org", first_name="New", last_name="X", time_zone="Etc/UTC", password="b"
    )
    assert differences(before, after) == {
        "email": ["•••", "•••"],
        "first_name": ["•••", "•••"],
        "last_name": ["", "•••"],
        "time_zone": ["UTC", "Etc/UTC"],
    }


def test_differences__secrets_of_an_invitation__are_left_out(world: World) -> None:
    before, after = world.invitation, UserInvitation.objects.none().model(pk=world.invitation.pk)
    for field in before._meta.concrete_fields:
        setattr(after, field.attname, getattr(before, field.attname))
    after.token_hash, after.token_nonce, after.email = "f" * 64, "k1:0", "other@example.org"
    after.expires_at = before.expires_at + timedelta(days=1)
    changes = differences(before, after)
    assert set(changes) == {"email", "expires_at"}
    assert changes["email"] == ["•••", "•••"]


def test_differences__nothing_changed__nothing() -> None:
    user = User(email="a@example.org")
    assert differences(user, user) == {}


@pytest.mark.parametrize(("value", "shown"), [("x", "•••"), ("a long value", "•••"), ("", ""), ("None", "")])
def test_mask__says_that_there_is_a_value(value: str, shown: str) -> None:
    assert mask(value) == shown
