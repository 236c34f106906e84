"""Invitations in Django admin: to look at. The domain owns every change, and no token is shown."""

from django.contrib import admin

from audit.admin import ReadOnlyAdmin

from .models import Delivery, InvitationBatch, InvitationHistory, UserInvitation


@admin.register(UserInvitation)
class UserInvitationAdmin(ReadOnlyAdmin):
    exclude = ("token_hash", "token_nonce")
    list_display = ("id", "organization", "invitation_type", "status", "delivery_status", "created_at", "expires_at")
    list_filter = ("status", "invitation_type", "delivery_status")
    search_fields = ("email",)
    show_full_result_count = False


@admin.register(InvitationHistory)
class InvitationHistoryAdmin(ReadOnlyAdmin):
    exclude = ("token_hash",)
    list_display = ("invitation", "event", "at", "by")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("invitation", "purpose", "channel", "status", "attempt", "created_at", "finished_at")
    list_filter = ("status", "purpose")


@admin.register(InvitationBatch)
class InvitationBatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization")
