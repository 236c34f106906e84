"""What each view asks at its door: declared, and asked."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from healthivr.kernel.errors import NotPermitted
from healthivr.testing.world import World
from organizations.rights import MEMBERS, needs, require_right, right_of
from organizations.roles import Capability

pytestmark = pytest.mark.django_db


@needs(GET=MEMBERS, POST=Capability.MANAGE_PEOPLE)
def by_method() -> None: ...


@needs(Capability.VIEW_PEOPLE)
def one_right() -> None: ...


def nothing_said() -> None: ...


@pytest.mark.seed("S2.24")
def test_right__declared__asked_by_method(world: World) -> None:
    lee, mia = world.actor(world.lee), world.actor(world.mia)
    for view, method in ((by_method, "GET"), (by_method, "HEAD"), (by_method, "POST"), (one_right, "DELETE")):
        require_right(lee, view, method)
    require_right(mia, by_method, "HEAD")
    for view, method in ((by_method, "POST"), (one_right, "GET")):
        with pytest.raises(NotPermitted):
            require_right(mia, view, method)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_right__not_declared__opens_to_nobody(world: World, method: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="does not say what it needs"):
        require_right(world.actor(world.ana, world.platform), nothing_said, method)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT"])
def test_right__of_a_method_that_is_refused_anyway__nothing(world: World, method: str) -> None:
    require_right(world.actor(world.mia), by_method, method)
    view: Any = by_method
    assert right_of(view, "PUT") is None
