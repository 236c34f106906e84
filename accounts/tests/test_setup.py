"""The one-time set-up link of an empty installation."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.test import Client
from django.utils import timezone

from accounts.models import SetupLink, User
from accounts.services import (
    PasswordRefused,
    SetupClosed,
    create_setup_link,
    open_setup_link,
    set_up_platform,
)
from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, Refused
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.factories import PASSWORD, UserFactory
from healthivr.testing.races import race
from organizations.models import Membership, OrganizationSettings
from organizations.selectors import is_platform_administrator
from organizations.tenancy import tenant

PERSON: dict[str, Any] = {
    "email": "Ana@Example.org ",
    "first_name": "Ana",
    "last_name": "Ruiz",
    "password": PASSWORD,
    "ip": "192.0.2.1",
    "request_id": "test-request",
}


def set_up(secret: str | None, at: datetime, **changes: Any) -> User:
    return set_up_platform(secret=secret or "", at=at, **{**PERSON, **changes})


@pytest.mark.django_db
def test_set_up__on_an_empty_installation__first_administrator_of_the_platform(now: datetime) -> None:
    user = set_up(create_setup_link(at=now), now)
    assert (user.email, user.get_full_name()) == ("ana@example.org", "Ana Ruiz")
    assert authenticate(email="ana@example.org", password=PASSWORD) == user
    assert is_platform_administrator(user)
    with tenant(PLATFORM_ORGANIZATION_ID):
        membership = Membership.objects.get()
        assert (membership.user, membership.role, membership.is_org_admin) == (user, "admin", True)
        assert OrganizationSettings.objects.get().seats_used == 1
        events = AuditEvent.objects.order_by("-sequence")[:2]
        assert [event.action for event in events] == ["membership.created", "platform.set_up"]
        assert {event.actor_id for event in events} == {user.pk}


@pytest.mark.django_db
def test_set_up__link__is_in_no_table(now: datetime) -> None:
    secret = create_setup_link(at=now)
    assert secret
    link = SetupLink.objects.get()
    assert len(secret) >= 43
    assert len(link.digest) == 64
    assert secret not in str(vars(link))


@pytest.mark.django_db
def test_set_up__second_use__closed(now: datetime) -> None:
    secret = create_setup_link(at=now)
    set_up(secret, now)
    with pytest.raises(SetupClosed):
        set_up(secret, now, email="eve@example.org")
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_set_up__used_link_of_somebody_since_gone__closed(now: datetime) -> None:
    secret = create_setup_link(at=now)
    assert open_setup_link(secret=secret or "", at=now)
    SetupLink.objects.update(used_at=now)
    with pytest.raises(SetupClosed):
        set_up(secret, now)
    assert not User.objects.exists()


@pytest.mark.django_db
def test_set_up__somebody_exists__no_link_and_an_open_one_closes(now: datetime) -> None:
    secret = create_setup_link(at=now)
    assert open_setup_link(secret=secret or "", at=now)
    UserFactory()
    assert create_setup_link(at=now) is None
    with pytest.raises(SetupClosed):
        set_up(secret, now)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_set_up__24_hours__last_second_works_then_closed(now: datetime) -> None:
    secret = create_setup_link(at=now)
    day = timedelta(hours=24)
    with pytest.raises(SetupClosed):
        open_setup_link(secret=secret or "", at=now + day)
    with pytest.raises(SetupClosed):
        set_up(secret, now + day)
    assert set_up(secret, now + day - timedelta(seconds=1))


@pytest.mark.django_db
def test_set_up__newer_link__kills_the_older(now: datetime) -> None:
    older, newer = create_setup_link(at=now), create_setup_link(at=now)
    with pytest.raises(SetupClosed):
        set_up(older, now)
    assert set_up(newer, now)


@pytest.mark.django_db
@pytest.mark.parametrize("secret", ["", "x", "0" * 43, "../../etc/passwd", "é" * 43])
def test_set_up__unknown_link__closed(now: datetime, secret: str) -> None:
    assert open_setup_link(secret=create_setup_link(at=now) or "", at=now)
    with pytest.raises(SetupClosed):
        set_up(secret, now)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"password": "short"}, PasswordRefused),
        ({"password": "ana@example.org"}, PasswordRefused),
        ({"email": "nobody"}, Malformed),
        ({"email": "аna@example.org"}, Refused),  # a Cyrillic а
        ({"first_name": " "}, Malformed),
        ({"last_name": "x" * 101}, Malformed),
    ],
)
def test_set_up__bad_input__refused_and_the_link_still_works(
    now: datetime, changes: dict[str, str], error: type[Exception]
) -> None:
    secret = create_setup_link(at=now)
    with pytest.raises(error):
        set_up(secret, now, **changes)
    assert not User.objects.exists()
    assert set_up(secret, now)


@pytest.mark.django_db(transaction=True)
def test_set_up__two_at_once__one_wins_and_the_other_is_told() -> None:
    now = timezone.now()
    secret = create_setup_link(at=now)
    outcomes = race(
        *(lambda number=number: set_up(secret, now, email=f"person{number}@example.org") for number in range(4))
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SetupClosed"] * 3 + ["User"]
    assert User.objects.count() == 1
    with tenant(PLATFORM_ORGANIZATION_ID):
        assert Membership.objects.count() == 1
        assert OrganizationSettings.objects.get().seats_used == 1


# --- the page --------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_page__link_opened_and_sent__signed_in_and_closed_for_good(now: datetime) -> None:
    secret = create_setup_link(at=now)
    client = Client()
    url = f"/setup/{secret}/"
    for _look in range(3):
        assert client.get(url).status_code == 200
    form = {key: PERSON[key] for key in ("email", "first_name", "last_name", "password")}
    response = client.post(url, form)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(User.objects.get().pk)
    assert Client().get(url).status_code == 404
    assert Client().post(url, {**form, "email": "eve@example.org"}).status_code == 404


@pytest.mark.django_db
def test_page__unknown_link__404_that_tells_nothing(now: datetime) -> None:
    assert Client().get(f"/setup/{create_setup_link(at=now)}/").status_code == 200
    assert Client().get("/setup/nothing/").status_code == 404
