"""The API's description: valid, complete, and every code in it explained."""

import ast
import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

from healthivr.api import ProblemRenderer
from healthivr.kernel.errors import DomainError
from healthivr.testing.pages import parse
from healthivr.tests.test_architecture import every_domain_error, product_files
from healthivr.views import CODES, http_status
from invitations.errors import InvitationClosed

ROUTES = {
    ("GET", "/api/v1/invitations/"),
    ("POST", "/api/v1/invitations/"),
    ("GET", "/api/v1/invitations/{invitation_id}/"),
    ("PUT", "/api/v1/invitations/{invitation_id}/"),
    ("PATCH", "/api/v1/invitations/{invitation_id}/"),
    ("DELETE", "/api/v1/invitations/{invitation_id}/"),
    ("POST", "/api/v1/invitations/{invitation_id}/resend/"),
    ("POST", "/api/v1/invitations/{invitation_id}/renew/"),
    ("GET", "/api/v1/invitations/validate/{token}/"),
    ("POST", "/api/v1/invitations/accept/{token}/"),
    ("POST", "/api/v1/invitations/decline/{token}/"),
    ("POST", "/api/v1/auth/token/"),
    ("POST", "/api/v1/auth/token/refresh/"),
    ("POST", "/api/v1/auth/token/revoke/"),
    ("GET", "/api/v1/admin/organizations/"),
    ("POST", "/api/v1/admin/organizations/"),
    ("GET", "/api/v1/admin/organizations/stats/"),
    ("GET", "/api/v1/admin/organizations/{organization_id}/"),
    ("PUT", "/api/v1/admin/organizations/{organization_id}/"),
    ("PATCH", "/api/v1/admin/organizations/{organization_id}/"),
    ("PATCH", "/api/v1/admin/organizations/{organization_id}/deactivate/"),
    ("PATCH", "/api/v1/admin/organizations/{organization_id}/activate/"),
    ("PATCH", "/api/v1/admin/organizations/{organization_id}/assign-admin/"),
    ("PATCH", "/api/v1/admin/organizations/{organization_id}/plan/"),
    ("GET", "/api/v1/auth/keys/"),
    ("POST", "/api/v1/auth/keys/"),
    ("DELETE", "/api/v1/auth/keys/{key_id}/"),
    ("GET", "/api/v1/auth/second-factor/"),
    ("POST", "/api/v1/auth/second-factor/"),
    ("DELETE", "/api/v1/auth/second-factor/"),
    ("POST", "/api/v1/auth/second-factor/confirm/"),
    ("POST", "/api/v1/auth/second-factor/recovery-codes/"),
    ("POST", "/api/v1/auth/verify/"),
}
USERS = "/api/v1/admin/users/"
ROUTES |= {
    ("GET", USERS),
    ("POST", USERS),
    ("GET", f"{USERS}stats/"),
    ("POST", f"{USERS}bulk/"),
    ("GET", f"{USERS}{{user_id}}/"),
    ("PUT", f"{USERS}{{user_id}}/"),
    ("PATCH", f"{USERS}{{user_id}}/"),
    ("PATCH", f"{USERS}{{user_id}}/activate/"),
    ("PATCH", f"{USERS}{{user_id}}/deactivate/"),
    ("PATCH", f"{USERS}{{user_id}}/password/"),
    ("POST", f"{USERS}{{user_id}}/unlock/"),
    ("POST", f"{USERS}{{user_id}}/roles/"),
    ("GET", f"{USERS}{{user_id}}/sessions/"),
    ("DELETE", f"{USERS}{{user_id}}/sessions/"),
    ("GET", f"{USERS}{{user_id}}/leave/"),
    ("POST", f"{USERS}{{user_id}}/leave/"),
    ("POST", f"{USERS}{{invitation_id}}/resend-invitation/"),
}
ROUTES |= {
    ("GET", "/api/v1/practitioner/"),
    ("PUT", "/api/v1/practitioner/"),
    ("GET", "/api/v1/admin/practitioners/"),
    ("GET", "/api/v1/admin/practitioners/{credential_id}/"),
    ("POST", "/api/v1/admin/practitioners/{credential_id}/approve/"),
    ("POST", "/api/v1/admin/practitioners/{credential_id}/reject/"),
    ("POST", "/api/v1/admin/practitioners/{credential_id}/suspend/"),
    ("GET", "/api/v1/admin/organizations/baa-reminders/"),
    ("GET", "/api/v1/admin/organizations/{organization_id}/baa/"),
    ("PATCH", "/api/v1/admin/organizations/{organization_id}/sign-baa/"),
}
PUBLIC = {route for route in ROUTES if "{token}" in route[1] or "/auth/token/" in route[1]}
#: What HTTP itself refuses, in REST framework's words.
OF_HTTP = {"method_not_allowed": 405, "not_acceptable": 406, "unsupported_media_type": 415}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The description, as the command writes it: validated, and without a warning."""
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", file=str(path), format="openapi-json", validate=True, fail_on_warn=True)
    written: dict[str, Any] = json.loads(path.read_text())
    return written


def operations(schema: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


# --- the description -------------------------------------------------------------------------------------------------
@pytest.mark.seed("S0.4", "S4.33")
def test_schema__routes__exactly_those_that_are_promised(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.")
    assert set(operations(schema)) == ROUTES


def test_schema__every_operation__has_a_name_a_sentence_and_its_errors(schema: dict[str, Any]) -> None:
    names = []
    for route, operation in operations(schema).items():
        names.append(operation["operationId"])
        assert operation["description"].endswith("."), route
        assert "429" in operation["responses"], route
        assert {"200", "201", "204"} & set(operation["responses"]), route
    assert len(names) == len(set(names))


def test_schema__sign_in__asked_for_everywhere_but_where_a_link_is_the_right(schema: dict[str, Any]) -> None:
    for route, operation in operations(schema).items():
        if route in PUBLIC:
            assert not operation.get("security"), route
        else:
            assert operation["security"] == [{"bearer": []}, {"session": []}], route
            assert "401" in operation["responses"], route


def test_schema__errors__are_problems_in_their_own_media_type(schema: dict[str, Any]) -> None:
    for route, operation in operations(schema).items():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == [ProblemRenderer.media_type], (route, status)


@pytest.mark.seed("S4.8")
def test_schema__nothing_shown_to_staff__holds_a_token_or_a_link(schema: dict[str, Any]) -> None:
    for name, component in schema["components"]["schemas"].items():
        shown = set(component.get("properties", {}))
        assert not {field for field in shown if re.search(r"token|link|url|nonce|hash", field)}, name


@pytest.mark.django_db
def test_schema_and_docs__by_http__answer_anybody_in_both_forms() -> None:
    client = Client()
    for url in ("/api/v1/schema/", "/api/v1/schema", "/api/v1/docs/", "/api/v1/docs"):
        assert client.get(url).status_code == 200, url
    assert "openapi" in client.get("/api/v1/schema/").text
    assert "swagger" in client.get("/api/v1/docs/").text.lower()


def test_routes__below_the_api__are_all_described(schema: dict[str, Any]) -> None:
    described = {re.sub(r"\{\w+\}", "*", path) for _method, path in operations(schema)}
    mounted = set()
    for entry in get_resolver().url_patterns:
        if str(entry.pattern).startswith("api/v1/") and hasattr(entry, "url_patterns"):
            mounted |= {re.sub(r"<[^>]+>", "*", f"/{entry.pattern}{below.pattern}") for below in entry.url_patterns}
    assert mounted == described


# --- the codes -------------------------------------------------------------------------------------------------------
def documented() -> dict[str, set[int]]:
    """The codes of docs/errors.md, with their statuses."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d, ]+) \| [^|]+\. \| [^|]+\. \|$", ERRORS.read_text(), re.MULTILINE)
    return {code: {int(status) for status in statuses.split(",")} for code, statuses in rows}


