"""Links that the worker makes when a mail leaves: nothing of them is stored."""

from collections.abc import Callable

from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode

from .models import AccountMailKind, User

UNLOCK_SALT = "unlock"


def reset_link_path(user: User) -> str:
    """Return the path of a password reset link that works for one hour and until the password changes."""
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return f"/password-reset/{uid}/{default_token_generator.make_token(user)}/"


def unlock_link_path(user: User) -> str:
    """Return the path of a link that gives a browser tries of its own while the address is locked: for as long as a lock
    lasts."""
    return f"/unlock/{signing.dumps(str(user.pk), salt=UNLOCK_SALT)}/"


def license_page_path(user: User) -> str:
    """Return the path of the page about one's own license, which asks to sign in."""
    return reverse("accounts:license")


#: Where each mail leads.
LINKS: dict[AccountMailKind, Callable[[User], str]] = {
    AccountMailKind.PASSWORD_RESET: reset_link_path,
    AccountMailKind.LOCKED: unlock_link_path,
    AccountMailKind.LICENSE_APPROVED: license_page_path,
    AccountMailKind.LICENSE_REJECTED: license_page_path,
    AccountMailKind.LICENSE_SUSPENDED: license_page_path,
    AccountMailKind.LICENSE_EXPIRED: license_page_path,
    AccountMailKind.LICENSE_EXPIRING: license_page_path,
}
