"""Who somebody is in an organization, and the way from one to another: URL, header, switcher."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from audit.models import AuditEvent
from healthivr.kernel.errors import NotFound
from healthivr.testing.factories import MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.pages import browser, read
from healthivr.testing.world import World
from organizations.actor import Actor
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import Capability, OrganizationKind, Role, can_work_in, capabilities
from organizations.selectors import (
    actor_in,
    invitable_types,
    is_platform_administrator,
    organizations_of,
    practices_administered_by,
)
from organizations.standing import (
    NoMembership,
    OrganizationHeaderMissing,
    OrganizationInactive,
    Standing,
    ask_standing,
    read_standing,
)
from organizations.tenancy import platform, tenant

API = "/api/v1/invitations/"


def acting(user: User, organization: Organization) -> Actor:
    with tenant(organization):
        return actor_in(user=user, organization=organization, ip="192.0.2.1", request_id="test-request")


def join(user: User, organization: Organization, **values: object) -> Membership:
    with platform("test"):
        return MembershipFactory(user=user, organization=organization, **values)


# --- actor_in --------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.23")
def test_actor__member__with_their_roles(world: World) -> None:
    join(world.omar, world.practice, role=Role.MEDICAL_STAFF)
    actor = acting(world.omar, world.practice)
    assert actor == Actor(
        world.omar,
        world.practice,
        frozenset({Role.OFFICE_ADMIN, Role.MEDICAL_STAFF}),
        False,
        "192.0.2.1",
        "test-request",
        staff_may_invite=False,
    )
    assert acting(world.lee, world.practice).is_org_admin


def test_actor__organization_whose_staff_may_invite__knows_it_from_the_same_statement(
    world: World, django_assert_num_queries: Callable[..., AbstractContextManager[object]]
) -> None:
    with platform("test"):
        OrganizationSettings.objects.filter(organization=world.practice).update(staff_may_invite=True)
    with tenant(world.practice), django_assert_num_queries(1):
        omar = actor_in(user=world.omar, organization=world.practice, ip="192.0.2.1", request_id="test-request")
        assert invitable_types(actor=omar) == [Role.MEDICAL_STAFF]


@pytest.mark.seed("S0.24")
def test_actor__stranger_former_member_or_deactivated__the_organization_does_not_exist(world: World) -> None:
    assert acting(world.lee, world.practice).user == world.lee
    former, gone = UserFactory(), UserFactory()
    join(former, world.practice, status="ended", ended_at=timezone.now())
    join(gone, world.practice)
    assert acting(gone, world.practice).user == gone
    User.objects.filter(pk=gone.pk).update(is_active=False)
    for user in (world.stone, former, gone):
        with pytest.raises(NotFound):
            acting(user, world.practice)


def test_actor__platform_administrator__inside_any_organization(world: World) -> None:
    for organization in (world.practice, world.strange_practice, world.platform):
        actor = acting(world.ana, organization)
        assert (actor.roles, actor.is_org_admin, actor.is_platform_staff) == (frozenset({Role.ADMIN}), True, True)
        assert actor.organization == organization


@pytest.mark.seed("S2.23")
def test_actor__platform_administrator_who_is_a_member_too__has_the_rights_of_both(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    people = "/o/lee-family-practice/people/"
    assert sign_in(world.ana).get(people).status_code == 200
    own = join(world.ana, world.practice, role=Role.MEDICAL_STAFF)
    actor = acting(world.ana, world.practice)
    assert (actor.roles, actor.is_org_admin) == (frozenset({Role.ADMIN, Role.MEDICAL_STAFF}), True)
    assert actor.role == "admin"
    assert sign_in(world.ana).get(people).status_code == 200
    join(UserFactory(), world.platform, role=Role.ADMIN, is_org_admin=True)
    with platform("test"):
        Membership.objects.filter(user=world.ana).exclude(pk=own.pk).update(status="ended", ended_at=timezone.now())
    assert acting(world.ana, world.practice).roles == {Role.MEDICAL_STAFF}
    assert sign_in(world.ana).get(people).status_code == 403


def test_platform_administrator__only_the_role_there_of_an_active_person(world: World) -> None:
    assert is_platform_administrator(world.ana)
    assert not is_platform_administrator(world.lee)
    join(UserFactory(), world.platform, role=Role.ADMIN, is_org_admin=True)
    User.objects.filter(pk=world.ana.pk).update(is_active=False)
    assert not is_platform_administrator(world.ana)


def test_actor__other_platform_staff__no_way_into_other_organizations(world: World) -> None:
    support = UserFactory()
    join(support, world.platform, role=Role.SUPPORT)
    assert acting(support, world.platform).roles == {Role.SUPPORT}
    assert not is_platform_administrator(support)
    assert is_platform_administrator(world.ana)
    with pytest.raises(NotFound):
        acting(support, world.practice)


@pytest.mark.seed("S2.17")
def test_actor__organization_switched_off__members_are_told_staff_get_in_strangers_see_nothing(world: World) -> None:
    assert acting(world.lee, world.practice)
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    organization = Organization.objects.get(pk=world.practice.pk)
    with pytest.raises(OrganizationInactive):
        acting(world.lee, organization)
    assert acting(world.ana, organization).is_platform_staff
    with pytest.raises(NotFound):
        acting(world.stone, organization)


def standing(user: User, reference: str) -> Standing:
    return read_standing(ask_standing(user=user, reference=reference))


def test_standing__by_slug_or_id__else_not_found(world: World) -> None:
    named = standing(world.lee, "lee-family-practice").organization
    read = Organization.objects.get(pk=world.practice.pk)
    for field in Organization._meta.concrete_fields:
        assert getattr(named, field.attname) == getattr(read, field.attname)
    assert standing(world.lee, str(world.practice.pk)).organization == world.practice
    for reference in ("nowhere", str(uuid4()), "?", "a\0b", "Lee-Family-Practice", "stone-clinic"):
        with pytest.raises(NotFound):
            standing(world.lee, reference)
    assert standing(world.ana, "stone-clinic").organization == world.strange_practice


def test_standing__of_who_names_none__in_the_only_active_one(world: World) -> None:
    assert standing(world.lee, "").organization == world.practice
    join(world.lee, world.practice, role=Role.OFFICE_ADMIN)
    assert standing(world.lee, "").roles == {Role.DOCTOR, Role.OFFICE_ADMIN}
    join(world.lee, world.strange_practice, role=Role.OFFICE_ADMIN)
    with pytest.raises(OrganizationHeaderMissing):
        standing(world.lee, "")
    Organization.objects.filter(pk=world.strange_practice.pk).update(state="inactive")
    assert standing(world.lee, "").organization == world.practice
    with pytest.raises(NoMembership):
        standing(world.stone, "")


# --- the switcher ----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.30")
def test_switcher__several_memberships__active_organizations_by_name_once_each(world: World) -> None:
    join(world.lee, world.strange_practice, role=Role.OFFICE_ADMIN)
    join(world.lee, world.practice, role=Role.MEDICAL_STAFF)
    join(world.lee, world.platform, role=Role.SUPPORT, status="ended", ended_at=timezone.now())
    assert [(str(b.organization), str(b.role_label)) for b in organizations_of(world.lee)] == [
        ("lee-family-practice", "Doctor, Medical staff"),
        ("stone-clinic", "Office administrator"),
    ]
    Organization.objects.filter(pk=world.strange_practice.pk).update(state="inactive")
    assert [str(b.organization) for b in organizations_of(world.lee)] == ["lee-family-practice"]
    assert organizations_of(UserFactory()) == []


def test_practices_somebody_runs__those_alone(world: World) -> None:
    join(world.lee, world.strange_practice, role=Role.DOCTOR)
    assert practices_administered_by(world.lee) == [world.practice]
    assert practices_administered_by(world.omar) == []
    assert practices_administered_by(world.ana) == []


@pytest.mark.seed("S2.30")
@pytest.mark.parametrize(("others", "has_search"), [(7, False), (8, True)])
def test_switcher__on_the_page__all_with_role_the_present_one_marked_a_search_from_nine_on(
    world: World, others: int, has_search: bool
) -> None:
    with platform("test"):
        for number in range(others):
            MembershipFactory(organization=OrganizationFactory(name=f"Clinic {number}"), user=world.lee)
    page = read(browser(world.lee).get("/o/lee-family-practice/"))
    (panel,) = [details for details in page.tree.all("details") if "switcher" in details.classes]
    entries = [entry for entry in panel.all("a") if "menu-item" in entry.classes]
    assert len(entries) == others + 1
    assert entries[0].text == "Clinic 0 Doctor"
    assert [entry.text for entry in entries if entry["aria-current"]] == ["Lee Family Practice Doctor You are here"]
    assert bool(panel.with_class("menu-panel")[0]["data-filter"]) is has_search


@pytest.mark.seed("S2.30")
def test_switcher__what_was_shown_before__kept_by_no_cache_and_mixed_into_no_fragment(world: World) -> None:
    join(world.lee, world.strange_practice, role=Role.DOCTOR, is_org_admin=True)
    client = browser(world.lee)
    words = {"lee-family-practice": "new.nurse@example.org", "stone-clinic": "other@example.org"}
    for path in ("", "invitations/", "people/", "settings/", "welcome/"):
        for headers in ({}, {"HX-Request": "true"}):
            shown = {slug: client.get(f"/o/{slug}/{path}", headers=headers) for slug in words}
            for answer in shown.values():
                assert answer.status_code == 200
                assert "no-store" in answer["Cache-Control"]  # the back button asks again
            if path == "invitations/":
                for slug, word in words.items():
                    assert [name for name in words if word in shown[name].text] == [slug]
    mine = client.get("/o/lee-family-practice/people/").text
    assert "mia@example.org" in mine
    assert "stone@example.org" not in mine
    # An id of one organization is none in the other, though both are mine.
    here = f"/o/lee-family-practice/invitations/{world.invitation.pk}/"
    assert client.get(here).status_code == 200
    assert client.get(here.replace("lee-family-practice", "stone-clinic")).status_code == 404


@pytest.mark.seed("S2.30", "S3.0")
@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_overview__of_each_role__renders_and_leads_only_where_it_may_go(world: World, role: Role) -> None:
    kind = next(kind for kind in OrganizationKind if can_work_in(role, kind))
    actor = world.member(role, kind)
    assert actor.user
    client = browser(actor.user)
    home = f"/o/{actor.organization.slug}/"
    page = read(client.get(home))
    assert "new.nurse@example.org" not in page.text
    led = {url for url in page.links.values() if url.startswith(home)}
    assert home in led
    for url in led:
        assert client.get(url).status_code == 200, url
    may_invite = bool(capabilities(roles=frozenset({role}), is_org_admin=False) & {Capability.INVITE})
    if not may_invite:
        assert f"{home}invitations/new/" not in led


@pytest.mark.seed("S2.30", "S3.0")
def test_overview__of_platform_staff__leads_to_the_organizations(world: World) -> None:
    client = browser(world.ana)
    page = read(client.get("/o/platform/"))
    assert page.links["All organizations"] == "/o/platform/organizations/"
    assert client.get("/o/platform/organizations/").status_code == 200


# --- the API's header ------------------------------------------------------------------------------------------------
def invitation_addresses(response: object) -> list[str]:
    return [row["email"] for row in response.json()["results"]]  # type: ignore[attr-defined]


def test_api__one_membership__header_may_be_left_out(world: World, sign_in: Callable[[User], Client]) -> None:
    client = sign_in(world.lee)
    for headers in (
        {},
        {"HTTP_X_ORGANIZATION": "lee-family-practice"},
        {"HTTP_X_ORGANIZATION": str(world.practice.pk)},
    ):
        response = client.get(API, **headers)
        assert (response.status_code, invitation_addresses(response)) == (200, ["new.nurse@example.org"])


def test_api__several_memberships__header_decides_and_is_required(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    join(world.lee, world.strange_practice, role=Role.DOCTOR, is_org_admin=True)
    client = sign_in(world.lee)
    assert invitation_addresses(client.get(API, HTTP_X_ORGANIZATION="stone-clinic")) == ["other@example.org"]
    assert invitation_addresses(client.get(API, HTTP_X_ORGANIZATION="lee-family-practice")) == ["new.nurse@example.org"]
    response = client.get(API)
    assert (response.status_code, response.json()["code"]) == (400, "organization_required")


def test_api__no_membership__says_so(world: World, sign_in: Callable[[User], Client]) -> None:
    assert sign_in(world.lee).get(API).status_code == 200
    response = sign_in(UserFactory()).get(API)
    assert (response.status_code, response.json()["code"]) == (403, "no_membership")


@pytest.mark.seed("S0.24", "S4.7")
def test_api__another_organization__answers_like_one_that_does_not_exist(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    client = sign_in(world.lee)
    assert client.get(API, HTTP_X_ORGANIZATION="lee-family-practice").status_code == 200
    answers = []
    for reference in ("stone-clinic", str(world.strange_practice.pk), "nowhere", str(uuid4())):
        response = client.get(API, HTTP_X_ORGANIZATION=reference)
        answers.append((response.status_code, {**response.json(), "request_id": ""}))
    assert answers[0][0] == 404
    assert all(answer == answers[0] for answer in answers)


def test_api__organization_switched_off__403(world: World, sign_in: Callable[[User], Client]) -> None:
    client = sign_in(world.lee)
    assert client.get(API, HTTP_X_ORGANIZATION="lee-family-practice").status_code == 200
    Organization.objects.filter(pk=world.practice.pk).update(state="inactive")
    response = client.get(API, HTTP_X_ORGANIZATION="lee-family-practice")
    assert response.status_code == 403
    assert response.json()["code"] == "organization_inactive"
    with tenant(world.practice):
        event = AuditEvent.objects.get()
    assert (event.action, event.outcome, event.actor_id) == ("access.refused", "4", world.lee.pk)
    assert (event.detail["route"], event.request_id) == ("invitations_api:list", response["X-Request-ID"])
    assert client.get("/o/lee-family-practice/invitations/").status_code == 403
    assert sign_in(world.stone).get(API, HTTP_X_ORGANIZATION="lee-family-practice").status_code == 404
    with tenant(world.practice):
        assert [event.detail["route"] for event in AuditEvent.objects.order_by("sequence")][1:] == ["invitations:list"]
    assert sign_in(world.ana).get(API, HTTP_X_ORGANIZATION="lee-family-practice").status_code == 200


# --- pages -----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.24")
def test_page__organization_in_the_url__two_tabs_two_organizations(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    join(world.lee, world.strange_practice, role=Role.DOCTOR, is_org_admin=True)
    client = sign_in(world.lee)
    for _turn in range(2):
        assert "new.nurse@example.org" in client.get("/o/lee-family-practice/invitations/").text
        other = client.get("/o/stone-clinic/invitations/").text
        assert "other@example.org" in other
        assert "new.nurse@example.org" not in other
