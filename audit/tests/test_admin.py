"""Django admin: for platform administrators alone, to look at everything and to change nothing."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AccountMail, User
from accounts.services import create_setup_link
from audit import services as audit
from audit.models import AuditEvent
from healthivr.testing.factories import InvitationFactory, MembershipFactory, OrganizationFactory, UserFactory
from healthivr.testing.pages import parse
from healthivr.testing.rows import rows_of_everything
from healthivr.testing.world import World
from invitations.models import Delivery, InvitationBatch, InvitationHistory
from invitations.states import Event
from invitations.tokens import derive_token
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import Role
from organizations.tenancy import platform
from patients.models import Patient

SignIn = Callable[[User], Client]


def registered() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def listed(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


@pytest.fixture
def full_world(world: World) -> World:
    """A row of every model."""
    rows_of_everything(world)
    with platform("test"):
        audit.record(actor=world.actor(world.lee), action="test.act", target=world.practice)
    return world


# --- who gets in -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.24")
def test_site__platform_administrator_gets_in__everybody_else_finds_nothing(world: World, sign_in: SignIn) -> None:
    support = UserFactory()
    with platform("test"):
        MembershipFactory(organization=world.platform, user=support, role=Role.SUPPORT, is_org_admin=False)
    pages = ["/admin/", *(listed(model) for model in registered()), f"/admin/accounts/user/{world.lee.pk}/change/"]
    for url in pages:
        assert sign_in(world.ana).get(url).status_code == 200, url
        for user in (world.lee, world.omar, world.mia, world.stone, support):
            response = sign_in(user).get(url, follow=True)
            assert response.status_code == 404, f"{user.email} {url}"
            assert world.lee.email not in response.text


def test_site__nobody_signed_in__sent_to_the_one_sign_in_page_and_back(world: World) -> None:
    for url in ("/admin/", "/admin/accounts/user/"):
        response = Client().get(url, follow=True)
        assert response.redirect_chain[-1][0].startswith("/sign-in/?next=")
        assert response.redirect_chain[-1][0].endswith(url.replace("/", "%2F")) or url in response.redirect_chain[-1][0]
    assert "password" not in {name for name, _view in Client().get("/admin/").context or []}


def test_site__administrator_no_longer__out_with_the_next_request(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.ana)
    assert client.get("/admin/accounts/user/").status_code == 200
    with platform("test"):
        MembershipFactory(organization=world.platform, role=Role.ADMIN, is_org_admin=True)
        Membership.objects.filter(user=world.ana).update(status="ended", ended_at=timezone.now())
    assert client.get("/admin/accounts/user/", follow=True).status_code == 404


# --- what there is to see --------------------------------------------------------------------------------------------
def test_site__models__are_ours_and_nobody_elses() -> None:
    ours = {"accounts", "audit", "invitations", "organizations", "patients"}
    assert {model._meta.app_label for model in registered()} == ours
    assert len(registered()) >= 13


@pytest.mark.parametrize("model", registered(), ids=lambda model: model._meta.label)
def test_pages__list_detail_search_and_history_of_every_model__render(
    full_world: World, sign_in: SignIn, model: type[Model]
) -> None:
    client = sign_in(full_world.ana)
    page = client.get(listed(model))
    assert page.status_code == 200
    links = re.findall(rf'href="({re.escape(listed(model))}[^"?]+/change/)', page.text)
    assert links, "the list shows no row"
    for url in links[:3]:
        assert client.get(url).status_code == 200, url
        assert client.get(url.replace("/change/", "/history/")).status_code == 200, url
    assert client.get(listed(model), {"q": "lee"}).status_code == 200
    for name in admin.site._registry[model].list_filter:
        assert client.get(listed(model), {f"{name}__exact": "active"}).status_code in (200, 302), name


def test_pages__every_one__shows_no_token_no_digest_and_no_password(full_world: World, sign_in: SignIn) -> None:
    world, client = full_world, sign_in(full_world.ana)
    secrets = {
        world.invitation.token_hash,
        world.invitation.token_nonce,
        world.invitation.token_nonce.partition(":")[2],
        derive_token(world.invitation.token_nonce),
        world.lee.password,
        "argon2id$",
        "e" * 64,
        "d" * 64,
    }
    for model in registered():
        page = client.get(listed(model))
        links = re.findall(rf'href="({re.escape(listed(model))}[^"?]+/change/)', page.text)
        texts = [page.text, *(client.get(url).text for url in links)]
        assert not [secret for secret in secrets for text in texts if secret in text], model._meta.label


@pytest.mark.parametrize("name", ["accountmail", "membership", "userinvitation", "invitationhistory", "delivery"])
def test_list__where_people_stand__names_them_by_their_address(full_world: World, sign_in: SignIn, name: str) -> None:
    with platform("test"):
        own: dict[str, Any] = {"organization": full_world.practice, "invitation": full_world.invitation}
        InvitationHistory.objects.create(event=Event.RESEND, at=timezone.now(), by=full_world.omar, **own)
    (model,) = [model for model in registered() if model._meta.model_name == name]
    page = parse(sign_in(full_world.ana).get(listed(model)).text.replace("<!DOCTYPE html>", ""))
    said = page.all("table", id="result_list")[0].text
    invited = {"userinvitation", "invitationhistory", "delivery"}
    assert (full_world.invitation.email if name in invited else full_world.lee.email) in said
    assert (full_world.omar.email in said) == (name in {"membership", "invitationhistory"})
    assert not re.search(r"\b(user|invitation) [0-9a-f]{8}-", said)


@pytest.mark.parametrize("model", registered(), ids=lambda model: model._meta.label)
def test_list__with_more_rows__asks_the_database_no_more_often(
    full_world: World, sign_in: SignIn, now: datetime, model: type[Model]
) -> None:
    client = sign_in(full_world.ana)

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(listed(model)).status_code == 200
        return len(captured)

    asked()  # the first request of a session writes it
    few = asked()
    with platform("test"):
        for _ in range(3):
            invitation = InvitationFactory(invited_by=UserFactory())
            of_practice: dict[str, Any] = {"organization": MembershipFactory().organization}
            own: dict[str, Any] = {"organization": invitation.organization, "invitation": invitation}
            Delivery.objects.create(next_try_at=now, created_at=now, **own)
            InvitationHistory.objects.create(event=Event.RESEND, at=now, by=UserFactory(), **own)
            InvitationBatch.objects.create(**of_practice)
            Patient.objects.create(**of_practice)
            OrganizationFactory(parent=of_practice["organization"])
            audit.record(actor=full_world.actor(full_world.lee), action="test.act", target=full_world.practice)
            AccountMail.objects.create(kind="password_reset", user=UserFactory(), next_try_at=now, created_at=now)
    assert asked() == few


def test_trail__of_a_record__leads_back_and_says_times_and_people_as_pages_do(
    full_world: World, sign_in: SignIn
) -> None:
    url = f"/admin/organizations/organization/{full_world.practice.pk}/"
    with platform("test"):
        event = AuditEvent.objects.get(action="test.act")
    page = parse(sign_in(full_world.ana).get(f"{url}history/").text.replace("<!DOCTYPE html>", ""))
    crumbs = [link["href"] for link in page.with_class("breadcrumbs")[0].all("a")]
    assert crumbs == ["/admin/", "/admin/organizations/", "/admin/organizations/organization/", f"{url}change/"]
    ((moment, act, by, *_rest),) = [row.all("td") for row in page.all("tbody")[0].all("tr")]
    local = event.recorded.astimezone(ZoneInfo("America/New_York"))
    assert moment.text.startswith(f"{local:%b} {local.day}, {local.year}, ")
    assert (act.text, by.text) == ("test.act", full_world.lee.email)


def test_page__of_the_site__carries_our_name_and_look(world: World, sign_in: SignIn) -> None:
    response = sign_in(world.ana).get("/admin/")
    assert "<title>" in response.text
    assert "img/favicon.svg" in response.text
    assert "css/admin.css" in response.text
    assert "<style" not in response.text


# --- what cannot be done ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", registered(), ids=lambda model: model._meta.label)
def test_model__add_and_delete__not_possible(full_world: World, sign_in: SignIn, model: type[Model]) -> None:
    client = sign_in(full_world.ana)
    with platform("test"):
        pk, before = model._default_manager.first().pk, model._default_manager.count()  # type: ignore[union-attr]
    assert client.get(f"{listed(model)}{pk}/change/").status_code in (200, 302)
    for url in (f"{listed(model)}add/", f"{listed(model)}{pk}/delete/"):
        assert client.get(url).status_code == 403, url
        assert client.post(url, {"post": "yes"}).status_code == 403, url
    client.post(listed(model), {"action": "delete_selected", "_selected_action": [str(pk)], "post": "yes"})
    with platform("test"):
        assert model._default_manager.filter(pk=pk).exists()
        assert model._default_manager.count() >= before


@pytest.mark.parametrize("model", registered(), ids=lambda model: model._meta.label)
def test_model__change__not_possible(full_world: World, sign_in: SignIn, model: type[Model]) -> None:
    client = sign_in(full_world.ana)
    with platform("test"):
        pk = model._default_manager.first().pk  # type: ignore[union-attr]
    url = f"{listed(model)}{pk}/change/"
    page = client.get(url, follow=True)
    inputs = set(re.findall(r'<(?:input|select|textarea)[^>]*\bname="([^"]+)"', page.text))
    assert not inputs & {field.name for field in model._meta.fields}
    assert client.post(url, {}).status_code == 403


def test_change__of_policy_and_plan__refused_and_as_they_were(world: World, sign_in: SignIn) -> None:
    """What weakens a policy asks for a fresh proof on the organization's page, and there is no way around it here."""
    with platform("test"):
        before = OrganizationSettings.objects.filter(organization=world.practice).values().get()
    client, url = sign_in(world.ana), f"/admin/organizations/organizationsettings/{before['id']}/change/"
    assert client.get(url).status_code == 200
    form = {"seat_limit": "50", "staff_may_invite": "on", "seats_used": "0", "plan": "free", "idle_minutes": "30"}
    assert client.post(url, form).status_code == 403
    assert sign_in(world.lee).post(url, form, follow=True).status_code == 404
    with platform("test"):
        assert OrganizationSettings.objects.filter(organization=world.practice).values().get() == before
        assert not AuditEvent.objects.filter(action__contains="edited").exists()


