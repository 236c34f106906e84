"""What organizations' pages ask for. Forms parse; services decide."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import DomainError, Malformed

from .actor import Actor, StepUpRequired
from .directory import DirectoryFilters
from .models import Organization, OrganizationState
from .paging import PAGE_SIZES
from .policies import IDLE_MINUTES, INVITATION_HOURS
from .roles import OrganizationKind, Role, can_work_in, starting_role
from .selectors import PeopleFilters, Shown
from .services import clean_slug


class ServiceForm(forms.Form):
    """A form whose values go to one service. What the service refuses is shown like any other mistake in the form: at
    its field, and in the summary on top."""

    def refuse(self, error: DomainError) -> None:
        """Show a refusal where it belongs. A wish for a fresh proof of who one is belongs on a page of its own
        (healthivr/middleware.py), which brings this form back."""
        if isinstance(error, StepUpRequired):
            raise error
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

    idle_minutes = forms.IntegerField(
        label=_("Minutes without an act after which people are signed out"),
        help_text=_(
            "5 to 30. Counts for everybody here, in all of their organizations; the shortest time wins. A warning comes"
            " first."
        ),
        min_value=IDLE_MINUTES[0],
        max_value=IDLE_MINUTES[1],
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), _("Enter a number of minutes, 5 to 30.")
        ),
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    requires_second_factor = forms.BooleanField(
        label=_("Everybody signs in with a second factor"),
        help_text=_(
            "Administrators, doctors and privacy officers always do. With this, the others set one up at their next"
            " visit, before anything else opens."
        ),
        required=False,
    )
    invitation_hours = forms.IntegerField(
        label=_("Hours that an invitation works"),
        help_text=_(
            "1 to 720. The usual time of an invitation and the longest that anybody can choose. Empty: seven days, and"
            " 48 hours for administrators of programs and of the platform, which this number can shorten only."
        ),
        required=False,
        min_value=INVITATION_HOURS[0],
        max_value=INVITATION_HOURS[1],
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"), _("Enter a number of hours, 1 to 720, or leave it empty.")
        ),
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    email_domains = forms.CharField(
        label=_("Allowed e-mail domains"),
        help_text=_(
            "One a line, such as example.org. Only addresses there can be invited to join and can accept; a domain below"
            " another needs a line of its own. Members stay, and whoever founds an organization of their own may come"
            " from anywhere. Empty: every domain."
        ),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocapitalize": "off"}),
    )

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kind != OrganizationKind.PRACTICE:
            del self.fields["staff_may_invite"]  # speaks of roles that only practices have

    def clean_email_domains(self) -> list[str]:
        return str(self.cleaned_data["email_domains"]).splitlines()


class PeopleFilterForm(forms.Form):
    """Which people the list shows. Lives in the address, so that a view can be kept and passed on."""

    text = forms.CharField(
        label=_("Name or e-mail begins with"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"type": "search", "spellcheck": "false", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(label=_("Role"), required=False)
    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("Members now")), *Shown.choices])
    size = forms.ChoiceField(required=False, choices=[(str(n), n) for n in PAGE_SIZES], widget=forms.HiddenInput)

    def __init__(self, *args: Any, kind: OrganizationKind, sees_accounts: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not sees_accounts:
            former = (Shown.ENDED.value, Shown.ENDED.label)
            self.fields["status"].choices = [("", _("Members now")), former]  # type: ignore[attr-defined]
        self.fields["role"].choices = [  # type: ignore[attr-defined]
            ("", _("Any role")),
            *((role.value, role.label) for role in Role if can_work_in(role, kind)),
        ]

    def filters(self) -> PeopleFilters:
        """Return the filters; what is not valid filters nothing, and the form says so."""
        given = self.cleaned_data
        status = given.get("status")
        return PeopleFilters(
            text=given.get("text", ""), role=given.get("role", ""), shown=Shown(status) if status else None
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


# --- the tree of organizations ---------------------------------------------------------------------------------------
#: Beside the states, in the filter: active, and without an administrator.
UNRUN = "unrun"


class DirectoryFilterForm(forms.Form):
    """Which organizations the list shows. Lives in the address, so that a view can be kept and passed on."""

    text = forms.CharField(
        label=_("Name contains"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"type": "search", "spellcheck": "false", "autocomplete": "off"}),
    )
    kind = forms.ChoiceField(label=_("Kind"), required=False, choices=[("", _("Any kind")), *OrganizationKind.choices])
    state = forms.ChoiceField(
        label=_("Status"),
        required=False,
        choices=[  # in the words of the list's own column
            ("", _("Any status")),
            (OrganizationState.ACTIVE.value, _("Active")),
            (OrganizationState.INACTIVE.value, _("Switched off")),
            (UNRUN, _("Nobody runs it")),
        ],
    )
    size = forms.ChoiceField(required=False, choices=[(str(n), n) for n in PAGE_SIZES], widget=forms.HiddenInput)

    def filters(self) -> DirectoryFilters:
        """Return the filters; what is not valid filters nothing, and the form says so."""
        given = self.cleaned_data
        state = given.get("state", "")
        return DirectoryFilters(
            text=given.get("text", ""),
            kind=given.get("kind", ""),
            state="" if state == UNRUN else state,
            is_without_administrator=state == UNRUN,
        )


def _plan_field() -> forms.CharField:
    return forms.CharField(
        label=_("Plan"),
        help_text=_("Its name on the bill, such as standard. It says nothing about seats by itself."),
        max_length=30,
        initial="standard",
        error_messages={"required": _("Name the plan.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


def _seats_field() -> forms.IntegerField:
    return forms.IntegerField(
        label=_("Seats"),
        help_text=_("Members, and open invitations of people who are not members yet. Never fewer than are in use."),
        min_value=1,
        max_value=100_000,
        initial=25,
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), _("Enter a number of seats, 1 to 100,000.")
        ),
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )


class NewOrganizationForm(ServiceForm):
    """What a new organization is, and where it stands."""

    organization_name = forms.CharField(
        label=_("Name"),
        help_text=_("Stands in every invitation, so that people recognize who invites them."),
        max_length=120,
        error_messages={
            "required": _("Enter the name of the organization."),
            "max_length": _("Enter the name of the organization, 2 to 120 characters."),
        },
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        label=_("Kind"),
        choices=[
            ("", _("Choose a kind")),
            *(
                (kind.value, kind.label)
                for kind in OrganizationKind
                if starting_role(kind)  # else nobody could ever be there
            ),
        ],
        error_messages={"required": _("Choose a kind.")},
    )
    parent = forms.ChoiceField(label=_("Below"), help_text=_("Whose administrators see that it exists."))
    slug = forms.CharField(
        label=_("Short name"),
        help_text=_(
            "Stands in addresses, such as hill-street-clinic. Empty: made from the name, with four letters or digits"
            " behind it."
        ),
        required=False,
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    plan = _plan_field()
    seat_limit = _seats_field()

    def __init__(self, *args: Any, parents: Iterable[Organization], here: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["parent"].choices = [  # type: ignore[attr-defined]
            (str(parent.pk), f"{parent.name} ({parent.get_kind_display()})") for parent in parents
        ]
        self.fields["parent"].initial = str(here.organization_id)

    def clean_slug(self) -> str:
        """Judge it as the service does, so that its mistakes stand beside those of other fields."""
        typed = str(self.cleaned_data["slug"]).strip()
        try:
            return clean_slug(typed) if typed else ""
        except Malformed as error:
            raise forms.ValidationError(str(error.message), code=error.code) from None

    def values(self) -> dict[str, Any]:
        """Return what the service takes."""
        given = dict(self.cleaned_data)
        return {"name": given.pop("organization_name"), "parent_id": UUID(given.pop("parent")), **given}


class PlanForm(ServiceForm):
    """What an organization has bought."""

    plan = _plan_field()
    seat_limit = _seats_field()


class DeactivateOrganizationForm(ServiceForm):
    """Why an organization is switched off."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the organization's audit trail. No patient information."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why the organization is switched off.")},
    )


class EndAccessForm(ServiceForm):
    """Why memberships end."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the audit trail. No patient information."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why."), "max_length": _("Say why in at most 500 characters.")},
    )
