"""/verify/: a fresh proof of who one is, and back to what one was doing."""

from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User, UserSession
from audit.models import AuditEvent
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import phone_of
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.world import World
from organizations import views
from organizations.actor import StepUpRequired
from organizations.forms import ServiceForm
from organizations.models import Membership, OrganizationSettings
from organizations.tenancy import platform

SETTINGS = "/o/lee-family-practice/settings/"
CODES = "/profile/second-factor/codes/"


def grow_old(user: User) -> None:
    """Let five minutes pass since somebody proved who they are."""
    UserSession.objects.filter(user=user).update(verified_at=timezone.now() - timedelta(minutes=5, seconds=1))


def answer(client: Client, asked: Any, **typed: str) -> Any:
    """Fill in the page that asks, and send it as a browser does."""
    page = read(asked, asked.status_code)
    form = next(form for form in page.tree.all("form") if form["action"] == "/verify/")
    held = [(field["name"], field["value"]) for field in form.all("input")]
    sent: dict[str, list[str]] = {}
    for name, value in held:
        sent.setdefault(name, []).append(value)
    return client.post("/verify/", {**sent, **typed})


def repeat(client: Client, response: Any, asked: Any, **typed: str) -> Any:
    """Do what a browser does with a 307: send the same body to where it leads."""
    assert response.status_code == 307
    page = read(asked, asked.status_code)
    form = next(form for form in page.tree.all("form") if form["action"] == "/verify/")
    sent: dict[str, list[str]] = {}
    for field in form.all("input"):
        sent.setdefault(field["name"], []).append(field["value"])
    return client.post(response["Location"], {**sent, **typed})


@pytest.mark.seed("S3.1")
def test_page__that_needs_a_fresh_proof__leads_here_and_back(world: World) -> None:
    phone, client = phone_of(world.lee), browser(world.lee)
    grow_old(world.lee)
    led = client.get("/profile/second-factor/enrol/")
    assert unquote(led["Location"]) == "/verify/?next=/profile/second-factor/enrol/"
    before = client.session.session_key
    assert submit(client, led["Location"], **{"verification-code": "000000"}).status_code == 422
    response = submit(client, led["Location"], **{"verification-code": phone.code()})
    assert response["Location"] == "/profile/second-factor/enrol/"
    assert client.session.session_key != before
    assert read(client.get(response["Location"])).heading == "Set up another app"


@pytest.mark.seed("S0.23")
def test_trail__a_question_for_a_proof_and_a_refusal__are_two_things(world: World) -> None:
    def recorded() -> list[tuple[str, str, str]]:
        with platform("test"):
            found = AuditEvent.objects.filter(organization_id=world.practice.pk).order_by("sequence")
            return [(event.action, event.detail["code"], event.detail["method"]) for event in found]

    with platform("test"):
        change = f"/o/lee-family-practice/people/{Membership.objects.get(user=world.mia).pk}/role/"
    users, place = f"/api/v1/admin/users/{world.mia.pk}/", {"X-Organization": "lee-family-practice"}
    page, api = Client(), Client()
    for client in (page, api):
        client.force_login(world.lee)
    grow_old(world.lee)
    assert page.post(change, {"role": "office_admin"}).status_code == 403
    sent = {"role": "office_admin"}
    asked = api.patch(users, sent, content_type="application/json", headers=place)
    assert (asked.status_code, asked.json()["code"]) == (403, "step_up_required")
    assert recorded() == [
        ("session.proof_asked", "step_up_required", "POST"),
        ("session.proof_asked", "step_up_required", "PATCH"),
    ]
    client = Client()
    client.force_login(world.mia)
    assert client.post(change, {"role": "office_admin"}).status_code == 403
    assert client.patch(users, sent, content_type="application/json", headers=place).status_code == 403
    assert recorded()[2:] == [
        ("access.refused", "not_permitted", "POST"),
        ("access.refused", "not_permitted", "PATCH"),
    ]


