"""manage.py invite_administrator: how an operator lets the next administrator in."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.world import World
from invitations.delivery import relay_due_deliveries
from invitations.models import UserInvitation
from invitations.tokens import invitation_url
from organizations.tenancy import platform

from . import acts


def invite(email: str) -> str:
    said = StringIO()
    call_command("invite_administrator", email, stdout=said)
    return said.getvalue()


def test_invite_administrator__address__printed_and_mailed_and_accepted(world: World, mail_sink: MailSink) -> None:
    said = invite("Nora@Example.org")
    with platform("test"):
        invitation = UserInvitation.objects.get(email="nora@example.org")
    assert invitation_url(invitation.token_nonce) in said
    assert f"{invitation.expires_at:%Y-%m-%d %H:%M} UTC" in said
    assert (invitation.organization, invitation.invitation_type) == (world.platform, "admin")
    assert (invitation.expires_at - invitation.created_at).total_seconds() == 48 * 3600
    assert relay_due_deliveries() == 1
    assert invitation_url(invitation.token_nonce) in acts.plain_text(acts.parsed(mail_sink.messages()[0]))
    accepted = acts.accept(invitation)
    (membership,) = acts.memberships(accepted.user)
    assert (membership.organization, membership.role, membership.is_org_admin) == (world.platform, "admin", True)
    event = acts.trail(world.platform)[0]
    assert (event.action, event.actor_kind, event.actor_name) == (
        "invitation.created",
        "system",
        "invite_administrator",
    )


@pytest.mark.parametrize(
    ("email", "code"),
    [
        ("nobody", "email_malformed"),
        ("n\u043era@example.org", "email_look_alike"),
        ("ana@example.org", "already_member"),
    ],
)
def test_invite_administrator__refused__one_sentence_and_nothing_written(world: World, email: str, code: str) -> None:
    with acts.nothing_written(), pytest.raises(CommandError, match=code):
        invite(email)


def test_invite_administrator__twice__names_the_open_one(world: World) -> None:
    invite("nora@example.org")
    with acts.nothing_written(), pytest.raises(CommandError, match="duplicate_invitation"):
        invite("nora@example.org")
