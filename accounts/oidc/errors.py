"""What can go wrong on the way through an identity provider. Each says what to do next; the password always does."""

from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Busy, NotPermitted, NotSignedIn


class ExternalDenied(NotSignedIn):
    """The person, or the provider, said no."""

    code = "external_denied"
    message = _(
        "The sign-in was cancelled there, or that account may not use healthivr. Try again, or use your password."
    )


class ExternalExpired(NotSignedIn):
    """The answer belongs to no sign-in that this browser began within ten minutes, or to one that was answered."""

    code = "external_expired"
    message = _(
        "This sign-in was not begun in this browser, is older than ten minutes, or was used already. Begin again here."
    )


class ExternalClock(NotSignedIn):
    """The provider's token is of another time than ours."""

    code = "external_clock"
    message = _(
        "The clocks of healthivr and of the sign-in service do not agree. Try again; if it stays so, sign in with your"
        " password and tell support."
    )


class ExternalInvalid(NotSignedIn):
    """What the provider answered does not hold."""

    code = "external_invalid"
    message = _(
        "The answer of the sign-in service could not be verified, so nobody was signed in. Try again; if it stays so,"
        " sign in with your password and tell support."
    )


class ExternalUnavailable(Busy):
    """The provider does not answer, or not as one."""

    code = "external_unavailable"
    message = _("The sign-in service does not answer. Sign in with your password, or try again in a few minutes.")
    retry_after = 60


class ExternalUnknown(NotPermitted):
    """The provider's account is nobody's here. Says the same for every reason."""

    code = "external_unknown"
    message = _("That account opens no account of healthivr.")


EXTERNAL_ERRORS = (
    ExternalDenied,
    ExternalExpired,
    ExternalClock,
    ExternalInvalid,
    ExternalUnavailable,
    ExternalUnknown,
)
