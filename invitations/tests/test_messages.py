"""What the mails say: plain words in two forms, one link, nothing of patients, and nothing that runs."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.mail import write_mail
from accounts.models import User
from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.world import World
from invitations.delivery import relay_due_deliveries
from invitations.messages import compose, invitation_values, when, write_invitation
from invitations.models import UserInvitation
from invitations.services import resend_invitation
from invitations.tokens import invitation_url
from organizations.models import Membership, Organization
from organizations.roles import INVITATION_TYPES, Role
from organizations.selectors import system_actor
from organizations.tenancy import platform

from . import acts

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><b>",
    "{{ settings.SECRET_KEY }} {% now 'Y' %} {# x #}",
    "%(secret)s ${x} \\1 \\g<0>",
    "&lt;b&gt; & &amp;",
    "=_ =3D = .",
    "Ñandú 漢字 abc 👩‍⚕️",
    "\ue000message\ue001\ue000invitation_url\ue001",
]


class Reader(HTMLParser):
    """What a mail program shows: the text, the links, and the names of the elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.links, self.elements, self.attributes = "", list[str](), set[str](), set[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _value in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "background")]

    def handle_data(self, data: str) -> None:
        self.text += data


def mail_of(invitation: UserInvitation) -> Any:
    """Return an invitation's mail as a mailbox reads it."""
    return acts.composed(acts.waiting_mail(invitation))[0]


# --- S0.25 -----------------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.25")
def test_invitation__three_variables__stand_in_both_forms(world: World) -> None:
    at = datetime(2026, 2, 2, 17, 30, tzinfo=UTC)
    invitation = acts.invite(world.actor(world.lee), "office_admin", first_name="Nora", message="Welcome", at=at)
    values = invitation_values(acts.fresh(invitation), url="https://invite.example.org/i/x/")
    assert values["invitation_type"] == "Office administrator"
    assert values["invitation_url"] == "https://invite.example.org/i/x/"
    assert values["expiry_date"] == "Feb 9, 2026, 12:30 PM EST"
    mail = mail_of(invitation)
    for text in (acts.plain_text(mail), Reader(acts.html_text(mail)).text):
        assert "Office administrator" in text
        assert invitation_url(invitation.token_nonce) in text
        assert "Feb 9, 2026, 12:30 PM EST" in text
        assert "Lee Family Practice" in text
        assert "Jun Lee" in text
        assert "Welcome" in text


@pytest.mark.seed("S0.25")
def test_invitation__message__multipart_with_the_headers_of_an_automatic_mail(world: World) -> None:
    mail = mail_of(acts.invite(world.actor(world.lee)))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert all(part.get_content_charset() == "utf-8" for part in mail.iter_parts())
    assert mail["To"] == "nora@example.org"
    assert mail["Subject"] == "Jun Lee invites you to Lee Family Practice on healthivr"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert {name.lower() for name in mail} == {
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "auto-submitted",
        "mime-version",
        "content-type",
    }
    assert mail["List-Unsubscribe"] is None