ERRORS = Path(settings.BASE_DIR) / "docs" / "errors.md"


def test_docs__every_code__has_the_anchor_that_a_problem_leads_to() -> None:
    page = parse(Client().get("/api/v1/docs/").content.decode().replace("<!DOCTYPE html>", ""))
    anchors = [element["id"] for element in page.all() if element["id"]]
    assert len(anchors) == len(set(anchors))
    assert documented()
    assert set(documented()) <= set(anchors)
    assert page.all("html")[0]["lang"] == "en"


def test_docs__page__ours_with_the_endpoints_before_the_codes_and_each_code_explained_once() -> None:
    page = parse(Client().get("/api/v1/docs/").content.decode().replace("<!DOCTYPE html>", ""))
    assert [link.text for link in page.all("a", href="/")] == ["healthivr", "Back to healthivr"]
    order = [element["id"] for element in page.all() if element["id"] in {"swagger-ui", *documented()}]
    assert order[0] == "swagger-ui"
    (table,) = page.all("table")
    rows = {row["id"]: [cell.text for cell in row.all("td")] for row in table.all("tr") if row["id"]}
    assert list(rows) == order[1:]
    assert rows["already_member"] == ["409", "The person has this role here already.", "Nothing."]
    assert "`" not in page.text
    assert "invitation_status" in [code.text for code in table.all("code")]


