"""django-auditlog as we use it: registration of models, masking, and field differences. It writes nothing.

Its log table cannot be chained, and its signals would add a SELECT to each save() and a second row to each act
(docs/adr/0004-audit.md). So the registry is built without signals, the table is never made, and the differences feed our
store, from services by name.
"""

from typing import Any

import auditlog.registry
from auditlog.diff import model_instance_diff
from auditlog.registry import AuditlogModelRegistry
from django.db.models import Model

registry = AuditlogModelRegistry(create=False, update=False, delete=False, access=False, m2m=False)
# model_instance_diff reads the masks from the module's own registry: it must be this one.
auditlog.registry.auditlog = registry


class NoAuditlogTable:
    """A database router that keeps django-auditlog's unused table out of the schema."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "auditlog" else None


def mask(value: str) -> str:
    """Return what stands in the trail for a masked value: that there is one, not what it is."""
    return "•••" if value not in ("", "None") else ""


def register(model: type[Model], *, masked: list[str], excluded: list[str]) -> None:
    """Have changes of `model` in the trail: fields in `masked` show that they changed, fields in `excluded` not at
    all."""
    registry.register(model, mask_fields=masked, exclude_fields=[*excluded], mask_callable="audit.registry.mask")


def is_registered(model: type[Model]) -> bool:
    """Say whether changes of `model` are in the trail."""
    return bool(registry.contains(model))


def differences(old: Model | None, new: Model | None) -> dict[str, list[str]]:
    """Return `{field: [before, after]}` for two states of a row, masked as registered."""
    changes = model_instance_diff(old, new) or {}
    return {field: [str(before), str(after)] for field, (before, after) in changes.items()}
