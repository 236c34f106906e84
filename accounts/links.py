"""Links that the worker makes when a mail leaves: nothing of them is stored."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode

from healthivr.kernel.masking import address_digest

from .models import AccountMailKind, FactorReset, User

UNLOCK_SALT = "unlock"
EMAIL_SALT = "email-change"
FACTOR_RESET_SALT = "factor reset"
FORCED_RESET_LIFE = timedelta(hours=24)


def reset_link_path(user: User) -> str:
    """Return the path of a password reset link that works for one hour and until the password changes."""
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return f"/password-reset/{uid}/{default_token_generator.make_token(user)}/"


def forced_reset_link_path(user: User) -> str:
    """Return the path of a reset link that works for 24 hours (checklist S2.14): whoever's password was voided did not
    ask for it and may not be at their desk. Its time stamp lies ahead by what it lives longer than the usual hour."""
    generator = default_token_generator
    ahead = int(FORCED_RESET_LIFE.total_seconds()) - settings.PASSWORD_RESET_TIMEOUT
    stamp = generator._num_seconds(generator._now()) + ahead
    token = generator._make_token_with_timestamp(user, stamp, generator.secret)
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return f"/password-reset/{uid}/{token}/"


def unlock_link_path(user: User) -> str:
    """Return the path of a link that gives a browser tries of its own while the address is locked: for one hour, and
    while the address is the person's."""
    return f"/unlock/{signing.dumps([str(user.pk), address_digest(user.email)], salt=UNLOCK_SALT)}/"


def email_link_path(change_id: str) -> str:
    """Return the path of a link that confirms a new address. How long it works stands with the wish."""
    return reverse("accounts:confirm_email", args=[signing.Signer(salt=EMAIL_SALT).sign(change_id)])


def read_email_link(token: str) -> UUID | None:
    """Return which wish a link confirms; None for what is no link of ours."""
    try:
        return UUID(signing.Signer(salt=EMAIL_SALT).unsign(token))
    except (signing.BadSignature, ValueError):
        return None


def forgotten_password_path(user: User) -> str:
    """Return the path of the page that mails a reset link: for who did not change what was changed."""
    return reverse("accounts:password_reset")


def profile_path(user: User) -> str:
    """Return the path of the page on which people see what signs them in; the same for everybody."""
    return reverse("accounts:profile")


def license_page_path(user: User) -> str:
    """Return the path of the page about one's own license, which asks to sign in."""
    return reverse("accounts:license")


def keys_page_path(user: User) -> str:
    """Return the path of the page about one's own API keys, which asks to sign in."""
    return reverse("accounts:keys")


def second_factor_path(user: User) -> str:
    """Return the path of the page on which people see what they have; the same for everybody."""
    return reverse("accounts:second_factor")


def factor_reset_path(user: User) -> str:
    """Return the path of the link that finishes the newest reset of a second factor. It dies with the password of now,
    for who holds the mailbox alone could set a new one; and with the address of now, for the old one may be another's."""
    reset = FactorReset.objects.filter(user=user).latest("created_at")
    token = signing.dumps(
        [str(reset.pk), user.get_session_auth_hash(), address_digest(user.email)], salt=FACTOR_RESET_SALT
    )
    return reverse("accounts:finish_factor_reset", args=[token])


#: Where each mail leads, unless its row says where (`facts["path"]`).
LINKS: dict[AccountMailKind, Callable[[User], str]] = {
    AccountMailKind.PASSWORD_RESET: reset_link_path,
    AccountMailKind.LOCKED: unlock_link_path,
    AccountMailKind.API_KEY_CREATED: keys_page_path,
    AccountMailKind.PASSWORD_CHANGED: forgotten_password_path,
    AccountMailKind.EMAIL_TAKEN: forgotten_password_path,
    AccountMailKind.EMAIL_CHANGED: forgotten_password_path,
    AccountMailKind.EXTERNAL_LINKED: profile_path,
    AccountMailKind.EXTERNAL_REMOVED: profile_path,
    AccountMailKind.RESET_FORCED: forced_reset_link_path,
    AccountMailKind.LICENSE_APPROVED: license_page_path,
    AccountMailKind.LICENSE_REJECTED: license_page_path,
    AccountMailKind.LICENSE_SUSPENDED: license_page_path,
    AccountMailKind.LICENSE_EXPIRED: license_page_path,
    AccountMailKind.LICENSE_EXPIRING: license_page_path,
    AccountMailKind.FACTOR_ENROLLED: second_factor_path,
    AccountMailKind.FACTOR_RESET: factor_reset_path,
    AccountMailKind.FACTOR_REMOVED: second_factor_path,
    AccountMailKind.CODES_REPLACED: second_factor_path,
    AccountMailKind.CODE_USED: second_factor_path,
}
