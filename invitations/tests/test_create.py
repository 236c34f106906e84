"""Creating an invitation: who may, from where, for whom, and what it takes."""

import itertools
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from healthivr.kernel.errors import Malformed, NotPermitted, Refused
from healthivr.kernel.masking import address_digest
from healthivr.testing.factories import InvitationFactory, MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.world import World
from invitations.errors import DuplicateInvitation, InvitationClosed, OwnAddress, RoleNotAllowed
from invitations.expiry import expire_overdue
from invitations.models import UserInvitation
from invitations.services import create_invitation
from organizations.actor import Actor
from organizations.models import Membership
from organizations.roles import INVITATION_TYPES, NEVER_ADMINISTRATORS, OrganizationKind, Role
from organizations.seats import NoSeatLeft
from organizations.selectors import system_actor
from organizations.services import AlreadyMember, end_membership
from organizations.tenancy import platform, tenant

from . import acts

# --- who may: domain.md 3, written down a second time ----------------------------------------------------------------
TEN = (
    "admin",
    "chp_admin",
    "master_distributor",
    "distributor",
    "sales",
    "doctor",
    "office_admin",
    "medical_staff",
    "ivr_company",
    "shipping_logistics",
)
MAY_INVITE: dict[str, set[str]] = {
    "admin": set(TEN),
    "chp_admin": {"master_distributor", "ivr_company", "shipping_logistics"},
    "master_distributor": {"distributor"},
    "distributor": {"sales"},
    "sales": {"doctor"},
    "doctor": {"office_admin", "medical_staff"},
    "office_admin": set(),
    "medical_staff": set(),
    "ivr_company": set(),
    "shipping_logistics": set(),
}
WORKS_IN = {
    "admin": "platform",
    "chp_admin": "chp",
    "master_distributor": "master_distributor",
    "distributor": "distributor",
    "sales": "distributor",
    "doctor": "practice",
    "office_admin": "practice",
    "medical_staff": "practice",
    "ivr_company": "ivr_company",
    "shipping_logistics": "logistics",
}
#: Who joins the sender must find an organization of the right kind there; everybody else founds one.
JOINS = {"admin": "platform", "sales": "distributor", "office_admin": "practice", "medical_staff": "practice"}
#: Where each of the others may be sent from: the platform, its place in the chain, and home (whom it joins there).
FOUNDS_FROM = {
    "chp_admin": {"platform", "chp"},
    "master_distributor": {"platform", "chp", "master_distributor"},
    "distributor": {"platform", "master_distributor", "distributor"},
    "doctor": {"platform", "distributor", "practice"},
    "ivr_company": {"platform", "chp", "ivr_company"},
    "shipping_logistics": {"platform", "chp", "logistics"},
}
OTHERS = ("pharmacist", "lab_tech", "marketer", "support", "patient", "proxy", "privacy_officer")


def administrator_in(world: World, kind: str) -> Actor:
    """Return a platform administrator acting inside a new organization of a kind, or in the platform."""
    if kind == "platform":
        return world.actor(world.ana, world.platform)
    with platform("test"):
        organization = OrganizationFactory(kind=kind)
    return world.actor(world.ana, organization)


def inviter(world: World, role: str, invitation_type: str) -> Actor:
    """Return somebody of a role where they work; a platform administrator where the type belongs."""
    if role == "admin":
        return administrator_in(world, JOINS.get(invitation_type, "platform"))
    return world.member(Role(role), OrganizationKind(WORKS_IN[role]))


def test_ten__the_types_of_the_specification__are_the_product_s() -> None:
    assert [role.value for role in INVITATION_TYPES] == list(TEN)
    assert set(OTHERS) | set(TEN) == set(Role.values)


