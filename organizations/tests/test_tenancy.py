"""The wall between organizations: PostgreSQL refuses, whatever the code above forgets (architecture.md 3)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, IntegrityError, connection, models, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from audit import services as audit
from healthivr.checks import role_problems
from healthivr.startup import refuse_unsafe_role
from healthivr.testing.database import connected_as, superuser
from healthivr.testing.world import World
from invitations.models import Delivery, InvitationBatch, InvitationHistory, UserInvitation
from invitations.states import Event
from organizations.agreements.models import BaaReminder, BusinessAssociateAgreement
from organizations.models import Membership, Organization
from organizations.tenancy import PLATFORM_ROLE, SameOrganization, TenantModel, platform, tenant
from patients.models import Patient

#: Tables of nobody's: why no row security holds them.
GLOBAL_MODELS = {
    "accounts.User": "a person belongs to no organization; what they are somewhere is a membership",
    "accounts.AccountMail": "mail that a person's account causes: ids only",
    "accounts.ApiKey": "somebody's, and looked up before anybody knows where: the key itself says in which organization",
    "accounts.Authenticator": "of a person, with an encrypted seed",
    "accounts.EmailChange": "of a person",
    "accounts.ExternalIdentity": "of a person: an account at an identity provider",
    "accounts.FactorReset": "of a person, wherever the administrator stands who begins it",
    "accounts.PractitionerCredential": "of a doctor, who may work in several practices (ADR 0012)",
    "accounts.RecoveryCode": "of a person: a keyed digest",
    "accounts.RefreshToken": "a link of a session's chain",
    "accounts.UserSession": "somebody's, not an organization's: one session acts in all that they belong to",
    "accounts.SignInLock": "keyed digests of addresses, which may have no account at all",
    "accounts.SetupLink": "exists before any organization does",
    "organizations.Organization": "the directory: id, slug, name, kind, state, parent, and nothing private",
    "organizations.OrganizationClosure": "the directory's tree: pairs of ids",
    "sessions.Session": "a browser's session is a person's, not an organization's",
    "contenttypes.ContentType": "names of models",
    "auth.Permission": "Django's; not used: rights are capabilities",
    "auth.Group": "Django's; not used",
    "auth.Group_permissions": "Django's; not used",
    "admin.LogEntry": "Django's; never written: our trail stands for it",
    "auditlog.LogEntry": "django-auditlog's; never made",
}
#: Tables with row security that are no TenantModel: the trail keeps ids and no foreign keys.
TRAIL = {"audit.AuditEvent", "audit.AuditHead"}
NO_DOOR = "no tenant: use tenant() or platform()"


def every_model() -> list[type[models.Model]]:
    return list(apps.get_models(include_auto_created=True))


def tenant_tables() -> list[str]:
    """The tables that row security must hold, straight from the models."""
    return [model._meta.db_table for model in every_model() if model._meta.label not in GLOBAL_MODELS]


def query(sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or [])
        return list(cursor.fetchall())


def visible(sql: str) -> int:
    return int(query(sql)[0][0])


def setting() -> tuple[str, str]:
    """What PostgreSQL says holds now: the role taken on, and the organization."""
    return query("SELECT current_setting('role'), coalesce(current_setting('healthivr.organization', true), '')")[0]  # type: ignore[return-value]


# --- the catalog -----------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.24", "S2.23")
@pytest.mark.django_db
@pytest.mark.parametrize("model", every_model(), ids=lambda model: model._meta.label)
def test_every_model__has_forced_row_security__or_stands_on_the_list(model: type[models.Model]) -> None:
    if model._meta.label in GLOBAL_MODELS:
        assert not issubclass(model, TenantModel)
        return
    assert "organization_id" in {field.column for field in model._meta.fields}
    table = model._meta.db_table
    assert query("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", [table]) == [
        (True, True)
    ]
    policies = query(
        "SELECT policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies WHERE tablename = %s"
        " ORDER BY policyname",
        [table],
    )
    assert [policy[:4] for policy in policies] == [
        ("platform", "PERMISSIVE", "{healthivr_platform}", "ALL"),
        ("tenant", "PERMISSIVE", "{public}", "ALL"),
    ]
    assert policies[0][4:] == ("true", None)
    condition = re.sub(r"::text|\s|[()]", "", policies[1][4])
    assert condition == (
        "organization_id=COALESCENULLIFcurrent_setting'healthivr.organization',true,'','notenant:usetenantorplatform'"
        "::uuid"
    )
    assert policies[1][5] is None  # without a condition of its own, what may be written is what may be seen


@pytest.mark.django_db
def test_every_model__that_is_not_global__is_a_tenant_model_with_a_required_organization() -> None:
    for model in every_model():
        if model._meta.label in {*GLOBAL_MODELS, *TRAIL}:
            continue
        assert issubclass(model, TenantModel), model._meta.label
        assert not model._meta.get_field("organization").null
    assert set(GLOBAL_MODELS) <= {model._meta.label for model in every_model()}, "the list names a model that is gone"


@pytest.mark.django_db
def test_every_table__of_the_schema__belongs_to_a_model_or_is_a_part_of_the_trail() -> None:
    known = {model._meta.db_table for model in every_model()} | {"django_migrations"}
    unknown = {name for (name,) in query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")} - known
    assert unknown
    assert all(re.fullmatch(r"audit_event_\d{4}", name) for name in unknown), unknown


@pytest.mark.django_db
def test_every_foreign_key__between_tenant_tables__carries_the_organization() -> None:
    keys = query(
        "SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,"
        " EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)"
        " AND a.attname = 'organization_id') FROM pg_constraint c WHERE c.contype = 'f'"
    )
    tables = set(tenant_tables())
    between = [(name, composite) for name, source, target, composite in keys if {source, target} <= tables]
    assert len(between) >= 4
    assert [name for name, composite in between if not composite] == []


def test_every_relation__between_tenant_models__has_a_composite_key() -> None:
    """A field without any key in the database would slip past the catalog."""
    for model in apps.get_models():
        if not issubclass(model, TenantModel):
            continue
        composite = {rule.field for rule in model._meta.constraints if isinstance(rule, SameOrganization)}
        for field in model._meta.fields:
            target = field.related_model
            if isinstance(target, type) and issubclass(target, TenantModel):
                assert field.name in composite, f"{model._meta.label}.{field.name}"


# --- what the application's role sees --------------------------------------------------------------------------------
def fill(world: World) -> None:
    """Give both practices a row in every tenant table that the world leaves empty."""
    at = timezone.now()
    with platform("test"):
        for invitation in (world.invitation, world.strange_invitation):
            own: dict[str, Any] = {"organization_id": invitation.organization_id}
            Delivery.objects.create(invitation=invitation, next_try_at=at, created_at=at, **own)
            InvitationHistory.objects.create(invitation=invitation, event=Event.RESEND, at=at, **own)
            InvitationBatch.objects.create(**own)
            Patient.objects.create(**own)
            agreement = BusinessAssociateAgreement.objects.get(**own)
            BaaReminder.objects.create(agreement=agreement, offset=90, created_at=at, **own)
    for user in (world.lee, world.stone):
        actor = world.actor(user)
        with tenant(actor.organization):
            audit.record(actor=actor, action="test.act")


@pytest.mark.seed("S0.24", "S2.23")
def test_tenant__counts_foreign_rows_in_every_tenant_table__0(world: World) -> None:
    fill(world)
    mine = str(world.practice.pk)
    for table in tenant_tables():
        with platform("test"):
            assert visible(f"SELECT count(*) FROM {table} WHERE organization_id = '{mine}'") > 0, table
            assert visible(f"SELECT count(*) FROM {table} WHERE organization_id <> '{mine}'") > 0, table
        with tenant(world.practice):
            assert visible(f"SELECT count(*) FROM {table} WHERE organization_id = '{mine}'") > 0, table
            assert visible(f"SELECT count(*) FROM {table} WHERE organization_id <> '{mine}'") == 0, table


@pytest.mark.seed("S2.23")
def test_tenant__writes_into_another_organization__refused(world: World) -> None:
    with tenant(world.practice):
        Patient.objects.create(organization=world.practice)
        with pytest.raises(Exception, match="violates row-level security policy"), transaction.atomic():
            Patient.objects.create(organization=world.strange_practice)
        with pytest.raises(Exception, match="violates row-level security policy"), transaction.atomic():
            Membership.objects.update(organization=world.strange_practice)
        assert UserInvitation.objects.filter(pk=world.invitation.pk).update(message="x") == 1
        assert UserInvitation.objects.filter(pk=world.strange_invitation.pk).update(message="x") == 0
        assert UserInvitation.objects.filter(pk=world.strange_invitation.pk).delete()[0] == 0


@pytest.mark.seed("S2.23")
def test_no_door__any_tenant_table__data_error_that_says_what_to_do(world: World) -> None:
    for table in tenant_tables():
        with pytest.raises(DataError, match=re.escape(NO_DOOR)), transaction.atomic():
            query(f"SELECT * FROM {table}")
    with tenant(world.practice):
        assert Membership.objects.count() == 3
    # Set in an earlier savepoint is '' and not NULL: the same error, not an empty answer.
    with pytest.raises(DataError, match=re.escape(NO_DOOR)), transaction.atomic():
        Membership.objects.count()


# --- doors -----------------------------------------------------------------------------------------------------------
def test_doors__nested__each_gives_back_what_it_found(world: World) -> None:
    outside = setting()
    with tenant(world.practice):
        at_home = ("none", str(world.practice.pk))
        assert setting() == at_home
        with platform("test"):
            assert setting() == (PLATFORM_ROLE, "")
            with tenant(world.strange_practice):
                assert setting() == ("none", str(world.strange_practice.pk))
                assert Membership.objects.get().user == world.stone
            assert setting() == (PLATFORM_ROLE, "")
        assert setting() == at_home
        with pytest.raises(ValueError, match="on purpose"), tenant(world.strange_practice):
            raise ValueError("on purpose")
        assert setting() == at_home
        with pytest.raises(ValueError, match="on purpose"), platform("test"):
            raise ValueError("on purpose")
        assert setting() == at_home
        assert {row.user for row in Membership.objects.all()} == {world.lee, world.omar, world.mia}
    assert setting() == outside == ("none", "")


def test_doors__by_id_or_by_row__the_same(world: World) -> None:
    with tenant(world.practice.pk):
        by_id = setting()
    with tenant(world.practice):
        assert setting() == by_id


def test_door__inner_one_fails_and_is_caught__outer_goes_on(world: World) -> None:
    with tenant(world.practice):
        with pytest.raises(IntegrityError), tenant(world.practice):
            Membership.objects.create(
                organization=world.practice, user=world.lee, role="king", started_at=timezone.now()
            )
        assert Membership.objects.count() == 3


@pytest.mark.seed("S2.23")
def test_connection__between_two_requests__nothing_is_left(
    committed_world: World, sign_in: Callable[[User], Client]
) -> None:
    world = committed_world
    lee, url = sign_in(world.lee), "/api/v1/invitations/"
    backend = query("SELECT pg_backend_pid()")
    answers = [
        lee.get(url).status_code,  # tenant()
        lee.get(f"{url}{world.strange_invitation.pk}/").status_code,  # rolled back
        sign_in(world.mia).get(url).status_code,  # refused, with an event of its own
        sign_in(world.ana).get("/admin/").status_code,  # platform()
        lee.get(url, HTTP_X_ORGANIZATION="stone-clinic").status_code,  # a stranger's door
    ]
    assert answers == [200, 404, 403, 200, 404]
    assert query("SELECT pg_backend_pid()") == backend, "another connection would prove nothing"
    assert setting() == ("none", "")
    with pytest.raises(DataError, match=re.escape(NO_DOOR)):
        Membership.objects.count()
    assert query("SELECT session_user = current_user") == [(True,)]


def test_request__view_fails_with_a_bug__nothing_is_left(
    committed_world: World, sign_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(committed_world.lee)
    assert client.get("/api/v1/invitations/").status_code == 200

    def broken(**kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("invitations.selectors.invitation_page", broken)
    client.raise_request_exception = False
    assert client.get("/api/v1/invitations/").status_code == 500
    assert setting() == ("none", "")


# --- what row security does not stop ---------------------------------------------------------------------------------
Row = Callable[[World, UUID], models.Model]
KEYS: dict[str, Row] = {
    "delivery": lambda world, organization_id: Delivery(
        organization_id=organization_id,
        invitation=world.invitation,
        next_try_at=timezone.now(),
        created_at=timezone.now(),
    ),
    "history": lambda world, organization_id: InvitationHistory(
        organization_id=organization_id, invitation=world.invitation, event=Event.RESEND, at=timezone.now()
    ),
    "batch": lambda world, organization_id: _with(
        world.invitation, organization_id, batch=InvitationBatch.objects.create(organization=world.practice)
    ),
    "patient": lambda world, organization_id: _with(
        world.invitation,
        organization_id,
        patient=Patient.objects.create(organization=world.practice),
        invitation_type="patient",
        email=None,
    ),
}


def check_keys() -> None:
    """Have the deferred keys checked now instead of at the commit that a test never reaches."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _with(invitation: UserInvitation, organization_id: UUID, **values: Any) -> UserInvitation:
    copy = UserInvitation.objects.get(pk=invitation.pk)
    for name, value in {**values, "organization_id": organization_id, "email": None}.items():
        setattr(copy, name, value)
    return copy


