"""The rules of docs/architecture.md that a reader of one file cannot see: a walk over all of them. No database."""

import ast
import importlib
import itertools
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import CharField, Model, TextField

from accounts.models import AccountMailKind
from audit.registry import is_registered, registry
from healthivr.kernel.errors import Busy, DomainError
from healthivr.views import http_status
from invitations.models import Purpose
from invitations.views.invitee import OUTCOMES
from organizations.tenancy import TenantModel

ROOT = Path(settings.BASE_DIR)
TEMPLATES = ROOT / "templates"
APPS = ("audit", "organizations", "accounts", "patients", "invitations", "healthivr")
#: From the ground up. Whoever stands here may import whatever stands before it, and itself.
LAYERS = ("healthivr.kernel", *APPS)


def python_files(*folders: str) -> list[Path]:
    """Every Python file of ours below some folders; below all of them when none is named."""
    return sorted(
        path
        for folder in folders or (*APPS, "e2e", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def product_files() -> list[Path]:
    """What serves people: no tests, which may look anywhere, and nothing that only tests use."""
    return [
        path
        for path in python_files(*APPS)
        if not {"tests", "testing"} & set(path.relative_to(ROOT).parts) and "embedded" not in path.parts
    ]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- imports ---------------------------------------------------------------------------------------------------------
def layer_of(module: str) -> str | None:
    """The layer that a module stands in; None for somebody else's."""
    found = [layer for layer in LAYERS if module == layer or module.startswith(f"{layer}.")]
    return max(found, key=len) if found else None


def imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield every module that is imported at run time, in functions too. What stands under `if TYPE_CHECKING` is for the
    type checker alone."""
    unseen: list[ast.AST] = [tree]
    while unseen:
        node = unseen.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            unseen.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = module.split(".")
            base = base[: len(base) - node.level + is_package] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
        unseen.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", product_files(), ids=relative)
def test_imports__of_every_module__point_down(path: Path) -> None:
    module = name_of(path)
    own = layer_of(module)
    assert own
    for imported in imports(parsed(path), module, is_package=path.name == "__init__.py"):
        other = layer_of(imported)
        assert other is None or LAYERS.index(other) <= LAYERS.index(own), f"{module} imports {imported} from above"
        assert not imported.startswith(("e2e", "bench", "healthivr.testing")), f"{module} imports {imported}"


def test_imports__the_walk__sees_functions_and_relative_names_and_passes_over_type_checking() -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import invitations\nelse:\n    import patients\n"
        "from . import services\nfrom ..audit import models\ndef later():\n    from accounts.models import User\n"
    )
    found = set(imports(ast.parse(source), "organizations.views", is_package=False))
    assert found == {
        "typing.TYPE_CHECKING",
        "patients",
        "organizations.services",
        "audit.models",
        "accounts.models.User",
    }
    assert set(imports(ast.parse("from .x import y"), "a.b", is_package=True)) == {"a.b.x.y"}
    assert layer_of("healthivr.kernel.errors") == "healthivr.kernel"
    assert layer_of("healthivr.settings") == "healthivr"
    assert layer_of("auditlog.diff") is None


@pytest.mark.parametrize("path", python_files("healthivr/embedded"), ids=relative)
def test_imports__of_what_starts_us__touch_no_django_and_nothing_else_of_ours(path: Path) -> None:
    for imported in imports(parsed(path), name_of(path), is_package=path.name == "__init__.py"):
        assert imported.startswith("healthivr.embedded") or layer_of(imported) is None, imported
        assert not imported.startswith("django"), imported


def test_imports__by_a_name_in_a_string__nowhere() -> None:
    """What import_module() or get_model() fetch, no walk sees. Migrations get models by name: they must."""
    for path in product_files():
        if "migrations" in path.parts:
            continue
        called = {getattr(node.func, "attr", getattr(node.func, "id", "")) for node in calls(parsed(path))}
        assert not called & {"import_module", "__import__", "get_model", "import_string"}, path


def calls(tree: ast.Module) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_modules__named_for_what_they_do__no_drawer_for_everything() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc", "shared", "lib", "tools"}
    for path in python_files():
        assert not {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} & drawers, path


# --- who may write, and who may see everything -----------------------------------------------------------------------
WRITES = {"save", "create", "update", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}
READERS = {"api", "views", "forms", "serializers", "urls", "selectors", "templatetags", "middleware", "context"}


def reading_files() -> list[Path]:
    """Modules that parse, ask and render: the write is a service's."""
    return [
        path
        for path in product_files()
        if READERS & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]


@pytest.mark.seed("S0.3")
@pytest.mark.parametrize("path", reading_files(), ids=relative)
def test_writes__in_what_parses_and_renders__none(path: Path) -> None:
    tree = parsed(path)
    written = [node.func.attr for node in calls(tree) if isinstance(node.func, ast.Attribute)]
    assert not WRITES & set(written), f"{path} writes: a service does that"
    assert not {"cursor", "execute"} & set(written), f"{path} speaks SQL"


def test_writes__the_list_of_readers__has_every_room() -> None:
    found = {relative(path) for path in reading_files()}
    assert {
        "accounts/views/sign_in.py",
        "accounts/forms.py",
        "healthivr/views.py",
        "invitations/api/serializers.py",
        "invitations/api/views.py",
        "invitations/forms.py",
        "invitations/selectors.py",
        "invitations/views/detail.py",
        "invitations/views/invitee.py",
        "invitations/views/staff.py",
        "organizations/api/__init__.py",
        "organizations/middleware.py",
        "organizations/selectors.py",
        "organizations/views/__init__.py",
        "organizations/views/directory.py",
    } <= found


#: Who opens the door to all organizations, and why one organization's would not do.
PLATFORM_DOOR = {
    "accounts/addresses.py": "an address belongs to a person, not to an organization",
    "accounts/agreements.py": "an agreement has two parties, and administrators of both are told",
    "accounts/lockout.py": "a stranger's guesses go into the platform's trail",
    "accounts/keys.py": "a key is a person's; one act may end those of several organizations",
    "accounts/registry.py": "sessions belong to people; their events go into the platform's trail",
    "accounts/administration.py": "platform staff switch accounts on and off, which no organization owns",
    "accounts/selectors.py": "platform staff at home see the people of every organization",
    "accounts/passwords/terms.py": "a password must not be made of the name of any organization of one's own",
    "accounts/factor_reset.py": "the lost second factor of a person, finished by nobody who is signed in",
    "accounts/oidc/services.py": "an account at an identity provider is a person's, not an organization's",
    "accounts/second_factor.py": "a second factor belongs to a person, not to an organization",
    "accounts/services.py": "sign-in, reset and profile belong to a person, not to an organization",
    "healthivr/management/commands/demo.py": "makes a whole world",
    "invitations/acceptance.py": "the holder of a token does not say whose it is; joining may found an organization",
    "invitations/adoption.py": "an inviter who is platform staff is a member elsewhere",
    "invitations/leaving.py": "who stands below a leaver in the sales chain stands in other organizations",
    "invitations/people.py": "platform staff switch several accounts on and off",
    "invitations/delivery.py": "the relay sends for all",
    "invitations/seats.py": "the nightly reconciliation compares all",
    "invitations/services.py": "an inviter who is platform staff is a member elsewhere",
    "invitations/tasks.py": "the sweep expires for all",
    "organizations/admin_site.py": "Django admin, for platform staff",
    "organizations/agreements/selectors.py": "whose agreements are missing or end soon, for platform staff",
    "organizations/agreements/reminders.py": "the sweep announces and ends agreements of all",
    "organizations/directory.py": "counts of people and seats below one's organization",
    "organizations/selectors.py": "somebody's own memberships everywhere; counts below one's organization",
}


def test_platform_door__used__only_where_there_is_a_reason() -> None:
    used = set()
    for path in product_files():
        for node in calls(parsed(path)):
            if getattr(node.func, "id", getattr(node.func, "attr", "")) == "platform":
                used.add(relative(path))
                assert node.args or node.keywords, f"{path}:{node.lineno} gives no reason"
    assert used == set(PLATFORM_DOOR)


#: How a task is sent.
QUEUES = {"delay", "delay_on_commit", "apply_async", "apply_async_on_commit", "send_task", "signature"}


@pytest.mark.seed("S0.30")
def test_tasks__take_nothing_or_ids__for_a_broker_keeps_what_it_is_given_in_clear() -> None:
    tasks, hints = 0, 0
    for path in product_files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef) and any("shared_task" in ast.unparse(d) for d in node.decorator_list):
                tasks += 1
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                assert all(name == "self" or name.endswith(("_id", "_ids")) for name in names), f"{path}: {node.name}"
                assert not node.args.vararg
                assert not node.args.kwarg
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in QUEUES:
                hints += 1
                sent = [word.arg for word in node.keywords if word.arg in ("args", "kwargs")]
                assert not sent, f"{path}:{node.lineno}: name ids here, and let this test know them"
                assert len(node.args) == (getattr(node.func, "attr", "") == "send_task"), f"{path}:{node.lineno}"
    assert tasks >= 6
    assert hints >= 2


# --- errors ----------------------------------------------------------------------------------------------------------
def import_everything() -> None:
    for app in APPS:
        package = importlib.import_module(app)
        for module in pkgutil.walk_packages(package.__path__, f"{app}."):
            if not {"tests", "testing", "migrations", "embedded", "wsgi", "gunicorn"} & set(module.name.split(".")):
                importlib.import_module(module.name)


def every_domain_error() -> list[type[DomainError]]:
    import_everything()
    found: list[type[DomainError]] = []
    unseen = list(DomainError.__subclasses__())
    while unseen:
        error = unseen.pop()
        found.append(error)
        unseen.extend(error.__subclasses__())
    return found


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("error", every_domain_error(), ids=lambda error: error.__qualname__)
def test_domain_error__of_every_family__has_a_status_and_a_code(error: type[DomainError]) -> None:
    assert 400 <= http_status(error.__new__(error)) < 500 or issubclass(error, Busy)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert error.__doc__


def test_domain_error__of_no_family__has_no_status() -> None:
    with pytest.raises(LookupError):
        http_status(DomainError())


# --- models ----------------------------------------------------------------------------------------------------------
PERSONAL = {"email", "phone", "first_name", "last_name", "message", "reason", "password"}
SECRET = {"token_hash", "token_nonce", "digest", "password"}


def our_models() -> list[type[Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in APPS]


@pytest.mark.seed("S0.23")
@pytest.mark.parametrize(
    "model", [m for m in our_models() if issubclass(m, TenantModel)], ids=lambda model: model._meta.label
)
def test_tenant_model__every_one__has_its_changes_in_the_trail(model: type[Model]) -> None:
    assert is_registered(model)


@pytest.mark.parametrize("model", [m for m in our_models() if is_registered(m)], ids=lambda model: model._meta.label)
def test_trail__of_every_model__masks_personal_data_and_leaves_secrets_out(model: type[Model]) -> None:
    shown = registry.get_model_fields(model)
    names = {field.name for field in model._meta.fields}
    assert names & PERSONAL - SECRET <= set(shown["mask_fields"])
    assert names & SECRET <= set(shown["exclude_fields"])


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model._meta.label)
def test_text__of_every_model__names_no_person_and_no_secret(model: type[Model]) -> None:
    """Logs, error pages and Django admin show str() of rows."""
    texts = [field.name for field in model._meta.fields if isinstance(field, (CharField, TextField))]
    values = {name: f"canary of {name}" for name in texts if name in PERSONAL | SECRET}
    row = model(**values)
    assert "canary" not in str(row) + repr(row)
    assert model.__str__ is not Model.__str__


# --- templates -------------------------------------------------------------------------------------------------------
#: Names of templates that code puts together, and everything that can come of them.
PUT_TOGETHER: dict[str, set[str]] = {
    "invitations/link/*.html": {page for _kind, _code, page, _status in OUTCOMES},
    "accounts/email/*": set(AccountMailKind.values),
    "invitations/email/*": set(Purpose.values) - {Purpose.INVITATION},
    "*.html": {"400", "403", "404", "429", "503"},
}
#: Django or another package asks for these by name.
ASKED_FOR = {"django/forms/field.html"}
MAIL_PARTS = (".subject.txt", ".txt", ".html")


def template_files() -> list[Path]:
    return sorted(path for path in TEMPLATES.rglob("*") if path.is_file())


def template_name(path: Path) -> str:
    return str(path.relative_to(TEMPLATES))


def texts_in(path: Path) -> Iterator[str]:
    """Yield every string of a Python file; a name that is put together has * where a value goes."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)


def templates_named_by_code() -> set[str]:
    named = set()
    for path in product_files():
        for text in texts_in(path):
            if path.name == "mail.py" and text.startswith("*."):
                continue  # accounts/mail.py adds the endings of MAIL_PARTS
            if re.fullmatch(r"[\w/.*]+\.html|[\w*]+/email/[\w*]+", text):
                wholes = [text.replace("*", word) for word in PUT_TOGETHER[text]] if "*" in text else [text]
                named |= {whole + end for whole in wholes for end in (MAIL_PARTS if "/email/" in whole else ("",))}
    return named


def templates_named_by_templates() -> set[str]:
    tag = re.compile(r"\{%-?\s*(?:include|extends)\s+[\"']([^\"']+)[\"']")
    return {name for path in template_files() for name in tag.findall(path.read_text())}


def test_templates__every_one__is_used_and_every_used_one_exists() -> None:
    there = {template_name(path) for path in template_files()}
    used = templates_named_by_code() | templates_named_by_templates() | ASKED_FOR
    assert there - used == set(), "nobody uses these"
    assert {name for name in used - there if not name.startswith(("admin/", "*"))} == set(), "these do not exist"


def is_mail(name: str) -> bool:
    return "/email/" in name or name == "layout/email.html"


@pytest.mark.seed("S0.20")
@pytest.mark.parametrize("path", template_files(), ids=template_name)
def test_template__of_every_page__trusts_no_value_and_needs_no_hole_in_the_policy(path: Path) -> None:
    """Escaping is never switched off (only in the plain text of a mail, which is no markup), and nothing is inline that
    the content security policy would have to allow (only in mails, which have no policy)."""
    name, text = template_name(path), path.read_text()
    markup = re.sub(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", "", text, flags=re.DOTALL)
    assert not re.search(r"\|\s*safe|safeseq|mark_safe|csrf_exempt", markup)
    if "autoescape" in markup:
        assert re.fullmatch(r"\w+/email/\w+(\.subject)?\.txt", name)
    if not is_mail(name):
        assert not re.search(r"\sstyle\s*=|<style", markup)
    assert not re.search(r"\son[a-z]+\s*=", markup), "an inline event handler"
    assert "javascript:" not in markup
    for script in re.findall(r"<script\b[^>]*>", markup):
        assert " src=" in script, f"{script} is inline"
    for form in re.findall(r"<form\b[^>]*\bmethod=\"post\".*?</form>", markup, flags=re.DOTALL | re.IGNORECASE):
        assert "csrf_token" in form, "a POST without its token"


def test_code__of_ours__marks_nothing_as_safe_and_exempts_nothing_from_csrf() -> None:
    for path in product_files():
        names = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(parsed(path))}
        assert not names & {"mark_safe", "csrf_exempt", "SafeText"}, path
        for node in calls(parsed(path)):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert called != "SafeString", path
            if called == "format_html":
                assert not isinstance(node.args[0], ast.JoinedStr), f"{path}: values are format_html's to escape"


# --- tests -----------------------------------------------------------------------------------------------------------
def ini() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "pytest.ini")
    return parser


def test_tests__every_file__is_below_a_path_that_pytest_walks() -> None:
    paths = ini()["pytest"]["testpaths"].split()
    assert ini()["pytest"]["python_files"] == "test_*.py"
    skipped = {".venv", "node_modules", ".state", "staticfiles"}
    for path in ROOT.rglob("test*.py"):
        parts = path.relative_to(ROOT).parts
        if skipped & set(parts):
            continue
        if parts[-1] == "testing.py":
            continue  # what tests share
        assert parts[0] in paths, f"pytest does not look at {path}"
        assert parts[-1].startswith("test_"), f"pytest does not take {path} for tests"
        packages = itertools.takewhile(lambda folder: folder != ROOT, path.parents)
        assert all((folder / "__init__.py").exists() for folder in packages), f"{path} stands in no package"


def test_tests__every_function__is_collected() -> None:
    """A second function of the same name replaces the first; one inside another, or in a class that pytest does not
    take for tests, is never called."""
    for path in python_files():
        tree = parsed(path)
        collected: list[ast.stmt] = list(tree.body)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                names = [member.name for member in node.body if isinstance(member, ast.FunctionDef)]
                assert len(names) == len(set(names)), f"{path}: {node.name}"
                collected += node.body
        tests = [node for node in collected if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        defined = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        doubled = [name for name, times in Counter(defined).items() if times > 1]
        assert not doubled, f"{path}: only the last of each {doubled} runs"
        assert len(defined) == len(tests), f"{path}: {set(defined) - {node.name for node in tests}} never run"
        if defined:
            assert path.name.startswith("test_"), f"{path}: pytest does not look here"


def test_tests__skipped__none() -> None:
    """A test that did not run proves nothing: it fails and says why, or it does not exist."""
    for path in python_files():
        used = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
        assert not used & {"pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.importorskip"}, path


def test_tests__warnings__are_errors() -> None:
    assert ini()["pytest"]["filterwarnings"].split()[0] == "error"
