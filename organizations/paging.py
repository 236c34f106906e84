"""Pages of a list: keyset cursors that go on where a row stands, whatever is added before it, and the addresses of a list
that lives in its address (ui.md "Every list", architecture.md 6)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar
from uuid import UUID

from django import forms
from django.db.models import Model, Q, QuerySet, Subquery
from django.http import HttpRequest, QueryDict
from django.utils import formats
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Malformed

PAGE_SIZES = (25, 50, 100)
ROWS = 50
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One keyset page. `newer` and `older` are the cursors of its neighbours, None where there is none."""

    items: list[Row]
    newer: str | None
    older: str | None


def cut_page(
    rows: QuerySet[Row],
    *,
    order: Sequence[str],
    is_first: bool,
    backwards: bool,
    size: int,
    position: Callable[[Row], str],
) -> Page[Row]:
    """Return one page of `rows`, which begin where the cursor stands, with one query and no count.

    `order` is that of the list, `-field` for descending; `backwards` reads the page before the cursor instead of the one
    after it; `position` says of a row what a cursor holds.
    """
    directed = [field.removeprefix("-") if field.startswith("-") else f"-{field}" for field in order]
    found = list(rows.order_by(*(directed if backwards else order))[: size + 1])
    has_more, items = len(found) > size, found[:size]
    if backwards:
        items.reverse()
    has_newer = has_more if backwards else not is_first
    has_older = not is_first if backwards else has_more
    return Page(
        items,
        newer=write_cursor(position(items[0]), backwards=True) if items and has_newer else None,
        older=write_cursor(position(items[-1]), backwards=False) if items and has_older else None,
    )


def write_cursor(position: str, *, backwards: bool) -> str:
    """Return a cursor, opaque to whoever gets it. Stands in addresses: `position` holds no name and no address."""
    return base64.urlsafe_b64encode(f"{'n' if backwards else 'o'}|{position}".encode()).rstrip(b"=").decode()


def read_cursor(cursor: str) -> tuple[bool, str]:
    """Return whether a cursor leads backwards, and its position; an empty one is the beginning. Raises Malformed."""
    if not cursor:
        return False, ""
    try:
        direction, _bar, position = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
    except (ValueError, binascii.Error):
        raise damaged_cursor() from None
    if direction not in ("n", "o") or not position:
        raise damaged_cursor()
    return direction == "n", position


def beside(order: Sequence[str], values: Sequence[Any], *, backwards: bool) -> Q:
    """Return what stands after a row of a list, or before it if `backwards`.

    `order` is that of the list, `-field` for descending, and tells any two rows apart; `values` are what the row has for
    these fields, or expressions that read it (`read_place`).
    """
    found, same = Q(), Q()
    for field, value in zip(order, values, strict=True):
        name, is_descending = field.removeprefix("-"), field.startswith("-")
        found |= same & Q(**{f"{name}__{'lt' if backwards != is_descending else 'gt'}": value})
        same &= Q(**{name: value})
    return found


def read_place(model: type[Model], position: str, order: Sequence[str]) -> list[Any]:
    """Return the values for `beside` of the row whose id a cursor holds: the statement itself reads where it stands now,
    so that no name gets into an address. `order` ends with `pk`. Raises Malformed."""
    try:
        pk = UUID(position)
    except ValueError:
        raise damaged_cursor() from None
    here = model._default_manager.filter(pk=pk)
    return [*(Subquery(here.values(field.removeprefix("-"))) for field in order[:-1]), pk]


def damaged_cursor() -> Malformed:
    """The refusal of a cursor that is not ours."""
    return Malformed(_("This page address is damaged. Start again from the first page."), field="cursor")


# --- addresses -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Neighbours:
    """Where the pager leads (templates/components/pager.html). No sizes where every one of them would show the same."""

    newer: str
    older: str
    sizes: list[tuple[int, str]]


def neighbours(request: HttpRequest, page: Page[Row], *, size: int) -> Neighbours:
    """Return the addresses of the pages beside this one, and of the list with other numbers of rows."""
    is_whole = not page.newer and not page.older and len(page.items) <= min(PAGE_SIZES)
    sizes = [(n, "" if n == size else address(request, size=str(n), cursor="")) for n in PAGE_SIZES]
    return Neighbours(
        newer=address(request, cursor=page.newer) if page.newer else "",
        older=address(request, cursor=page.older) if page.older else "",
        sizes=[] if is_whole else sizes,
    )


def address(request: HttpRequest, **changes: str) -> str:
    """Return the present address with some parameters changed; an empty value leaves the parameter out."""
    parameters = QueryDict(mutable=True)
    for name, value in {**request.GET.dict(), **changes}.items():
        if value:
            parameters[name] = str(value)
    return f"{request.path}?{parameters.urlencode()}" if parameters else request.path


def active_filters(request: HttpRequest, form: forms.Form) -> list[tuple[str, str]]:
    """Return each filter of a form in words, with the address of the list without it."""
    active = []
    for field in form.visible_fields():
        value = form.cleaned_data.get(field.name)
        if value:
            text = f"{field.label}: {_in_words(field, value)}"
            active.append((text, address(request, **{field.name: "", "cursor": ""})))
    return active


def _in_words(field: forms.BoundField, value: Any) -> str:
    if isinstance(value, date):
        return formats.date_format(value, "SHORT_DATE_FORMAT")
    return str(dict(getattr(field.field, "choices", ())).get(value, value))