@pytest.mark.seed("S0.24")
@pytest.mark.parametrize("key", KEYS)
def test_key_to_a_row__own_organization_accepted__another_tenants_refused(world: World, key: str) -> None:
    def point_from(organization: Organization) -> None:
        with platform("test"):
            KEYS[key](world, organization.pk).save()
            check_keys()

    point_from(world.practice)
    with pytest.raises(IntegrityError, match="_in_organization"):
        point_from(world.strange_practice)


# --- the roles of the database ---------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_application_role__platform_role__granted_and_not_inherited() -> None:
    assert query(
        "SELECT pg_has_role(session_user, %s, 'SET'), pg_has_role(session_user, %s, 'USAGE')", [PLATFORM_ROLE] * 2
    ) == [(True, False)]
    assert query("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = session_user") == [
        (False, False, False)
    ]
    assert list(role_problems()) == []


@contextmanager
def database_role(*statements: str) -> Iterator[str]:
    """Make a role that can log in, be it for a moment, and drop it."""
    name = f"test_{uuid4().hex[:12]}"  # roles belong to the server: a second test run beside makes its own
    with superuser() as server:
        server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'only-for-this-test'")  # type: ignore[arg-type]
        try:
            for statement in statements:
                server.execute(statement.format(role=name))  # type: ignore[arg-type]
            with connected_as(USER=name, PASSWORD="only-for-this-test"):
                yield name
        finally:
            server.execute(f"DROP OWNED BY {name}")  # type: ignore[arg-type]
            server.execute(f"DROP ROLE {name}")  # type: ignore[arg-type]


