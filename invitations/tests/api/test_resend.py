"""POST /api/v1/invitations/{id}/resend/."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tests import acts
from invitations.tests.api.calls import assert_no_link, call, problem
from organizations.tenancy import platform

from .test_detail import close, path

SignIn = Callable[[User], Client]


def change(invitation: UserInvitation, **values: object) -> None:
    """Put a row into a state."""
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(**values)


@pytest.mark.seed("S0.8")
def test_resend__open_invitation__new_link_full_period_old_link_replaced(world: World, sign_in: SignIn) -> None:
    old = acts.token_of(world.invitation)
    change(world.invitation, expires_at=world.invitation.created_at + timedelta(hours=24))
    response = call(sign_in(world.lee), "POST", path(world.invitation, "resend/"), at=world.practice)
    assert response.status_code == 200
    row = acts.fresh(world.invitation)
    assert row.expires_at == row.updated_at + timedelta(hours=24)
    assert datetime.fromisoformat(response.json()["expires_at"]) == row.expires_at
    problem(call(Client(), "GET", f"validate/{old}/"), 410, "link_replaced")
    assert call(Client(), "GET", f"validate/{acts.token_of(row)}/").status_code == 200
    assert acts.deliveries(row) == ["queued"]
    assert acts.seats_used(world.practice) == 4
    assert acts.actions(world.practice) == ["invitation.resent"]
    for invitation in (world.invitation, row):
        assert_no_link(response, invitation)


@pytest.mark.seed("S0.8")
def test_resend__twice__only_the_newest_link_works(world: World, sign_in: SignIn) -> None:
    client, tokens = sign_in(world.lee), [acts.token_of(world.invitation)]
    for _time in range(2):
        call(client, "POST", path(world.invitation, "resend/"), at=world.practice)
        tokens.append(acts.token_of(world.invitation))
    answers = [call(Client(), "GET", f"validate/{token}/").status_code for token in tokens]
    assert answers == [410, 410, 200]


def test_resend__expired__renewed(world: World, sign_in: SignIn) -> None:
    close(world.invitation, "overdue")
    response = call(sign_in(world.lee), "POST", path(world.invitation, "resend/"), at=world.practice)
    assert (response.status_code, response.json()["status"]) == (200, "pending")
    assert acts.history(world.invitation) == ["expire", "renew"]


@pytest.mark.seed("S0.8")
@pytest.mark.parametrize("how", ["accepted", "declined", "cancelled"])
def test_resend__closed__409(world: World, sign_in: SignIn, how: str) -> None:
    client = sign_in(world.lee)
    assert call(client, "POST", path(world.invitation, "resend/"), at=world.practice).status_code == 200
    close(world.invitation, how)
    with acts.nothing_written():
        response = call(client, "POST", path(world.invitation, "resend/"), at=world.practice)
    problem(response, 409, "illegal_transition")


def test_resend__sent_ten_times__409(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    change(world.invitation, send_count=9)
    assert call(client, "POST", path(world.invitation, "resend/"), at=world.practice).status_code == 200
    change(world.invitation, send_count=10)
    response = call(client, "POST", path(world.invitation, "resend/"), at=world.practice)
    problem(response, 409, "send_limit_reached")


def test_resend__bounced_address__409(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.lee)
    change(world.invitation, delivery_status="failed")
    assert call(client, "POST", path(world.invitation, "resend/"), at=world.practice).status_code == 200
    change(world.invitation, delivery_status="bounced")
    response = call(client, "POST", path(world.invitation, "resend/"), at=world.practice)
    problem(response, 409, "address_bounced")


def test_resend__expired_and_no_seat_left__409(world: World, sign_in: SignIn) -> None:
    close(world.invitation, "overdue")
    acts.set_seat_limit(world.practice, 4)
    acts.invite(world.actor(world.lee), email="took.the.seat@example.org")
    problem(call(sign_in(world.lee), "POST", path(world.invitation, "resend/"), at=world.practice), 409, "no_seat_left")