def test_invitation__from__the_address_of_the_settings(world: World, settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = "Übersee Practice <invite@example.org>"
    mail = mail_of(acts.invite(world.actor(world.lee)))
    assert mail["From"].addresses[0].display_name == "Übersee Practice"
    assert mail["From"].addresses[0].addr_spec == "invite@example.org"


@pytest.mark.parametrize("role", INVITATION_TYPES)
def test_invitation__each_type__named_in_words(world: World, role: Role) -> None:
    invitation = UserInvitation(
        organization=world.practice,
        invited_by=world.lee,
        invitation_type=role.value,
        expires_at=timezone.now(),
    )
    mail = write_invitation(invitation, url="https://x.example/i/y/")
    assert str(role.label) in mail.text
    assert str(role.label) in Reader(mail.html).text


def test_invitation__from_the_system__names_the_organization_alone(world: World) -> None:
    mail = mail_of(acts.invite(system_actor("command-line"), "admin"))
    assert mail["Subject"] == "healthivr platform invites you to healthivr"
    assert "None" not in acts.plain_text(mail)


def test_invitation__of_the_platform_to_join_a_practice__does_not_say_that_the_inviter_is_from_there(
    world: World,
) -> None:
    mail = mail_of(acts.invite(world.actor(world.ana, world.practice), "office_admin"))
    assert mail["Subject"] == "Ana Ruiz invites you to Lee Family Practice on healthivr"
    sentence = "Ana Ruiz invites you to Lee Family Practice on healthivr. Your role there: Office administrator."
    for text in (acts.plain_text(mail), " ".join(Reader(acts.html_text(mail)).text.split())):
        assert sentence in text
        assert "of Lee Family Practice" not in text


def test_invitation__that_founds_an_organization__says_where_the_inviter_is_from(world: World) -> None:
    mail = mail_of(acts.invite(world.actor(world.ana, world.platform), "chp_admin"))
    assert mail["Subject"] == "Ana Ruiz (healthivr platform) invites you to healthivr"
    assert "Ana Ruiz of healthivr platform invites you to healthivr." in acts.plain_text(mail)


def test_invitation__without_name_and_note__no_empty_places(world: World) -> None:
    mail = mail_of(acts.invite(world.actor(world.lee)))
    text = acts.plain_text(mail)
    assert text.startswith("Hello,\n")
    assert "writes:" not in text
    for form in (text, acts.html_text(mail)):
        assert "None" not in form
        assert not re.search("[\ue000\ue001]|{{|{%", form)


# --- what people typed -----------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.20", "S0.25")
@pytest.mark.parametrize("typed", NASTY)
def test_invitation__anything_typed__arrives_as_plain_text(world: World, typed: str) -> None:
    Organization.objects.filter(pk=world.practice.pk).update(name=typed)
    User.objects.filter(pk=world.lee.pk).update(first_name=typed, last_name="Lee")
    invitation = acts.invite(world.actor(world.lee), first_name=typed, message=f"{typed}\nsecond line")
    mail = mail_of(invitation)
    shown = " ".join(typed.split())
    assert mail["Subject"] == f"{shown} Lee invites you to {shown} on healthivr"
    text, html = acts.plain_text(mail), Reader(acts.html_text(mail))
    assert f"Hello {shown},\n" in text
    assert f"{typed}\nsecond line" in text
    assert f"{shown} Lee invites you to {typed} on healthivr." in text
    flat = " ".join(html.text.split())
    assert flat.count(shown) >= 4  # the name, the inviter, the organization, the note
    assert not html.elements & {"script", "img", "form", "input", "iframe", "object", "link", "base", "svg"}
    assert not [name for name in html.attributes if name.startswith("on")]
    assert set(html.links) == {invitation_url(invitation.token_nonce)}


@pytest.mark.parametrize("language", ["en", "es"])
def test_write_mail__values_with_marks_of_other_values__stay_what_they_are(language: str) -> None:
    values = {
        "invitation_type": "\ue000message\ue001",
        "role_label": "\ue000first_name\ue001",
        "invitation_url": "https://x.example/",
        "expiry_date": "\ue000organization_name\ue001",
        "organization_name": "\ue000inviter_name\ue001",
        "inviter_name": "\ue000message\ue001",
        "first_name": "\ue000message\ue001",
        "message": "the note",
    }
    mail = write_mail("invitations/email/invitation", values, language=language)
    assert mail.text.count("the note") == 1
    assert "\ue000message\ue001" in mail.text


def test_invitation__line_that_is_a_dot_or_begins_with_one__arrives_whole(world: World, mail_sink: MailSink) -> None:
    note = ".\n..\n.hidden\nFrom the start\n" + "long " * 150 + "\nend \u00e9"
    acts.invite(world.actor(world.lee), message=note)
    relay_due_deliveries()
    (raw,) = mail_sink.messages()
    assert note in acts.plain_text(acts.parsed(raw))
    assert max(len(line) for line in raw.splitlines()) <= 998  # RFC 5322 2.1.1


# --- one link, and nothing from outside ------------------------------------------------------------------------------
@pytest.mark.seed("S0.25")
def test_invitation__link__absolute_from_base_url_and_the_only_address(world: World, settings: Any) -> None:
    settings.BASE_URL = "https://invite.example.org"
    settings.SUPPORT_EMAIL = ""
    invitation = acts.invite(world.actor(world.lee))
    mail = mail_of(invitation)
    link = f"https://invite.example.org/i/{acts.token_of(invitation)}/"
    assert set(Reader(acts.html_text(mail)).links) == {link}
    assert re.findall(r"https?://\S+", acts.plain_text(mail)) == [link]
    assert re.findall(r"url\(|@import|src=", acts.html_text(mail)) == []
    assert mail["Message-ID"].endswith("@invite.example.org>")


@pytest.mark.seed("S0.25")
def test_invitation__created_under_a_changed_host__link_from_base_url(
    world: World, mail_sink: MailSink, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    lee = Client(headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    lee.force_login(world.lee)
    answer = lee.post(
        "/api/v1/invitations/",
        {"invitation_type": "medical_staff", "email": "nora@example.org"},
        content_type="application/json",
    )
    assert answer.status_code == 201
    relay_due_deliveries()
    (raw,) = [mail for mail in mail_sink.messages() if b"nora@example.org" in mail]
    mail = acts.parsed(raw)
    assert b"evil" not in raw
    assert f"{settings.BASE_URL}/i/" in acts.plain_text(mail)
    assert set(Reader(acts.html_text(mail)).links) == set(re.findall(r"https?://\S+", acts.plain_text(mail)))


@pytest.mark.seed("S0.25")
def test_html__css__inlined_once_a_template(world: World) -> None:
    html = acts.html_text(mail_of(acts.invite(world.actor(world.lee), message="Welcome")))
    reader = Reader(html)
    assert 'class="button"' in html
    assert re.search(r'<a [^>]*style="[^"]*background-color[^"]*"[^>]*>', html)
    assert re.search(r'<p [^>]*style="[^"]*"', html)
    assert "link" not in reader.elements


# --- the same mail, however often ------------------------------------------------------------------------------------
def test_message_id__of_one_issue__always_the_same_and_of_the_next_another(world: World) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    first = mail_of(invitation)["Message-ID"]
    assert mail_of(invitation)["Message-ID"] == first
    assert re.fullmatch(r"<[0-9a-f]{32}\.[0-9a-f]{16}@[\w.-]+>", first)
    acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    assert mail_of(invitation)["Message-ID"] != first
    assert acts.token_of(invitation) not in first


def test_message_id__of_a_notice__another_than_the_invitation_s(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee))
    first = mail_of(invitation)["Message-ID"]
    acts.decline(invitation)
    notice, to = acts.composed(acts.waiting_mail(invitation, purpose="declined"))
    assert (to, notice["Message-ID"] != first) == ("lee@example.org", True)


# --- notices to the inviter ------------------------------------------------------------------------------------------
def test_notice__accepted_by_who_had_an_account__names_the_person(world: World) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin")
    acts.accept(invitation)
    with platform("test"):
        UserInvitation.objects.filter(pk=invitation.pk).update(first_name="", last_name="")
        accepted = UserInvitation.objects.select_related("accepted_by").get(pk=invitation.pk)
    assert accepted.accepted_by
    notice, _to = acts.composed(acts.waiting_mail(accepted, purpose="accepted"))
    name = accepted.accepted_by.get_full_name()
    assert str(notice["Subject"]) == f"{name} ({invitation.email}) accepted your invitation"


def test_notice__accepted__tells_the_inviter_in_their_language_and_links_the_page(world: World, settings: Any) -> None:
    invitation = acts.invite(world.actor(world.lee), "office_admin", first_name="Nora", last_name="<b>Quist</b>")
    acts.accept(invitation)
    notice, to = acts.composed(acts.waiting_mail(invitation, purpose="accepted"))
    assert to == "lee@example.org"
    assert notice["Subject"] == "Nora <b>Quist</b> (nora@example.org) accepted your invitation"
    page = f"{settings.BASE_URL}/o/lee-family-practice/invitations/{invitation.pk}/"
    assert page in acts.plain_text(notice)
    html = Reader(acts.html_text(notice))
    assert set(html.links) == {page}
    assert "b" not in html.elements
    assert acts.token_of(invitation) not in notice.as_string()


def _deactivate(person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def _end_membership(person: User) -> None:
    with platform("test"):
        Membership.objects.filter(user=person).update(status="ended", ended_at=timezone.now())


@pytest.mark.parametrize("leave", [_deactivate, _end_membership])
def test_notice__inviter_who_left__is_not_told(world: World, leave: Callable[[User], None]) -> None:
    acts.allow_staff_to_invite(world.practice)
    told, not_told = acts.invite(world.actor(world.lee)), acts.invite(world.actor(world.omar), email="o@example.org")
    acts.decline(told)
    acts.decline(not_told)
    leave(world.omar)
    assert compose(acts.waiting_mail(told, purpose="declined"), at=timezone.now()) is not None
    assert compose(acts.waiting_mail(not_told, purpose="declined"), at=timezone.now()) is None


def test_when__moment__in_new_york_with_its_zone() -> None:
    assert when(datetime(2026, 7, 1, 4, 5, tzinfo=UTC)) == "Jul 1, 2026, 12:05 AM EDT"


# --- the preview -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["en", "es"])
def test_preview__of_a_form__is_the_mail_that_leaves_but_for_the_link(
    world: World, monkeypatch: pytest.MonkeyPatch, language: str, settings: Any
) -> None:
    at = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: at)
    typed = {
        "invitation_type": "office_admin",
        "email": "nora@example.org",
        "first_name": "Nora <b>",
        "last_name": "Quist",
        "message": "Welcome & good luck\r\nsecond line",
        "language": language,
        "expires_in_hours": "72",
    }
    client = Client()
    client.force_login(world.lee)
    page = f"/o/{world.practice.slug}/invitations/new/"
    framed = client.post(f"{page}preview/", typed)
    parts = client.post(f"{page}preview/", typed, headers={"HX-Request": "true"})
    assert (framed.status_code, parts.status_code) == (200, 200)
    assert client.post(page, typed).status_code == 302
    with platform("test"):
        invitation = UserInvitation.objects.get(email="nora@example.org")
    mail = mail_of(invitation)
    link, no_link = invitation_url(invitation.token_nonce), f"{settings.BASE_URL}/i/made-when-it-is-sent/"
    shown = framed.content.decode().replace("<style>a { text-decoration: underline; }</style>", "")
    assert shown.splitlines() == re.sub(' href="[^"]*"', "", acts.html_text(mail).replace(link, no_link)).splitlines()
    context = parts.context["mail"]
    assert context.subject == mail["Subject"]
    assert context.text.strip() == acts.plain_text(mail).replace(link, no_link).strip()
    assert invitation.expires_at == at + timedelta(hours=72)


def test_preview__writes_nothing(world: World) -> None:
    client = Client()
    client.force_login(world.lee)
    with acts.nothing_written():
        answer = client.post(f"/o/{world.practice.slug}/invitations/new/preview/", {"first_name": "Nora"})
    assert answer.status_code == 200
