"""Who may invite whom, who founds and who joins, and what a role may do: domain.md 3, written down a second time."""

from dataclasses import FrozenInstanceError
from itertools import product

import pytest

from healthivr.kernel.errors import NotPermitted
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.models import Organization, OrganizationSettings
from organizations.roles import (
    INVITATION_TYPES,
    ROLE_CAPABILITIES,
    ROLE_SENTENCES,
    Capability,
    OrganizationKind,
    Role,
    can_be_sent_from,
    capabilities,
    founds_organization,
    may_invite,
)
from organizations.selectors import invitable_types, system_actor
from organizations.tenancy import platform, tenant

TEN_TYPES = [
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
]
#: The matrix, without the two that depend on more than the role.
MATRIX = {
    "admin": TEN_TYPES,
    "chp_admin": ["master_distributor", "ivr_company", "shipping_logistics"],
    "master_distributor": ["distributor"],
    "distributor": ["sales"],
    "sales": ["doctor"],
    "doctor": ["office_admin", "medical_staff"],
}
EVERY_ROLE = [
    *TEN_TYPES,
    *("pharmacist", "lab_tech", "marketer", "support", "patient", "proxy", "privacy_officer"),
]


def expected(role: str, invitation_type: str, *, is_org_admin: bool, staff_may_invite: bool) -> bool:
    if role == "office_admin":
        return invitation_type == "medical_staff" and staff_may_invite
    if role == "ivr_company":
        return invitation_type == "ivr_company" and is_org_admin
    return invitation_type in MATRIX.get(role, [])


@pytest.mark.seed("S0.13", "S3.0", "C6")
def test_types__are_the_ten__and_each_has_a_sentence_and_a_label() -> None:
    assert [str(role) for role in INVITATION_TYPES] == TEN_TYPES
    assert set(ROLE_SENTENCES) == set(INVITATION_TYPES)
    assert all(str(sentence).endswith(".") for sentence in ROLE_SENTENCES.values())
    assert sorted(Role.values) == sorted(EVERY_ROLE)


@pytest.mark.seed("S2.10", "C6")
def test_roles__of_every_source_document__exist() -> None:
    assert {"admin", "doctor", "lab_tech", "pharmacist", "marketer", "support"} <= set(Role.values)


@pytest.mark.seed("S0.14", "S0.15")
@pytest.mark.parametrize(("role", "invitation_type"), list(product(EVERY_ROLE, [*TEN_TYPES, "patient", "proxy"])))
def test_matrix__every_role_and_type__as_the_domain_says(role: str, invitation_type: str) -> None:
    for is_org_admin, staff_may_invite in product([False, True], repeat=2):
        flags = {"is_org_admin": is_org_admin, "staff_may_invite": staff_may_invite}
        decided = may_invite(Role(role), Role(invitation_type), **flags)
        assert decided == expected(role, invitation_type, **flags), flags


#: Where a type may be sent from, and what becomes of the invitee there.
JOINS_ONLY = {"admin": "platform", "sales": "distributor", "office_admin": "practice", "medical_staff": "practice"}
#: Beside the platform: where in the chain an organization of a kind has its place.
PARENTS: dict[str, set[str]] = {
    "chp": set(),
    "master_distributor": {"chp"},
    "distributor": {"master_distributor"},
    "practice": {"distributor"},
    "ivr_company": {"chp"},
    "logistics": {"chp"},
}
FOUNDS_ELSEWHERE = {
    "chp_admin": "chp",
    "master_distributor": "master_distributor",
    "distributor": "distributor",
    "doctor": "practice",
    "ivr_company": "ivr_company",
    "shipping_logistics": "logistics",
}


@pytest.mark.parametrize(("invitation_type", "kind"), list(product(TEN_TYPES, OrganizationKind.values)))
def test_founds_or_joins__every_type_and_kind__as_the_domain_says(invitation_type: str, kind: str) -> None:
    role, sender = Role(invitation_type), OrganizationKind(kind)
    if invitation_type in JOINS_ONLY:
        assert not founds_organization(role, sender)
        assert can_be_sent_from(role, sender) == (kind == JOINS_ONLY[invitation_type])
    else:
        home = FOUNDS_ELSEWHERE[invitation_type]
        assert founds_organization(role, sender) == (kind != home)
        assert can_be_sent_from(role, sender) == (kind in {"platform", home, *PARENTS[home]})


# --- what an actor may choose, in the database -----------------------------------------------------------------------
AT_HOME = [
    ("admin", "platform", {"is_org_admin": True}, [t for t in TEN_TYPES if t not in JOINS_ONLY or t == "admin"]),
    ("chp_admin", "chp", {}, ["master_distributor", "ivr_company", "shipping_logistics"]),
    ("master_distributor", "master_distributor", {}, ["distributor"]),
    ("distributor", "distributor", {}, ["sales"]),
    ("sales", "distributor", {}, ["doctor"]),
    ("doctor", "practice", {}, ["office_admin", "medical_staff"]),
    ("office_admin", "practice", {}, []),
    ("office_admin", "practice", {"is_org_admin": True}, []),
    ("medical_staff", "practice", {}, []),
    ("ivr_company", "ivr_company", {}, []),
    ("ivr_company", "ivr_company", {"is_org_admin": True}, ["ivr_company"]),
    ("shipping_logistics", "logistics", {"is_org_admin": True}, []),
]


