"""Signing in by an account at an identity provider (OpenID Connect), where the installation names one:
docs/adr/0016-oidc.md."""

from django.conf import settings
from django.utils.translation import gettext as _


def is_on() -> bool:
    """Say whether the installation names an identity provider. Without one nothing of this exists."""
    return bool(settings.OIDC_ISSUER)


def provider_name() -> str:
    """Return what people know the identity provider by."""
    return str(settings.OIDC_NAME) or _("single sign-on")
