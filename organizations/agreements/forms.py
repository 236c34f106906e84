"""What the pages of agreements ask for."""

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from organizations.forms import ServiceForm
from organizations.paging import PAGE_SIZES
from organizations.templatetags.law import citations

from .clauses import REQUIREMENTS, Clause
from .documents import MAX_BYTES, DocumentRefused
from .services import ClausesMissing


class ClauseChecks(forms.CheckboxSelectMultiple):
    """The required clauses, each with what it means and where the rule demands it."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        requirement = REQUIREMENTS[Clause(str(value))]
        option["help"] = format_html("{} ({})", requirement.sentence, citations(requirement.source))
        return option


class SignForm(ServiceForm):
    """Who signs, that they read each clause, and which text it was."""

    clauses = forms.MultipleChoiceField(
        label=_("I have read these clauses and agree to them"),
        choices=Clause.choices,
        widget=ClauseChecks,
        error_messages={"required": _("Confirm each of the eleven clauses.")},
    )
    signer_name = forms.CharField(
        label=_("Your full name"),
        help_text=_("Stands under the agreement as your signature."),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": _("Enter your full name, as it signs.")},
    )
    signer_title = forms.CharField(
        label=_("Your title"),
        help_text=_("Such as owner, managing partner or privacy officer."),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "organization-title"}),
        error_messages={"required": _("Enter your title in the organization.")},
    )
    document_sha256 = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def clean_clauses(self) -> list[str]:
        """Judge them as the service does, so that its mistakes stand beside those of other fields."""
        confirmed: list[str] = self.cleaned_data["clauses"]
        if set(confirmed) != set(Clause.values):
            raise forms.ValidationError(str(ClausesMissing.message), code=ClausesMissing.code)
        return confirmed


class DraftForm(ServiceForm):
    """An agreement of its own for one organization."""

    document = forms.FileField(
        label=_("Agreement as a PDF"),
        help_text=_("At most 5 MB. No patient information."),
        widget=forms.FileInput(attrs={"accept": "application/pdf"}),
        error_messages={
            "required": _("Choose the agreement as a PDF."),
            "empty": _("This file is empty. Choose the agreement as a PDF."),
        },
    )
    version = forms.CharField(
        label=_("Version"),
        help_text=_("What both parties call this text, such as 2026-1."),
        max_length=40,
        error_messages={"required": _("Name the version.")},
    )
    clauses = forms.MultipleChoiceField(
        label=_("Clauses that the document contains"),
        help_text=_("All eleven have to be in it before it can be sent."),
        choices=Clause.choices,
        widget=ClauseChecks,
        required=False,
    )
    breach_sla_days = forms.IntegerField(
        label=_("Days to report a breach"),
        help_text=_("1 to 60, from when the business associate knows of it."),
        min_value=1,
        max_value=60,
        initial=10,
    )
    term_months = forms.IntegerField(
        label=_("Months it holds"),
        help_text=_("1 to 60, from its signature."),
        min_value=1,
        max_value=60,
        initial=12,
    )

    def __init__(self, *args: Any, has_document: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if has_document:
            self.fields["document"].required = False
            self.fields["document"].help_text = _("Leave it empty to keep the present file. At most 5 MB.")

    def clean_document(self) -> bytes | None:
        """Return the bytes. What is too large is not read."""
        upload = self.cleaned_data.get("document")
        if not upload:
            return None
        if upload.size > MAX_BYTES:
            raise forms.ValidationError(str(DocumentRefused.too_large))
        content: bytes = upload.read()
        return content


class TerminateForm(ServiceForm):
    """Why an agreement ends before its time."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the audit trail, and both parties read it. No patient information."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why the agreement ends.")},
    )


class AgreementFilterForm(forms.Form):
    """Which organizations the platform's list shows."""

    which = forms.ChoiceField(
        label=_("Agreement"),
        required=False,
        choices=[
            ("", _("Missing or ending soon")),
            ("missing", _("Missing")),
            ("ending", _("Ending within 90 days")),
            ("all", _("All")),
        ],
    )
    size = forms.ChoiceField(required=False, choices=[(str(n), n) for n in PAGE_SIZES], widget=forms.HiddenInput)
