"""Spanish is whole: every text of the sources has one, the compiled catalog says the same, and people see it."""

import ast
import gettext
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation.template import templatize

from accounts.models import User
from healthivr.templatetags.ui import exact
from healthivr.testing.world import World
from invitations.messages import compose
from invitations.models import UserInvitation
from invitations.tests import acts
from organizations.tenancy import platform

CATALOG = settings.BASE_DIR / "locale/es/LC_MESSAGES"
APPS = ("accounts", "audit", "healthivr", "invitations", "organizations", "patients")
#: Context and text, as gettext tells texts apart.
Id = tuple[str, str]

NAMES = r"_|p?gettext(?:_lazy|_noop)?|np?gettext(?:_lazy)?"
STRING = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
TEMPLATE_CALL = re.compile(rf"\b({NAMES})\(\s*({STRING}(?:\s*,\s*{STRING})*)")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}|<[^>]+>|#\w+|healthivr")


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    """A request in Spanish leaves nothing for the next test."""
    with translation.override("en"):
        yield


# --- the sources -----------------------------------------------------------------------------------------------------
def text_of(function: str, strings: list[str]) -> Id:
    context = strings[0] if function.removeprefix("n").startswith("p") else ""
    return context, strings[1] if context else strings[0]


def texts_of_templates() -> Iterator[Id]:
    for path in sorted((settings.BASE_DIR / "templates").rglob("*.*")):
        for call in TEMPLATE_CALL.finditer(templatize(path.read_text())):
            strings = [ast.literal_eval(string) for string in re.findall(STRING, call[2])]
            yield text_of(call[1], strings)


def texts_of_modules() -> Iterator[Id]:
    for app in APPS:
        for path in sorted((settings.BASE_DIR / app).rglob("*.py")):
            if "tests" not in path.parts:
                yield from texts_of_module(path)


def texts_of_module(path: Path) -> Iterator[Id]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if re.fullmatch(NAMES, node.func.id):
            strings = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if strings:
                yield text_of(node.func.id, strings)


# --- the catalog -----------------------------------------------------------------------------------------------------
def read_po() -> dict[Id, tuple[list[str], list[str]]]:
    """Return the English and the Spanish forms of each text. (A .po is blocks of `keyword "text"` lines.)"""
    texts = {}
    for block in (CATALOG / "django.po").read_text().strip().split("\n\n")[1:]:
        assert "fuzzy" not in block, block
        fields: dict[str, str] = {}
        keyword = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if not line.startswith('"'):
                keyword = line.split(" ", 1)[0]
            fields[keyword] = fields.get(keyword, "") + ast.literal_eval(line.removeprefix(f"{keyword} "))
        english = [text for key, text in fields.items() if key.startswith("msgid")]
        spanish = [text for key, text in fields.items() if key.startswith("msgstr")]
        texts[fields.get("msgctxt", ""), fields["msgid"]] = (english, spanish)
    return texts


def test_catalog__every_text_of_the_sources__is_in_it_and_nothing_else() -> None:
    sources = {*texts_of_templates(), *texts_of_modules()}
    assert len(sources) > 500  # the extraction works
    assert sorted(sources) == sorted(read_po()), "run makemessages and compilemessages: see CONTRIBUTING.md"


def test_catalog__every_text__is_translated_in_each_of_its_forms() -> None:
    for english, spanish in read_po().values():
        assert len(spanish) == len(english), english
        assert all(text.strip() for text in spanish), english


def test_catalog__placeholders_and_markup__are_the_same_in_both_languages() -> None:
    for english, spanish in read_po().values():
        for source, text in zip(english, spanish, strict=True):
            assert sorted(PLACEHOLDER.findall(source)) == sorted(PLACEHOLDER.findall(text)), source


def test_catalog__compiled__says_what_the_source_says() -> None:
    with (CATALOG / "django.mo").open("rb") as file:
        compiled = dict(gettext.GNUTranslations(file)._catalog)  # type: ignore[attr-defined]
    compiled.pop("")
    written: dict[str | tuple[str, int], str] = {}
    for (context, text), (english, spanish) in read_po().items():
        key = f"{context}\x04{text}" if context else text
        written |= {key: spanish[0]} if len(english) == 1 else {(key, n): form for n, form in enumerate(spanish)}
    assert compiled == written, "run compilemessages: see CONTRIBUTING.md"


# --- what people see -------------------------------------------------------------------------------------------------
def spanish_invitation(world: World, **values: str) -> UserInvitation:
    return acts.fresh(acts.invite(world.actor(world.lee), "office_admin", language="es", first_name="Nora", **values))


def assert_speaks(response: HttpResponse, language: str, *words: str) -> None:
    text = response.content.decode()
    assert f'<html lang="{language}"' in text
    assert response["Content-Language"] == language
    for word in words:
        assert word in text


