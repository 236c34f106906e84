"""What the pages about people who leave, and about several at once, ask for."""

from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from organizations.forms import OptionCards, ServiceForm

from .people import MOST_ROWS, BulkAct


class LeaveForm(ServiceForm):
    """Why somebody leaves, and what becomes of the invitations that they sent and nobody has accepted yet."""

    open_invitations = forms.ChoiceField(
        label=_("Open invitations"),
        choices=[("cancel", _("Cancel them")), ("hand_over", _("Hand them over to somebody"))],
        initial="cancel",
        widget=OptionCards(
            sentences={
                "cancel": _("Their links stop working, and their seats are free."),
                "hand_over": _("Their links go on working. Whoever takes them over becomes their inviter and upline."),
            }
        ),
    )
    hand_over_to = forms.ChoiceField(
        label=_("Who takes them over"),
        required=False,
        error_messages={"invalid_choice": _("Choose somebody from the list.")},
    )
    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the audit trail and onto the receipt. No patient information."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why the person leaves.")},
    )

    def __init__(self, *args: Any, heirs: list[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not heirs:
            del self.fields["open_invitations"], self.fields["hand_over_to"]
            return
        people = [(str(heir.pk), heir.get_full_name()) for heir in heirs]
        self.fields["hand_over_to"].choices = [("", _("Choose somebody")), *people]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("open_invitations") == "hand_over" and not given.get("hand_over_to"):
            self.add_error("hand_over_to", _("Choose who takes them over."))
        return given

    def arguments(self) -> dict[str, Any]:
        """Return what the service asks for."""
        given = self.cleaned_data
        heir = given.get("hand_over_to") if given.get("open_invitations") == "hand_over" else ""
        return {"reason": given["reason"], "hand_over_to": UUID(heir) if heir else None}


class ManyIdsField(forms.Field):
    """Several checkboxes of one name, each an id; the same id twice is one."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[UUID]:
        try:
            return list(dict.fromkeys(UUID(str(entry)) for entry in value or []))
        except ValueError:
            raise forms.ValidationError(_("Choose people from the list.")) from None


class BulkForm(ServiceForm):
    """What to do to several people."""

    ids = ManyIdsField(error_messages={"required": _("Tick the people whom you mean, then choose what to do.")})
    act = forms.ChoiceField(
        error_messages={
            "required": _("Choose what to do with the people whom you ticked."),
            "invalid_choice": _("Choose what to do from the list."),
        },
        widget=forms.HiddenInput,
    )
    confirmed = forms.BooleanField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Goes into the audit trail. No patient information."),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "required": True}),
    )

    def __init__(self, *args: Any, is_platform_staff: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [BulkAct.END, BulkAct.RESET]
        if is_platform_staff:
            offered += [BulkAct.DEACTIVATE, BulkAct.ACTIVATE]
        self.fields["act"].choices = [(act.value, act.label) for act in offered]  # type: ignore[attr-defined]

    def clean_ids(self) -> list[UUID]:
        ids: list[UUID] = self.cleaned_data["ids"]
        if len(ids) > MOST_ROWS:
            raise forms.ValidationError(_("Choose 100 people at most."))
        return ids

    def lacks_reason(self) -> bool:
        """Whether the act needs a reason that was not given."""
        return self.cleaned_data["act"] != BulkAct.ACTIVATE and not self.cleaned_data["reason"].strip()

    def first_mistake(self) -> str:
        """Return what is wrong, in a sentence: these mistakes are made on another page than the form's."""
        return next(str(message) for messages in self.errors.values() for message in messages)
