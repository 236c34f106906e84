"""Several people at once, with a result for each; and the invitation of who never came."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.models import AccountMail, User
from audit.models import AuditEvent
from audit.verification import verify_chain
from healthivr.kernel.errors import DomainError, Malformed, NotFound, NotPermitted
from healthivr.testing.factories import InvitationFactory, MembershipFactory
from healthivr.testing.races import race
from healthivr.testing.world import World
from invitations.errors import AlreadyActivated
from invitations.models import Delivery
from invitations.people import act_on_people, resend_to_who_never_came
from organizations.actor import Actor
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform, tenant

from . import acts


def act(actor: Actor, what: str, *ids: UUID, reason: str = "Clean-up") -> dict[UUID, tuple[str, str]]:
    with tenant(actor.organization):
        rows = act_on_people(actor=actor, act=what, ids=ids, reason=reason, at=timezone.now())
    assert [row.id for row in rows] == list(dict.fromkeys(ids))
    assert all(bool(row.message) == (row.outcome == "refused") for row in rows)
    return {row.id: (row.outcome.value, row.code) for row in rows}


@pytest.mark.seed("S3.50")
def test_end__of_several__each_with_its_result_and_not_oneself_or_the_last_administrator(world: World) -> None:
    lee = world.actor(world.lee)
    nobody = uuid4()
    ids = [world.mia.pk, world.lee.pk, world.stone.pk, nobody, world.omar.pk]
    assert act(lee, "end", *ids) == {
        world.mia.pk: ("done", ""),
        world.lee.pk: ("refused", "own_account"),
        world.stone.pk: ("refused", "not_found"),
        nobody: ("refused", "not_found"),
        world.omar.pk: ("done", ""),
    }
    ana = world.actor(world.ana, world.practice)
    assert act(ana, "end", world.lee.pk, world.mia.pk) == {
        world.lee.pk: ("refused", "last_administrator"),
        world.mia.pk: ("unchanged", ""),
    }
    with platform("test"):
        assert list(Membership.objects.active().filter(organization=world.practice).values_list("user", flat=True)) == [
            world.lee.pk
        ]
    acts.assert_seats_are_counted()
    # No receipt, for the result of each is on the page; but each hears of their own.
    told = AccountMail.objects.values_list("kind", "user")
    assert set(told) == {("access_ended", world.mia.pk), ("access_ended", world.omar.pk)}


@pytest.mark.seed("S3.50", "S2.13")
def test_deactivate_and_activate__of_several__twice_is_once(world: World) -> None:
    ana = world.actor(world.ana, world.platform)
    ids = [world.mia.pk, world.omar.pk, world.lee.pk, world.ana.pk]
    assert act(ana, "deactivate", *ids) == {
        world.mia.pk: ("done", ""),
        world.omar.pk: ("done", ""),
        world.lee.pk: ("refused", "last_administrator"),
        world.ana.pk: ("refused", "own_account"),
    }
    assert act(ana, "deactivate", world.mia.pk) == {world.mia.pk: ("unchanged", "")}
    assert act(ana, "activate", world.mia.pk, world.lee.pk) == {
        world.mia.pk: ("done", ""),
        world.lee.pk: ("unchanged", ""),
    }
    assert set(User.objects.filter(is_active=False).values_list("pk", flat=True)) == {world.omar.pk}
    with tenant(world.platform):
        assert AuditEvent.objects.filter(action="user.deactivated").count() == 2
    with platform("test"):
        assert verify_chain()[2] == []


@pytest.mark.seed("S3.50", "S2.13")
def test_deactivate__both_administrators_in_one_go__one_stays(world: World) -> None:
    with platform("test"):
        second = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
    found = act(world.actor(world.ana, world.platform), "deactivate", world.lee.pk, second.pk)
    assert sorted(found.values()) == [("done", ""), ("refused", "last_administrator")]


@pytest.mark.seed("S3.50")
def test_reset__of_several__a_link_each_and_none_for_who_has_one_already(world: World) -> None:
    lee = world.actor(world.lee)
    assert act(lee, "reset", world.mia.pk, world.lee.pk) == {
        world.mia.pk: ("done", ""),
        world.lee.pk: ("refused", "own_account"),
    }
    assert act(lee, "reset", world.mia.pk, world.stone.pk) == {
        world.mia.pk: ("unchanged", ""),
        world.stone.pk: ("refused", "not_found"),
    }
    User.objects.filter(pk=world.stone.pk).update(must_change_password=True)
    assert act(lee, "reset", world.stone.pk) == {world.stone.pk: ("refused", "not_found")}
    assert AccountMail.objects.count() == 1


@pytest.mark.seed("S3.50", "S2.15")
def test_resend__of_several__not_while_the_mail_is_on_its_way(world: World) -> None:
    lee = world.actor(world.lee)
    with platform("test"):
        sent = InvitationFactory(organization=world.practice, invited_by=world.lee, sent=True)
        closed = InvitationFactory(organization=world.practice, invited_by=world.lee, cancelled=True)
    acts.count_seats_anew()
    ids = [sent.pk, world.invitation.pk, closed.pk, world.strange_invitation.pk]
    assert act(lee, "resend", *ids) == {
        sent.pk: ("done", ""),
        world.invitation.pk: ("unchanged", ""),
        closed.pk: ("refused", "illegal_transition"),
        world.strange_invitation.pk: ("refused", "not_found"),
    }
    assert act(lee, "resend", sent.pk) == {sent.pk: ("unchanged", "")}
    with platform("test"):
        assert Delivery.objects.filter(invitation=sent).count() == 1


@pytest.mark.parametrize(
    ("what", "by", "error"),
    [
        ("deactivate", "lee", NotPermitted),
        ("activate", "lee", NotPermitted),
        ("end", "omar", NotPermitted),
        ("reset", "omar", NotPermitted),
        ("resend", "mia", NotPermitted),
        ("delete", "lee", Malformed),
    ],
)
def test_bulk__by_who_may_do_it_to_nobody__refused_as_a_whole(
    world: World, what: str, by: str, error: type[DomainError]
) -> None:
    with acts.nothing_written(), pytest.raises(error):
        act(world.actor(getattr(world, by), world.practice), what, world.mia.pk)


def test_bulk__nobody_or_more_than_a_hundred__refused(world: World) -> None:
    lee = world.actor(world.lee)
    for ids in ([], [uuid4() for _number in range(101)]):
        with pytest.raises(Malformed):
            act(lee, "end", *ids)
    assert len(act(lee, "end", *[uuid4() for _number in range(100)])) == 100


@pytest.mark.seed("S2.13")
def test_bulk__two_at_once_in_opposite_orders__both_end_and_one_administrator_stays(committed_world: World) -> None:
    world = committed_world
    with platform("test"):
        second = MembershipFactory(organization=world.practice, role=Role.DOCTOR, is_org_admin=True).user
        other = MembershipFactory(organization=world.strange_practice, role=Role.DOCTOR, is_org_admin=True).user
        admin = MembershipFactory(organization=world.platform, role=Role.ADMIN).user
    ana = world.actor(world.ana, world.platform)
    ids = [world.lee.pk, other.pk, second.pk, world.stone.pk]
    for _round in range(3):
        outcomes: list[Any] = race(
            lambda: act(ana, "deactivate", *ids),
            lambda: act(replace(ana, user=admin), "deactivate", *reversed(ids)),
        )
        assert all(isinstance(outcome, dict) for outcome in outcomes), outcomes
        with platform("test"):
            for place in (world.practice, world.strange_practice):
                assert Membership.objects.administrators().filter(organization=place).count() == 1
            assert verify_chain()[2] == []
        User.objects.update(is_active=True)


# --- who never came --------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.15")
def test_resend__for_who_never_accepted__mailed_again_and_for_a_member_refused(world: World) -> None:
    lee = world.actor(world.lee)

    def resend(invitation_id: UUID, actor: Actor = lee) -> Any:
        with tenant(actor.organization):
            return resend_to_who_never_came(actor=actor, invitation_id=invitation_id, at=timezone.now())

    assert resend(world.invitation.pk).pk == world.invitation.pk
    with pytest.raises(AlreadyActivated):
        resend(world.mia.pk)
    for nobody in (world.stone.pk, uuid4(), world.strange_invitation.pk):
        with pytest.raises(NotFound):
            resend(nobody)
    with pytest.raises(AlreadyActivated):
        resend(world.stone.pk, world.actor(world.ana, world.platform))