def test_mail__of_a_spanish_invitation__is_spanish_in_subject_text_and_html(world: World) -> None:
    mail, _to = acts.composed(acts.waiting_mail(spanish_invitation(world)))
    assert mail["Subject"] == "Jun Lee le invita a Lee Family Practice en healthivr"
    for text in (acts.plain_text(mail), acts.html_text(mail)):
        assert "Administrador de oficina" in text
        assert "El enlace funciona hasta:" in text
        assert "The link" not in text
        assert re.search(r"\d+ [a-z]{3} \d{4}, \d+:\d\d [ap]\.m\. E[SD]T", text)
    assert '<html lang="es"' in acts.html_text(mail)


def test_link__of_a_spanish_invitation__each_page_is_spanish_to_a_stranger(world: World, client: Client) -> None:
    invitation = spanish_invitation(world)
    token = acts.token_of(invitation)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en-US"
    assert_speaks(client.get("/", follow=True), "en", "Sign in")
    landing = client.get(reverse("invitations:accept", args=[token]))
    assert_speaks(landing, "es", "Únase a Lee Family Practice en healthivr", "Administrador de oficina")
    assert settings.LANGUAGE_COOKIE_NAME not in landing.cookies
    client.post(reverse("invitations:start"), {"token": token})
    accept = reverse("invitations:accept_form")
    assert_speaks(client.get(accept), "es", "Crear su cuenta")
    refused = client.post(accept, {"password": ""})
    assert_speaks(refused, "es", "Hay un problema", "Elija una contraseña.")
    declined = client.post(reverse("invitations:decline"), {"reason": "not_me"}, follow=True)
    assert_speaks(declined, "es", "Rechazó la invitación")
    closed = client.get(reverse("invitations:accept", args=[token]))
    assert closed.status_code == 410
    assert_speaks(closed, "es", "Esta invitación fue rechazada")


def test_link__of_a_spanish_invitation__a_signed_in_person_reads_their_own_language(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    link = reverse("invitations:accept", args=[acts.token_of(spanish_invitation(world))])
    assert_speaks(Client().get(link), "es")
    assert_speaks(sign_in(world.mia).get(link), "en", "You are signed in with another address")


def test_link__of_an_english_invitation__is_english_in_a_spanish_browser(world: World, client: Client) -> None:
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "es-US"
    assert_speaks(client.get("/", follow=True), "es", "Iniciar sesión")
    invitation = acts.fresh(acts.invite(world.actor(world.lee), "office_admin"))
    landing = client.get(reverse("invitations:accept", args=[acts.token_of(invitation)]))
    assert_speaks(landing, "en", "Join Lee Family Practice on healthivr")


def test_acceptance__of_a_spanish_invitation__the_new_person_goes_on_in_spanish(world: World, client: Client) -> None:
    token = acts.token_of(spanish_invitation(world))
    person = {"token": token, "first_name": "Nora", "last_name": "Paz", "password": "tres caballos y una luna"}
    page = client.post(reverse("invitations:accept_form"), person, follow=True)
    assert page.status_code == 200
    assert_speaks(page, "es", "Está en Lee Family Practice", "Adónde ir primero")


def test_decline__in_spanish__the_inviter_reads_the_reason_in_english(world: World, client: Client) -> None:
    invitation = spanish_invitation(world)
    client.post(reverse("invitations:decline"), {"token": acts.token_of(invitation), "reason": "not_me"})
    with platform("test"):
        delivery = acts.waiting_mail(invitation, purpose="declined")
        message, to = compose(delivery, at=timezone.now()) or (b"", "")
    assert to == "lee@example.org"
    assert "This is not me" in acts.plain_text(acts.parsed(message))


def test_pages__of_a_person_with_spanish__are_spanish_whatever_the_browser_says(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    User.objects.filter(pk=world.lee.pk).update(language="es")
    stranger, lee = sign_in(world.stone), sign_in(world.lee)
    stranger.defaults["HTTP_ACCEPT_LANGUAGE"] = lee.defaults["HTTP_ACCEPT_LANGUAGE"] = "en-US"
    for path in (
        reverse("invitations:list", args=[world.practice.slug]),
        reverse("invitations:detail", args=[world.practice.slug, world.invitation.pk]),
        reverse("accounts:profile"),
    ):
        assert_speaks(lee.get(path), "es", "Cerrar sesión")
        assert_speaks(stranger.get(reverse("accounts:profile")), "en", "Sign out")


def test_profile__language_changed__the_answer_is_in_the_new_one(
    world: World, sign_in: Callable[[User], Client]
) -> None:
    profile = {"first_name": "Jun", "last_name": "Lee", "time_zone": "America/New_York", "language": "es"}
    answer = sign_in(world.lee).post(reverse("accounts:profile"), profile, follow=True)
    assert_speaks(answer, "es", "Su perfil se guardó.")


def test_times__in_each_language__are_written_as_it_writes_them() -> None:
    noon = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
    with timezone.override("America/New_York"):
        assert exact(noon) == "Nov 21, 2026, 12:00 PM EST"
        with translation.override("es"):
            assert exact(noon) == "21 nov 2026, 12:00 p.m. EST"