@pytest.mark.seed("S0.13", "S0.14", "S0.15")
@pytest.mark.parametrize(("role", "invitation_type"), list(itertools.product(TEN, TEN)))
def test_create__ten_roles_by_ten_types__exactly_who_may(world: World, role: str, invitation_type: str) -> None:
    if invitation_type in MAY_INVITE[role]:
        actor = inviter(world, role, invitation_type)
        invitation = acts.fresh(acts.invite(actor, invitation_type))
        assert (invitation.invitation_type, invitation.status) == (invitation_type, "pending")
        assert invitation.organization == actor.organization
        assert invitation.invited_by_id == invitation.upline_id == actor.user_id
        assert acts.deliveries(invitation) == ["queued"]
        return
    acts.invite(inviter(world, "admin", invitation_type), invitation_type)
    denied = inviter(world, role, invitation_type)
    with acts.nothing_written(), pytest.raises(NotPermitted):
        acts.invite(denied, invitation_type)


@pytest.mark.seed("S0.14")
@pytest.mark.parametrize(
    ("role", "is_org_admin"),
    [(role, flag) for role in OTHERS for flag in (False, True) if not flag or role not in NEVER_ADMINISTRATORS],
)
def test_create__the_other_seven_roles__nobody(world: World, role: str, is_org_admin: bool) -> None:
    with platform("test"):
        other = MembershipFactory(organization=world.practice, role=role, is_org_admin=is_org_admin)
    denied = Actor(other.user, world.practice, frozenset({Role(role)}), is_org_admin)
    acts.invite(world.actor(world.lee), email="allowed@example.org")
    for invitation_type in TEN:
        with acts.nothing_written(), pytest.raises(NotPermitted):
            acts.invite(denied, invitation_type)


@pytest.mark.seed("S0.15")
def test_create__office_administrator__only_where_staff_may_invite_and_only_medical_staff(world: World) -> None:
    omar = world.actor(world.omar)
    acts.invite(world.actor(world.lee), email="allowed@example.org")
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        acts.invite(omar)
    acts.allow_staff_to_invite(world.practice)
    assert acts.invite(omar).invited_by == world.omar
    for invitation_type in set(TEN) - {"medical_staff"}:
        with acts.nothing_written(), pytest.raises(RoleNotAllowed):
            acts.invite(omar, invitation_type, email="other@example.org")


@pytest.mark.seed("S0.15")
def test_create__office_administrator_who_runs_the_practice__still_needs_the_setting(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.omar).update(is_org_admin=True)
    omar = Actor(world.omar, world.practice, frozenset({Role.OFFICE_ADMIN}), True)
    acts.invite(world.actor(world.lee), email="allowed@example.org")
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        acts.invite(omar)


@pytest.mark.seed("S0.15")
def test_create__medical_staff__nobody_even_where_staff_may_invite(world: World) -> None:
    acts.allow_staff_to_invite(world.practice)
    acts.invite(world.actor(world.omar), email="allowed@example.org")
    for invitation_type in TEN:
        with acts.nothing_written(), pytest.raises(NotPermitted):
            acts.invite(world.actor(world.mia), invitation_type)


@pytest.mark.seed("S0.14")
def test_create__verification_specialist__only_as_administrator_and_only_colleagues(world: World) -> None:
    boss = world.member(Role.IVR_COMPANY, OrganizationKind.IVR_COMPANY, is_org_admin=True)
    invitation = acts.invite(boss, "ivr_company")
    assert invitation.organization == boss.organization
    for invitation_type in set(TEN) - {"ivr_company"}:
        with acts.nothing_written(), pytest.raises(RoleNotAllowed):
            acts.invite(boss, invitation_type, email="other@example.org")
    colleague = world.member(Role.IVR_COMPANY, OrganizationKind.IVR_COMPANY)
    with acts.nothing_written(), pytest.raises(NotPermitted):
        acts.invite(colleague, "ivr_company")


