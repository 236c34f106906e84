"""Somebody leaves: what is shown before, what ends, what is handed over, and the receipt."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.addresses import KEPT, LINK_LIFE, confirm_email_change, request_email_change
from accounts.delivery import relay_due_account_mail
from accounts.links import email_link_path
from accounts.models import AccountMail, User, UserSession
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from healthivr.testing.factories import PASSWORD, InvitationFactory, MembershipFactory
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.acceptance import RENEWABLE_FOR
from invitations.errors import HeirNotEntitled, InvitationClosed, InviterNotEntitled
from invitations.leaving import Receipt, leave_organization, preview_leaving, receipts
from invitations.models import INVITEE_LEFT, INVITEE_MOVED, INVITER_LEFT, UserInvitation
from invitations.services import cancel_invitation, create_invitation, expire_overdue
from organizations.actor import Actor
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.reviewing import review_membership
from organizations.roles import OrganizationKind, Role
from organizations.services import LastAdministrator, end_membership
from organizations.tenancy import platform, tenant

from . import acts


@pytest.fixture
def runner(world: World) -> Actor:
    """A second administrator of the practice, a doctor like Dr. Lee."""
    with platform("test"):
        user = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
        MembershipFactory(organization=world.practice, user=world.lee, role=Role.PRIVACY_OFFICER)
    acts.count_seats_anew()
    return replace(world.actor(world.lee), user=user)


def leave(actor: Actor, who: User | UUID, *, to: User | None = None, reason: str = "Retires") -> Receipt:
    with tenant(actor.organization):
        return leave_organization(
            actor=actor,
            user_id=who.pk if isinstance(who, User) else who,
            reason=reason,
            hand_over_to=to.pk if to else None,
            at=timezone.now(),
        )


def receipt_of(actor: Actor, who: User) -> Receipt:
    with tenant(actor.organization):
        return receipts(actor=actor, user_id=who.pk)[0]


def memberships(user: User) -> list[str]:
    with platform("test"):
        return sorted(Membership.objects.filter(user=user).values_list("status", flat=True))


# --- before ----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13")
def test_preview__of_somebody_with_everything__says_what_it_will_touch(
    world: World, runner: Actor, now: datetime
) -> None:
    session_of(world.lee)
    session_of(world.lee, kind="token")
    with platform("test"):
        MembershipFactory(organization=world.strange_practice, role=Role.SUPPORT, user=world.mia, upline=None)
        Membership.objects.filter(user=world.omar).update(upline=world.lee)
        Membership.objects.filter(user=world.stone).update(upline=world.omar)
        InvitationFactory(organization=world.practice, invited_by=world.lee, cancelled=True)
        InvitationFactory(organization=world.practice, invited_by=world.lee, overdue=True)
        InvitationFactory(organization=world.practice, invited_by=world.omar)
    with tenant(world.practice), acts.nothing_written():
        shown = preview_leaving(actor=runner, user_id=world.lee.pk, at=now)
    assert shown.person == world.lee
    assert {row.role for row in shown.memberships} == {"doctor", "privacy_officer"}
    assert (shown.sessions, [row.pk for row in shown.invitations]) == (2, [world.invitation.pk])
    assert (shown.below, shown.below_here) == (2, [world.omar])
    assert shown.heirs == [runner.user]
    assert not shown.is_last_administrator
    with platform("test"):
        Membership.objects.filter(user=runner.user).update(is_org_admin=False)
    with tenant(world.practice):
        assert preview_leaving(actor=runner, user_id=world.lee.pk, at=now).is_last_administrator


# --- leaving ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.13", "S2.26")
def test_leave__by_default__all_memberships_and_sessions_end_and_open_invitations_are_cancelled(
    world: World, runner: Actor
) -> None:
    rows = [session_of(world.lee), session_of(world.lee, kind="token")]
    made = leave(runner, world.lee)
    assert memberships(world.lee) == ["ended", "ended"]
    assert {UserSession.objects.get(pk=row.pk).end_reason for row in rows} == {"membership_ended"}
    invitation = acts.fresh(world.invitation)
    assert (invitation.status, invitation.closed_by) == ("cancelled", runner.user)
    with platform("test"):
        assert invitation.history.get(event="cancel").reason == INVITER_LEFT
    acts.assert_seats_are_counted()
    assert (made.sessions, made.cancelled, made.handed_over, made.heir) == (2, [world.invitation], [], None)
    with tenant(world.practice):
        event = AuditEvent.objects.get(action="person.left")
        assert AuditEvent.objects.filter(action="membership.ended").count() == 2
    assert (event.target_id, event.actor_id, event.reason) == (str(world.lee.pk), runner.user_id, "Retires")
    assert world.lee.is_active


@pytest.mark.seed("S2.13")
def test_leave__handed_over__invitations_stay_open_and_are_accepted_under_the_heir(world: World, runner: Actor) -> None:
    made = leave(runner, world.lee, to=runner.user)
    assert (made.heir, made.handed_over, made.cancelled) == (runner.user, [world.invitation], [])
    accepted = acts.accept(world.invitation)
    with platform("test"):
        assert Membership.objects.get(user=accepted.user).upline == runner.user
    acts.assert_seats_are_counted()


def test_leave__handed_over_to_who_may_not_invite__refused_and_nothing_written(world: World, runner: Actor) -> None:
    with acts.nothing_written():
        for heir in (world.mia, world.lee, world.stone):
            with pytest.raises(HeirNotEntitled):
                leave(runner, world.lee, to=heir)
    leave(runner, world.lee, to=runner.user)


@pytest.mark.seed("S2.13")
def test_leave__the_last_administrator__refused_and_nothing_written(world: World) -> None:
    with acts.nothing_written(), pytest.raises(LastAdministrator):
        leave(world.actor(world.ana, world.practice), world.lee)
    assert memberships(world.lee) == ["active"]


def test_leave__without_reason_or_right_or_elsewhere_or_twice__refused(world: World, runner: Actor) -> None:
    with acts.nothing_written():
        for reason in ("", " \u200b"):
            with pytest.raises(Malformed):
                leave(runner, world.mia, reason=reason)
        with pytest.raises(NotPermitted):
            leave(world.actor(world.omar), world.mia)
        for nobody in (world.stone, uuid4()):
            with pytest.raises(NotFound):
                leave(runner, nobody)
    leave(runner, world.mia)
    with pytest.raises(NotFound):
        leave(runner, world.mia)


@pytest.mark.seed("S2.13")
def test_leave__then_invited_again__a_member_again(world: World, runner: Actor) -> None:
    leave(runner, world.mia)
    with tenant(world.practice):
        again = create_invitation(
            actor=runner, invitation_type="medical_staff", email=world.mia.email, at=timezone.now()
        )
    acts.accept(again, user=world.mia)
    assert memberships(world.mia) == ["active", "ended"]
    acts.assert_seats_are_counted()


@pytest.mark.seed("S2.13")
def test_leave__two_administrators_see_each_other_off_at_once__one_stays(committed_world: World) -> None:
    world = committed_world
    with platform("test"):
        second = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
    acts.count_seats_anew()
    lee = world.actor(world.lee)
    outcomes = race(lambda: leave(lee, second), lambda: leave(replace(lee, user=second), world.lee))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LastAdministrator", "Receipt"]
    with platform("test"):
        assert Membership.objects.administrators().filter(organization=world.practice).count() == 1
    acts.assert_seats_are_counted()


# --- the receipt -----------------------------------------------------------------------------------------------------
def test_receipt__read_again_from_the_trail__says_what_was_done(world: World, runner: Actor) -> None:
    session_of(world.lee)
    made = leave(runner, world.lee, to=runner.user)
    read = receipt_of(runner, world.lee)
    assert (read.person, read.by, read.reason, read.at) == (world.lee, runner.user, "Retires", made.at)
    assert {row.pk for row in read.memberships} == {row.pk for row in made.memberships}
    assert (read.sessions, read.handed_over, read.cancelled, read.heir) == (1, [world.invitation], [], runner.user)
    for actor in (world.actor(world.omar), world.actor(world.mia)):
        with pytest.raises(NotPermitted):
            receipt_of(actor, world.lee)
    for nobody in (world.omar, world.stone):
        with pytest.raises(NotFound):
            receipt_of(runner, nobody)


def test_receipt__mailed__numbers_and_a_link_and_no_name(world: World, runner: Actor, mail_sink: MailSink) -> None:
    leave(runner, world.lee)
    assert relay_due_account_mail(at=timezone.now()) == 2
    mails = AccountMail.objects.values_list("user", "kind")
    assert set(mails) == {(runner.user_id, "leaver_receipt"), (world.lee.pk, "access_ended")}
    messages = map(acts.parsed, mail_sink.messages())
    (message,) = (message for message in messages if message["Subject"].startswith("Receipt"))
    sent = acts.plain_text(message) + acts.html_text(message) + str(message["Subject"])
    for word in (world.lee.first_name + " ", world.lee.email, "Lee Family", "new.nurse", "Retires"):
        assert word not in sent
    assert "Memberships ended: 2" in sent
    assert "Open invitations cancelled: 1" in sent
    assert f"/o/lee-family-practice/people/left/{world.lee.pk}/" in sent


def test_receipt__of_who_leaves_by_themselves__not_mailed(world: World, runner: Actor) -> None:
    leave(world.actor(world.lee), world.lee)
    assert not AccountMail.objects.exists()
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seats_used >= 3


# --- their own open invitation to another role -----------------------------------------------------------------------
def membership_of(user: User, organization: Organization) -> Membership:
    with platform("test"):
        return Membership.objects.get(user=user, organization=organization, status="active")


def _leave(actor: Actor, who: User) -> None:
    leave(actor, who)


def _end(actor: Actor, who: User) -> None:
    acts.act(
        end_membership,
        actor=actor,
        membership_id=membership_of(who, actor.organization).pk,
        reason="Has left the clinic",
    )


def _review(actor: Actor, who: User) -> None:
    acts.act(
        review_membership,
        actor=actor,
        membership_id=membership_of(who, actor.organization).pk,
        verdict="end",
        reason="Has left the clinic",
    )


WAYS_OUT = [_leave, _end, _review]


@pytest.mark.seed("S2.13")
@pytest.mark.parametrize("way", WAYS_OUT)
def test_leaver__with_an_open_invitation_to_another_role__it_ends_with_them_and_opens_nothing(
    world: World, runner: Actor, mail_sink: MailSink, way: Callable[[Actor, User], None]
) -> None:
    stays = acts.invite(runner, "office_admin", "stays@example.org")
    own = acts.invite(runner, "office_admin", world.mia.email)
    used = acts.seats_used(world.practice)
    way(runner, world.mia)
    acts.assert_seats_are_counted()
    assert acts.seats_used(world.practice) == used - 1, "hers, and none for the invitation"
    row = acts.fresh(own)
    assert (row.status, row.delivery_status, row.closed_by) == ("cancelled", "cancelled", runner.user)
    with platform("test"):
        assert row.history.get(event="cancel").reason == INVITEE_LEFT
        event = AuditEvent.objects.get(action="invitation.cancelled", target_id=str(own.pk))
    assert (event.actor_id, event.reason) == (runner.user_id, INVITEE_LEFT)
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.accept(own, user=world.mia)
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.ask_for_new_link(acts.token_of(own))
    assert acts.fresh(stays).status == "pending"
    again = acts.invite(runner, "office_admin", world.mia.email)
    acts.accept(again, user=world.mia)
    assert memberships(world.mia) == ["active", "ended"]


@pytest.mark.seed("S2.13")
def test_leaver__preview_and_receipt__name_their_own_open_invitation(
    world: World, runner: Actor, now: datetime
) -> None:
    own = acts.invite(runner, "office_admin", world.lee.email)
    with tenant(world.practice), acts.nothing_written():
        shown = preview_leaving(actor=runner, user_id=world.lee.pk, at=now)
        assert preview_leaving(actor=runner, user_id=world.mia.pk, at=now).own_invitation is None
    assert (shown.own_invitation, shown.invitations) == (own, [world.invitation])
    made = leave(runner, world.lee, to=runner.user)
    assert (made.handed_over, made.cancelled) == ([world.invitation], [own])
    read = receipt_of(runner, world.lee)
    assert (read.handed_over, read.cancelled) == ([world.invitation], [own])
    assert (acts.fresh(own).status, acts.fresh(world.invitation).status) == ("cancelled", "pending")
    acts.assert_seats_are_counted()


@pytest.mark.parametrize("way", WAYS_OUT)
def test_leaver__their_invitation_overdue_and_unswept__ends_too_and_frees_no_second_seat(
    world: World, runner: Actor, way: Callable[[Actor, User], None]
) -> None:
    own = acts.invite(runner, "office_admin", world.mia.email, at=timezone.now() - timedelta(days=8))
    way(runner, world.mia)
    assert acts.fresh(own).status == "cancelled"
    with platform("test"):
        expire_overdue(at=timezone.now())
    acts.assert_seats_are_counted()


def test_leaver__who_keeps_another_role__keeps_the_invitation_too(world: World, runner: Actor) -> None:
    own = acts.invite(runner, "office_admin", world.mia.email)
    first = membership_of(world.mia, world.practice)
    with platform("test"):
        MembershipFactory(organization=world.practice, user=world.mia, role=Role.PRIVACY_OFFICER)
    acts.count_seats_anew()
    acts.act(end_membership, actor=runner, membership_id=first.pk, reason="Only this role")
    assert acts.fresh(own).status == "pending"
    acts.accept(own, user=world.mia)


def test_leaver__invited_to_found_an_organization_of_their_own__keeps_that_invitation(world: World) -> None:
    seller = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR, is_org_admin=True)
    with platform("test"):
        MembershipFactory(organization=seller.organization, user=world.mia, role=Role.SALES)
    founding = acts.invite(seller, "doctor", world.mia.email)
    leave(seller, world.mia)
    acts.assert_seats_are_counted()
    assert acts.fresh(founding).status == "pending"
    accepted = acts.accept(founding, user=world.mia, organization_name="Novak Family Practice")
    assert accepted.organization != seller.organization


def test_leaver__administrator_of_the_platform_to_be__does_not_come_back_as_one(world: World) -> None:
    ana = world.actor(world.ana, world.platform)
    with platform("test"):
        support = MembershipFactory(organization=world.platform, role=Role.SUPPORT).user
    acts.count_seats_anew()
    own = acts.invite(ana, "admin", support.email)
    leave(ana, support)
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.accept(own, user=support)


# --- and an expired one ----------------------------------------------------------------------------------------------
def expired_of(world: World, actor: Actor) -> UserInvitation:
    """Make an invitation of Mia to another role that has run out."""
    invitation = acts.invite(actor, "office_admin", world.mia.email, at=timezone.now() - timedelta(days=8))
    with platform("test"):
        expire_overdue(at=timezone.now())
    return invitation


def test_new_link__of_an_expired_invitation_to_another_role__while_a_member_it_is_renewed(
    world: World, runner: Actor
) -> None:
    expired = expired_of(world, runner)
    acts.ask_for_new_link(acts.token_of(expired))
    acts.accept(expired, user=world.mia)
    assert memberships(world.mia) == ["active", "active"]


@pytest.mark.seed("S2.13")
@pytest.mark.parametrize("way", WAYS_OUT)
def test_new_link__of_who_has_left_since__refused_until_somebody_invites_again(
    world: World, runner: Actor, way: Callable[[Actor, User], None]
) -> None:
    expired = expired_of(world, runner)
    way(runner, world.mia)
    with acts.nothing_written(), pytest.raises(InviterNotEntitled):
        acts.ask_for_new_link(acts.token_of(expired))
    later = timezone.now() + timedelta(days=8)
    again = acts.invite(runner, "office_admin", world.mia.email)
    acts.ask_for_new_link(acts.token_of(again), at=later)
    acts.accept(again, user=world.mia, at=later)
    assert memberships(world.mia) == ["active", "ended"]


def test_new_link__of_who_has_left_and_was_taken_back__renewed(world: World, runner: Actor) -> None:
    expired = expired_of(world, runner)
    leave(runner, world.mia)
    acts.accept(acts.invite(runner, "medical_staff", world.mia.email), user=world.mia)
    acts.ask_for_new_link(acts.token_of(expired))
    acts.accept(expired, user=world.mia)
    assert memberships(world.mia) == ["active", "active", "ended"]


# --- another address -------------------------------------------------------------------------------------------------
ORIGIN: dict[str, Any] = {"ip": "192.0.2.1", "request_id": "test-request"}
MOVED = "mia.new@example.org"


def move(user: User, email: str = MOVED, *, at: datetime | None = None) -> None:
    """Change somebody's address by the link in the new mailbox."""
    at = at or timezone.now()
    user = User.objects.get(pk=user.pk)
    change = request_email_change(user=user, email=email, password=PASSWORD, at=at, **ORIGIN)
    token = email_link_path(str(change.pk)).split("/")[2]
    confirm_email_change(user=user, token=token, session=session_of(user, verified_at=at), at=at, **ORIGIN)
    acts.assert_seats_are_counted()


