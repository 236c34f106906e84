"""Patients in Django admin: that they exist."""

from django.contrib import admin

from audit.admin import ReadOnlyAdmin

from .models import Patient


@admin.register(Patient)
class PatientAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization")
    list_select_related = ("organization",)
