"""What the pages of accounts ask for. Forms parse; services decide."""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, available_timezones

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.emails import normalise_email
from healthivr.kernel.errors import DomainError
from organizations.forms import ServiceForm
from organizations.scopes import Scope

from .keys import KEY_NAME_LENGTH, MOST_DAYS, USUAL_DAYS
from .passwords import PasswordTerms, problems
from .services import NAME_LENGTH, clean_person_name

#: What most people here choose from, in words that they use.
COMMON_ZONES = (
    ("America/New_York", _("Eastern time (New York)")),
    ("America/Chicago", _("Central time (Chicago)")),
    ("America/Denver", _("Mountain time (Denver)")),
    ("America/Phoenix", _("Arizona (Phoenix)")),
    ("America/Los_Angeles", _("Pacific time (Los Angeles)")),
    ("America/Anchorage", _("Alaska (Anchorage)")),
    ("Pacific/Honolulu", _("Hawaii (Honolulu)")),
    ("America/Puerto_Rico", _("Puerto Rico (San Juan)")),
    ("Pacific/Guam", _("Guam")),
)


@lru_cache(maxsize=1)
def _zones_in_use() -> frozenset[str]:
    """Return the names that places have today, without the aliases of earlier times (Africa/Asmera): those of the table
    that comes with the time zones. Where a system leaves the table out, all that it has."""
    every = available_timezones()
    for folder in TZPATH:
        with suppress(OSError):
            lines = Path(folder, "zone.tab").read_text(encoding="utf-8").splitlines()
            return frozenset(line.split("\t")[2] for line in lines if line and not line.startswith("#")) & every
    return frozenset(name for name in every if "/" in name)


def zone_choices(present: str = "UTC") -> list[tuple[Any, list[tuple[str, Any]]]]:
    """Return the time zones in two groups: those of the United States first. `present` is among them, alias or not:
    somebody has chosen it."""
    common = {name for name, _label in COMMON_ZONES}
    others = sorted((_zones_in_use() | {present} & available_timezones()) - common - {"UTC"})
    return [
        (_("United States"), list(COMMON_ZONES)),
        (_("All others"), [*((name, name.replace("_", " ").replace("/", ", ")) for name in others), ("UTC", "UTC")]),
    ]


class AddressField(forms.CharField):
    """An address, read as the kernel reads it, so that its mistakes stand beside those of other fields."""

    def clean(self, value: Any) -> str:
        typed = super().clean(value)
        try:
            return normalise_email(typed) if typed else ""
        except DomainError as error:
            raise forms.ValidationError(str(error.message), code=error.code) from None


class NameField(forms.CharField):
    """A part of a person's name, judged as the service judges it, so that its mistakes stand beside those of other
    fields. They name the field: two names may have the same."""

    def clean(self, value: Any) -> str:
        typed = super().clean(value)
        try:
            return clean_person_name(typed, field="") if typed else ""
        except DomainError as error:
            raise forms.ValidationError(f"{self.label}: {error.message}", code=error.code) from None


class ChoosesPassword(ServiceForm):
    """A form in which a new password is chosen: judged as the service judges it, with all that the form itself tells of
    the person, so that its mistakes stand beside those of other fields. `terms` is what the hints on the page go by."""

    TELLING = ("first_name", "last_name", "email", "organization_name")

    def __init__(self, *args: Any, terms: PasswordTerms, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terms = terms

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if password := cleaned.get("password"):
            told = (str(cleaned.get(name, "")) for name in self.TELLING)
            for problem in problems(password, self.terms.knowing(*told)):
                self.add_error("password", forms.ValidationError(problem.message, code=problem.code))
        return cleaned


def email_field(kind: type[forms.CharField] = AddressField, **kwargs: Any) -> forms.CharField:
    """Return a field for an address."""
    return kind(
        label=kwargs.pop("label", _("E-mail address")),
        max_length=254,
        error_messages={"required": _("Enter an e-mail address."), "max_length": _("This address is too long.")},
        widget=forms.EmailInput(attrs={"autocomplete": kwargs.pop("autocomplete", "email"), "spellcheck": "false"}),
        **kwargs,
    )


def name_field(label: Any, missing: Any, *, autocomplete: str, **kwargs: Any) -> forms.CharField:
    """Return a field for a part of a person's name. `autocomplete` is `off` where it is not one's own."""
    return NameField(
        label=label,
        error_messages={"required": missing},
        widget=forms.TextInput(attrs={"autocomplete": autocomplete, "maxlength": NAME_LENGTH, "spellcheck": "false"}),
        **kwargs,
    )


def first_name_field(**kwargs: Any) -> forms.CharField:
    return name_field(_("First name"), _("Enter a first name."), **{"autocomplete": "given-name", **kwargs})


def last_name_field(**kwargs: Any) -> forms.CharField:
    return name_field(_("Last name"), _("Enter a last name."), **{"autocomplete": "family-name", **kwargs})


def new_password_field(**kwargs: Any) -> forms.CharField:
    """Return a field for a new password, typed once: showing it finds more mistakes than typing it twice."""
    return forms.CharField(
        label=kwargs.pop("label", _("Password")),
        strip=False,
        error_messages={"required": _("Choose a password.")},
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        **kwargs,
    )


def present_password_field(label: Any, **kwargs: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        error_messages={"required": _("Enter your password.")},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        **kwargs,
    )


class SetUpForm(ChoosesPassword):
    """The first person of an empty installation."""

    first_name = first_name_field()
    last_name = last_name_field()
    email = email_field(
        help_text=_("You sign in with it. Notices about your invitations go there."), autocomplete="username"
    )
    password = new_password_field()


class SignInForm(ServiceForm):
    """An address and a password. The address is not judged here: sign-in has one answer for every mistake."""

    email = email_field(forms.CharField, autocomplete="username")
    password = present_password_field(_("Password"))


def code_field(label: Any, **kwargs: Any) -> forms.CharField:
    """Return a field for a code of the app; where recovery codes are taken too, they are typed in the same."""
    return forms.CharField(
        label=label,
        max_length=100,
        error_messages={"required": _("Enter the code."), "max_length": _("This is no code of ours.")},
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": kwargs.pop("inputmode", "numeric"),
                "autocapitalize": "characters",
                "spellcheck": "false",
            }
        ),
        **kwargs,
    )


