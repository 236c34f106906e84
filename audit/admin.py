"""Django admin to look at rows and at their trail, and to change nothing: services do that, by the rules."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from .models import AuditEvent, AuditHead


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """A model that staff may look at here. The site lets platform administrators in and nobody else."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    view_on_site = False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Filter by what stands in the filter's column alone. Django allows every field of the model: with
        `?password__startswith=` a hash that nobody may see comes out a character at a time."""
        return lookup.removesuffix("__exact").removesuffix("__isnull") in self.list_filter

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the record's events from the trail instead of Django's own log, which is not written."""
        events = AuditEvent.objects.filter(target_type=self.opts.label_lower, target_id=object_id).order_by("-recorded")
        shown = list(events[:200])
        people = get_user_model()._default_manager.in_bulk({event.actor_id for event in shown if event.actor_id})
        context = {
            **self.admin_site.each_context(request),
            "title": _("Trail of %(kind)s %(id)s") % {"kind": self.opts.verbose_name, "id": object_id},
            "entries": [(event, people.get(event.actor_id)) for event in shown],
            "opts": self.opts,
            "module_name": capfirst(self.opts.verbose_name_plural),
            "object_id": object_id,
        }
        return TemplateResponse(request, "audit/admin_history.html", context)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = (
        "recorded",
        "action",
        "organization_id",
        "sequence",
        "outcome",
        "actor_id",
        "target_type",
        "target_id",
    )
    list_filter = ("outcome", "action")
    ordering = ("-recorded",)
    show_full_result_count = False


@admin.register(AuditHead)
class AuditHeadAdmin(ReadOnlyAdmin):
    list_display = ("organization_id", "sequence", "hash")
