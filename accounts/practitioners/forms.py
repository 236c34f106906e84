"""What the pages of licenses ask for. Forms parse; services decide."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import DomainError
from organizations.forms import ServiceForm
from organizations.paging import PAGE_SIZES

from .regions import Region
from .selectors import Filters
from .services import LICENSE_NUMBER_LENGTH, REASON_LENGTH, clean_license_number, clean_npi, license_end
from .states import Standing


class _JudgedField(forms.CharField):
    """A value judged as the service judges it, so that its mistakes stand beside those of other fields."""

    def __init__(self, *args: Any, judge: Callable[[str], str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.judge = judge

    def clean(self, value: Any) -> str:
        typed = super().clean(value)
        try:
            return self.judge(typed) if typed else ""
        except DomainError as error:
            raise forms.ValidationError(str(error.message), code=error.code) from None


class LicenseForm(ServiceForm):
    """What a doctor says of their license."""

    npi = _JudgedField(
        judge=clean_npi,
        label=_("NPI"),
        help_text=_("Your own National Provider Identifier, 10 digits. Not that of your practice."),
        error_messages={"required": _("Enter your NPI.")},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "maxlength": 20}),
    )
    license_state = forms.ChoiceField(
        label=_("State or territory"),
        choices=[("", _("Choose a state or territory")), *Region.choices],
        error_messages={
            "required": _("Choose the state or territory that licenses you."),
            "invalid_choice": _("Choose a state or territory from the list."),
        },
    )
    license_number = _JudgedField(
        judge=clean_license_number,
        label=_("License number"),
        help_text=_("As it is printed on the license."),
        error_messages={"required": _("Enter the number of your license.")},
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "maxlength": LICENSE_NUMBER_LENGTH}
        ),
    )
    license_expires_on = forms.DateField(
        label=_("Expires on"),
        help_text=_("The last day on which it is valid."),
        error_messages={
            "required": _("Enter the day on which the license expires."),
            "invalid": _("Enter a day, for example 2027-06-30."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def clean(self) -> dict[str, Any]:
        """Judge the last day as the service does, so that its mistakes stand beside those of other fields; without a
        state, by the one where a day ends last."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if day := cleaned.get("license_expires_on"):
            try:
                license_end(day, cleaned.get("license_state") or Region.AS, at=timezone.now())
            except DomainError as error:
                self.refuse(error)
        return cleaned


class ApproveForm(ServiceForm):
    """That what the page showed is approved, and nothing that was submitted since."""

    submission = forms.IntegerField(widget=forms.HiddenInput, min_value=1)


class RefuseForm(ApproveForm):
    """Why it is rejected or suspended."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_(
            "The doctor reads it, and it goes into the audit trail. Say what to correct. No patient information."
        ),
        max_length=REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={"required": _("Say why. The doctor reads it.")},
    )


class PractitionerFilterForm(forms.Form):
    """Which doctors the list shows. Lives in the address, so that a view can be kept and passed on."""

    text = forms.CharField(
        label=_("Name or e-mail begins with, or NPI"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"type": "search", "spellcheck": "false", "autocomplete": "off"}),
    )
    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("Any status")), *Standing.choices])
    state = forms.ChoiceField(
        label=_("State or territory"), required=False, choices=[("", _("Anywhere")), *Region.choices]
    )
    size = forms.ChoiceField(required=False, choices=[(str(n), n) for n in PAGE_SIZES], widget=forms.HiddenInput)

    def filters(self) -> Filters:
        """Return the filters; what is not valid filters nothing, and the form says so."""
        given = self.cleaned_data
        return Filters(text=given.get("text", ""), standing=given.get("status", ""), state=given.get("state", ""))
