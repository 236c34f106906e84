"""The rules for passwords as Django asks for them: for whatever of its own calls `validate_password`. Our services ask
accounts/passwords directly, since they know more: the organization's name, and whether a second factor is demanded."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from .passwords import PasswordTerms, problems


class GoodPasswordValidator:
    """Refuses what our services refuse of a password that stands alone."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError with every reason."""
        own = (user.first_name, user.last_name, user.email) if user else ()
        found = problems(password, PasswordTerms().knowing(*own))
        if found:
            raise ValidationError([ValidationError(problem.message, code=problem.code) for problem in found])

    def get_help_text(self) -> str:
        """Return what Django's forms say beforehand."""
        return _("Use at least {least} characters: a few words in a row will do.").format(least=PasswordTerms().least)
