"""What the doctor is told by mail: that there is news and where, never the reason and never the license."""

from email import message_from_bytes, policy

import pytest
from django.utils import formats, timezone

from accounts.delivery import relay_due_account_mail
from accounts.models import AccountMail, AccountMailKind
from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.world import World

from . import acts

KINDS = [kind for kind in AccountMailKind if kind.value.startswith("license_")]


@pytest.mark.django_db
@pytest.mark.seed("S3.51")
@pytest.mark.parametrize("kind", KINDS)
def test_mail__of_each_kind__says_where_to_look_and_no_secret(
    committed_world: World, mail_sink: MailSink, kind: AccountMailKind
) -> None:
    world = committed_world
    credential = acts.decide(world, "reject", acts.submit(world.lee), reason="A private reason.")
    AccountMail.objects.all().delete()
    now = timezone.now()
    AccountMail.objects.create(kind=kind, user=world.lee, next_try_at=now, created_at=now)
    assert relay_due_account_mail(at=now) == 1
    (raw,) = mail_sink.messages()
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["To"] == "lee@example.org"
    for part in ("plain", "html"):
        body = mail.get_body((part,))
        assert body
        text = body.get_content()
        assert "/profile/license/" in text
        for secret in (acts.NPI, "MD 12345", "A private reason."):
            assert secret not in text
        if kind == AccountMailKind.LICENSE_EXPIRING:
            assert formats.date_format(credential.license_expires_on, "SHORT_DATE_FORMAT") in text
