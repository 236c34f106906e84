"""Who hears by mail that their role changed or their access ended: when it is written, what it says, and when it is not
said any more."""

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.administration import deactivate_user
from accounts.delivery import relay_due_account_mail
from accounts.models import AccountMail, User
from accounts.people.review import review_several
from healthivr.embedded.mail_sink import MailSink
from healthivr.kernel.errors import NotPermitted
from healthivr.testing.factories import MembershipFactory
from healthivr.testing.world import World
from invitations.leaving import leave_organization
from invitations.tests.acts import count_seats_anew, html_text, parsed, plain_text
from organizations.actor import Actor
from organizations.granting import change_role, grant_role, update_member
from organizations.models import Membership, Organization
from organizations.reviewing import review_membership
from organizations.roles import Role
from organizations.services import end_membership, roles_changed
from organizations.tenancy import platform, tenant


def queued() -> list[tuple[str, str]]:
    """Return the mails of this kind that wait: which, and to whom."""
    mails = AccountMail.objects.filter(kind__in=["role_changed", "access_ended"], status="queued")
    return sorted(mails.values_list("kind", "user__first_name"))


def membership_of(user: User, role: str) -> Membership:
    with platform("test"):
        return Membership.objects.get(user=user, role=role, status="active")


def also(world: World, user: User, role: Role, organization: Organization | None = None) -> Membership:
    """Give somebody a further role."""
    with platform("test"):
        made = MembershipFactory(user=user, organization=organization or world.practice, role=role)
    count_seats_anew()
    return made


def leave_here(world: World, user: User) -> None:
    """End what somebody has in the practice, and tell nobody."""
    with platform("test"):
        Membership.objects.filter(organization=world.practice, user=user).update(
            status="ended", ended_at=timezone.now()
        )


def act(service: Any, actor: Actor, **values: Any) -> Any:
    with tenant(actor.organization):
        return service(actor=actor, at=timezone.now(), **values)


def sent(mail_sink: MailSink) -> tuple[str, str, str]:
    """Send what is due, and return its one mail: subject, text and HTML."""
    assert relay_due_account_mail(at=timezone.now()) == 1
    (message,) = map(parsed, mail_sink.messages())
    return str(message["Subject"]), plain_text(message), html_text(message)


# --- when it is written ----------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.12")
def test_role__changed_given_or_one_of_several_ended__mailed_to_the_person_alone(world: World) -> None:
    lee = world.actor(world.lee)
    act(change_role, lee, membership_id=membership_of(world.mia, "medical_staff").pk, role="lab_tech")
    assert queued() == [("role_changed", "Mia")]
    mail = AccountMail.objects.get()
    assert mail.facts == {"organization_id": str(world.practice.pk)}
    act(grant_role, lee, user_id=world.omar.pk, role="privacy_officer")
    act(end_membership, lee, membership_id=membership_of(world.omar, "privacy_officer").pk, reason="")
    assert queued() == [("role_changed", "Mia"), ("role_changed", "Omar"), ("role_changed", "Omar")]


def test_role__changed_together_with_who_runs_it__mailed_once(world: World) -> None:
    act(update_member, world.actor(world.lee), user_id=world.mia.pk, role="lab_tech", is_org_admin=True)
    assert queued() == [("role_changed", "Mia")]


@pytest.mark.seed("S2.13")
@pytest.mark.parametrize("way", ["end", "review", "leave"])
def test_access__ended_in_each_way__mailed_to_the_person_alone(world: World, way: str) -> None:
    lee, row = world.actor(world.lee), membership_of(world.mia, "medical_staff")
    if way == "end":
        act(end_membership, lee, membership_id=row.pk, reason="")
    elif way == "review":
        act(review_membership, lee, membership_id=row.pk, verdict="end", reason="Retires")
    else:
        act(leave_organization, lee, user_id=world.mia.pk, reason="Retires", is_receipt_mailed=False)
    assert queued() == [("access_ended", "Mia")]


@pytest.mark.seed("S2.13")
def test_access__of_three_roles_ended_in_one_step__mailed_once(world: World) -> None:
    also(world, world.mia, Role.PRIVACY_OFFICER)
    also(world, world.mia, Role.LAB_TECH)
    act(leave_organization, world.actor(world.lee), user_id=world.mia.pk, reason="Retires", is_receipt_mailed=False)
    assert queued() == [("access_ended", "Mia")]


@pytest.mark.seed("S2.21")
def test_review__ends_two_of_three_roles_of_one_person__mailed_once(world: World) -> None:
    rows = [also(world, world.mia, role) for role in (Role.PRIVACY_OFFICER, Role.LAB_TECH)]
    ended = [row.pk for row in rows]
    act(review_several, world.actor(world.lee), membership_ids=ended, verdict="end", reason="Not needed")
    assert queued() == [("role_changed", "Mia")]


def test_access__ended_by_the_person_themselves__not_mailed(world: World) -> None:
    second = also(world, world.lee, Role.PRIVACY_OFFICER)
    with platform("test"):
        MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True)
    count_seats_anew()
    lee = world.actor(world.lee)
    act(end_membership, lee, membership_id=second.pk, reason="")
    act(end_membership, lee, membership_id=membership_of(world.lee, "doctor").pk, reason="")
    assert queued() == []
    ana = world.actor(world.ana, world.practice)
    act(end_membership, ana, membership_id=membership_of(world.mia, "medical_staff").pk, reason="")
    assert queued() == [("access_ended", "Mia")]


