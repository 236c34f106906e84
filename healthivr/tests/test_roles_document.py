"""docs/roles.md is what the code does."""

from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import translation

from healthivr.roles_document import WHERE, written
from organizations.roles import Capability, Role


@pytest.mark.seed("S2.24", "S0.18", "C7", "C23")
def test_roles__as_published__are_those_of_the_code() -> None:
    published = (settings.BASE_DIR / WHERE).read_text()
    assert published == written(), "write it anew: manage.py roles --write"
    with translation.override("es"):
        assert written() == published


def test_roles__as_published__name_every_role_right_and_route() -> None:
    out = StringIO()
    call_command("roles", stdout=out)
    text = out.getvalue()
    assert all(f"| `{role.value}` |" in text for role in Role)
    assert all(f"| `{capability.value}` |" in text for capability in Capability)
    assert "| `office_admin` | `medical_staff` | where the organization allows it (`staff_may_invite`) |" in text
    assert "| `ivr_company` | `ivr_company` | as administrator of the organization |" in text
    assert "| `/o/{organization}/settings/` | GET | `organization.view` |" in text
    assert "| `/o/{organization}/settings/` | POST | `organization.manage` |" in text
    assert "| `/api/v1/admin/organizations/{organization_id}/plan/` | PATCH | `organizations.run` |" in text
