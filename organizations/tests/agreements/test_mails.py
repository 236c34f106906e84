"""What the mails about agreements say, as a mailbox reads them."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from accounts.delivery import relay_due_account_mail
from accounts.models import AccountMail
from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.world import World
from invitations.tests.acts import html_text, parsed, plain_text
from organizations.models import Organization

ENDS = datetime(2027, 3, 1, 2, 0, tzinfo=UTC)  # still February in New York


@pytest.mark.seed("S2.19")
@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("agreement_sent", "Please sign the agreement of Lee & Sons <Practice>"),
        ("agreement_ending", "The agreement of Lee & Sons <Practice> ends on Feb 28, 2027"),
        ("agreement_ended", "The agreement of Lee & Sons <Practice> has ended"),
        ("agreement_terminated", "The agreement of Lee & Sons <Practice> was terminated"),
    ],
)
def test_mail__of_each_kind__names_the_organization_and_leads_to_its_page(
    committed_world: World, mail_sink: MailSink, kind: str, subject: str
) -> None:
    Organization.objects.filter(pk=committed_world.practice.pk).update(name="Lee & Sons <Practice>")
    now = timezone.now()
    AccountMail.objects.create(
        kind=kind,
        user=committed_world.lee,
        facts={"organization_id": str(committed_world.practice.pk), "ends": ENDS.isoformat()},
        next_try_at=now,
        created_at=now,
    )
    assert relay_due_account_mail(at=now) == 1
    (file,) = mail_sink.folder.glob("*.eml")
    message = parsed(file.read_bytes())
    assert message["Subject"] == subject
    assert message["To"] == "lee@example.org"
    text, html = plain_text(message), html_text(message)
    assert "Hello Jun," in text
    assert "Lee & Sons <Practice>" in text
    assert "Lee &amp; Sons &lt;Practice&gt;" in html
    for part in (text, html):
        assert "/o/lee-family-practice/agreements/" in part
        assert "administrator of one of the parties" in part
