"""Inviting somebody who would run the platform or a program gives them that role: each issue of such a link needs a fresh
proof of who sends it, and no key has one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User, UserSession
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.factors import phone_of
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from invitations.adoption import adopt_invitation
from invitations.leaving import leave_organization
from invitations.models import UserInvitation
from invitations.services import (
    correct_address,
    create_invitation,
    renew_invitation,
    resend_invitation,
    update_invitation,
)
from invitations.tests.api.calls import call, problem
from organizations.actor import Actor, StepUpRequired
from organizations.roles import Role
from organizations.scopes import Scope
from organizations.tenancy import platform

from . import acts

SignIn = Callable[[User], Client]

#: Every act after which a link to the role works: what it is done to, and what it is told.
ISSUES: dict[str, tuple[Callable[..., Any], bool, dict[str, Any]]] = {
    "create": (create_invitation, False, {"email": "new.one@example.org"}),
    "change the role": (update_invitation, True, {}),
    "change the period": (update_invitation, True, {"expires_in_hours": 12}),
    "correct the address": (correct_address, True, {"email": "right.one@example.org"}),
    "resend": (resend_invitation, True, {}),
    "renew": (renew_invitation, True, {}),
    "adopt": (adopt_invitation, True, {}),
}


def issue(world: World, name: str, role: Role, actor: Actor, invitation: UserInvitation | None, at: datetime) -> None:
    service, is_known, told = ISSUES[name]
    if name in ("create", "change the role"):
        told = {**told, "invitation_type": role}
    if is_known and invitation:
        told = {**told, "invitation_id": invitation.pk}
    acts.act(service, actor=actor, at=at, **told)


def prepared(world: World, name: str, role: Role, now: datetime) -> UserInvitation | None:
    """Make the invitation that the act is done to, at the platform."""
    if name == "create":
        return None
    sender = world.ana
    with platform("test"):
        if name == "adopt":
            sender = MembershipFactory(organization=world.platform, role=Role.ADMIN, status="ended", ended_at=now).user
        started = now - timedelta(hours=60)
        times = {"created_at": started, "expires_at": now - timedelta(hours=1)} if name == "renew" else {}
        invitation: UserInvitation = InvitationFactory(
            organization=world.platform,
            invited_by=sender,
            upline=sender,
            email="boss@example.org",
            invitation_type=Role.SHIPPING_LOGISTICS if name == "change the role" else role,
            **times,
        )
    acts.count_seats_anew()
    return invitation


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize("role", [Role.ADMIN, Role.CHP_ADMIN])
@pytest.mark.parametrize("name", ISSUES)
def test_issue__for_who_would_run_things__needs_a_fresh_proof_and_no_key_has_one(
    world: World, now: datetime, name: str, role: Role
) -> None:
    invitation = prepared(world, name, role, now)
    fresh = replace(world.actor(world.ana, world.platform), verified_at=now - timedelta(minutes=4))
    stale = replace(fresh, verified_at=now - timedelta(minutes=6))
    key = replace(fresh, verified_at=None, scopes=frozenset(Scope))
    for actor in (stale, key):
        with acts.nothing_written(), pytest.raises(StepUpRequired):
            issue(world, name, role, actor, invitation, now)
    issue(world, name, role, fresh, invitation, now)


def test_issue__for_others_and_changes_that_mail_nothing__need_none(world: World, now: datetime) -> None:
    stale = replace(world.actor(world.ana, world.platform), verified_at=None)
    staff = acts.invite(stale, "shipping_logistics", "ship@example.org", at=now)
    acts.act(resend_invitation, actor=stale, invitation_id=staff.pk, at=now)
    boss = acts.invite(world.actor(world.ana, world.platform), "admin", "boss@example.org", at=now)
    changed = acts.act(update_invitation, actor=stale, invitation_id=boss.pk, first_name="Bo", at=now)
    assert (changed.first_name, changed.token_hash) == ("Bo", boss.token_hash)


def test_leaving__open_invitations_of_administrators_handed_over__need_a_fresh_proof(
    world: World, now: datetime
) -> None:
    with platform("test"):
        leaver = MembershipFactory(organization=world.platform, role=Role.ADMIN, is_org_admin=True).user
        InvitationFactory(
            organization=world.platform,
            invited_by=leaver,
            upline=leaver,
            email="b@example.org",
            invitation_type="admin",
        )
    acts.count_seats_anew()
    ana = world.actor(world.ana, world.platform)
    told = {"user_id": leaver.pk, "reason": "Retires", "hand_over_to": world.ana.pk}
    with acts.nothing_written(), pytest.raises(StepUpRequired):
        acts.act(leave_organization, actor=replace(ana, verified_at=None), at=now, **told)
    assert acts.act(leave_organization, actor=ana, at=now, **told).handed_over


@pytest.mark.seed("S2.24")
def test_api__invitation_of_an_administrator__step_up_unless_the_proof_is_fresh(
    world: World, sign_in: SignIn, now: datetime
) -> None:
    client, body = sign_in(world.ana), {"invitation_type": "admin", "email": "second@example.org"}
    UserSession.objects.update(verified_at=now - timedelta(minutes=6))
    problem(call(client, "POST", body=body, at=world.platform), 403, "step_up_required")
    problem(
        client.post("/api/v1/admin/users/", body, content_type="application/json"),
        403,
        "step_up_required",
    )
    with platform("test"):
        assert not UserInvitation.objects.filter(email="second@example.org").exists()
    UserSession.objects.update(verified_at=now)
    assert call(client, "POST", body=body, at=world.platform).status_code == 201


def test_page__invitation_of_an_administrator__asks_for_a_proof_and_keeps_what_was_typed(
    world: World, now: datetime
) -> None:
    phone, client = phone_of(world.ana), browser(world.ana)
    UserSession.objects.filter(user=world.ana).update(verified_at=now - timedelta(minutes=6))
    here = f"/o/{world.platform.slug}/invitations/new/"
    typed = {"invitation_type": "admin", "email": "second@example.org", "language": "en"}
    asked = submit(client, here, **typed)
    page = read(asked, 403)
    form = next(form for form in page.tree.all("form") if form["action"] == "/verify/")
    held = {field["name"]: field["value"] for field in form.all("input")}
    assert typed.items() <= held.items()
    with platform("test"):
        assert not UserInvitation.objects.filter(email="second@example.org").exists()
    proved = client.post("/verify/", {**held, "verification-code": phone.code()})
    assert (proved.status_code, proved["Location"]) == (307, here)
    assert client.post(here, held).status_code == 302
    with platform("test"):
        assert UserInvitation.objects.get(email="second@example.org").invitation_type == "admin"
