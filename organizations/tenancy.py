"""One database, forced row-level security, two doors (docs/adr/0003-tenancy.md).

`with tenant(organization):` shows the rows of one organization, `with platform(reason):` those of all. Without a door a
query on a tenant table raises a DataError that says so.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, models, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.constraints import BaseConstraint

from audit.services import collected_events

log = structlog.get_logger(__name__)

PLATFORM_ROLE = "healthivr_platform"

# Never set, and set in an earlier transaction (''), both raise the same DataError, which says what to do.
NO_TENANT = "no tenant: use tenant() or platform()"
CURRENT_ORGANIZATION = f"coalesce(nullif(current_setting('healthivr.organization', true), ''), '{NO_TENANT}')::uuid"


@contextmanager
def _door(role: str, organization_id: str) -> Iterator[None]:
    """Open a transaction (or savepoint), ask PostgreSQL what holds now and change it in one statement, put it back.

    An exception needs no putting back: the rollback restores settings too. A released savepoint does not, hence the
    explicit restore; the outermost transaction's COMMIT does.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('role'), current_setting('healthivr.organization', true),"
            " set_config('role', %s, true), set_config('healthivr.organization', %s, true)",
            [role, organization_id],
        )
        before = cursor.fetchone()[:2]
        with collected_events():
            yield
        if not is_outermost:
            cursor.execute(
                "SELECT set_config('role', %s, true), set_config('healthivr.organization', %s, true)",
                [before[0], before[1] or ""],
            )


def tenant(organization: "models.Model | UUID") -> AbstractContextManager[None]:
    """Open the door to one organization: a row, or its id."""
    return _door("none", str(getattr(organization, "pk", organization)))


def platform(reason: str, *, is_logged: bool = True) -> AbstractContextManager[None]:
    """Open the door to all organizations: sweeps, the relay, token look-up, platform staff. `reason` is logged and must
    not hold personal data; `is_logged=False` is for the many steps of what was logged as a whole."""
    if is_logged:
        log.info("platform_door", reason=reason)
    return _door(PLATFORM_ROLE, "")


class RowLevelSecurity(BaseConstraint):
    """Forced row-level security on a tenant table, written into migrations like any constraint."""

    def create_sql(self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> Any:
        assert model is not None and schema_editor is not None
        table = schema_editor.quote_name(model._meta.db_table)
        return (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
            f" CREATE POLICY tenant ON {table} USING (organization_id = {CURRENT_ORGANIZATION});"
            f" CREATE POLICY platform ON {table} TO {PLATFORM_ROLE} USING (true)"
        )

    def remove_sql(self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> Any:
        assert model is not None and schema_editor is not None
        table = schema_editor.quote_name(model._meta.db_table)
        return (
            f"DROP POLICY tenant ON {table}; DROP POLICY platform ON {table};"
            f" ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY"
        )

    def constraint_sql(self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> Any:
        """Django wants text for CREATE TABLE; this runs after it instead."""
        assert schema_editor is not None
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Nothing that a form could check."""

    def __eq__(self, other: object) -> bool:  # without it makemigrations drops and re-creates the policy for ever
        return type(self) is type(other) and self.deconstruct() == other.deconstruct()

    __hash__ = BaseConstraint.__hash__


class SameOrganization(RowLevelSecurity):
    """FOREIGN KEY (organization_id, x_id) REFERENCES x (organization_id, id): row security does not stop a key to
    another tenant's row. The field itself has db_constraint=False."""

    def __init__(self, *, field: str, name: str, on_delete: str = "NO ACTION") -> None:
        super().__init__(name=name)
        self.field = field
        self.on_delete = on_delete

    def create_sql(self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> Any:
        assert model is not None and schema_editor is not None
        quote, field = schema_editor.quote_name, model._meta.get_field(self.field)
        column, target = str(field.column), field.related_model._meta.db_table  # type: ignore[union-attr]
        return (
            f"ALTER TABLE {quote(model._meta.db_table)} ADD CONSTRAINT {quote(self.name)}"
            f" FOREIGN KEY (organization_id, {quote(column)}) REFERENCES {quote(target)} (organization_id, id)"
            f" ON DELETE {self.on_delete} DEFERRABLE INITIALLY DEFERRED"
        )

    def remove_sql(self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None) -> Any:
        assert model is not None and schema_editor is not None
        quote = schema_editor.quote_name
        return f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(self.name)}"

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        kwargs["field"] = self.field
        if self.on_delete != "NO ACTION":
            kwargs["on_delete"] = self.on_delete
        return path, args, kwargs


class TenantModel(models.Model):
    """A table whose rows belong to one organization and are seen through a door only."""

    organization = models.ForeignKey("organizations.Organization", models.PROTECT, related_name="+", db_index=False)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["organization", "id"], name="%(class)s_in_organization"),
            RowLevelSecurity(name="%(class)s_rls"),
        ]
