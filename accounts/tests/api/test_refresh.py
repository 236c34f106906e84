"""POST /api/v1/auth/token/refresh/ and …/revoke/: the chain of a family, and its end."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from accounts import registry, tokens
from accounts.models import RefreshToken, User, UserSession
from audit.models import AuditEvent
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.races import race
from healthivr.testing.world import World
from invitations.tests.api.calls import problem
from organizations.tenancy import tenant

from .calls import ask, post, refresh, tokens_of


def events(action: str) -> list[AuditEvent]:
    with tenant(PLATFORM_ORGANIZATION_ID):
        return list(AuditEvent.objects.filter(action=action))


@pytest.mark.seed("S0.18")
def test_refresh__each_time__another_pair_of_the_same_family(world: World) -> None:
    first = tokens_of(world.omar)
    second = refresh(first["refresh"]).json()
    third = refresh(second["refresh"]).json()
    assert len({first["refresh"], second["refresh"], third["refresh"]}) == 3
    assert third["session_expires_at"] == first["session_expires_at"]
    assert ask(third["access"]).status_code == 200
    assert UserSession.objects.count() == 1


@pytest.mark.seed("S4.9")
def test_refresh__used_one_comes_back__ends_the_family_and_is_noted(world: World) -> None:
    first = tokens_of(world.omar)
    second = refresh(first["refresh"]).json()
    assert ask(second["access"]).status_code == 200
    response = refresh(first["refresh"])
    problem(response, 401, "refresh_reused")
    assert response["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    session = UserSession.objects.get()
    assert session.end_reason == "token_reused"
    problem(ask(second["access"]), 401, "session_ended")
    problem(ask(first["access"]), 401, "session_ended")
    problem(refresh(second["refresh"]), 401, "session_ended")
    (event,) = events("session.ended")
    assert (event.target_id, event.actor_id, event.detail["reason"]) == (str(session.pk), None, "token_reused")


def test_refresh__reuse_in_one_family__leaves_the_others(world: World) -> None:
    stolen, other = tokens_of(world.omar), tokens_of(world.omar)
    refresh(stolen["refresh"])
    problem(refresh(stolen["refresh"]), 401, "refresh_reused")
    assert ask(other["access"]).status_code == 200
    assert refresh(other["refresh"]).status_code == 200


def test_refresh__two_that_read_it_unused__one_wins_and_nothing_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second passes its check before the first claims, as two requests on their way at once do."""
    pair = tokens_of(world.omar)
    answers: list[Any] = []
    moment = tokens.timezone.now

    def overtaken() -> Any:
        if not answers:
            answers.append(None)  # the request below passes here as well
            answers[0] = refresh(pair["refresh"])
        return moment()

    monkeypatch.setattr(tokens, "timezone", SimpleNamespace(now=overtaken))
    problem(refresh(pair["refresh"]), 409, "refresh_conflict")
    (winner,) = answers
    assert winner.status_code == 200
    assert ask(winner.json()["access"]).status_code == 200
    assert refresh(winner.json()["refresh"]).status_code == 200


def test_refresh__came_before_the_other_was_answered__no_reuse(world: World) -> None:
    pair, came = tokens_of(world.omar), timezone.now()
    winner = refresh(pair["refresh"]).json()
    with pytest.raises(tokens.RefreshConflict):
        tokens.refresh_tokens(refresh=pair["refresh"], ip="", request_id="", at=came)
    assert ask(winner["access"]).status_code == 200
    with pytest.raises(tokens.RefreshReused):
        tokens.refresh_tokens(refresh=pair["refresh"], ip="", request_id="", at=timezone.now())
    problem(ask(winner["access"]), 401, "session_ended")


@pytest.mark.seed("S4.9")
def test_refresh__twenty_at_once__one_pair_is_made(committed_world: World, roomy_limits: None) -> None:
    pair = tokens_of(committed_world.omar)
    answers = race(*[lambda: refresh(pair["refresh"])] * 20)
    assert [answer.status_code for answer in answers].count(200) == 1
    codes = {answer.json()["code"] for answer in answers if answer.status_code != 200}
    # Who was on the way at the same moment is told so; who came after it ended the family.
    assert codes <= {"refresh_conflict", "refresh_reused", "session_ended"}
    assert RefreshToken.objects.count() == 2
    assert RefreshToken.objects.filter(used_at=None).count() == 1


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "a" * 201])
def test_refresh__what_is_none__refused(world: World, token: str) -> None:
    response = refresh(token)
    if 0 < len(token) <= 200:
        problem(response, 401, "token_invalid")
    else:
        problem(response, 400, "malformed_field", "refresh")
    assert refresh(tokens_of(world.omar)["refresh"]).status_code == 200


def test_refresh__an_access_token__is_none(world: World) -> None:
    pair = tokens_of(world.omar)
    assert refresh(pair["access"]).status_code in (400, 401)
    problem(ask(pair["refresh"]), 401, "token_invalid")


def test_refresh__after_24_hours__sign_in_again_however_often_it_was_refreshed(world: World) -> None:
    pair, began = tokens_of(world.omar), timezone.now()
    last = began + timedelta(hours=23, minutes=59)
    kept = tokens.refresh_tokens(refresh=pair["refresh"], ip="", request_id="", at=last)
    with pytest.raises(tokens.SessionEnded):
        tokens.refresh_tokens(refresh=kept.refresh, ip="", request_id="", at=began + timedelta(hours=24, seconds=1))


def test_refresh__deactivated_person__refused(world: World) -> None:
    pair = tokens_of(world.omar)
    User.objects.filter(pk=world.omar.pk).update(is_active=False)
    problem(refresh(pair["refresh"]), 401, "session_ended")
    problem(ask(pair["access"]), 401, "session_ended")


@pytest.mark.seed("S4.9")
def test_refresh__sixty_first_from_one_address__429(world: World, standing_clock: None) -> None:
    for _number in range(60):
        assert refresh("a" * 43).status_code == 401
    refused = refresh(tokens_of(world.omar)["refresh"])
    problem(refused, 429, "too_many_requests")
    assert refused["RateLimit-Limit"] == "60"
    assert 0 < int(refused["Retry-After"]) <= 901


# --- revoking --------------------------------------------------------------------------------------------------------
def test_revoke__newest_or_used__ends_the_family(world: World) -> None:
    for which in ("newest", "used"):
        first = tokens_of(world.omar)
        second = refresh(first["refresh"]).json()
        assert ask(second["access"]).status_code == 200
        gone = post("token/revoke/", {"refresh": second["refresh"] if which == "newest" else first["refresh"]})
        assert (gone.status_code, gone.content) == (204, b"")
        problem(ask(second["access"]), 401, "session_ended")
        problem(refresh(second["refresh"]), 401, "session_ended")
    assert {event.detail["reason"] for event in events("session.ended")} == {"signed_out"}


def test_revoke__unknown__says_the_same(world: World) -> None:
    assert post("token/revoke/", {"refresh": "a" * 43}).status_code == 204


def test_revoked_session__its_token__401_at_the_next_request(world: World) -> None:
    pair = tokens_of(world.omar)
    assert ask(pair["access"]).status_code == 200
    session = UserSession.objects.get()
    registry.end_own_session(
        user=world.omar, session_id=session.pk, ip="192.0.2.1", request_id="test", at=timezone.now()
    )
    problem(ask(pair["access"]), 401, "session_ended")
