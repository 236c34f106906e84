from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    """The lifecycle of an invitation, its delivery and its acceptance."""

    name = "invitations"

    def ready(self) -> None:
        from audit.registry import register
        from organizations.administration import deactivation_foreseen
        from organizations.services import membership_ended

        from .models import Delivery, InvitationBatch, InvitationHistory, UserInvitation
        from .selectors import invitations_that_wait
        from .services import keep_seat_of_open_invitation

        register(
            UserInvitation,
            masked=["email", "phone", "first_name", "last_name", "message"],
            excluded=["token_hash", "token_nonce", "created_at", "updated_at"],
        )
        register(InvitationHistory, masked=["reason"], excluded=["token_hash"])
        register(Delivery, masked=["reason"], excluded=["claim"])
        register(InvitationBatch, masked=[], excluded=[])
        membership_ended.connect(keep_seat_of_open_invitation)
        deactivation_foreseen.connect(invitations_that_wait)
