"""An act happens as a whole or not at all: a service that writes and then raises leaves nothing, whichever door it came
through, and whether the domain refused or the code was wrong."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from healthivr.kernel.errors import Conflict
from healthivr.testing.factories import PASSWORD
from healthivr.testing.pages import browser
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tasks import expire_overdue
from invitations.tests.acts import contents, nothing_written, set_seat_limit, token_of
from organizations.models import Membership
from organizations.tenancy import platform

DETAIL = "secret-of-the-bug"
NORA = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}


Send = Callable[[], Any]
Prepare = Callable[[World], Send]


@dataclass(frozen=True)
class Act:
    """One act through one door. `last_step` is the name of what the service calls after it has written; `prepare` signs
    in and returns the sending."""

    name: str
    last_step: str
    prepare: Prepare
    done: int
    refused: int


def page(path: str, **typed: str) -> Prepare:
    """Return the sending of a form by Dr. Lee."""

    def prepare(world: World) -> Send:
        client = browser(world.lee)
        client.raise_request_exception = False
        address = path.format(id=world.invitation.pk)
        client.get(f"/o/lee-family-practice/invitations/{world.invitation.pk}/")
        typed_with_proof = {**typed, "csrfmiddlewaretoken": client.cookies["csrftoken"].value}
        return lambda: client.post(f"/o/lee-family-practice/invitations/{address}", typed_with_proof)

    return prepare


def api(method: str, path: str, **body: Any) -> Prepare:
    """Return a call of the API by Dr. Lee."""

    def prepare(world: World) -> Send:
        client = Client(raise_request_exception=False)
        client.force_login(world.lee)
        address = path.format(id=world.invitation.pk, token=token_of(world.invitation))
        headers = {"X-Organization": world.practice.slug}
        return lambda: client.generic(
            method, f"/api/v1/invitations/{address}", json.dumps(body), "application/json", headers=headers
        )

    return prepare


def form(address: Callable[[World], str], *, by: str = "lee", **typed: str) -> Prepare:
    """Return the sending of any other form, by Dr. Lee unless somebody else is named."""

    def prepare(world: World) -> Send:
        client = Client(raise_request_exception=False)
        client.force_login(getattr(world, by))
        return lambda: client.post(address(world), typed)

    return prepare


def overdue(send: Prepare) -> Prepare:
    """Let the invitation expire first."""

    def prepare(world: World) -> Send:
        with platform("test"):
            UserInvitation.objects.update(
                created_at=timezone.now() - timedelta(8), expires_at=timezone.now() - timedelta(1)
            )
        expire_overdue()
        return send(world)

    return prepare


def mia(act: str) -> Callable[[World], str]:
    """Return the address of an act on Mia's membership."""

    def address(world: World) -> str:
        with platform("test"):
            return f"/o/lee-family-practice/people/{Membership.objects.get(user=world.mia).pk}/{act}/"

    return address


def link_api(act: str, **body: Any) -> Prepare:
    """Return a call of the API by whoever holds the link."""

    def prepare(world: World) -> Send:
        client = Client(raise_request_exception=False)
        address = f"/api/v1/invitations/{act}/{token_of(world.invitation)}/"
        return lambda: client.post(address, json.dumps(body), "application/json")

    return prepare


def link_page(act: str, **typed: str) -> Prepare:
    """Return the sending of a form by whoever holds the link."""

    def prepare(world: World) -> Send:
        client = Client(raise_request_exception=False)
        return lambda: client.post(f"/i/{act}/", {**typed, "token": token_of(world.invitation)})

    return prepare


def plan_of(world: World) -> str:
    """Return where the platform changes what the practice has bought."""
    return f"/o/{world.platform.slug}/organizations/{world.practice.pk}/plan/"