@pytest.mark.seed("S4.11")
@pytest.mark.parametrize("days", [0, 8])
def test_address__of_a_member_with_an_open_invitation__it_dies_with_the_old_one_and_frees_no_seat(
    world: World, runner: Actor, days: int
) -> None:
    other = acts.invite(runner, "office_admin", "stays@example.org")
    own = acts.invite(runner, "office_admin", world.mia.email, at=timezone.now() - timedelta(days=days))
    used = acts.seats_used(world.practice)
    move(world.mia)
    assert acts.seats_used(world.practice) == used
    row = acts.fresh(own)
    assert (row.status, row.closed_by, row.delivery_status) == ("cancelled", world.mia, "cancelled")
    with platform("test"):
        assert row.history.get(event="cancel").reason == INVITEE_MOVED
    assert "invitation.cancelled" in acts.actions(world.practice)
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.accept(own)  # who has the old mailbox now
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.ask_for_new_link(acts.token_of(own))
    assert acts.fresh(other).status == "pending"


@pytest.mark.seed("S4.11")
def test_address__of_a_member_to_one_that_is_invited__gives_back_the_second_seat_and_can_be_accepted(
    world: World, runner: Actor
) -> None:
    invitation = acts.invite(runner, "office_admin", MOVED)
    used = acts.seats_used(world.practice)
    move(world.mia)
    assert acts.seats_used(world.practice) == used - 1
    acts.accept(invitation, user=User.objects.get(pk=world.mia.pk))
    assert acts.seats_used(world.practice) == used - 1
    assert memberships(world.mia) == ["active", "active"]