INHERITED = f"GRANT {PLATFORM_ROLE} TO {{role}} WITH INHERIT TRUE, SET TRUE"
RIGHT = f"GRANT {PLATFORM_ROLE} TO {{role}} WITH INHERIT FALSE, SET TRUE"


@pytest.mark.seed("S2.23")
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        pytest.param(RIGHT, None, id="as documented"),
        pytest.param("ALTER ROLE {role} SUPERUSER", "healthivr.E001", id="superuser"),
        pytest.param("ALTER ROLE {role} BYPASSRLS", "healthivr.E001", id="bypasses"),
        pytest.param(INHERITED, "healthivr.E001", id="inherits the platform role"),
        pytest.param("GRANT healthivr_owner TO {role}", "healthivr.E002", id="owner"),
        pytest.param(
            "GRANT healthivr_owner TO {role} WITH INHERIT FALSE, SET TRUE", "healthivr.E002", id="could become owner"
        ),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_start__database_role_that_could_see_others__refused(statement: str, problem: str | None) -> None:
    with database_role(statement):
        found = list(role_problems())
        assert [error.id for error in found] == ([problem] if problem else [])
        checked = [error.id for error in run_checks(databases=["default"]) if str(error.id).startswith("healthivr.E")]
        assert checked == ([problem] if problem else [])
        if problem is None:
            refuse_unsafe_role()
            return
        with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
            refuse_unsafe_role()


@pytest.mark.django_db(transaction=True)
def test_start__inherited_platform_role__would_show_every_row() -> None:
    """Why the check matters: with PostgreSQL's default grant the wall is silently gone."""
    right = database_role(RIGHT, "GRANT SELECT ON organizations_membership TO {role}")
    with right, pytest.raises(DataError, match=re.escape(NO_DOOR)):
        query("SELECT count(*) FROM organizations_membership")
    with database_role(INHERITED):
        assert query("SELECT count(*) >= 0 FROM organizations_membership") == [(True,)]
