"""Links: derived, unguessable, stored as a digest only, and alive across a change of keys."""

import base64
import re
import secrets
from typing import Any

import pytest
import redis
from django.db import connection
from django.test import Client

from healthivr.embedded.mail_sink import MailSink
from healthivr.testing.database import as_owner
from healthivr.testing.factories import PASSWORD
from healthivr.testing.world import World
from invitations.acceptance import find_invitation
from invitations.delivery import relay_due_deliveries
from invitations.errors import InvitationNotFound, LinkReplaced
from invitations.models import UserInvitation
from invitations.services import resend_invitation
from invitations.tokens import (
    TOKEN_LENGTH,
    derive_token,
    digest_of,
    invitation_url,
    new_nonce,
    possible_digests,
)
from organizations.tenancy import platform

from . import acts

ALPHABET = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.seed("S0.17", "S4.8")
def test_token__a_thousand__all_different_of_one_length_and_32_bytes() -> None:
    nonces = [new_nonce() for _number in range(1000)]
    tokens = {derive_token(nonce) for nonce in nonces}
    assert len(tokens) == len(set(nonces)) == 1000
    assert {len(token) for token in tokens} == {TOKEN_LENGTH}
    assert set("".join(tokens)) == ALPHABET
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in tokens)


def test_token__of_one_nonce__always_the_same() -> None:
    nonce = new_nonce()
    assert derive_token(nonce) == derive_token(nonce)
    assert digest_of(nonce) in possible_digests(derive_token(nonce))


@pytest.mark.seed("S0.17", "S4.8")
def test_token__with_another_key__another_token_and_another_digest(settings: Any) -> None:
    nonce = new_nonce()
    key_id = nonce.partition(":")[0]
    token, digest = derive_token(nonce), digest_of(nonce)
    settings.INVITATION_TOKEN_KEYS = {key_id: secrets.token_bytes(32)}
    assert derive_token(nonce) != token
    assert digest_of(nonce) != digest
    assert digest not in possible_digests(token)  # who has the table alone can compute neither


def test_nonce__names_the_newest_key(settings: Any) -> None:
    settings.INVITATION_TOKEN_KEYS = {"k9": secrets.token_bytes(32), **settings.INVITATION_TOKEN_KEYS}
    key_id, _, random = new_nonce().partition(":")
    assert key_id == "k9"
    assert len(bytes.fromhex(random)) == 32


@pytest.mark.parametrize("token", ["", "x" * 42, "x" * 44, "\u0663" * 43, "é" * 43])
def test_digests__what_cannot_be_a_token__none(token: str) -> None:
    assert possible_digests("x" * 43)
    assert possible_digests(token) == []


@pytest.mark.seed("S0.25")
def test_url__absolute_and_from_base_url(settings: Any) -> None:
    nonce = new_nonce()
    settings.BASE_URL = "https://invite.example.org"
    assert invitation_url(nonce) == f"https://invite.example.org/i/{derive_token(nonce)}/"


def test_keys__rotated__old_links_open_until_the_old_key_goes(world: World, settings: Any) -> None:
    lee = world.actor(world.lee)
    old = acts.invite(lee)
    old_token = acts.token_of(old)
    before = settings.INVITATION_TOKEN_KEYS
    settings.INVITATION_TOKEN_KEYS = {"k2": secrets.token_bytes(32), **before}
    new = acts.invite(lee, email="new@example.org")
    assert new.token_nonce.startswith("k2:")
    assert find_invitation(old_token) == old
    assert find_invitation(acts.token_of(new)) == new
    settings.INVITATION_TOKEN_KEYS = {"k2": settings.INVITATION_TOKEN_KEYS["k2"]}
    with pytest.raises(InvitationNotFound):
        find_invitation(old_token)
    with pytest.raises(KeyError):
        derive_token(old.token_nonce)
    acts.act(resend_invitation, actor=lee, invitation_id=old.pk)
    assert find_invitation(acts.token_of(old)) == old
    acts.accept(old)