def test_account__switched_off__is_no_end_of_access(world: World) -> None:
    ana = world.actor(world.ana, world.platform)
    act(deactivate_user, ana, user_id=world.mia.pk, reason="On leave")
    assert queued() == []


def test_role__change_refused_by_whoever_hears_of_it__not_mailed(world: World) -> None:
    def refusing(**kwargs: object) -> None:
        raise NotPermitted

    row = membership_of(world.mia, "medical_staff")
    roles_changed.connect(refusing)
    try:
        with pytest.raises(NotPermitted):
            act(change_role, world.actor(world.lee), membership_id=row.pk, role="lab_tech")
    finally:
        roles_changed.disconnect(refusing)
    assert queued() == []


def test_page__ending_a_membership__mails_the_person(world: World, sign_in: Any) -> None:
    client: Client = sign_in(world.lee)
    row = membership_of(world.mia, "medical_staff")
    assert client.post(f"/o/lee-family-practice/people/{row.pk}/end/", {"reason": "Retires"}).status_code == 302
    assert queued() == [("access_ended", "Mia")]


# --- what it says ----------------------------------------------------------------------------------------------------
def test_role_changed__read__says_what_they_are_there_when_it_leaves(
    world: World, mail_sink: MailSink, settings: Any
) -> None:
    Organization.objects.filter(pk=world.practice.pk).update(name="Lee & Sons <Practice>")
    also(world, world.mia, Role.DOCTOR, world.strange_practice)
    act(update_member, world.actor(world.lee), user_id=world.mia.pk, role="lab_tech", is_org_admin=True)
    also(world, world.mia, Role.PRIVACY_OFFICER)  # after the mail was written
    subject, text, html = sent(mail_sink)
    assert subject == "Your role at Lee & Sons <Practice> has changed"
    assert "Your role at Lee &amp; Sons &lt;Practice&gt; was changed." in html
    for part in (text, html):
        assert "Hello Mia," in part
        assert "It is now: Laboratory technician, Privacy officer." in part
        assert "You run the organization: its people and its settings." in part
        assert "Sign in again" in part
        assert f"{settings.BASE_URL}/o/lee-family-practice/" in part
        assert "Ask an administrator of Lee" in part
        for word in ("Doctor", "Stone", "Jun", world.mia.email):
            assert word not in part


def test_role_changed__of_who_does_not_run_it__says_so(world: World, mail_sink: MailSink) -> None:
    act(grant_role, world.actor(world.lee), user_id=world.omar.pk, role="privacy_officer")
    _subject, text, html = sent(mail_sink)
    for part in (text, html):
        assert "It is now: Office administrator, Privacy officer." in part
        assert "You do not run the organization: its administrators do." in part


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_access_ended__read__says_whom_to_ask_and_where_they_still_belong(
    world: World, mail_sink: MailSink, settings: Any, is_elsewhere: bool
) -> None:
    if is_elsewhere:
        also(world, world.mia, Role.DOCTOR, world.strange_practice)
    row = membership_of(world.mia, "medical_staff")
    act(end_membership, world.actor(world.lee), membership_id=row.pk, reason="Stole the biscuits")
    subject, text, html = sent(mail_sink)
    assert subject == "Your access to Lee Family Practice has ended"
    for part in (text, html):
        assert "Hello Mia," in part
        assert "ask an administrator of Lee Family Practice: they can invite you again" in part
        assert (f"{settings.BASE_URL}/sign-in/" in part) is is_elsewhere
        assert ("your other organizations" in part) is is_elsewhere
        for word in ("biscuits", "Jun", "Stone", world.mia.email):
            assert word not in part


# --- when it is not so any more --------------------------------------------------------------------------------------
@pytest.mark.parametrize("change", ["left", "switched off"])
def test_role_changed__of_who_belongs_there_no_more__not_sent(world: World, mail_sink: MailSink, change: str) -> None:
    act(grant_role, world.actor(world.lee), user_id=world.mia.pk, role="lab_tech")
    if change == "left":
        leave_here(world, world.mia)
    else:
        User.objects.filter(pk=world.mia.pk).update(is_active=False)
    assert relay_due_account_mail(at=timezone.now()) == 0
    assert AccountMail.objects.get().status == "cancelled"
    assert mail_sink.messages() == []


def test_role_changed__of_a_platform_administrator_who_is_no_member_there_any_more__not_sent(
    world: World, mail_sink: MailSink
) -> None:
    also(world, world.ana, Role.PRIVACY_OFFICER)
    act(
        grant_role,
        replace(world.actor(world.ana, world.practice), user=world.lee),
        user_id=world.ana.pk,
        role="lab_tech",
    )
    leave_here(world, world.ana)
    assert relay_due_account_mail(at=timezone.now()) == 0
    assert mail_sink.messages() == []


def test_access_ended__of_who_came_back_before_it_left__not_sent(world: World, mail_sink: MailSink) -> None:
    row = membership_of(world.mia, "medical_staff")
    act(end_membership, world.actor(world.lee), membership_id=row.pk, reason="")
    also(world, world.mia, Role.MEDICAL_STAFF)
    assert relay_due_account_mail(at=timezone.now()) == 0
    assert AccountMail.objects.get().status == "cancelled"
    assert mail_sink.messages() == []