@pytest.mark.seed("S3.1")
def test_form__that_needs_a_fresh_proof__is_sent_again_as_it_was(world: World) -> None:
    phone, client = phone_of(world.lee), browser(world.lee)
    old = codes(world.lee)
    page = read(client.get("/profile/second-factor/"))
    token = page.tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    grow_old(world.lee)
    body = {"csrfmiddlewaretoken": token, "note": ["ö & <b>", "second"], "password": "never carried"}
    asked = client.post(CODES, body)
    page = read(asked, 403, "ö & <b>")
    assert page.heading == "Confirm that it is you"
    fields = [(field["name"], field["value"]) for field in page.tree.all("input", type="hidden")]
    assert [value for name, value in fields if name == "note"] == ["ö & <b>", "second"]
    assert "password" not in dict(fields)
    assert codes(world.lee) == old
    wrong = answer(client, asked, **{"verification-code": "000000"})
    again = read(wrong, 422, "ö & <b>")
    assert list(again.errors) == ["verification-code"]
    assert [f["value"] for f in again.tree.all("input", name="note")] == ["ö & <b>", "second"]
    right = answer(client, wrong, **{"verification-code": phone.code()})
    assert (right.status_code, right["Location"]) == (307, CODES)
    done = repeat(client, right, wrong)
    assert read(done).heading == "Keep your recovery codes"
    assert codes(world.lee) != old


def codes(user: User) -> set[str]:
    return set(user.recovery_codes.values_list("digest", flat=True))  # type: ignore[attr-defined]


def test_form__in_an_organization__nothing_of_it_was_written_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, client = phone_of(world.lee), browser(world.lee)
    page = read(client.get(SETTINGS))
    form = next(f for f in page.tree.all("main")[0].all("form") if f.all("input", name="organization_name"))
    token = form.all("input", name="csrfmiddlewaretoken")[0]["value"]
    update = views.services.update_organization

    def guarded(*, actor: Any, **values: Any) -> Any:
        with platform("test"):
            OrganizationSettings.objects.filter(organization=world.practice).update(seats_used=3)
        actor.require_step_up(at=timezone.now())
        return update(actor=actor, **values)

    monkeypatch.setattr(views.services, "update_organization", guarded)
    grow_old(world.lee)
    body = dict(read(client.get(SETTINGS)).values)
    body |= {"csrfmiddlewaretoken": token, "organization_name": "Lee and Partners"}
    asked = client.post(SETTINGS, body)
    assert asked.status_code == 403
    with platform("test"):
        assert OrganizationSettings.objects.get(organization=world.practice).seats_used == 4
    right = answer(client, asked, **{"verification-code": phone.code()})
    done = repeat(client, right, asked)
    assert done.status_code == 302
    world.practice.refresh_from_db()
    assert world.practice.name == "Lee and Partners"


def test_part__of_a_page__is_told_to_go_there(world: World) -> None:
    phone_of(world.lee)
    client = browser(world.lee)
    token = read(client.get("/profile/second-factor/")).tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    grow_old(world.lee)
    response = client.post(
        CODES,
        {"csrfmiddlewaretoken": token},
        headers={"HX-Request": "true", "Referer": "http://testserver/profile/?a=b"},
    )
    assert response.status_code == 403
    assert unquote(response["HX-Redirect"]) == "/verify/?next=/profile/?a=b"


def test_proof__of_who_has_no_factor__is_the_password(world: World) -> None:
    client = browser(world.mia)
    UserSession.objects.filter(user=world.mia).update(second_factor_at=None)
    grow_old(world.mia)
    page = read(client.get("/verify/", {"next": "/profile/"}))
    assert "verification-code" not in page.values
    assert submit(client, "/verify/?next=/profile/", **{"verification-password": "no"}).status_code == 422
    response = submit(client, "/verify/?next=/profile/", **{"verification-password": PASSWORD})
    assert response["Location"] == "/profile/"
    assert UserSession.objects.get(user=world.mia).second_factor_at is None


@pytest.mark.seed("S3.3")
def test_proof__five_wrong_ones__locked(world: World) -> None:
    phone, client = phone_of(world.lee), browser(world.lee)
    for _guess in range(5):
        submit(client, "/verify/", **{"verification-code": "000000"})
    response = submit(client, "/verify/", **{"verification-code": phone.code()})
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "javascript:x"]
)
@pytest.mark.parametrize("replays", [True, False])
def test_path__that_is_no_page_of_ours__leads_home(world: World, target: str, replays: bool) -> None:
    phone, client = phone_of(world.lee), browser(world.lee)
    sent = {"verification-path": target, "verification-code": phone.code()}
    sent |= {"verification-replays": "yes"} if replays else {}
    response = submit(client, "/verify/", **sent)
    assert (response.status_code, response["Location"]) == (307 if replays else 302, "/")


def test_refusal__that_a_form_would_have_shown__is_a_wish_for_proof_all_the_same() -> None:
    with pytest.raises(StepUpRequired):
        ServiceForm().refuse(StepUpRequired())
