"""The commands that people run on the product's own database: what they print, and what stands there afterwards."""

import re
from collections import Counter
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from invitations.models import UserInvitation
from invitations.states import Status
from organizations.models import Membership, Organization
from organizations.roles import Role
from organizations.tenancy import platform


# --- prepare_database ------------------------------------------------------------------------------------------------
def test_print_sql__roles_that_sign_in__are_named_with_the_command_that_sets_their_password() -> None:
    printed = StringIO()
    call_command("prepare_database", "--print-sql", stdout=printed)
    sql = printed.getvalue()
    signing_in = re.findall(r"CREATE ROLE (\w+) LOGIN", sql)
    assert set(signing_in) == {"healthivr_owner", "healthivr", "healthivr_backup"}
    assert re.findall(r"^-- +\\password (\w+) ", sql, re.MULTILINE) == signing_in
    assert all(line.startswith("--") for line in sql.strip().splitlines()[-4:]), "all of it can be piped into psql"


# --- demo ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("environment", ["production", "test"])
def test_demo__anywhere_but_in_development__refuses(settings: Any, environment: str) -> None:
    settings.ENVIRONMENT = environment
    with pytest.raises(CommandError, match="in development only"):
        call_command("demo")


@pytest.mark.django_db(transaction=True)
def test_demo__on_an_empty_database__stands_as_asked_and_everybody_printed_can_sign_in(settings: Any) -> None:
    settings.ENVIRONMENT = "development"
    printed = StringIO()
    call_command("demo", stdout=printed)

    with platform("test"):
        assert Counter(Organization.objects.values_list("kind", flat=True)) == {
            "platform": 1,
            "chp": 1,
            "ivr_company": 1,
            "logistics": 1,
            "master_distributor": 1,
            "distributor": 2,
            "practice": 3,
        }
        states = Counter(UserInvitation.objects.values_list("status", flat=True))
        assert states.total() == 200
        assert min(states[status] for status in Status) >= 10, states
        deliveries = Counter(UserInvitation.objects.values_list("delivery_status", flat=True))
        assert min(deliveries[status] for status in ("queued", "sent", "bounced")) >= 10, deliveries
        held = set(Membership.objects.active().values_list("role", flat=True))
        assert held == {role.value for role in Role}

    head, *lines = printed.getvalue().splitlines()
    (password,) = re.findall(r"password (\S+) as", head)
    assert len(lines) == len(set(lines)) > len(Role)
    for number, line in enumerate(lines):
        client = Client(REMOTE_ADDR=f"192.0.2.{number + 1}")  # who signs in too often from one place is stopped
        response = client.post("/sign-in/", {"email": line.split()[0], "password": password}, follow=True)
        assert (response.status_code, response.context["user"].is_authenticated) == (200, True), line

    with pytest.raises(CommandError, match="There are people already"):
        call_command("demo")
    assert User.objects.count() >= len(lines)
