"""Somebody leaves: what is shown before, what ends, what is handed over, and the receipt."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.delivery import relay_due_account_mail
from accounts.models import AccountMail, User, UserSession
from audit.models import AuditEvent
from healthivr.embedded.mail_sink import MailSink
from healthivr.kernel.errors import Malformed, NotFound, NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.races import race
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.errors import HeirNotEntitled
from invitations.leaving import Receipt, leave_organization, preview_leaving, receipts
from invitations.models import INVITER_LEFT
from invitations.services import create_invitation
from organizations.actor import Actor
from organizations.models import Membership, OrganizationSettings
from organizations.roles import Role
from organizations.services import LastAdministrator
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
