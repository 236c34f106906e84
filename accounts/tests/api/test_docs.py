"""The examples of docs/api.md, as they stand there, one after the other."""

import re
import shlex
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client

from healthivr.testing.world import World
from invitations.tests.api.calls import problem

from .calls import INVITATIONS, ask

EXAMPLES = re.findall(r"```sh\n(curl .*)\n```", (Path(settings.BASE_DIR) / "docs" / "api.md").read_text())


def run(command: str, known: dict[str, str]) -> Any:
    """Send what a curl command would send."""
    for name, value in known.items():
        command = command.replace(f"${name}", value)
    assert "$" not in command, command
    words = shlex.split(command)[1:]
    method, address, body, headers = "GET", "", "", {}
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, value = words.pop(0).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            body = words.pop(0)
        else:
            address = word
    content_type = headers.pop("Content-Type", "")
    return Client(enforce_csrf_checks=True).generic(method, address, body, content_type, headers=headers)


def test_examples__of_the_documentation__work_in_their_order(world: World) -> None:
    known, statuses = {"BASE": ""}, []
    for command in EXAMPLES:
        response = run(command, known)
        statuses.append(response.status_code)
        answer = response.json() if response.content else {}
        known |= {name.upper(): answer[name] for name in ("access", "refresh", "key") if name in answer}
    assert statuses == [200, 200, 200, 201, 200, 204]
    problem(ask(known["ACCESS"], INVITATIONS), 401, "session_ended")
    assert ask(known["KEY"], INVITATIONS).status_code == 200
