"""Invitations in Django admin: to look at. The domain owns every change, and no token is shown."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from audit.admin import ReadOnlyAdmin

from .models import Delivery, InvitationBatch, InvitationHistory, UserInvitation


def _whom(invitation: UserInvitation) -> str:
    """Return whom it invites, as staff know them: str() of an invitation names nobody. A patient has no address."""
    return invitation.email or str(invitation)


@admin.register(UserInvitation)
class UserInvitationAdmin(ReadOnlyAdmin):
    exclude = ("token_hash", "token_nonce")
    list_display = (
        "whom",
        "name",
        "organization",
        "invitation_type",
        "status",
        "delivery_status",
        "created_at",
        "expires_at",
    )
    list_filter = ("status", "invitation_type", "delivery_status")
    list_select_related = ("organization",)
    search_fields = ("email",)
    show_full_result_count = False

    @admin.display(description=_("e-mail address"), ordering="email")
    def whom(self, invitation: UserInvitation) -> str:
        return _whom(invitation)

    @admin.display(description=_("name"), ordering="last_name")
    def name(self, invitation: UserInvitation) -> str:
        return f"{invitation.first_name} {invitation.last_name}".strip()


@admin.register(InvitationHistory)
class InvitationHistoryAdmin(ReadOnlyAdmin):
    exclude = ("token_hash",)
    list_display = ("whom", "event", "at", "person")
    list_select_related = ("invitation", "by")

    @admin.display(description=_("invitation"), ordering="invitation__email")
    def whom(self, entry: InvitationHistory) -> str:
        return _whom(entry.invitation)

    @admin.display(description=_("by"), ordering="by__email")
    def person(self, entry: InvitationHistory) -> str:
        return entry.by.email if entry.by else ""


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("whom", "purpose", "channel", "status", "attempt", "created_at", "finished_at")
    list_filter = ("status", "purpose")
    list_select_related = ("invitation",)

    @admin.display(description=_("invitation"), ordering="invitation__email")
    def whom(self, delivery: Delivery) -> str:
        return _whom(delivery.invitation)


@admin.register(InvitationBatch)
class InvitationBatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization")
    list_select_related = ("organization",)
