"""The review of access as a page and as a file, and several memberships at once."""

import csv
import io
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User, UserSession
from accounts.people.review import access_page, export_access, review_several
from audit.models import AuditEvent
from healthivr.kernel.errors import Malformed, NotPermitted
from healthivr.kernel.spreadsheets import csv_text, safe_cell
from healthivr.testing.factories import InvitationFactory, MembershipFactory, UserFactory
from healthivr.testing.pages import browser, read
from healthivr.testing.world import World
from organizations.actor import StepUpRequired
from organizations.models import Membership
from organizations.roles import Role
from organizations.tenancy import platform, tenant

HERE = "/o/lee-family-practice/people/review/"


def ids(*users: User) -> list[Any]:
    with platform("test"):
        return [Membership.objects.get(user=user).pk for user in users]


@pytest.mark.seed("S2.21")
@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"])
def test_cell__that_would_begin_a_formula__begins_with_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(f"x{text}") == f"x{text}"
    (row,) = csv.reader(io.StringIO(csv_text([[text, 'plain, with "quotes"']]).removeprefix("\ufeff"), newline=""))
    assert row == [f"'{text}", 'plain, with "quotes"']


@pytest.mark.seed("S2.21", "S2.26")
def test_export__of_the_organization__every_membership_and_the_trail_says_so(world: World, now: datetime) -> None:
    with platform("test"):
        bad = UserFactory(first_name="=HYPERLINK(1)", last_name="Zed", email="zed@example.org")
        MembershipFactory(
            organization=world.practice, user=bad, role=Role.LAB_TECH, started_at=now - timedelta(days=91)
        )
    lee = world.actor(world.lee)
    with tenant(world.practice):
        text = export_access(actor=lee, at=now)
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row[1] for row in rows[1:]] == ["omar@example.org", "lee@example.org", "mia@example.org", "zed@example.org"]
    assert rows[-1][0] == "'=HYPERLINK(1) Zed"
    assert [row[-1] for row in rows[1:]] == ["No", "No", "No", "Yes"]
    with tenant(world.practice):
        event = AuditEvent.objects.get(action="access_review.exported")
        assert (event.actor_id, event.detail) == (world.lee.pk, {"rows": "4"})
        with pytest.raises(StepUpRequired):
            export_access(actor=replace(lee, verified_at=now - timedelta(minutes=6)), at=now)
        with pytest.raises(NotPermitted):
            export_access(actor=world.actor(world.omar), at=now)
        assert AuditEvent.objects.filter(action="access_review.exported").count() == 1


def test_page__of_those_who_are_due__and_of_all(world: World, now: datetime) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(started_at=now - timedelta(days=91))
    with tenant(world.practice):
        _page, due = access_page(actor=world.actor(world.lee), only_due=True, at=now)
        _page, rows = access_page(actor=world.actor(world.lee), at=now)
    assert [row.membership.user for row in due] == [world.mia]
    assert [(row.membership.user, row.is_due, row.is_own) for row in rows] == [
        (world.omar, False, False),
        (world.lee, False, True),
        (world.mia, True, False),
    ]


@pytest.mark.seed("S2.21")
def test_several__kept_and_ended__each_signed_and_the_refused_said(world: World, now: datetime) -> None:
    lee = world.actor(world.lee)
    with tenant(world.practice):
        done, refused = review_several(
            actor=lee, membership_ids=ids(world.omar, world.lee, world.stone), verdict="keep", reason="", at=now
        )
        assert (done, sorted(error.code for error in refused)) == (1, ["not_found", "own_account"])
        done, refused = review_several(actor=lee, membership_ids=ids(world.mia), verdict="end", reason="Moved", at=now)
        assert (done, refused) == (1, [])
        for wrong in ([], ids(world.omar) * 101):
            with pytest.raises(Malformed):
                review_several(actor=lee, membership_ids=wrong, verdict="keep", reason="", at=now)
        with pytest.raises(NotPermitted):
            review_several(
                actor=world.actor(world.omar), membership_ids=ids(world.lee), verdict="keep", reason="", at=now
            )
    with platform("test"):
        assert Membership.objects.get(user=world.omar).reviewed_by == world.lee
        assert Membership.objects.get(user=world.mia).status == "ended"


@pytest.mark.seed("S2.21")
def test_pages__overview_leads_to_who_is_due__kept__and_nobody_is_due(world: World) -> None:
    with platform("test"):
        Membership.objects.filter(user=world.mia).update(started_at=timezone.now() - timedelta(days=91))
    client = browser(world.lee)
    overview = read(client.get("/o/lee-family-practice/"))
    assert "The access of 1 person has not been reviewed for 90 days" in overview.main
    page = read(client.get(f"{HERE}?show=due"))
    assert page.heading == "Review of access"
    token = page.tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    sent = {"csrfmiddlewaretoken": token, "ids": [str(pk) for pk in ids(world.mia)], "verdict": "keep"}
    answer = client.post(f"{HERE}?show=due", sent, follow=True)
    assert read(answer).notices == ["1 membership is kept, signed by you."]
    assert "Nobody is due" in read(client.get(f"{HERE}?show=due")).main
    assert "not been reviewed" not in read(client.get("/o/lee-family-practice/")).main
    file = client.post(f"{HERE}table/", {"csrfmiddlewaretoken": token})
    assert file["Content-Type"] == "text/csv; charset=utf-8"
    assert file["Content-Disposition"].startswith('attachment; filename="access-review-lee-family-practice-')