class CodeForm(ServiceForm):
    """The second step of signing in."""

    code = code_field(_("Code from your authenticator app"))

    def __init__(self, *args: Any, by_recovery_code: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if by_recovery_code:  # the same field: a phone shows its digits for the one, and its letters for the other
            self.fields["code"].label = _("Recovery code")
            self.fields["code"].widget.attrs |= {"inputmode": "text", "autocomplete": "off"}


class ReasonForm(ServiceForm):
    """Why something is done to somebody."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the audit trail. No patient information."),
        max_length=500,
        error_messages={
            "required": _("Nothing was done: say why. The reason goes into the audit trail."),
            "max_length": _("Say why in at most 500 characters."),
        },
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class EnrolmentForm(ServiceForm):
    """The first code of an app."""

    code = code_field(_("Code that the app shows now"), help_text=_("Six digits. A new one every 30 seconds."))


class ProveAgainForm(ServiceForm):
    """A fresh proof of who one is: a code, or the password of who has no second factor."""

    code = code_field(
        _("Code from your authenticator app"), help_text=_("Or one of your recovery codes."), inputmode="text"
    )
    password = present_password_field(_("Password"))

    def __init__(self, *args: Any, by_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["password" if by_code else "code"]


class FinishFactorResetForm(ServiceForm):
    """The proof that removes a lost second factor."""

    password = present_password_field(_("Password"))


class PasswordResetForm(ServiceForm):
    """Whose password is forgotten."""

    email = email_field(autocomplete="username")


class NewPasswordForm(ChoosesPassword):
    """A new password, by a mailed link."""

    password = new_password_field(label=_("New password"))


class ProfileForm(ServiceForm):
    """What a person decides about themselves."""

    first_name = first_name_field()
    last_name = last_name_field()
    time_zone = forms.ChoiceField(label=_("Time zone"), help_text=_("All times are shown in it, with its name."))
    language = forms.ChoiceField(
        label=_("Language"),
        choices=settings.LANGUAGES,
        help_text=_("Of the pages that you see and the mails that you get."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].choices = zone_choices(self.initial["time_zone"])  # type: ignore[attr-defined]


class ChangeEmailForm(ServiceForm):
    """A new address, by somebody who knows the password."""

    email = email_field(
        label=_("New e-mail address"), help_text=_("We mail a link to it. Nothing changes until you open that link.")
    )
    current_password = present_password_field(_("Current password"))


class ChangePasswordForm(ChoosesPassword):
    """A new password, by somebody who knows the present one."""

    current_password = present_password_field(_("Current password"))
    password = new_password_field(label=_("New password"))


class ApiKeyForm(ServiceForm):
    """A new key for scripts."""

    name = forms.CharField(
        label=_("Name"),
        help_text=_("What it is for, so that you know later which one to end."),
        max_length=KEY_NAME_LENGTH,
        error_messages=dict.fromkeys(("required", "max_length"), _("Give the key a name of 1 to 60 characters.")),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    organization = forms.ChoiceField(
        label=_("Organization"),
        help_text=_("The only one in which it works."),
        error_messages=dict.fromkeys(("required", "invalid_choice"), _("Choose one of your organizations.")),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        help_text=_("Never more than you may yourself."),
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages=dict.fromkeys(
            ("required", "invalid_choice"), _("Choose at least one thing that the key may do.")
        ),
    )
    days = forms.IntegerField(
        label=_("Days that the key works"),
        help_text=_("1 to 365. Then make a new one."),
        min_value=1,
        max_value=MOST_DAYS,
        initial=USUAL_DAYS,
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), _("Enter a number of days, 1 to 365.")
        ),
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, organizations: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["organization"].choices = organizations  # type: ignore[attr-defined]
