"""What can go wrong with doctors' licenses."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict, NotPermitted, Refused

from .states import Standing

#: Why somebody may not do yet what needs approval, and what to do about it. "" is for who has submitted nothing.
WHY: dict[str, Promise] = {
    "": _("This needs an approved license. Submit yours on the page “License” of your profile."),
    Standing.PENDING: _("Your license is being checked. You can do this as soon as it is approved; we will mail you."),
    Standing.REJECTED: _("Your license was rejected. The page “License” of your profile says why; correct it there."),
    Standing.SUSPENDED: _("Your license is suspended. The page “License” of your profile says why, and what to do."),
}


class PractitionerNotApproved(NotPermitted):
    """The act needs a doctor with an approved license that has not expired. `extra["practitioner_status"]` says where
    the license stands, `none` when nothing was submitted."""

    code = "practitioner_not_approved"

    def __init__(self, standing: str) -> None:
        super().__init__(WHY[standing], practitioner_status=str(standing) or "none")


class NotAPractitioner(NotPermitted):
    """Only doctors submit a license."""

    code = "not_a_practitioner"
    message = _("Only doctors submit a license. Ask an administrator of your organization if you are one.")


class OwnCredential(NotPermitted):
    """Nobody decides about their own license."""

    code = "own_credential"
    message = _("This is your own license. Ask another administrator of the platform to decide.")


class NpiInUse(Conflict):
    """Another person has this NPI. Says nothing of who."""

    code = "npi_in_use"

    def __init__(self, support_email: str) -> None:
        words: Any = _("This NPI belongs to another account. Check the number.")
        if support_email:
            words = _("This NPI belongs to another account. Check the number; if it is yours, write to %(email)s.") % {
                "email": support_email
            }
        super().__init__(words, field="npi")


class NpiFixed(Refused):
    """An NPI stays with its person for life: while an approval rests on it, it is not exchanged."""

    code = "npi_fixed"
    message = _("Your approval rests on the NPI that you gave before, so it cannot be changed here. Write to support.")


class SubmittedAnew(Conflict):
    """The doctor has submitted something else since whoever decides looked at it."""

    code = "submitted_anew"
    message = _("The doctor has submitted something else in the meantime. Look at it, then decide.")
