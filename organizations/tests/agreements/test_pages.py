"""/o/<organization>/agreements/: where it stands, drafts and their files, signing, renewing, terminating."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import Error, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import AccountMail
from healthivr.testing.factories import OrganizationFactory
from healthivr.testing.pages import browser, read, submit
from healthivr.testing.statements import Statements
from healthivr.testing.world import World
from invitations.tests import acts as invitation_acts
from organizations.agreements.clauses import Clause
from organizations.agreements.documents import MAX_BYTES, digest
from organizations.agreements.models import AgreementDocument, BusinessAssociateAgreement
from organizations.agreements.states import (
    TRANSITIONS,
    AgreementEvent,
    AgreementStatus,
    IllegalAgreementTransition,
    next_status,
)
from organizations.tenancy import platform

from .acts import PDF, agreement, agreements, without_agreement

HERE = "/o/lee-family-practice/agreements/"
SIGN = f"{HERE}sign/"
TERMS = {"version": "2026-9", "clauses": Clause.values, "breach_sla_days": "5", "term_months": "24"}


def upload(content: bytes, name: str = "agreement.pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="application/pdf")


# --- signing ---------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.18", "S2.30")
def test_sign_page__standard_agreement__read_signed_and_shown(world: World) -> None:
    without_agreement(world.practice)
    client = browser(world.lee)
    page = read(client.get(HERE))
    assert "No agreement is in force." in page.main
    assert page.links["Read and sign"] == SIGN
    page = read(client.get(SIGN))
    for word in ("Lee Family Practice", "10 calendar days", "164.504(e)(2)(ii)(J)", "Termination"):
        assert word in page.main
    assert page.links["Later"] == "/o/lee-family-practice/welcome/"
    assert page.values["signer_name"] == "Jun Lee"
    page = read(submit(client, SIGN, clauses=Clause.values[:3], signer_name="Dr. Jun Lee", signer_title=""), 422)
    assert page.errors == {
        "signer_title": ["Enter your title in the organization."],
        "clauses": ["Confirm each of the eleven clauses."],
    }
    page = read(submit(client, SIGN, clauses=Clause.values[:3], signer_name="Dr. Jun Lee", signer_title="Owner"), 422)
    assert page.errors == {"clauses": ["Confirm each of the eleven clauses."]}
    assert page.values["signer_name"] == "Dr. Jun Lee"
    assert agreements(world.practice) == []
    response = submit(client, SIGN, clauses=Clause.values, signer_name="Dr. Jun Lee", signer_title="Owner")
    assert (response.status_code, response["Location"]) == (302, HERE)
    page = read(client.get(HERE))
    assert "Invite the people you work with" in page.notices[0]
    assert "Dr. Jun Lee, Owner" in page.main
    assert "In force" in page.main
    # Where it stands, until when and the document come before the clauses; no place in the law is broken.
    order = ("Where it stands", "In force", "Holds until", "Download the document", "Terminate", "Required clauses")
    assert [page.main.index(words) for words in order] == sorted(page.main.index(words) for words in order)
    assert "164.504(e)(2)(ii)(J)" in [place.text for place in page.tree.with_class("text-nowrap")]
    assert client.get(SIGN)["Location"] == HERE  # nothing to sign now


def test_sign_page__opened_by_whoever_cannot_sign__403(world: World) -> None:
    without_agreement(world.practice)
    assert browser(world.lee).get(SIGN).status_code == 200
    assert browser(world.ana).get(SIGN).status_code == 403
    assert browser(world.mia).get(SIGN).status_code == 403


@pytest.mark.seed("S2.18")
@pytest.mark.parametrize(("days", "can_renew"), [(91, False), (89, True)])
def test_renew__by_the_practice__in_the_last_ninety_days(world: World, days: int, can_renew: bool) -> None:
    (old,) = agreements(world.practice)
    with platform("test"):
        BusinessAssociateAgreement.objects.update(expires=timezone.now() + timedelta(days=days))
    client = browser(world.lee)
    page = read(client.get(HERE))
    assert ("Renew: read and sign" in page.links) is can_renew
    assert ("ends in" in page.main) is can_renew
    assert client.get(SIGN).status_code == (200 if can_renew else 302)
    if can_renew:
        submit(client, SIGN, clauses=Clause.values, signer_title="Owner")
        now = {row.status: row for row in agreements(world.practice)}
        assert (now["expired"].pk, now["signed"].renews_id) == (old.pk, old.pk)
        assert now["expired"].ended_at == now["signed"].signed_at


@pytest.mark.seed("S2.18", "S2.26")
def test_terminate__with_a_reason__closed_told_and_in_the_history(world: World) -> None:
    (row,) = agreements(world.practice)
    client, there = browser(world.lee), f"{HERE}{row.pk}/terminate/"
    page = read(submit(client, there, reason=""), 422)
    assert page.errors == {"reason": ["Say why the agreement ends."]}
    assert agreements(world.practice)[0].status == "signed"
    assert submit(client, there, reason="We change the vendor.")["Location"] == HERE
    (row,) = agreements(world.practice)
    assert (row.status, row.end_reason, row.ended_by_id) == ("terminated", "We change the vendor.", world.lee.pk)
    page = read(client.get(HERE))
    assert "We change the vendor." in page.main
    told = AccountMail.objects.filter(kind="agreement_terminated").values_list("user__email", flat=True)
    assert sorted(told) == ["ana@example.org", "lee@example.org"]
    (event,) = [e for e in invitation_acts.trail(world.practice) if e.action == "agreement.terminated"]
    assert event.reason == "We change the vendor."
    # Once more, from a page that was left open.
    response = client.post(there, {"reason": "Again.", "csrfmiddlewaretoken": client.cookies["csrftoken"].value})
    assert response["Location"] == HERE
    assert agreements(world.practice)[0].end_reason == "We change the vendor."


# --- drafts and their files ------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.18")
def test_draft__by_the_platform__sent_mailed_signed_and_downloaded(world: World) -> None:
    without_agreement(world.practice)
    ana, lee = browser(world.ana), browser(world.lee)
    response = submit(ana, f"{HERE}draft/", document=upload(PDF), **TERMS)
    assert response["Location"] == HERE
    (row,) = agreements(world.practice)
    assert (row.status, row.document.sha256, row.document.size) == ("draft", digest(PDF), len(PDF))
    assert "2026-9" not in read(lee.get(HERE)).main  # not theirs to see yet
    assert lee.get(f"{HERE}{row.pk}/document/").status_code == 404
    assert submit(ana, HERE, to=f"{HERE}{row.pk}/send/")["Location"] == HERE
    told = AccountMail.objects.filter(kind="agreement_sent").values_list("user__email", flat=True)
    assert list(told) == ["lee@example.org"]
    page = read(lee.get(SIGN))
    assert "2026-9" in page.main
    assert "24 months" in page.main
    submit(lee, SIGN, clauses=Clause.values, signer_title="Owner")
    (row,) = agreements(world.practice)
    assert (row.status, row.signer_id, row.sent_by_id, row.is_standard) == (
        "signed",
        world.lee.pk,
        world.ana.pk,
        False,
    )
    answer = lee.get(f"{HERE}{row.pk}/document/")
    assert answer.content == PDF
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == f'attachment; filename="agreement-{row.pk}.pdf"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html><script>alert(1)</script></html>", "This file is not a PDF."),
        (b"\n%PDF-1.7 %%EOF", "This file is not a PDF."),
        (b"MZ\x90\x00 %PDF-1.7 %%EOF", "This file is not a PDF."),
        (b"%PDF-1.7 and then nothing", "This PDF is cut off."),
        (b"%PDF-1.7 %%EOF" + b"x" * 2000, "This PDF is cut off."),
        (b"", "This file is empty."),
        (b"%PDF-1.7" + b"x" * MAX_BYTES + b"%%EOF", "larger than 5 MB"),
    ],
)
def test_draft__file_that_is_no_pdf__refused_at_the_field_and_nothing_kept(
    world: World, content: bytes, message: str
) -> None:
    without_agreement(world.practice)
    client = browser(world.ana)
    with platform("test"):
        kept = AgreementDocument.objects.count()
    page = read(submit(client, f"{HERE}draft/", document=upload(content), **TERMS), 422)
    assert message in page.errors["document"][0]
    assert page.values["version"] == "2026-9"
    with platform("test"):
        assert AgreementDocument.objects.count() == kept
    assert agreements(world.practice) == []
    assert submit(client, f"{HERE}draft/", document=upload(PDF, "not-a-pdf.exe"), **TERMS).status_code == 302


def test_draft__of_exactly_the_largest_size__kept(world: World) -> None:
    without_agreement(world.practice)
    content = b"%PDF-1.7" + b"x" * (MAX_BYTES - 13) + b"%%EOF"
    assert submit(browser(world.ana), f"{HERE}draft/", document=upload(content), **TERMS).status_code == 302
    assert agreements(world.practice)[0].document.size == MAX_BYTES


def test_draft__without_a_clause__saved_and_not_sent_until_it_is_there(world: World) -> None:
    without_agreement(world.practice)
    client = browser(world.ana)
    submit(client, f"{HERE}draft/", document=upload(PDF), **TERMS | {"clauses": Clause.values[1:]})
    (row,) = agreements(world.practice)
    submit(client, HERE, to=f"{HERE}{row.pk}/send/")
    assert "lacks clauses" in read(client.get(HERE)).notices[0]
    assert agreements(world.practice)[0].status == "draft"
    submit(client, f"{HERE}{row.pk}/draft/", **TERMS | {"document": None})
    submit(client, HERE, to=f"{HERE}{row.pk}/send/")
    (row,) = agreements(world.practice)
    assert (row.status, row.document.sha256) == ("sent", digest(PDF))


def test_draft__beside_another__refused(world: World) -> None:
    agreement(world.practice, sent=True)
    page = read(submit(browser(world.ana), f"{HERE}draft/", document=upload(PDF), **TERMS), 422)
    assert "being prepared or waits" in page.summary[0]
    assert len(agreements(world.practice)) == 2


def test_renewal__drafted_by_the_platform__same_terms_and_signed_by_the_practice(world: World) -> None:
    (old,) = agreements(world.practice)
    ana = browser(world.ana)
    submit(ana, HERE, to=f"{HERE}{old.pk}/renew/")
    draft = next(row for row in agreements(world.practice) if row.status == "draft")
    assert (draft.renews_id, draft.document_id, draft.term_months) == (old.pk, old.document_id, old.term_months)
    submit(ana, HERE, to=f"{HERE}{draft.pk}/send/")
    submit(browser(world.lee), SIGN, clauses=Clause.values, signer_title="Owner")
    assert {row.pk: row.status for row in agreements(world.practice)} == {old.pk: "expired", draft.pk: "signed"}


@pytest.mark.parametrize(
    ("days", "words"),
    [(None, "No business associate agreement is in force"), (20, "agreement ends soon"), (200, "")],
)
def test_overview__agreement_missing_or_ending__needs_attention_of_whoever_can_act(
    world: World, days: int | None, words: str
) -> None:
    if days is None:
        without_agreement(world.practice)
    else:
        with platform("test"):
            BusinessAssociateAgreement.objects.update(expires=timezone.now() + timedelta(days=days))
    for who in (world.lee, world.mia):
        page = read(browser(who).get("/o/lee-family-practice/"))
        listed = [link["href"] for box in page.tree.with_class("attention") for link in box.all("a")]
        assert (HERE in listed) is bool(words and who == world.lee)
        assert not words or (words in page.main) is (who == world.lee)


# --- the platform's list ---------------------------------------------------------------------------------------------
@pytest.mark.seed("S2.19", "S2.30")
def test_list__of_the_platform__missing_first_and_filtered(world: World) -> None:
    without_agreement(world.strange_practice)
    client = browser(world.ana)
    page = read(client.get("/o/platform/agreements/"))
    assert "Stone Clinic" in page.main
    assert "Nothing in force" in page.main
    assert "Lee Family Practice" not in page.main
    assert "Lee Family Practice" in read(client.get("/o/platform/agreements/?which=all")).main
    assert "No organization fits" in read(client.get("/o/platform/agreements/?which=ending")).main
    agreement(world.strange_practice)
    assert "Every agreement is in force" in read(client.get("/o/platform/agreements/")).main


def test_list__more_than_a_page__goes_on_both_ways_and_costs_the_same(
    world: World, statements: Callable[[], AbstractContextManager[Statements]]
) -> None:
    with platform("test"):
        names = {OrganizationFactory(agreement=False).name for _number in range(30)}
    client = browser(world.ana)
    seen: list[str] = []
    address, costs = "/o/platform/agreements/?size=25", []
    while address:
        with statements() as asked:
            page = read(client.get(address))
        costs.append(len(asked.domain))
        seen += [name for name in page.links if name in names]
        back, address = address, page.links.get("Next", "")
    assert sorted(seen) == sorted(names)
    assert costs[0] == costs[1]
    assert back != "/o/platform/agreements/?size=25"
    first = read(client.get(read(client.get(back)).links["Previous"]))
    assert [name for name in first.links if name in names] == seen[:25]


# --- what the database holds -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("current", list(AgreementStatus))
@pytest.mark.parametrize("event", list(AgreementEvent))
def test_transition__of_every_pair__as_the_table_says_or_refused(
    current: AgreementStatus, event: AgreementEvent
) -> None:
    if (current, event) in TRANSITIONS:
        assert next_status(current, event) == TRANSITIONS[current, event]
    else:
        with pytest.raises(IllegalAgreementTransition) as refusal:
            next_status(current, event)
        assert refusal.value.extra == {"agreement_status": current.value}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"expires": timezone.now() - timedelta(days=4000)}, "agreement_expires_after_effective"),
        ({"signer_name": ""}, "agreement_signed_is_complete"),
        ({"signer": None}, "agreement_signed_is_complete"),
        ({"clauses": Clause.values[1:]}, "agreement_signed_is_complete"),
        ({"clauses": [*Clause.values, "another"]}, "agreement_clauses_known"),
        ({"status": "terminated", "ended_at": timezone.now()}, "agreement_terminated_has_reason"),
        ({"status": "expired"}, "agreement_ended_has_time"),
        ({"status": "none"}, "agreement_status_known"),
        ({"breach_sla_days": 61}, "agreement_breach_1_to_60_days"),
    ],
)
def test_row__that_cannot_be__refused_by_the_database(world: World, change: dict[str, Any], constraint: str) -> None:
    with platform("test"):
        rows = BusinessAssociateAgreement.objects.filter(organization=world.practice)
        with pytest.raises(Error, match=constraint), transaction.atomic():
            rows.update(**change)
        assert rows.update(version="2") == 1


@pytest.mark.parametrize(
    ("state", "constraint"), [({}, "agreement_one_signed_a_pair"), ({"sent": True}, "agreement_one_open_a_pair")]
)
def test_row__second_of_a_pair__refused_by_the_database(world: World, state: dict[str, Any], constraint: str) -> None:
    agreement(world.practice, draft=True)
    with pytest.raises(Error, match=constraint), transaction.atomic():
        agreement(world.practice, **state)


@pytest.mark.seed("S2.18")
def test_document__of_a_signed_standard_text__names_who_signed_and_when_below_what_was_signed(world: World) -> None:
    without_agreement(world.practice)
    client = browser(world.lee)
    submit(client, SIGN, clauses=Clause.values, signer_name="Dr. Jun Lee", signer_title="Owner")
    (row,) = agreements(world.practice)
    assert (row.is_standard, row.status) == (True, "signed")
    text = client.get(f"{HERE}{row.pk}/document/").content
    above, line, below = text.partition(b"\n" + b"-" * 72 + b"\nSIGNATURE RECORD")
    assert line
    assert digest(above) == row.document.sha256, "the text above the line is what was signed, byte for byte"
    assert row.signed_at is not None
    for words in (row.signer_name, row.signer_title, f"{row.signed_at:%Y-%m-%d %H:%M:%S} UTC", row.document.sha256):
        assert words in below.decode()


def test_document__changed_or_deleted_by_the_application__refused(world: World) -> None:
    with platform("test"):
        table = AgreementDocument._meta.db_table
        for statement in (f"UPDATE {table} SET content = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(Error, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
        assert AgreementDocument.objects.filter(organization=world.practice).count() == 1


def test_client__of_a_stranger__finds_no_agreement(world: World) -> None:
    (row,) = agreements(world.practice)
    assert browser(world.lee).get(f"{HERE}{row.pk}/document/").status_code == 200
    assert browser(world.stone).get(f"{HERE}{row.pk}/document/").status_code == 404
    assert browser(world.stone).get(f"/o/stone-clinic/agreements/{row.pk}/document/").status_code == 404
    assert Client().get(f"{HERE}{row.pk}/document/").status_code == 302