@pytest.mark.seed("S0.14")
@pytest.mark.parametrize("kind", OrganizationKind.values)
def test_create__platform_administrator_inside_each_kind__what_can_be_sent_from_there(world: World, kind: str) -> None:
    actor = administrator_in(world, kind)
    for number, invitation_type in enumerate(TEN):
        email = f"person{number}@new.example.org"
        fitting = {JOINS[invitation_type]} if invitation_type in JOINS else FOUNDS_FROM[invitation_type]
        if kind in fitting:
            assert acts.invite(actor, invitation_type, email).organization == actor.organization
        else:
            acts.invite(administrator_in(world, sorted(fitting)[-1]), invitation_type, email)
            with acts.nothing_written(), pytest.raises(RoleNotAllowed):
                acts.invite(actor, invitation_type, email)


def test_create__somebody_with_two_roles__may_what_either_may(world: World) -> None:
    with platform("test"):
        organization = OrganizationFactory(kind="distributor")
        user = UserFactory()
    actor = Actor(user, organization, frozenset({Role.DISTRIBUTOR, Role.SALES}))
    for number, invitation_type in enumerate(("sales", "doctor")):
        acts.invite(actor, invitation_type, f"person{number}@new.example.org")
    with acts.nothing_written(), pytest.raises(RoleNotAllowed):
        acts.invite(actor, "distributor")


def test_create__system_actor__administrators_of_the_platform_only(world: World) -> None:
    actor = system_actor("command-line")
    invitation = acts.fresh(acts.invite(actor, "admin"))
    assert invitation.organization == world.platform
    assert (invitation.invited_by, invitation.upline) == (None, None)
    event = acts.trail(world.platform)[-1]
    assert (event.actor_kind, event.actor_name) == ("system", "command-line")
    for invitation_type in set(TEN) - {"admin"}:
        with acts.nothing_written(), pytest.raises(RoleNotAllowed):
            acts.invite(actor, invitation_type, "other@example.org")


@pytest.mark.seed("S0.13")
@pytest.mark.parametrize("invitation_type", ["patient", "pharmacist", "", "Doctor", "medical_staff ", "root", "\0"])
def test_create__another_type__malformed_and_refused_by_the_database(world: World, invitation_type: str) -> None:
    acts.invite(world.actor(world.lee), email="allowed@example.org")
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.invite(world.actor(world.lee), invitation_type)
    assert (refusal.value.code, refusal.value.field) == ("invitation_type", "invitation_type")
    with platform("test"), pytest.raises(DatabaseError), transaction.atomic():
        InvitationFactory(organization=world.practice, invitation_type=invitation_type)


# --- how long it lives (C1) ------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.17", "S4.5")
@pytest.mark.parametrize("invitation_type", TEN)
def test_create__no_expiry_chosen__seven_days_or_48_hours_for_those_who_run_things(
    world: World, invitation_type: str
) -> None:
    at = timezone.now()
    invitation = acts.invite(inviter(world, "admin", invitation_type), invitation_type, at=at)
    hours = 48 if invitation_type in ("admin", "chp_admin") else 7 * 24
    assert acts.fresh(invitation).expires_at == at + timedelta(hours=hours)


@pytest.mark.seed("S0.17")
def test_create__operator_set_three_days__holds_and_leaves_the_short_lived_alone(world: World, settings: Any) -> None:
    settings.INVITATION_TOKEN_EXPIRE_DAYS = 3
    at = timezone.now()
    nurse = acts.invite(world.actor(world.lee), at=at)
    administrator = acts.invite(administrator_in(world, "platform"), "admin", at=at)
    assert nurse.expires_at == at + timedelta(days=3)
    assert administrator.expires_at == at + timedelta(hours=48)


@pytest.mark.seed("S4.5")
@pytest.mark.parametrize("hours", [1, 48, 720])
def test_create__expiry_chosen__holds(world: World, hours: int) -> None:
    at = timezone.now()
    invitation = acts.invite(world.actor(world.lee), expires_in_hours=hours, at=at)
    assert acts.fresh(invitation).expires_at == at + timedelta(hours=hours)


@pytest.mark.seed("S4.5")
@pytest.mark.parametrize("hours", [0, -1, 721, 10**9])
def test_create__expiry_out_of_range__malformed_at_its_field(world: World, hours: int) -> None:
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.invite(world.actor(world.lee), expires_in_hours=hours)
    assert refusal.value.field == "expires_in_hours"


