"""GET /api/v1/invitations/validate/{token}/: what a link is for, told to whoever holds it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from healthivr.testing.factories import OrganizationFactory
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.services import cancel_invitation, resend_invitation
from invitations.tests import acts
from invitations.tests.api.calls import PROBLEM_NAMES, call, problem
from invitations.tokens import new_nonce
from organizations.tenancy import platform

from .test_detail import close

SignIn = Callable[[User], Client]


def validate(token: str, client: Client | None = None, method: str = "GET", **headers: str) -> Any:
    """Ask what a link is for."""
    return call(client or Client(), method, f"validate/{token}/", **headers)


@pytest.mark.seed("S0.10")
def test_validate__open_link__type_organization_and_masked_address_and_no_more(world: World) -> None:
    with platform("test"):
        UserInvitation.objects.filter(pk=world.invitation.pk).update(first_name="Nora", last_name="Quist", message="Hi")
    response = validate(acts.token_of(world.invitation))
    assert response.status_code == 200
    assert response.json() == {
        "invitation_type": "medical_staff",
        "organization_name": "Lee Family Practice",
        "email": "n•••@e•••.org",
        "expires_at": world.invitation.expires_at.isoformat().replace("+00:00", "Z"),
        "founds_organization": False,
    }
    for private in ("new.nurse", "Nora", "Quist", "Jun", "lee@", str(world.invitation.pk)):
        assert private not in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies


def test_validate__founding_invitation__says_that_a_name_will_be_asked(world: World) -> None:
    sales = world.member("sales", "distributor")
    doctor = acts.invite(sales, "doctor", "doc@example.org")
    assert validate(acts.token_of(doctor)).json()["founds_organization"] is True


def test_validate__whoever_asks__the_same(world: World, sign_in: SignIn) -> None:
    token = acts.token_of(world.invitation)
    answers = [validate(token).json()]
    answers += [validate(token, sign_in(person)).json() for person in (world.stone, world.lee, world.ana)]
    for answer in answers:
        answer.pop("expires_at")  # in the zone of whoever is signed in
    assert answers == [answers[0]] * 4


@pytest.mark.seed("S0.10", "S0.23")
def test_validate__a_hundred_gets_and_heads__change_nothing_and_the_link_still_works(
    world: World, roomy_limits: None
) -> None:
    token = acts.token_of(world.invitation)
    with acts.nothing_written():
        for _time in range(100):
            assert validate(token).status_code == 200
            assert validate(token, method="HEAD").status_code == 200
    assert acts.accept(token).is_new_user


@pytest.mark.seed("S0.10")
@pytest.mark.parametrize(
    "token",
    [
        "A" * 43,
        "A" * 42,
        "A" * 44,
        "A" * 2000,
        "-",
        "%20",
        "0" * 64,
        "null",
        "é" * 43,
        "' OR 1=1 --",
        "<script>alert(1)<script>",
    ],
)
def test_validate__never_issued__404_and_nothing_reflected(world: World, token: str) -> None:
    assert validate(acts.token_of(world.invitation)).status_code == 200
    response = validate(token)
    problem(response, 404, "invitation_not_found")
    assert token not in response.content.decode() or len(token) < 3


@pytest.mark.parametrize("token", ["", "a/b", "..%2F..%2Fadmin", "<script>alert(1)</script>"])
def test_validate__path_that_is_no_route__404_as_a_problem(world: World, token: str) -> None:
    problem(validate(token), 404, "not_found")


def test_validate__id_digest_or_nonce_instead_of_the_token__404(world: World) -> None:
    _key, _colon, random = world.invitation.token_nonce.partition(":")
    for guess in (str(world.invitation.pk), world.invitation.token_hash, random, world.invitation.token_nonce):
        problem(validate(guess), 404, "invitation_not_found")


@pytest.mark.seed("S0.10", "S4.6")
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("accepted", "invitation_accepted"),
        ("declined", "invitation_declined"),
        ("cancelled", "invitation_cancelled"),
        ("expired", "invitation_expired"),
        ("overdue", "invitation_expired"),
    ],
)
def test_validate__closed__410_with_its_code_and_no_other_data(world: World, how: str, code: str) -> None:
    token = acts.token_of(world.invitation)
    assert validate(token).status_code == 200
    close(world.invitation, how)
    response = validate(token)
    answer = problem(response, 410, code)
    assert set(answer) == PROBLEM_NAMES
    for private in ("nurse", "example.org", "Lee", "Jun", "Nora", "n•••", str(world.invitation.pk)):
        assert private not in response.content.decode().replace(answer["type"], "")


@pytest.mark.seed("S0.8", "S0.10")
def test_validate__replaced__410_link_replaced_and_what_became_of_it_later(world: World) -> None:
    actor, old = world.actor(world.lee), acts.token_of(world.invitation)
    acts.act(resend_invitation, actor=actor, invitation_id=world.invitation.pk)
    assert set(problem(validate(old), 410, "link_replaced")) == PROBLEM_NAMES
    new = acts.token_of(world.invitation)
    assert validate(new).status_code == 200
    acts.act(cancel_invitation, actor=actor, invitation_id=world.invitation.pk)
    problem(validate(old), 410, "invitation_cancelled")
    problem(validate(new), 410, "invitation_cancelled")


@pytest.mark.seed("S0.17")
def test_validate__the_moment_it_expires__410(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token, ends = acts.token_of(world.invitation), acts.fresh(world.invitation).expires_at
    moments = iter([ends - timedelta(microseconds=1), ends])
    monkeypatch.setattr("invitations.api.views.timezone.now", lambda: next(moments))
    first, second = validate(token), validate(token)
    monkeypatch.undo()
    assert first.status_code == 200
    problem(second, 410, "invitation_expired")


def test_validate__organization_with_markup_in_its_name__plain_text(world: World) -> None:
    with platform("test"):
        odd = OrganizationFactory(name="<img src=x onerror=alert(1)> {{ 7 }}", kind="practice")
    invitation = acts.invite(world.actor(world.ana, odd), "medical_staff", "nora@example.org")
    response = validate(acts.token_of(invitation))
    assert response["Content-Type"] == "application/json"
    assert response.json()["organization_name"] == odd.name


@pytest.mark.seed("C5")
def test_validate__eleventh_call_in_a_minute__429_by_address(world: World, standing_clock: None) -> None:
    token = acts.token_of(world.invitation)
    for left in range(9, -1, -1):
        response = validate(token)
        assert (response.status_code, response["RateLimit-Remaining"]) == (200, str(left))
    response = validate(token)
    problem(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    elsewhere = Client(REMOTE_ADDR="198.51.100.7")
    assert validate(token, elsewhere).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_validate__anything_but_reading__405(world: World, method: str) -> None:
    problem(validate(acts.token_of(world.invitation), method=method), 405, "method_not_allowed")


def test_validate__issued_with_a_key_that_is_gone__404(world: World, settings: Any) -> None:
    token = acts.token_of(world.invitation)
    assert validate(token).status_code == 200
    settings.INVITATION_TOKEN_KEYS = {"newer": b"k" * 32}
    problem(validate(token), 404, "invitation_not_found")
    assert new_nonce().startswith("newer:")