def in_code() -> dict[str, set[int]]:
    """Every code that can be answered, with its statuses: of each kind of error, and those given where it is raised."""
    errors = {error.__name__: error for error in (DomainError, *every_domain_error())}
    found: dict[str, set[int]] = {code: {status} for code, status in OF_HTTP.items()}

    def add(code: str, error: type[DomainError]) -> None:
        found.setdefault(code, set()).add(int(http_status(error.__new__(error))))

    for error in errors.values():
        if error is not DomainError and "code" in vars(error):
            add(error.code, error)
    for code, _message in InvitationClosed.CODES.values():
        add(code, InvitationClosed)
    for path in product_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in errors:
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        add(keyword.value.value, errors[node.func.id])  # type: ignore[attr-defined]
    found.setdefault("csrf_failed", set()).add(HTTPStatus.FORBIDDEN)
    for status, code in CODES.items():
        found.setdefault(code, set()).add(status)
    return found


@pytest.mark.seed("S0.20", "S3.57")
def test_codes__of_every_error__are_documented_with_their_status_and_nothing_else_is() -> None:
    table = documented()
    assert len(table) == ERRORS.read_text().count("\n| `"), "a row is not in the table's form"
    assert len(table) > 40
    assert table == in_code()


def test_codes__named_in_the_schema__are_documented_for_that_status(schema: dict[str, Any]) -> None:
    table = documented()
    named = 0
    for route, operation in operations(schema).items():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                codes = answer["description"].split(", ")
                named += len(codes)
                for code in codes:
                    assert int(status) in table[code], (route, code)
    assert named > 80


def test_codes__the_page_that_a_problem_points_at__explains_them(schema: dict[str, Any]) -> None:
    for code in documented():
        assert f"`{code}`" in schema["info"]["description"]


# --- what nothing of ours answered -----------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("/api/v1/nothing/", 404, "not_found"),
        ("/api/v1/invitations/not-an-id/", 404, "not_found"),
        ("/api/v1/invitations/?email=%00", 400, "malformed_request"),
    ],
)
def test_problem__where_no_view_was_reached__is_one_all_the_same(url: str, status: int, code: str) -> None:
    response = Client().get(url)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert response.json()["code"] == code
    assert response.json()["request_id"] == response["X-Request-ID"]
    page = Client().get("/nothing/")
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.django_db
def test_problem__of_a_bug__has_the_request_id_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**kwargs: Any) -> None:
        raise ZeroDivisionError("secret detail")

    client = Client(raise_request_exception=False)
    monkeypatch.setattr("invitations.acceptance.open_invitation", broken)
    response = client.get("/api/v1/invitations/validate/x/")
    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert response.json()["code"] == "server_error"
    assert "secret" not in response.text
    assert response.json()["request_id"] == response["X-Request-ID"]
