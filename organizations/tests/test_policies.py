"""What an organization's administrators decide: which values there are, and that each decision stands in the trail."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotPermitted
from healthivr.testing.world import World
from organizations.actor import Actor, StepUpRequired
from organizations.models import OrganizationSettings
from organizations.policies import InvitationPolicy, clean_domains, lowers
from organizations.scopes import Scope
from organizations.selectors import settings_of
from organizations.services import update_organization
from organizations.tenancy import platform, tenant

POLICIES: dict[str, Any] = {
    "idle_minutes": 7,
    "invitation_hours": 24,
    "requires_second_factor": True,
    "email_domains": ["example.org", "Clinic.Example"],
}


def decide(world: World, *, at: datetime, **values: Any) -> None:
    with tenant(world.practice):
        update_organization(actor=world.actor(world.lee), at=at, **values)


def stored(world: World) -> dict[str, Any]:
    with platform("test"):
        settings = settings_of(world.practice)
    return {field: getattr(settings, field) for field in POLICIES}


@pytest.mark.seed("S2.26")
def test_policies__decided__stored_and_one_event_with_before_and_after(world: World, now: datetime) -> None:
    decide(world, at=now, **POLICIES)
    assert stored(world) == {**POLICIES, "email_domains": ["clinic.example", "example.org"]}
    with tenant(world.practice):
        (event,) = AuditEvent.objects.all()
    assert event.changes == {
        "idle_minutes": ["15", "7"],
        "invitation_hours": ["", "24"],
        "requires_second_factor": ["false", "true"],
        "email_domains": ["", "clinic.example example.org"],
    }


def test_policies__one_of_them__the_others_stay(world: World, now: datetime) -> None:
    decide(world, at=now, **POLICIES)
    decide(world, at=now, idle_minutes=9)
    assert stored(world) == {**POLICIES, "idle_minutes": 9, "email_domains": ["clinic.example", "example.org"]}
    decide(world, at=now, invitation_hours=None, email_domains=[], requires_second_factor=False)
    assert stored(world) == {
        "idle_minutes": 9,
        "invitation_hours": None,
        "requires_second_factor": False,
        "email_domains": [],
    }


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("idle_minutes", [4, 31, 0, -5]),
        ("invitation_hours", [0, 721, -1]),
        ("email_domains", [["nothing"], ["a b.org"], ["x" * 64 + ".org"], [f"d{n}.example" for n in range(51)]]),
    ],
)
def test_policies__out_of_range__refused_at_their_field_and_nothing_written(
    world: World, now: datetime, field: str, values: list[Any]
) -> None:
    before = stored(world)
    for value in values:
        with pytest.raises(Malformed) as refused:
            decide(world, at=now, name="Renamed", **{field: value})
        assert (refused.value.code, refused.value.field) == (field, field)
    assert stored(world) == before
    decide(world, at=now, **{field: POLICIES[field]})
    assert stored(world) != before


@pytest.mark.parametrize(("field", "edges"), [("idle_minutes", [5, 30]), ("invitation_hours", [1, 720])])
def test_policies__at_the_edges__taken(world: World, now: datetime, field: str, edges: list[int]) -> None:
    for edge in edges:
        decide(world, at=now, **{field: edge})
        assert stored(world)[field] == edge


@pytest.mark.seed("S2.24")
def test_policies__without_the_right__refused(world: World, now: datetime) -> None:
    decide(world, at=now, idle_minutes=10)
    for person in (world.omar, world.mia):
        with pytest.raises(NotPermitted), tenant(world.practice):
            update_organization(actor=world.actor(person), at=now, idle_minutes=30)
    assert stored(world)["idle_minutes"] == 10


# --- domains ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["example.org"], ["example.org"]),
        (["  @Example.ORG. ", "example.org", ""], ["example.org"]),
        (["b.example", "a.example"], ["a.example", "b.example"]),
        (["praxis-müller.de"], ["xn--praxis-mller-klb.de"]),
        (["xn--praxis-mller-klb.de", "PRAXIS-MÜLLER.de"], ["xn--praxis-mller-klb.de"]),
        (["ⓔxample.org"], ["example.org"]),
        ([], []),
    ],
)
def test_domains__typed_in_many_ways__one_form(typed: list[str], kept: list[str]) -> None:
    assert clean_domains(typed) == kept


@pytest.mark.parametrize(
    "line",
    ["org", "nora@example.org", "*.example.org", "exa mple.org", "192.0.2.1", "-x.org", "a..org", "https://a.org", "@"],
)
def test_domains__line_that_is_none__quoted(line: str) -> None:
    with pytest.raises(Malformed) as refused:
        clean_domains(["example.org", line, "also wrong"])
    reasons = [str(reason) for reason in refused.value.extra["reasons"]]
    assert len(reasons) == 2
    assert f"“{line}”" in reasons[0]
    assert "“also wrong”" in reasons[1]


@pytest.mark.parametrize(
    ("domains", "address", "allowed"),
    [
        ((), "nora@anywhere.example", True),
        (("example.org",), "nora@example.org", True),
        (("example.org",), "nora@sub.example.org", False),
        (("example.org",), "nora@notexample.org", False),
        (("example.org",), "example.org@evil.example", False),
        (("a.example", "b.example"), "nora@b.example", True),
    ],
)
def test_policy__address__its_whole_domain_decides(domains: tuple[str, ...], address: str, allowed: bool) -> None:
    assert InvitationPolicy(email_domains=domains).allows(address) is allowed


# --- weaker ----------------------------------------------------------------------------------------------------------
#: Of each policy, a value and one that makes it weaker. The other way round it is stronger.
WEAKER: list[tuple[str, Any, Any]] = [
    ("requires_second_factor", True, False),
    ("staff_may_invite", False, True),
    ("idle_minutes", 10, 11),
    ("invitation_hours", 24, 25),
    ("invitation_hours", 24, None),
    ("email_domains", ["example.org"], []),
    ("email_domains", ["example.org"], ["clinic.example", "example.org"]),
    ("email_domains", ["clinic.example", "example.org"], ["other.example"]),
]


@pytest.mark.seed("S2.24")
@pytest.mark.parametrize(("policy", "strong", "weak"), WEAKER)
def test_policy__made_weaker__needs_a_fresh_proof_and_no_key_has_one(
    world: World, now: datetime, policy: str, strong: Any, weak: Any
) -> None:
    lee = replace(world.actor(world.lee), verified_at=now - timedelta(minutes=4))
    stale = replace(lee, verified_at=now - timedelta(minutes=6))
    key = replace(lee, verified_at=None, scopes=frozenset(Scope))

    def now_is() -> Any:
        with platform("test"):
            return getattr(settings_of(world.practice), policy)

    def decided(actor: Actor, value: Any) -> None:
        with tenant(world.practice):
            update_organization(actor=actor, **{policy: value}, at=now)

    for actor in (stale, key):
        with platform("test"):
            OrganizationSettings.objects.filter(organization=world.practice).update(**{policy: strong})
        with pytest.raises(StepUpRequired):
            decided(actor, weak)
        decided(actor, strong)  # as it is: nothing is weaker
        assert now_is() == strong
    decided(lee, weak)
    assert now_is() == weak


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        ("requires_second_factor", False, True),
        ("staff_may_invite", True, False),
        ("idle_minutes", 11, 10),
        ("invitation_hours", 25, 24),
        ("invitation_hours", None, 24),
        ("email_domains", [], ["example.org"]),
        ("email_domains", ["clinic.example", "example.org"], ["example.org"]),
    ],
)
def test_policy__made_stronger__needs_none(world: World, now: datetime, policy: str, before: Any, after: Any) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(**{policy: before})
    with tenant(world.practice):
        update_organization(actor=replace(world.actor(world.lee), verified_at=None), **{policy: after}, at=now)
    with platform("test"):
        assert getattr(settings_of(world.practice), policy) == after


def test_policy__of_which_nobody_said_what_is_weaker__no_answer() -> None:
    with pytest.raises(ValueError, match="colour"):
        lowers("colour", 1, 2)