@pytest.mark.seed("S4.11")
def test_address__moved_to_one_that_is_invited__its_cancellation_frees_no_seat_twice(
    world: World, runner: Actor
) -> None:
    invitation = acts.invite(runner, "office_admin", MOVED)
    move(world.mia)
    acts.act(cancel_invitation, actor=runner, invitation_id=invitation.pk)


def test_address__of_a_member_invited_to_found_an_organization__keeps_that_invitation(world: World) -> None:
    seller = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR, is_org_admin=True)
    with platform("test"):
        MembershipFactory(organization=seller.organization, user=world.mia, role=Role.SALES)
    acts.count_seats_anew()
    old = acts.invite(seller, "doctor", world.mia.email)
    new = acts.invite(seller, "doctor", MOVED)
    used = acts.seats_used(seller.organization)
    move(world.mia)
    assert acts.seats_used(seller.organization) == used
    assert (acts.fresh(old).status, acts.fresh(new).status) == ("pending", "pending")


def test_address__in_two_organizations__each_counts_right(world: World, runner: Actor) -> None:
    with platform("test"):
        MembershipFactory(organization=world.strange_practice, user=world.mia, role=Role.MEDICAL_STAFF)
    acts.count_seats_anew()
    stone = world.actor(world.stone)
    own = acts.invite(runner, "office_admin", world.mia.email)
    there = acts.invite(stone, "office_admin", MOVED)
    move(world.mia)
    assert (acts.fresh(own).status, acts.fresh(there).status) == ("cancelled", "pending")


def test_new_link__expired_before_the_address_changed__refused_to_the_old_mailbox(world: World, runner: Actor) -> None:
    expired = expired_of(world, runner)
    token = acts.token_of(expired)
    move(world.mia)
    for days in (0, 22):  # renewable for thirty days after the eighth
        with acts.nothing_written(), pytest.raises(InviterNotEntitled):
            acts.ask_for_new_link(token, at=timezone.now() + timedelta(days=days))
    assert KEPT >= RENEWABLE_FOR + LINK_LIFE, "or the change is forgotten before the link is"
    move(world.mia, "mia@example.org")
    acts.ask_for_new_link(token)