@pytest.mark.seed("S2.21")
def test_page__enter_in_its_form__decides_nothing_but_asks(world: World) -> None:
    client = browser(world.lee)
    page = read(client.get(HERE))
    form = page.tree.all("form", id="bulk")[0]
    assert not form.all("input", type="text")
    first, second = form.all("button", type="submit")
    assert (first["value"], second["value"]) == ("end", "keep")
    token = form.all("input", name="csrfmiddlewaretoken")[0]["value"]
    sent = {"csrfmiddlewaretoken": token, "ids": [str(pk) for pk in ids(world.mia)], "reason": "Moved away"}
    asked = read(client.post(HERE, {**sent, first["name"]: first["value"]}))
    assert asked.heading == "End access"
    assert client.post(HERE, sent).status_code == 302  # and no verdict is none
    with platform("test"):
        mia = Membership.objects.get(user=world.mia)
    assert (mia.status, mia.reviewed_at) == ("active", None)


@pytest.mark.seed("S2.21")
def test_page__end__shows_whom_first_and_asks_why__then_ends(world: World) -> None:
    client = browser(world.lee)
    token = read(client.get(HERE)).tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    chosen = [str(pk) for pk in ids(world.mia, world.omar, world.lee, world.stone)]
    sent = {"csrfmiddlewaretoken": token, "ids": chosen, "verdict": "end"}
    asked = read(client.post(f"{HERE}?show=due", sent))
    assert "2 memberships. Nothing has happened yet." in asked.main
    named = asked.tree.all("main")[0].all("li")
    assert [item.text.split(",")[0] for item in named[-2:]] == [
        world.omar.get_full_name(),
        world.mia.get_full_name(),
    ]
    again = read(client.post(f"{HERE}?show=due", {**sent, "confirmed": "yes", "reason": " "}), 422)
    assert list(again.errors) == ["reason"]
    kept = [field["value"] for field in again.tree.all("input", name="ids")]
    assert sorted(kept) == sorted(str(pk) for pk in ids(world.mia, world.omar))
    with platform("test"):
        assert set(Membership.objects.filter(pk__in=chosen).values_list("status", flat=True)) == {"active"}
    done = client.post(f"{HERE}?show=due", {**sent, "ids": kept, "confirmed": "yes", "reason": "Moved"}, follow=True)
    assert read(done).notices == ["2 memberships have ended, signed by you."]
    with platform("test"):
        ended = Membership.objects.filter(status="ended").values_list("user", flat=True)
        assert set(ended) == {world.mia.pk, world.omar.pk}
        assert set(AuditEvent.objects.filter(action="membership.ended").values_list("reason", flat=True)) == {"Moved"}


def test_page__end_of_who_has_sent_invitations__says_how_many_nobody_could_accept(world: World) -> None:
    own: dict[str, Any] = {"organization": world.practice, "invited_by": world.omar}
    with platform("test"):
        for closed in ("overdue", "cancelled", "expired"):
            InvitationFactory(**own, **{closed: True})
        InvitationFactory(organization=world.strange_practice, invited_by=world.omar)
    client = browser(world.lee)
    token = read(client.get(HERE)).tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    chosen = [str(pk) for pk in ids(world.mia, world.omar)]
    sent = {"csrfmiddlewaretoken": token, "ids": chosen, "verdict": "end"}
    assert "open invitation" not in read(client.post(HERE, sent)).main
    for count, said in ((1, "1 open invitation that they sent."), (2, "2 open invitations that they sent.")):
        with platform("test"):
            InvitationFactory(**own)
        items = read(client.post(HERE, sent)).tree.all("main")[0].all("li")
        assert [said in item.text for item in items[-2:]] == [True, False], count


def test_page__end_of_nobody__says_to_tick(world: World) -> None:
    client = browser(world.lee)
    token = read(client.get(HERE)).tree.all("input", name="csrfmiddlewaretoken")[0]["value"]
    for chosen in ([], [str(pk) for pk in ids(world.lee, world.stone)]):
        sent = {"csrfmiddlewaretoken": token, "ids": chosen, "verdict": "end"}
        notices = read(client.post(HERE, sent, follow=True)).notices
        assert notices == ["Tick the memberships that you have looked at, 100 at most."]


@pytest.mark.seed("S2.21", "S2.24")
def test_page__ended_by_a_privacy_officer_without_a_fresh_proof__asks_for_one(world: World, now: datetime) -> None:
    with platform("test"):
        officer = MembershipFactory(organization=world.practice, role=Role.PRIVACY_OFFICER).user
    client = Client()
    client.force_login(officer)
    UserSession.objects.filter(user=officer).update(verified_at=now - timedelta(minutes=6))
    body = {"ids": [str(pk) for pk in ids(world.mia)], "verdict": "end", "confirmed": "yes", "reason": "On leave"}
    asked = read(client.post(HERE, body), 403)
    assert any(form["action"] == "/verify/" for form in asked.tree.all("form"))
    with platform("test"):
        assert Membership.objects.get(user=world.mia).status == "active"
    UserSession.objects.filter(user=officer).update(verified_at=now)
    assert client.post(HERE, body).status_code == 302
    with platform("test"):
        assert Membership.objects.get(user=world.mia).status == "ended"
