"""What organizations' pages ask for. Forms parse; services decide."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import DomainError

from .paging import PAGE_SIZES
from .roles import OrganizationKind, Role, can_work_in
from .selectors import PeopleFilters


class ServiceForm(forms.Form):
    """A form whose values go to one service. What the service refuses is shown like any other mistake in the form: at
    its field, and in the summary on top."""

    def refuse(self, error: DomainError) -> None:
        """Show a refusal where it belongs."""
        field = error.field if error.field in self.fields else None
        self.add_error(field, [str(reason) for reason in error.extra.get("reasons", [])] or str(error.message))


class OptionCards(forms.RadioSelect):
    """Radio buttons as cards, each with a sentence that says what it means."""

    def __init__(self, *args: Any, sentences: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sentences = sentences or {}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        option["help"] = self.sentences.get(str(value), "")
        return option


class OrganizationForm(ServiceForm):
    """The name of an organization, and what its administrators decide."""

    organization_name = forms.CharField(
        label=_("Name"),
        help_text=_("Stands in every invitation, so that people recognize who invites them."),
        max_length=120,
        error_messages={
            "required": _("Enter the name of the organization."),
            "max_length": _("Enter the name of the organization, 2 to 120 characters."),
        },
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    staff_may_invite = forms.BooleanField(
        label=_("Office administrators may invite medical staff"),
        help_text=_("They cannot choose another role. Whom doctors and others may invite does not change."),
        required=False,
    )

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kind != OrganizationKind.PRACTICE:
            del self.fields["staff_may_invite"]  # speaks of roles that only practices have


class PeopleFilterForm(forms.Form):
    """Which people the list shows. Lives in the address, so that a view can be kept and passed on."""

    text = forms.CharField(
        label=_("Name or e-mail begins with"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"type": "search", "spellcheck": "false", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(label=_("Role"), required=False)
    status = forms.ChoiceField(
        label=_("Status"), required=False, choices=[("", _("Members now")), ("ended", _("Former members"))]
    )
    size = forms.ChoiceField(required=False, choices=[(str(n), n) for n in PAGE_SIZES], widget=forms.HiddenInput)

    def __init__(self, *args: Any, kind: OrganizationKind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [  # type: ignore[attr-defined]
            ("", _("Any role")),
            *((role.value, role.label) for role in Role if can_work_in(role, kind)),
        ]

    def filters(self) -> PeopleFilters:
        """Return the filters; what is not valid filters nothing, and the form says so."""
        given = self.cleaned_data
        return PeopleFilters(
            text=given.get("text", ""), role=given.get("role", ""), has_ended=given.get("status") == "ended"
        )


class BelowFilterForm(forms.Form):
    """Which organizations below one's own are shown."""

    below = forms.CharField(
        label=_("Name contains"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"type": "search", "spellcheck": "false", "autocomplete": "off"}),
    )


class EndMembershipForm(ServiceForm):
    """Why somebody leaves."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the audit trail. No patient information."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why the membership ends.")},
    )