# --- names and the note ----------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Nora  ", "Nora"),
        ("Nora\r\nBcc: all@example.org", "Nora Bcc: all@example.org"),
        ("Nora\nMarie\tAnn", "Nora Marie Ann"),
        ("Nora\u2028Quist\u0085", "Nora Quist"),
        ("No\0ra\x1b[31m", "No ra [31m"),
        ("<b>Nora</b>", "<b>Nora</b>"),
        ("{{ settings.SECRET_KEY }}", "{{ settings.SECRET_KEY }}"),
        ("{% include 'x' %}", "{% include 'x' %}"),
        ("${7*7} %(secret)s {0}", "${7*7} %(secret)s {0}"),
        ("Ñora O'Brien-Łuk", "Ñora O'Brien-Łuk"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_create__names__plain_text_on_one_line(world: World, typed: str, kept: str) -> None:
    invitation = acts.fresh(acts.invite(world.actor(world.lee), first_name=typed, last_name=typed))
    assert (invitation.first_name, invitation.last_name) == (kept, kept)


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("typed", ["https://evil.example", "WWW.evil.example", "Nora http://x", "x" * 101])
@pytest.mark.parametrize("field", ["first_name", "last_name"])
def test_create__name_that_mail_programs_would_link__malformed_at_its_field(
    world: World, field: str, typed: str
) -> None:
    acts.invite(world.actor(world.lee), email="allowed@example.org", **{field: "x" * 100})
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.invite(world.actor(world.lee), **{field: typed})
    assert refusal.value.field == field


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Welcome!\r\nSee you on Monday.\n", "Welcome!\nSee you on Monday."),
        ("a\0b\x07c", "abc"),
        ("one\ttwo", "one two"),
        ("a\u202eb\u2066c", "abc"),
        ("\U0001f469\u200d\u2695", "\U0001f469\u200d\u2695"),  # a joiner makes one picture of two
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("{{ invitation_url }} {% now 'Y' %}", "{{ invitation_url }} {% now 'Y' %}"),
        ("x" * 1000, "x" * 1000),
    ],
)
def test_create__message__plain_text_with_its_lines(world: World, typed: str, kept: str) -> None:
    assert acts.fresh(acts.invite(world.actor(world.lee), message=typed)).message == kept


def test_create__message_too_long__malformed_at_its_field(world: World) -> None:
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.invite(world.actor(world.lee), message="x" * 1001)
    assert (refusal.value.code, refusal.value.field) == ("message_too_long", "message")


def test_create__language__one_of_ours(world: World) -> None:
    assert acts.fresh(acts.invite(world.actor(world.lee), language="es")).language == "es"
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.invite(world.actor(world.lee), email="other@example.org", language="xx")
    assert refusal.value.field == "language"


# --- the address -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.21")
@pytest.mark.parametrize(
    "typed",
    [
        "",
        "nora",
        "nora@",
        "@example.org",
        "nora@example",
        "nora@@example.org",
        "nora example.org",
        "no ra@example.org",
        "nora@exa mple.org",
        "nora@-example.org",
        "Nora <nora@example.org>",
        "nora@example.org, other@example.org",
        f"{'x' * 243}@example.org",
        "root@localhost",
        "nora@[192.0.2.1]",
        '"nora"@example.org',
        f"{'n' * 65}@example.org",
    ],
)
def test_create__malformed_address__says_so_at_its_field(world: World, typed: str) -> None:
    with acts.nothing_written(), pytest.raises(Malformed) as refusal:
        acts.invite(world.actor(world.lee), email=typed)
    assert (refusal.value.code, refusal.value.field) == ("email_malformed", "email")


