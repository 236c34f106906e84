"""What can be refused about invitations. Listed with their statuses in docs/errors.md."""

from uuid import UUID

from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Conflict, LinkClosed, NotFound, NotPermitted, NotSignedIn, Refused
from organizations.standing import OrganizationInactive

from .states import Status


class RoleNotAllowed(NotPermitted):
    """The actor may not invite for this role here."""

    code = "role_not_allowed"
    message = _("Your role does not allow you to invite for this role from this organization.")


class NotYourInvitation(NotPermitted):
    """The invitation belongs to a colleague, and the actor sees only their own."""

    code = "not_your_invitation"
    message = _("A colleague sent this invitation. Ask them or an administrator of your organization.")


class DuplicateInvitation(Conflict):
    """The address has an open invitation here already. `extra["existing"]` is its id."""

    code = "duplicate_invitation"
    message = _("This address already has an open invitation. Send that one again instead.")

    def __init__(self, existing: UUID | None) -> None:
        super().__init__(field="email", **({"existing": str(existing)} if existing else {}))


class OwnAddress(Refused):
    """Nobody invites themselves: they are here already."""

    code = "own_address"
    message = _("This is your own address. Invite somebody else.")


class SameAddress(Refused):
    """The correction is the address that was wrong."""

    code = "same_address"
    message = _("This is the address that the invitation went to. Type the right one.")


class SendLimitReached(Conflict):
    """An invitation is sent ten times at most."""

    code = "send_limit_reached"
    message = _("This invitation has been sent ten times. Cancel it, check the address, and send a new one.")


class AddressBounced(Conflict):
    """The mailbox does not exist: sending again cannot help."""

    code = "address_bounced"
    message = _("Mail to this address bounced. Correct the address instead of sending again.")


class InvitationNotFound(NotFound):
    """The token was never issued."""

    code = "invitation_not_found"
    message = _("We do not know this link. Check that you copied all of it from the mail.")


class InvitationClosed(LinkClosed):
    """The link was issued, and the invitation is closed. Says how and names nobody; `language` is the invitation's."""

    CODES = {
        Status.EXPIRED: ("invitation_expired", _("This invitation has expired. Ask for a new link.")),
        Status.CANCELLED: ("invitation_cancelled", _("This invitation was cancelled by the organization.")),
        Status.DECLINED: ("invitation_declined", _("This invitation was declined.")),
        Status.ACCEPTED: ("invitation_accepted", _("This invitation has been accepted already. Sign in instead.")),
    }

    def __init__(self, status: Status, *, language: str = "") -> None:
        code, message = self.CODES[status]
        super().__init__(message, code=code)
        self.language = language


class LinkReplaced(LinkClosed):
    """A newer mail holds the link that works."""

    code = "link_replaced"
    message = _("A newer invitation was sent to you. Use the link in the latest mail.")

    def __init__(self, *, language: str = "") -> None:
        super().__init__()
        self.language = language


class AlreadyAccepted(Conflict):
    """Somebody, perhaps the same person in another window, accepted it first."""

    code = "invitation_accepted"
    message = _("This invitation has been accepted already. Sign in instead.")


class SignInRequired(NotSignedIn):
    """The invited address belongs to an account: its owner signs in first, then accepts."""

    code = "sign_in_required"
    message = _("You already have an account. Sign in with it, then accept the invitation.")


class WrongAccount(NotPermitted):
    """The signed-in account does not own the invited address. Nothing is consumed."""

    code = "wrong_account"
    message = _("You are signed in with another address than the invited one. Switch accounts to go on.")


class AccountSwitchedOff(Refused):
    """The invited address has an account whose owner may not sign in: only the organization, or support, can help."""

    code = "account_switched_off"
    message = _(
        "The account of the invited address is switched off, so nobody can sign in with it. Ask the organization that"
        " invited you, or support, to switch it on again."
    )


class InviterNotEntitled(Refused):
    """Who invited has lost the right, or the organization is switched off: somebody entitled must send it anew."""

    code = "inviter_not_entitled"
    message = _("This invitation cannot be accepted now. Ask the organization to send you a new one.")


class NobodyCanJoin(OrganizationInactive):
    """An invitation sent from an organization that is switched off: nobody could accept it."""

    message = _(
        "This organization is switched off, so nobody could accept an invitation to it. Switch it on first. Nothing was"
        " sent."
    )


class JoinsNobodyNow(InviterNotEntitled):
    """The organization of an invitation is switched off: said before anybody fills in a form."""

    message = _("The organization is switched off now. The link works again once it is switched on.")


class InviterStillEntitled(Conflict):
    """Who invited may still invite: there is nothing to adopt."""

    code = "inviter_still_entitled"
    message = _("Who sent this invitation may still invite, so it can be accepted as it is. Nothing needs to be done.")


class HeirNotEntitled(Refused):
    """Who should take over open invitations may not invite for all of their roles."""

    code = "heir_not_entitled"
    message = _("This person may not invite for all of these roles. Choose somebody else, or cancel the invitations.")


class AlreadyActivated(Conflict):
    """The person has an account: there is no invitation to send again."""

    code = "already_activated"
    message = _("This person has accepted and has an account. Start a password reset if they cannot get in.")


class PracticeNotYours(Refused):
    """A doctor may bring a practice that they run, and no other."""

    code = "practice_not_yours"
    message = _("Choose a practice that you administer, or name a new one.")
