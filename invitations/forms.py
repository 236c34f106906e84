"""What the pages of invitations ask for. Forms parse; services decide."""

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.forms import ChoosesPassword, email_field, first_name_field, last_name_field, new_password_field
from organizations.forms import OptionCards, ServiceForm
from organizations.models import Organization
from organizations.paging import PAGE_SIZES
from organizations.policies import InvitationPolicy
from organizations.roles import INVITATION_TYPES, ROLE_SENTENCES, OrganizationKind, Role, can_be_sent_from

from .messages import DECLINE_REASONS
from .models import StatusWord
from .selectors import Filters
from .terms import SHORT_LIFE_HOURS, SHORT_LIVED, usual_hours

LIVES = (
    ("24", _("24 hours")),
    ("48", _("48 hours")),
    ("72", _("3 days")),
    ("168", _("7 days")),
    ("336", _("14 days")),
    ("720", _("30 days")),
)
NEW_PRACTICE = "new"


# --- the list --------------------------------------------------------------------------------------------------------
class FilterForm(forms.Form):
    """What the list shows. Lives in the address, so that a view can be kept and passed on."""

    text = forms.CharField(
        label=_("Name or e-mail begins with"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"type": "search", "spellcheck": "false", "autocomplete": "off"}),
    )
    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("Any status")), *StatusWord.choices])
    invitation_type = forms.ChoiceField(label=_("Role"), required=False)
    since = forms.DateField(label=_("Created from"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("Created to"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    attention = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)
    size = forms.ChoiceField(required=False, choices=[(str(n), n) for n in PAGE_SIZES], widget=forms.HiddenInput)

    def __init__(self, *args: Any, kind: OrganizationKind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roles = [role for role in INVITATION_TYPES if can_be_sent_from(role, kind)]
        self.fields["invitation_type"].choices = [  # type: ignore[attr-defined]
            ("", _("Any role")),
            *((role.value, role.label) for role in roles),
        ]

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("since", _("This is after “Created to”. Choose an earlier day."))

    def filters(self) -> Filters:
        """Return the filters; what is not valid filters nothing, and the form says so."""
        given = self.cleaned_data
        return Filters(
            status=given.get("status", ""),
            invitation_type=given.get("invitation_type", ""),
            text=given.get("text", ""),
            since=_midnight(given.get("since")),
            until=_midnight(given.get("until"), days=1),
            attention=given.get("attention", ""),
        )


def _midnight(day: Any, *, days: int = 0) -> datetime | None:
    if not day or not date.min.year < day.year < date.max.year:  # at the calendar's edges there is nothing to filter
        return None
    return timezone.make_aware(datetime.combine(day, time.min)) + timedelta(days=days)


# --- staff -----------------------------------------------------------------------------------------------------------
def _role_field(roles: Iterable[Role]) -> forms.ChoiceField:
    """Return a choice of roles, each with a sentence of what it can see."""
    roles = list(roles)
    return forms.ChoiceField(
        label=_("Role"),
        choices=[(role.value, role.label) for role in roles],
        initial=roles[0].value if len(roles) == 1 else None,
        error_messages={"required": _("Choose a role.")},
        widget=OptionCards(sentences={role.value: ROLE_SENTENCES[role] for role in roles}),
    )


def _in_time_words(hours: int) -> str:
    """Return a time as people say it: in days where it is some."""
    if hours % 24 or hours <= SHORT_LIFE_HOURS:
        return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    return ngettext("%(n)d day", "%(n)d days", hours // 24) % {"n": hours // 24}


def _usual_time(roles: Iterable[Role], policy: InvitationPolicy) -> tuple[str, str, int | None]:
    """Return how long a link works when nothing else is chosen, for these roles (C1): the words of the choice, what
    explains them below the label where it depends on the role, and else the hours."""
    roles = list(roles) or [Role.MEDICAL_STAFF]  # for nobody: the page says so instead of the form
    for_most = {usual_hours(role, policy) for role in roles if role not in SHORT_LIVED}
    short = {usual_hours(role, policy) for role in roles if role in SHORT_LIVED}
    if for_most and short and for_most != short:
        words = {"usual": _in_time_words(for_most.pop()), "short": _in_time_words(short.pop())}
        return str(_("The usual time")), _("Usual: %(usual)s, for administrators %(short)s.") % words, None
    hours = (for_most or short).pop()
    return _("%(usual)s (usual)") % {"usual": _in_time_words(hours)}, "", hours


def _lives(policy: InvitationPolicy, *, but: int | None = None) -> list[tuple[str, Any]]:
    """Return the choices that the organization's policy leaves, without one that is offered already."""
    lives = [(hours, words) for hours, words in LIVES if not policy.hours or int(hours) <= policy.hours]
    return [(hours, words) for hours, words in lives if int(hours) != but]


class ContentForm(ServiceForm):
    """What an invitation says."""

    first_name = first_name_field(required=False, autocomplete="off")  # of somebody else
    last_name = last_name_field(required=False, autocomplete="off")
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES, required=False, initial="en")
    message = forms.CharField(
        label=_("Note"),
        help_text=_("Appears in the e-mail exactly as you write it. No patient information: others may read e-mail."),
        required=False,
        max_length=1000,
        error_messages={"max_length": _("Keep the note under 1,000 characters.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def clean_language(self) -> str:
        return self.cleaned_data["language"] or "en"


class NewInvitationForm(ContentForm):
    """Whom to invite, as what, until when, and what the mail says."""

    email = email_field(
        help_text=_("The invitation goes to this address, and only its owner can accept it."), autocomplete="off"
    )
    expires_in_hours = forms.TypedChoiceField(
        label=_("The link works for"), required=False, coerce=int, empty_value=None
    )
    field_order = ["invitation_type", "email", "first_name", "last_name", "expires_in_hours", "language", "message"]

    def __init__(self, *args: Any, roles: Iterable[Role], policy: InvitationPolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roles = list(roles)
        self.fields["invitation_type"] = _role_field(roles)
        field = self.fields["expires_in_hours"]
        usual, field.help_text, hours = _usual_time(roles, policy)
        field.choices = [("", usual), *_lives(policy, but=hours)]  # type: ignore[attr-defined]
        self.order_fields(self.field_order)

    def typed(self) -> dict[str, Any]:
        """Return what can be shown of a form that is not finished."""
        self.is_valid()
        return self.cleaned_data


class EditInvitationForm(ContentForm):
    """What can be changed of an open invitation."""

    expires_in_hours = forms.TypedChoiceField(
        label=_("From now, the link works for"), required=False, coerce=int, empty_value=None
    )
    field_order = ["invitation_type", "first_name", "last_name", "expires_in_hours", "language", "message"]

    def __init__(self, *args: Any, roles: Iterable[Role], policy: InvitationPolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roles = list(roles)
        self.fields["invitation_type"] = _role_field(roles)
        field = self.fields["expires_in_hours"]
        field.choices = [("", _("Leave the end as it is")), *_lives(policy)]  # type: ignore[attr-defined]
        field.help_text = _("If you change the role, the time starts again in full.")
        if SHORT_LIVED & set(roles):
            field.help_text = _("If you change the role, the time starts again in full; for administrators 48 hours.")
        self.order_fields(self.field_order)


class CancelForm(ServiceForm):
    """Why an invitation is cancelled."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Stands in the timeline and in the audit trail; the invited person does not see it."),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class CorrectAddressForm(ServiceForm):
    """The right address."""

    email = email_field(label=_("The right e-mail address"), autocomplete="off")


# --- invitees --------------------------------------------------------------------------------------------------------
class AcceptForm(ChoosesPassword):
    """What accepting asks for: of a new person a name and a password, of a founder the organization's name."""

    def __init__(
        self,
        *args: Any,
        is_new_person: bool,
        organization_label: Any = "",
        practices: Iterable[Organization] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        practices = list(practices)
        if practices:
            self.fields["practice_id"] = forms.ChoiceField(
                label=_("Which practice?"),
                choices=[*((str(p.pk), p.name) for p in practices), (NEW_PRACTICE, _("A new practice"))],
                error_messages={"required": _("Choose a practice, or a new one.")},
                widget=OptionCards(
                    sentences={
                        **{str(p.pk): _("You administer it already.") for p in practices},
                        NEW_PRACTICE: _("You name it below, and administer it."),
                    }
                ),
            )
        if organization_label:
            label = _("Name of the new practice") if practices else organization_label
            self.fields["organization_name"] = name = forms.CharField(
                label=label,
                help_text=_("As people know it. You administer it, and can change the name later."),
                required=not practices,
                max_length=120,
                error_messages={
                    "required": _("Fill in “%(label)s”.") % {"label": label},
                    "max_length": _("Enter the name of the organization, 2 to 120 characters."),
                },
                widget=forms.TextInput(attrs={"autocomplete": "organization"}),
            )
            name.is_conditional = bool(practices)  # type: ignore[attr-defined]  # neither optional nor always asked
        if is_new_person:
            self.fields["first_name"] = first_name_field()
            self.fields["last_name"] = last_name_field()
            self.fields["password"] = new_password_field()

    def clean_practice_id(self) -> str | None:
        chosen: str = self.cleaned_data["practice_id"]
        return None if chosen == NEW_PRACTICE else chosen


class DeclineForm(ServiceForm):
    """Why somebody declines."""

    reason = forms.ChoiceField(
        label=_("Why?"),
        choices=list(DECLINE_REASONS.items()),
        error_messages={"required": _("Choose a reason.")},
        widget=OptionCards(
            sentences={
                "not_me": _("The mail reached the wrong person, or you have nothing to do with the organization."),
                "not_wanted": _("It is meant for you, and you would rather not."),
            }
        ),
    )