@pytest.mark.seed("S4.21")
@pytest.mark.parametrize(
    "typed",
    [
        "nor\u0430@example.org",  # Cyrillic a
        "nora@ex\u0430mple.org",
        "nora@exampl\u00e9.org",
        "no\u200bra@example.org",  # zero-width space
        "nora\u202e@example.org",  # right-to-left override
        "no\0ra@example.org",
        "no\r\nra@example.org",
        "nora\uff20example.org@example.org",
    ],
)
def test_create__look_alike_address__refused_at_its_field(world: World, typed: str) -> None:
    acts.invite(world.actor(world.lee), email="allowed@example.org")
    with acts.nothing_written(), pytest.raises(Refused) as refusal:
        acts.invite(world.actor(world.lee), email=typed)
    assert (refusal.value.code, refusal.value.field) == ("email_look_alike", "email")


def test_create__look_alike_domain__shows_what_it_really_is(world: World) -> None:
    with pytest.raises(Refused) as refusal:
        acts.invite(world.actor(world.lee), email="nora@ex\u0430mple.org")
    assert "xn--" in str(refusal.value.message)


def test_create__address__stored_trimmed_and_in_lower_case(world: World) -> None:
    longest = f"{'x' * 242}@example.org"
    assert len(longest) == 254
    assert acts.fresh(acts.invite(world.actor(world.lee), email=" Nora.Q+Tag@Example.ORG ")).email == (
        "nora.q+tag@example.org"
    )
    assert acts.fresh(acts.invite(world.actor(world.lee), email="nora@xn--exmple-cua.org")).email is not None


# --- duplicates ------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.13")
@pytest.mark.parametrize("again", ["nora@example.org", "NORA@example.org", " Nora@Example.Org\t"])
@pytest.mark.parametrize("invitation_type", ["medical_staff", "office_admin"])
def test_create__address_with_an_open_invitation__names_the_existing_one(
    world: World, again: str, invitation_type: str
) -> None:
    first = acts.invite(world.actor(world.lee), email="Nora@example.org")
    with acts.nothing_written(), pytest.raises(DuplicateInvitation) as refusal:
        acts.invite(world.actor(world.lee), invitation_type, email=again)
    assert (refusal.value.code, refusal.value.field) == ("duplicate_invitation", "email")
    assert refusal.value.extra == {"existing": str(first.pk)}


def test_create__founding_duplicate__names_the_existing_one(world: World) -> None:
    sales = world.member(Role.SALES, OrganizationKind.DISTRIBUTOR)
    first = acts.invite(sales, "doctor")
    with acts.nothing_written(), pytest.raises(DuplicateInvitation) as refusal:
        acts.invite(sales, "doctor")
    assert refusal.value.extra == {"existing": str(first.pk)}


@pytest.mark.parametrize("other", ["n.ora@example.org", "nora+work@example.org", "nora@mail.example.org"])
def test_create__another_mailbox__is_another_invitation(world: World, other: str) -> None:
    acts.invite(world.actor(world.lee), email="nora@example.org")
    acts.invite(world.actor(world.lee), email=other)


def test_create__same_address_in_another_organization__does_not_tell_and_does_not_mind(world: World) -> None:
    acts.invite(world.actor(world.lee))
    assert acts.invite(world.actor(world.stone)).organization == world.strange_practice


@pytest.mark.seed("S4.12")
@pytest.mark.parametrize("state", ["cancelled", "declined", "expired"])
def test_create__earlier_invitation_closed__address_is_free(world: World, state: str) -> None:
    with platform("test"):
        earlier = InvitationFactory(organization=world.practice, email="nora@example.org", **{state: True})
    again = acts.invite(world.actor(world.lee))
    assert again.pk != earlier.pk
    assert again.token_hash != earlier.token_hash
    assert acts.fresh(earlier).status == state


@pytest.mark.seed("S4.11")
def test_create__overdue_and_unswept_duplicate__expired_first_and_invited_again(world: World) -> None:
    at = timezone.now()
    overdue = acts.invite(world.actor(world.lee), at=at - timedelta(days=8))
    again = acts.invite(world.actor(world.lee), at=at)
    assert acts.fresh(overdue).status == "expired"
    assert acts.fresh(again).status == "pending"
    assert acts.deliveries(overdue) == ["cancelled"]
    assert acts.actions(world.practice) == ["invitation.created", "invitation.expired", "invitation.created"]