RECORD, NOTICE = "audit.services.record", "invitations.acceptance.queue_notice"
NEW = {"invitation_type": "medical_staff", "email": "nora@example.org", "first_name": "Nora"}
ACTS = [
    Act("create by page", RECORD, page("new/", **NEW), 302, 422),
    Act("create by API", RECORD, api("POST", "", **NEW), 201, 409),
    Act("change by page", RECORD, page("{id}/edit/", first_name="Nora", invitation_type="office_admin"), 302, 422),
    Act("change by API", RECORD, api("PATCH", "{id}/", invitation_type="office_admin"), 200, 409),
    Act("resend by page", RECORD, page("{id}/resend/"), 302, 302),  # goes back, and says there why it did not happen
    Act("resend by API", RECORD, api("POST", "{id}/resend/"), 200, 409),
    Act("correct address by page", RECORD, page("{id}/address/", email="new@example.org"), 302, 422),
    Act("cancel by page", RECORD, page("{id}/cancel/"), 302, 422),
    Act("cancel by API", RECORD, api("DELETE", "{id}/"), 200, 409),
    Act("accept by page", NOTICE, link_page("accept", **NORA), 302, 409),
    Act("accept by API", NOTICE, link_api("accept", **NORA), 201, 409),
    Act("decline by page", NOTICE, link_page("decline", reason="not_me"), 302, 409),
    Act("decline by API", NOTICE, link_api("decline", reason="not_me"), 200, 409),
    Act("renew by page", RECORD, overdue(page("{id}/renew/")), 302, 302),
    Act("renew by API", RECORD, overdue(api("POST", "{id}/renew/")), 200, 409),
    Act("new link by page", RECORD, link_page("new-link"), 302, 409),
    Act("end a membership", RECORD, form(mia("end"), reason="Moved away"), 302, 409),
    Act("make an administrator", RECORD, form(mia("administrator"), is_org_admin="yes"), 302, 409),
    Act(
        "change the organization",
        RECORD,
        form(lambda world: "/o/lee-family-practice/settings/", organization_name="New", idle_minutes="15"),
        302,
        409,
    ),
    Act(
        "change the profile",
        RECORD,
        form(lambda world: "/profile/", first_name="New", last_name="Name", time_zone="UTC", language="es"),
        302,
        422,
    ),
    Act(
        "change the password",
        RECORD,
        form(lambda world: "/profile/password/", current_password=PASSWORD, password="a quiet river of stones"),
        302,
        409,
    ),
    Act("seats of an organization", RECORD, form(plan_of, by="ana", plan="standard", seat_limit="77"), 302, 422),
]


@pytest.fixture(params=ACTS, ids=lambda act: act.name)
def act(request: pytest.FixtureRequest) -> Act:
    return request.param  # type: ignore[no-any-return]


def raising(error: Exception) -> Callable[..., None]:
    """Return something that fails whenever it is called."""

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def holds_together(world: World, act: Act, error: Exception, status: int) -> Any:
    """Let the act's last step fail, and demand that nothing is written and no worker called; then let it succeed."""
    set_seat_limit(world.practice, 100)
    hints: list[str] = []
    send = act.prepare(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invitations.delivery.current_app.send_task", lambda name, **options: hints.append(name))
        patch.setattr(act.last_step, raising(error))
        with nothing_written():
            response = send()
    assert response.status_code == status, response.content[:2000]
    assert hints == []
    send = act.prepare(world)
    before = contents()
    assert send().status_code == act.done
    assert contents() != before
    return response


def test_refused_after_it_wrote__nothing_is_left(committed_world: World, act: Act) -> None:
    response = holds_together(committed_world, act, Conflict("A test refuses this."), act.refused)
    if "API" in act.name:
        assert response["Content-Type"] == "application/problem+json"
        assert json.loads(response.content)["code"] == "conflict"


def test_broken_after_it_wrote__nothing_is_left_and_nothing_told(committed_world: World, act: Act) -> None:
    response = holds_together(committed_world, act, ZeroDivisionError(DETAIL), 500)
    text = response.content.decode()
    for word in (DETAIL, "ZeroDivisionError", "Traceback", "/invitations/services"):
        assert word not in text
    assert response["X-Request-ID"] in text


def test_event_that_cannot_be_stored__its_act_does_not_happen(committed_world: World, act: Act) -> None:
    """The one statement before COMMIT, after everything else has succeeded."""
    last = Act(act.name, "audit.services.canonical_body", act.prepare, act.done, act.refused)
    holds_together(committed_world, last, ZeroDivisionError(DETAIL), 500)
