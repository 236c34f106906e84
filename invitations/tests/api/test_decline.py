"""POST /api/v1/invitations/decline/{token}/."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.services import resend_invitation
from invitations.tests import acts
from invitations.tests.api.calls import call, problem

from .test_detail import close

SignIn = Callable[[User], Client]


def decline(invitation: UserInvitation | str, body: Any = None, client: Client | None = None) -> Any:
    """Decline an invitation, or a token of one."""
    token = invitation if isinstance(invitation, str) else acts.token_of(invitation)
    response = call(client or Client(), "POST", f"decline/{token}/", body)
    acts.assert_seats_are_counted()
    return response


@pytest.mark.parametrize("reason", ["not_me", "not_wanted", "other"])
def test_decline__open_link__declined_seat_free_inviter_told(world: World, reason: str) -> None:
    response = decline(world.invitation, {"reason": reason})
    assert (response.status_code, response.json()) == (200, {"status": "declined"})
    row = acts.fresh(world.invitation)
    assert (row.status, row.closed_by_id) == ("declined", None)
    assert acts.seats_used(world.practice) == 3
    assert acts.deliveries(row, purpose="declined") == ["queued"]
    (event,) = acts.trail(world.practice)
    assert (event.action, event.reason, event.actor_id) == ("invitation.declined", reason, None)


@pytest.mark.parametrize("body", [None, {}])
def test_decline__without_a_reason__declined(world: World, body: Any) -> None:
    assert decline(world.invitation, body).status_code == 200


@pytest.mark.parametrize("body", [{"reason": "because"}, {"reason": ""}, {"reason": None}, {"reason": ["other"]}])
def test_decline__reason_that_is_none__400_and_still_open(world: World, body: Any) -> None:
    with acts.nothing_written():
        response = decline(world.invitation, body)
    problem(response, 400, "malformed_field", "reason")
    assert decline(world.invitation).status_code == 200


def test_decline__name_that_is_not_known__400_naming_it(world: World) -> None:
    problem(decline(world.invitation, {"why": "other"}), 400, "malformed_field", "why")


def test_decline__signed_in_with_another_address__declined_by_the_link(world: World, sign_in: SignIn) -> None:
    assert decline(world.invitation, {"reason": "not_me"}, sign_in(world.stone)).status_code == 200


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("accepted", 409, "invitation_accepted"),
        ("declined", 410, "invitation_declined"),
        ("cancelled", 410, "invitation_cancelled"),
        ("expired", 410, "invitation_expired"),
        ("overdue", 410, "invitation_expired"),
    ],
)
def test_decline__closed_invitation__says_how(world: World, how: str, status: int, code: str) -> None:
    token = acts.token_of(world.invitation)
    close(world.invitation, how)
    with acts.nothing_written():
        response = decline(token)
    problem(response, status, code)


def test_decline__replaced_link__410_and_the_new_one_works(world: World) -> None:
    old = acts.token_of(world.invitation)
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=world.invitation.pk)
    problem(decline(old), 410, "link_replaced")
    assert decline(world.invitation).status_code == 200


def test_decline__never_issued__404(world: World) -> None:
    problem(decline("A" * 43), 404, "invitation_not_found")


def test_decline__then_invited_again__the_new_link_works(world: World) -> None:
    decline(world.invitation)
    again = acts.invite(world.actor(world.lee), email=str(world.invitation.email))
    assert call(Client(), "GET", f"validate/{acts.token_of(again)}/").status_code == 200