# --- members ---------------------------------------------------------------------------------------------------------
def test_create__member_with_that_role__already_member(world: World) -> None:
    with acts.nothing_written(), pytest.raises(AlreadyMember) as refusal:
        acts.invite(world.actor(world.lee), "medical_staff", email="MIA@example.org")
    assert (refusal.value.code, refusal.value.field) == ("already_member", "email")


@pytest.mark.seed("S4.11")
def test_create__member_with_another_role__no_further_seat_even_when_all_are_taken(world: World) -> None:
    used = acts.seats_used(world.practice)
    acts.set_seat_limit(world.practice, used)
    acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    assert acts.seats_used(world.practice) == used


def test_create__member_who_left__can_be_invited_again(world: World) -> None:
    with platform("test"):
        membership = Membership.objects.get(user=world.mia)
    acts.act(end_membership, actor=world.actor(world.lee), membership_id=membership.pk, reason="left")
    assert acts.invite(world.actor(world.lee), "medical_staff", email="mia@example.org").status == "pending"


def test_create__member_with_an_open_invitation_leaves__it_goes_with_them_and_the_seat_is_free(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    with platform("test"):
        membership = Membership.objects.get(user=world.mia)
    used = acts.seats_used(world.practice)
    acts.act(end_membership, actor=world.actor(world.lee), membership_id=membership.pk, reason="left")
    assert acts.seats_used(world.practice) == used - 1
    assert acts.fresh(invitation).status == "cancelled"


# --- seats -----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S4.11")
def test_create__each__takes_one_seat(world: World) -> None:
    used = acts.seats_used(world.practice)
    for number in (1, 2, 3):
        acts.invite(world.actor(world.lee), email=f"person{number}@new.example.org")
        assert acts.seats_used(world.practice) == used + number


@pytest.mark.seed("S4.11")
def test_create__no_seat_left__conflict_and_nothing_written(world: World) -> None:
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice) + 1)
    acts.invite(world.actor(world.lee), email="last@example.org")
    with acts.nothing_written(), pytest.raises(NoSeatLeft):
        acts.invite(world.actor(world.lee))


@pytest.mark.seed("S4.11")
@pytest.mark.parametrize(
    ("role", "kind", "invitation_type"),
    [
        ("admin", "platform", "chp_admin"),
        ("chp_admin", "chp", "master_distributor"),
        ("master_distributor", "master_distributor", "distributor"),
        ("sales", "distributor", "doctor"),
        ("chp_admin", "chp", "ivr_company"),
        ("chp_admin", "chp", "shipping_logistics"),
    ],
)
def test_create__founding__takes_no_seat_even_when_all_are_taken(
    world: World, role: str, kind: str, invitation_type: str
) -> None:
    actor = world.member(Role(role), OrganizationKind(kind))
    with platform("test"):
        used = acts.seats_used(actor.organization)
    acts.set_seat_limit(actor.organization, used)
    acts.invite(actor, invitation_type)
    assert acts.seats_used(actor.organization) == used


@pytest.mark.seed("S4.11")
def test_dust_27364__forty_creates_at_once__seats_never_exceeded(committed_world: World) -> None:
    world = committed_world
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice) + 5)
    actor = world.actor(world.lee)

    def create(number: int) -> UserInvitation:
        with tenant(world.practice):
            return create_invitation(
                actor=actor,
                invitation_type="medical_staff",
                email=f"person{number}@new.example.org",
                at=timezone.now(),
            )

    results = acts.at_once(*(partial(create, number) for number in range(40)))
    assert sum(isinstance(result, UserInvitation) for result in results) == 5
    assert sum(isinstance(result, NoSeatLeft) for result in results) == 35
    acts.assert_seats_are_counted()
    assert acts.actions(world.practice) == ["invitation.created"] * 5