def test_keys__rotated__a_replaced_link_of_the_old_key_still_says_so(world: World, settings: Any) -> None:
    lee = world.actor(world.lee)
    invitation = acts.invite(lee)
    token = acts.token_of(invitation)
    settings.INVITATION_TOKEN_KEYS = {"k2": secrets.token_bytes(32), **settings.INVITATION_TOKEN_KEYS}
    acts.act(resend_invitation, actor=lee, invitation_id=invitation.pk)
    with pytest.raises(LinkReplaced):
        find_invitation(token)


# --- nowhere in clear ------------------------------------------------------------------------------------------------
def spellings(token: str) -> list[str]:
    """Return how a token could stand in a table: itself, its bytes in hex, and in the other base64."""
    raw = base64.urlsafe_b64decode(token + "=")
    return [token, raw.hex(), base64.b64encode(raw).decode().rstrip("=")]


def tables_with(text: str) -> list[str]:
    """Return every table of the database in which a text stands, read by the owner, as a dump would."""
    found = []
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
        names = [row[0] for row in cursor.fetchall()]
        assert {"user_invitations", "invitation_history", "invitation_deliveries", "django_session"} <= set(names)
        for name in names:
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{name}" r WHERE position(%s IN r::text) > 0)', [text])
            if cursor.fetchone()[0]:
                found.append(name)
    return found


def redis_with(url: str, text: str) -> list[bytes]:
    """Return every key of Redis under which, or in which, a text stands; Celery's messages are base64 inside."""
    found: list[bytes] = []
    for number in range(4):
        with redis.Redis.from_url(url, db=number) as store:
            read = {
                b"string": store.get,
                b"list": lambda key: store.lrange(key, 0, -1),
                b"hash": store.hgetall,
                b"set": store.smembers,
                b"zset": lambda key: store.zrange(key, 0, -1),
                b"none": lambda key: None,  # it has just expired
            }
            for key in store.scan_iter():
                value = repr(read[store.type(key)](key))
                bodies = [base64.b64decode(body) for body in re.findall(r'"body": "([A-Za-z0-9+/=]+)"', value)]
                if text in f"{key!r}{value}{bodies}":
                    found.append(key)
    return found


@pytest.mark.seed("S0.17", "S4.8")
def test_raw_token__after_create_send_resend_and_accept__in_no_table_and_not_in_redis(
    committed_world: World, mail_sink: MailSink, settings: Any
) -> None:
    world = committed_world
    lee = Client()
    lee.force_login(world.lee)
    answer = lee.post(
        "/api/v1/invitations/",
        {"invitation_type": "medical_staff", "email": "canary@example.org"},
        content_type="application/json",
    )
    assert answer.status_code == 201
    with platform("test"):
        invitation = UserInvitation.objects.get(email="canary@example.org")
    tokens = [acts.token_of(invitation)]
    assert relay_due_deliveries() >= 1
    acts.act(resend_invitation, actor=world.actor(world.lee), invitation_id=invitation.pk)
    tokens.append(acts.token_of(invitation))
    assert relay_due_deliveries() == 1
    for token in tokens:
        Client().get(f"/api/v1/invitations/validate/{token}/")
        Client().get(f"/i/{token}/")
    typed = {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}
    accepted = Client().post(f"/api/v1/invitations/accept/{tokens[1]}/", typed, content_type="application/json")
    assert accepted.status_code == 201, accepted.content
    mails = b"".join(mail_sink.messages()).replace(b"=\r\n", b"")
    for token in tokens:
        assert token.encode() in mails  # they did leave, by mail alone
        for spelling in spellings(token):
            assert tables_with(spelling) == []
            assert redis_with(settings.REDIS_URL, spelling) == []
    # Both searches do find what is there.
    assert tables_with("canary@example.org") != []
    assert redis_with(settings.REDIS_URL, "invitations.tasks.relay_deliveries") != []
    assert redis_with(settings.REDIS_URL, '"callbacks": null') != []  # stands in the bodies alone
