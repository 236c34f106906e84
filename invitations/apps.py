from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    """The lifecycle of an invitation, its delivery and its acceptance."""

    name = "invitations"

    def ready(self) -> None:
        from accounts.addresses import address_changes
        from audit.registry import register
        from organizations.administration import deactivation_foreseen
        from organizations.services import membership_ended

        from .models import Delivery, InvitationBatch, InvitationHistory, UserInvitation
        from .selectors import invitations_that_wait
        from .withdrawal import follow_address, withdraw_from_leaver

        register(
            UserInvitation,
            masked=["email", "phone", "first_name", "last_name", "message"],
            excluded=["token_hash", "token_nonce", "created_at", "updated_at"],
        )
        register(InvitationHistory, masked=["reason"], excluded=["token_hash"])
        register(Delivery, masked=["reason"], excluded=["claim"])
        register(InvitationBatch, masked=[], excluded=[])
        membership_ended.connect(withdraw_from_leaver)
        address_changes.connect(follow_address)
        deactivation_foreseen.connect(invitations_that_wait)