@pytest.mark.seed("S4.13")
def test_create__ten_at_once_for_one_address__one_invitation(committed_world: World) -> None:
    world = committed_world
    actor = world.actor(world.lee)

    def create(email: str) -> UserInvitation:
        with tenant(world.practice):
            return create_invitation(actor=actor, invitation_type="medical_staff", email=email, at=timezone.now())

    results = acts.at_once(*(partial(create, email) for email in ("nora@example.org", "NORA@example.org") * 5))
    created = [result for result in results if isinstance(result, UserInvitation)]
    assert len(created) == 1
    assert [r.extra["existing"] for r in results if isinstance(r, DuplicateInvitation)] == [str(created[0].pk)] * 9
    acts.assert_seats_are_counted()


@pytest.mark.seed("S4.11")
def test_dust_30522__expired_no_longer_counted__its_seat_is_free(world: World) -> None:
    at = timezone.now()
    overdue = acts.invite(world.actor(world.lee), email="late@example.org", at=at - timedelta(days=8))
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    acts.invite(world.actor(world.lee), at=at)  # nobody swept: the service does
    assert acts.fresh(overdue).status == "expired"
    with acts.nothing_written(), pytest.raises(NoSeatLeft):
        acts.invite(world.actor(world.lee), email="one.more@example.org", at=at)


@pytest.mark.seed("S4.11")
def test_langwatch_528__accept_of_an_invitation_without_a_seat__refused(world: World) -> None:
    at = timezone.now()
    overdue = acts.invite(world.actor(world.lee), at=at - timedelta(days=8))
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    with platform("test"):
        expire_overdue(at=at)
    acts.invite(world.actor(world.lee), email="took.the.seat@example.org", at=at)
    with acts.nothing_written(), pytest.raises(InvitationClosed):
        acts.accept(overdue, at=at)
    with acts.nothing_written(), pytest.raises(NoSeatLeft):
        acts.ask_for_new_link(acts.token_of(overdue), at=at)


@pytest.mark.seed("S4.11")
def test_sbomify_1622__invitee_on_a_full_plan__not_refused_their_own_seat(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    acts.set_seat_limit(world.practice, acts.seats_used(world.practice))
    used = acts.seats_used(world.practice)
    acts.accept(invitation)
    assert acts.seats_used(world.practice) == used


# --- the trail -------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.23", "S4.10")
def test_create__each__one_event_with_the_address_masked(world: World) -> None:
    at = timezone.now()
    invitation = acts.invite(
        world.actor(world.lee), email="Nora@example.org", first_name="Nora", message="Welcome to us", at=at
    )
    (event,) = acts.trail(world.practice)
    assert (event.action, event.outcome) == ("invitation.created", "0")
    assert (event.actor_id, event.role) == (world.lee.pk, "doctor")
    assert (event.target_type, event.target_id) == ("invitations.userinvitation", str(invitation.pk))
    assert (event.address, event.request_id) == ("192.0.2.1", "test-request")
    assert event.detail == {
        "invitation_type": "medical_staff",
        "address": "n•••@e•••.org",
        "address_digest": address_digest("nora@example.org"),
        "expires_at": (at + timedelta(days=7)).isoformat(),
    }
    shown = str(vars(event)).lower()
    assert not any(secret in shown for secret in ("nora", "welcome", invitation.token_hash, invitation.token_nonce))


def test_create__bug_after_the_insert__leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acts.invite(world.actor(world.lee), email="allowed@example.org")

    def break_down(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("invitations.services.audit.record", break_down)
    with acts.nothing_written(), pytest.raises(ZeroDivisionError):
        acts.invite(world.actor(world.lee))


def test_create__own_address__refused_and_a_colleague_s_is_not(world: World) -> None:
    acts.invite(world.actor(world.lee), "office_admin", email="mia@example.org")
    with acts.nothing_written(), pytest.raises(OwnAddress):
        acts.invite(world.actor(world.lee), "office_admin", email=" LEE@example.org")
