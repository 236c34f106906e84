"""E-mail addresses as identities: one normal form, and refusal of addresses that only look right."""

import unicodedata

import idna
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _

from .errors import Malformed, Refused

MAX_LENGTH = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
MAX_LOCAL_LENGTH = 64  # RFC 5321 4.5.3.1.1
_is_valid = EmailValidator(allowlist=[])


def normalise_email(typed: str, *, field: str = "email") -> str:
    """Return the address in the form in which addresses are stored and compared: trimmed and lower case. Dots and
    +tags stay: they are different mailboxes. A foreign domain is accepted in its ASCII form (IDNA 2008, `xn--…`).

    Quoted names are refused because `"nora"@…` is the mailbox of `nora@…`, and machines (`@[192.0.2.1]`, `@localhost`)
    because nobody there is known by an address that lasts.

    Raises Malformed (`email_malformed`) when it is no such address, and Refused (`email_look_alike`) when letters
    outside ASCII, or invisible characters, make it look like another one.
    """
    address = typed.strip()
    if any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in address):
        raise Refused(
            _("This address contains invisible characters. Type it again instead of pasting it."),
            code="email_look_alike",
            field=field,
        )
    local, _at, domain = address.rpartition("@")
    is_of_machine = domain.startswith("[") or local.startswith('"')
    if not local or not domain or is_of_machine or len(address) > MAX_LENGTH or len(local) > MAX_LOCAL_LENGTH:
        raise Malformed(_("Enter an e-mail address such as name@example.org."), code="email_malformed", field=field)
    if not local.isascii() or not domain.isascii():
        raise Refused(
            _("This address has letters that look like others (%(domain)s). Type it in plain Latin letters.")
            % {"domain": _ascii_domain(domain)},
            code="email_look_alike",
            field=field,
        )
    address = f"{local}@{domain}".lower()
    try:
        _is_valid(address)
    except ValidationError:
        raise Malformed(
            _("Enter an e-mail address such as name@example.org."), code="email_malformed", field=field
        ) from None
    return address


def _ascii_domain(domain: str) -> str:
    """What a domain with foreign letters really is, so that a person sees the difference."""
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return "?"
