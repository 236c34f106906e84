"""django-auditlog as we use it: registration, masking and differences; never its table, its signals or a second row."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import auditlog.registry
import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import signals
from django.test import Client

from accounts.models import User
from audit.models import AuditEvent
from audit.registry import differences, is_registered, mask, registry
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.world import World
from invitations.models import UserInvitation
from organizations.models import Organization, OrganizationSettings
from organizations.tenancy import TenantModel, platform, tenant


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


# --- edits in Django admin -------------------------------------------------------------------------------------------
def newest(count: int, organization_id: Any = PLATFORM_ORGANIZATION_ID) -> list[AuditEvent]:
    with tenant(organization_id):
        return list(AuditEvent.objects.order_by("-sequence")[:count])


def events_in_all() -> int:
    with platform("test"):
        return AuditEvent.objects.count()


@pytest.mark.seed("S2.26")
def test_admin__settings_edited__one_event_in_that_organizations_trail_and_no_second_row(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    url, before = settings_url(world), events_in_all()
    response = sign_in(world.ana).post(url, {"seat_limit": "50", "staff_may_invite": "on"})
    assert response.status_code == 302
    assert events_in_all() == before + 1
    (event,) = newest(1, world.practice.pk)
    assert (event.action, event.actor_id, event.role, event.request_id) == (
        "organizationsettings.edited_in_admin",
        world.ana.pk,
        "admin",
        response["X-Request-ID"],
    )
    assert event.changes == {"seat_limit": ["25", "50"], "staff_may_invite": ["False", "True"]}
    assert LogEntry.objects.count() == 0


def settings_url(world: World) -> str:
    with platform("test"):
        settings = OrganizationSettings.objects.get(organization=world.practice)
    return f"/admin/organizations/organizationsettings/{settings.pk}/change/"


def test_admin__saved_without_a_change__no_event(world: World, sign_in: Callable[[User], Client]) -> None:
    url, before = settings_url(world), events_in_all()
    assert sign_in(world.ana).post(url, {"seat_limit": "25"}).status_code == 302
    assert events_in_all() == before
    assert sign_in(world.ana).post(url, {"seat_limit": "26"}).status_code == 302
    assert events_in_all() == before + 1


def test_admin__edit_that_the_database_refuses__no_event_and_no_change(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    url, before = settings_url(world), events_in_all()
    response = sign_in(world.ana).post(url, {"seat_limit": "2"})
    assert response.status_code == 200
    assert "4 seats are in use." in response.text
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seat_limit == 25
    assert events_in_all() == before


def test_admin__edit_whose_event_cannot_be_stored__does_not_happen(
    world: World, sign_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> None:
        raise RuntimeError("on purpose")

    client = sign_in(world.ana)
    client.raise_request_exception = False
    url = settings_url(world)
    monkeypatch.setattr("audit.services.record", broken)
    assert client.post(url, {"seat_limit": "50"}).status_code == 500
    monkeypatch.undo()
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seat_limit == 25
    assert client.post(url, {"seat_limit": "50"}).status_code == 302
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seat_limit == 50
