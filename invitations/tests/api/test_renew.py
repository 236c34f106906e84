"""POST /api/v1/invitations/{id}/renew/."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from healthivr.testing.world import World
from invitations.expiry import expire_overdue
from invitations.tests import acts
from invitations.tests.api.calls import assert_no_link, call, problem
from organizations.tenancy import platform

from .test_detail import close, path

SignIn = Callable[[User], Client]


@pytest.mark.parametrize("is_swept", [False, True])
def test_renew__expired__open_again_with_a_new_link_and_its_seat(world: World, sign_in: SignIn, is_swept: bool) -> None:
    old = acts.token_of(world.invitation)
    close(world.invitation, "overdue")
    if is_swept:
        with platform("test"):
            expire_overdue(at=timezone.now())
    response = call(sign_in(world.lee), "POST", path(world.invitation, "renew/"), at=world.practice)
    assert (response.status_code, response.json()["status"]) == (200, "pending")
    row = acts.fresh(world.invitation)
    assert row.closed_at is None
    assert row.expires_at == row.updated_at + timedelta(days=8) - timedelta(minutes=1)  # the period it had
    problem(call(Client(), "GET", f"validate/{old}/"), 410, "link_replaced")
    assert call(Client(), "GET", f"validate/{acts.token_of(row)}/").status_code == 200
    assert acts.seats_used(world.practice) == 4
    assert acts.history(row) == ["expire", "renew"]
    assert acts.actions(world.practice) == ["invitation.expired", "invitation.renewed"]
    for invitation in (world.invitation, row):
        assert_no_link(response, invitation)


@pytest.mark.parametrize("how", ["open", "accepted", "declined", "cancelled"])
def test_renew__anything_but_expired__409(world: World, sign_in: SignIn, how: str) -> None:
    if how != "open":
        close(world.invitation, how)
    client = sign_in(world.lee)
    with acts.nothing_written():
        response = call(client, "POST", path(world.invitation, "renew/"), at=world.practice)
    problem(response, 409, "illegal_transition")


def test_renew__address_invited_again_meanwhile__409_naming_the_open_one(world: World, sign_in: SignIn) -> None:
    close(world.invitation, "overdue")
    newer = acts.invite(world.actor(world.lee), email=str(world.invitation.email))
    response = call(sign_in(world.lee), "POST", path(world.invitation, "renew/"), at=world.practice)
    answer = problem(response, 409, "duplicate_invitation", "email")
    assert answer["existing"] == str(newer.pk)


def test_renew__seat_taken_meanwhile__409(world: World, sign_in: SignIn) -> None:
    close(world.invitation, "overdue")
    acts.set_seat_limit(world.practice, 4)
    acts.invite(world.actor(world.lee), email="took.the.seat@example.org")
    response = call(sign_in(world.lee), "POST", path(world.invitation, "renew/"), at=world.practice)
    problem(response, 409, "no_seat_left")


def test_renew__somebody_who_has_the_role_meanwhile__409(world: World, sign_in: SignIn) -> None:
    close(world.invitation, "overdue")
    second = acts.invite(world.actor(world.lee), email=str(world.invitation.email))
    acts.accept(second)
    response = call(sign_in(world.lee), "POST", path(world.invitation, "renew/"), at=world.practice)
    problem(response, 409, "already_member")