@pytest.mark.seed("S0.20")
def test_change__names_and_addresses_which_stand_in_mails__refused_and_as_they_were(
    world: World, sign_in: SignIn
) -> None:
    """The domain cleans them: neither a link nor what turns a line around gets into a mail from here."""
    client, trap = sign_in(world.ana), "Pay at https://evil.example \u202egnp"
    organization = f"/admin/organizations/organization/{world.practice.pk}/change/"
    person = f"/admin/accounts/user/{world.lee.pk}/change/"
    assert client.get(organization).status_code == client.get(person).status_code == 200
    form = {"name": trap, "state": "inactive", "slug": "stolen", "kind": "chp", "parent": ""}
    assert client.post(organization, form).status_code == 403
    form = {"first_name": trap, "last_name": trap, "email": "eve@example.org", "is_active": "", "password": "x"}
    assert client.post(person, form).status_code == 403
    practice, lee = Organization.objects.get(pk=world.practice.pk), User.objects.get(pk=world.lee.pk)
    assert (practice.name, practice.state, practice.slug) == ("Lee Family Practice", "active", "lee-family-practice")
    assert (lee.get_full_name(), lee.email, lee.is_active) == ("Jun Lee", "lee@example.org", True)


def test_password__of_somebody__cannot_be_set_here(world: World, sign_in: SignIn) -> None:
    client = sign_in(world.ana)
    assert client.get(f"/admin/accounts/user/{world.lee.pk}/change/").status_code == 200
    assert client.get(f"/admin/accounts/user/{world.lee.pk}/password/").status_code in (302, 404)
    assert create_setup_link(at=timezone.now()) is None


# --- what a filter gives away ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "query",
    [
        "accounts/user/?password__startswith=argon2",
        "accounts/user/?password=x",
        "accounts/user/?email__regex=(",
        "accounts/setuplink/?digest__startswith=d",
        "invitations/userinvitation/?token_hash__startswith=0",
        "invitations/userinvitation/?token_nonce__contains=:",
        "invitations/userinvitation/?invited_by__password__startswith=a",
        "invitations/userinvitation/?expires_at__gte=9999-12-31T23:59:59-23:59",
        "organizations/membership/?user__password__startswith=a",
        "audit/auditevent/?recorded__year=99999",
        "r/1/1/",
    ],
)
def test_filter__by_what_no_filter_shows__refused(full_world: World, sign_in: SignIn, query: str) -> None:
    assert sign_in(full_world.ana).get(f"/admin/{query}").status_code in (400, 404)


@pytest.mark.parametrize(
    "query",
    ["audit/auditevent/?outcome__exact=0", "organizations/membership/?role__exact=admin&is_org_admin__exact=1"],
)
def test_filter__of_the_page__works(full_world: World, sign_in: SignIn, query: str) -> None:
    assert sign_in(full_world.ana).get(f"/admin/{query}").status_code == 200
