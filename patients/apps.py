from django.apps import AppConfig


class PatientsConfig(AppConfig):
    """The records that exist before anyone is invited."""

    name = "patients"

    def ready(self) -> None:
        from audit.registry import register

        from .models import Patient

        register(Patient, masked=[], excluded=[])