@pytest.mark.seed("S0.14")
@pytest.mark.parametrize(("role", "kind", "flags", "types"), AT_HOME)
def test_invitable_types__of_each_role_at_home(
    world: World, role: str, kind: str, flags: dict[str, bool], types: list[str]
) -> None:
    actor = world.member(Role(role), OrganizationKind(kind), **flags)
    with tenant(actor.organization):
        assert [str(found) for found in invitable_types(actor=actor)] == types


@pytest.mark.seed("S0.15")
def test_invitable_types__office_administrator__only_where_the_organization_allows_it(world: World) -> None:
    omar = world.actor(world.omar)
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=True)
    with tenant(world.practice):
        assert invitable_types(actor=omar) == [Role.MEDICAL_STAFF]
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=False)
    with tenant(world.practice):
        assert invitable_types(actor=omar) == []


def test_invitable_types__platform_administrator_inside_a_practice__who_works_in_practices(world: World) -> None:
    ana = world.actor(world.ana, world.practice)
    with tenant(world.practice):
        types = invitable_types(actor=ana)
    assert {"office_admin", "medical_staff", "doctor"} <= {str(t) for t in types}
    assert not {"admin", "sales"} & {str(t) for t in types}


# --- capabilities ----------------------------------------------------------------------------------------------------
ADMINISTRATION = {
    "invitations.view",
    "invitations.view_all",
    "invitations.manage_all",
    "people.view",
    "people.manage",
    "organization.view",
    "organization.manage",
    "organizations.view",
    "people.accounts",
    "people.unlock",
    "people.review",
    "agreements.manage",
    "compliance.view",
}
INVITING = {"invitations.view", "invitations.create"}
RIGHTS = {
    "admin": ADMINISTRATION
    | INVITING
    | {"organization.downline", "organizations.run", "practitioners.approve", "accounts.run", "agreements.draft"},
    "chp_admin": INVITING
    | {
        "organization.view",
        "organizations.view",
        "organization.downline",
        "people.view",
        "compliance.view",
    },
    "master_distributor": INVITING | {"organization.view", "organizations.view", "organization.downline"},
    "distributor": INVITING | {"organization.view", "organizations.view", "organization.downline"},
    "sales": INVITING | {"organization.view"},
    "doctor": INVITING | {"organization.view", "people.view"},
    "office_admin": INVITING | {"organization.view", "people.view"},
    "medical_staff": {"organization.view"},
    "ivr_company": {"organization.view"},
    "shipping_logistics": {"organization.view"},
    "pharmacist": {"organization.view"},
    "lab_tech": {"organization.view"},
    "marketer": {"organization.view"},
    "support": {"organization.view", "people.view", "people.accounts", "people.unlock"},
    "patient": set(),
    "proxy": set(),
    "privacy_officer": {"organization.view", "people.view", "people.accounts", "people.review", "compliance.view"},
}


@pytest.mark.seed("S2.24", "C6")
@pytest.mark.parametrize("role", EVERY_ROLE)
def test_capabilities__of_each_role__exactly_these(role: str) -> None:
    plain = capabilities(roles=frozenset({Role(role)}), is_org_admin=False)
    assert {str(capability) for capability in plain} == RIGHTS[role]
    running = capabilities(roles=frozenset({Role(role)}), is_org_admin=True)
    inviting = INVITING if role == "ivr_company" else set()
    assert {str(capability) for capability in running} == RIGHTS[role] | ADMINISTRATION | inviting
    assert Role(role) in ROLE_CAPABILITIES


def test_capabilities__several_roles__add_up_and_none_gives_none() -> None:
    both = capabilities(roles=frozenset({Role.MEDICAL_STAFF, Role.SUPPORT}), is_org_admin=False)
    assert both == {
        Capability.VIEW_ORGANIZATION,
        Capability.VIEW_PEOPLE,
        Capability.VIEW_ACCOUNTS,
        Capability.UNLOCK_PEOPLE,
    }
    assert capabilities(roles=frozenset(), is_org_admin=False) == frozenset()


def test_actor__requires_a_right__has_it_or_is_refused(world: World) -> None:
    world.actor(world.lee).require(Capability.MANAGE_PEOPLE)
    with pytest.raises(NotPermitted):
        world.actor(world.omar).require(Capability.MANAGE_PEOPLE)
    world.actor(world.ana).require_platform_staff()
    with pytest.raises(NotPermitted):
        world.actor(world.lee).require_platform_staff()


def test_actor__cannot_be_changed_and_names_its_first_role() -> None:
    actor = Actor(None, Organization(), frozenset({Role.MEDICAL_STAFF, Role.DOCTOR}))
    assert actor.role == "doctor"
    with pytest.raises(FrozenInstanceError):
        actor.is_org_admin = True  # type: ignore[misc]


def test_system_actor__may_do_what_its_code_does_and_is_nobody() -> None:
    actor = system_actor("sweep")
    assert (actor.user_id, actor.system, actor.role) == (None, "sweep", "")
    assert all(actor.has(capability) for capability in Capability)
    assert not actor.is_platform_staff
