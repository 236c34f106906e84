"""Links that the worker makes when a mail leaves: nothing of them is stored."""

from django.contrib.auth.tokens import default_token_generator
from django.utils.http import urlsafe_base64_encode

from .models import User


def reset_link_path(user: User) -> str:
    """Return the path of a password reset link that works for one hour and until the password changes."""
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return f"/password-reset/{uid}/{default_token_generator.make_token(user)}/"
