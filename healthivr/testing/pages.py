"""Pages as their readers meet them: what is said, what a form holds, which mistakes stand where. Reading a page demands
what every page of ours must have."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from django.test import Client

from accounts.models import User

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
UNSEEN = {"script", "style", "template", "head", "title"}


@dataclass
class Element:
    """One element of a page."""

    name: str
    attributes: dict[str, str]
    children: "list[Element | str]" = field(default_factory=list)

    def __getitem__(self, attribute: str) -> str:
        return self.attributes.get(attribute, "")

    @property
    def classes(self) -> set[str]:
        return set(self["class"].split())

    def all(self, *names: str, **attributes: str) -> "list[Element]":
        """Return every element below with one of these names and with these attributes."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
                if (not names or child.name in names) and all(child[key] == wanted[key] for key in wanted):
                    found.append(child)
                found += child.all(*names, **attributes)
        return found

    def with_class(self, name: str) -> "list[Element]":
        """Return every element below of a class."""
        return [element for element in self.all() if name in element.classes]

    @property
    def text(self) -> str:
        """What can be read, on one line."""
        return " ".join("".join(self._pieces()).split())

    def _pieces(self) -> list[str]:
        if self.name in UNSEEN or self["aria-hidden"] == "true":
            return []
        pieces = []
        for child in self.children:
            pieces += [child] if isinstance(child, str) else [*child._pieces(), "" if child.name in INLINE else " "]
        return pieces


INLINE = {"a", "b", "i", "em", "strong", "span", "code", "time"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """Return a page as a tree. Fails on elements that are not nested."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.open[0]


@dataclass
class Page:
    """One answer of a page."""

    status: int
    tree: Element

    @property
    def text(self) -> str:
        return self.tree.text

    @property
    def title(self) -> str:
        return " ".join("".join(str(piece) for piece in self.tree.all("title")[0].children).split())

    @property
    def heading(self) -> str:
        return self.tree.all("h1")[0].text

    @property
    def main(self) -> str:
        """What stands in the page itself, without its frame."""
        return self.tree.all("main")[0].text

    @property
    def notices(self) -> list[str]:
        """What the page says about the act before it."""
        return [notice.text for box in self.tree.all(id="messages") for notice in box.with_class("notice-body")]

    @property
    def summary(self) -> list[str]:
        """The mistakes on top of a form."""
        return [entry.text for box in self.tree.with_class("error-summary") for entry in box.all("li")]

    @property
    def errors(self) -> dict[str, list[str]]:
        """The mistakes at each field, by its name."""
        return {
            box["id"].removeprefix("id_").removesuffix("_error"): [
                entry.text.removeprefix("Error:").strip() for entry in box.all("li")
            ]
            for box in self.tree.with_class("field-error")
        }

    @property
    def values(self) -> dict[str, Any]:
        """What stands in each field."""
        found: dict[str, Any] = {}
        for element in self.tree.all("input", "textarea", "select"):
            name = element["name"]
            if not name or name == "csrfmiddlewaretoken":
                continue
            if element.name == "textarea":
                found[name] = "".join(str(piece) for piece in element.children).removeprefix("\n")
            elif element.name == "select":
                chosen = [option["value"] for option in element.all("option") if "selected" in option.attributes]
                found[name] = chosen[0] if chosen else ""
            elif element["type"] in ("radio", "checkbox"):
                found.setdefault(name, "")
                if "checked" in element.attributes:
                    found[name] = element["value"] or "on"
            else:
                found[name] = element["value"]
        return found

    def options(self, name: str) -> list[str]:
        """Return the values that a field offers."""
        radios = [element["value"] for element in self.tree.all("input", name=name)]
        return radios or [o["value"] for select in self.tree.all("select", name=name) for o in select.all("option")]

    @property
    def links(self) -> dict[str, str]:
        """Where each link leads, by its words; the last of equal ones."""
        return {link.text: link["href"] for link in self.tree.all("a")}

    @property
    def buttons(self) -> list[str]:
        """The words of each button that sends a form of the page itself."""
        return [button.text for main in self.tree.all("main") for button in main.all("button")]


def read(response: Any, status: int = 200, *typed: str) -> Page:
    """Return a page, having demanded what every page must have: the status, one heading, a title, a CSRF token in each
    form that writes, labels, nothing left of a template, no name of the code among the words, and each mistake both at
    its field and in the summary. What people typed (`typed`) may look like anything."""
    assert response.status_code == status, (response.status_code, response.headers.get("Location"), status)
    assert response["Content-Type"] == "text/html; charset=utf-8"
    page = Page(response.status_code, parse(response.content.decode()))
    assert len(page.tree.all("h1")) == 1
    assert page.heading
    assert page.title.endswith("· healthivr")
    for form in page.tree.all("form"):
        if form["method"].lower() == "post":
            assert form.all("input", name="csrfmiddlewaretoken"), form.attributes
    labelled = {label["for"] for label in page.tree.all("label")}
    for control in page.tree.all("input", "select", "textarea"):
        is_hidden = control["type"] == "hidden" or control["aria-hidden"] == "true"
        assert is_hidden or control["id"] in labelled, control.attributes
    _require_words(page, typed)
    _require_mistakes_twice(page)
    return page


def _require_words(page: Page, typed: tuple[str, ...]) -> None:
    words = page.text + " " + page.title
    for text in typed:
        words = words.replace(" ".join(text.split()), "")
    for left_over in ("{{", "}}", "{%", "%}", "{#", "%(", "None", "__proxy__", "<", "&lt;", "&amp;"):
        assert left_over not in words, f"{left_over!r} in {words!r}"
    assert not re.findall(r"\b[a-z]+_[a-z_]+\b", words), "a name of the code among the words"


def _require_mistakes_twice(page: Page) -> None:
    boxes = page.tree.with_class("error-summary")
    if not boxes:  # filters say what is wrong with them at the field alone, beside what they found
        assert not page.errors or page.tree.with_class("filters")
        return
    ids = {element["id"] for element in page.tree.all() if element["id"]}
    linked = [link for box in boxes for link in box.all("a") if link["href"].startswith("#")]
    assert [link.text for link in linked] == [message for messages in page.errors.values() for message in messages]
    assert all(link["href"].removeprefix("#") in ids for link in linked)
    assert page.status in (422, 429)
    assert page.title.startswith("Error:")


def submit(client: Client, address: str, /, *, to: str = "", **values: Any) -> Any:
    """Open a page, fill in its form (the one that goes `to` an address, else the first that writes), and send it as a
    browser does, CSRF token included. A value of None is left out."""
    page = parse(client.get(address).content.decode())
    forms = [form for main in page.all("main") for form in main.all("form") if form["method"].lower() == "post"]
    form = next(form for form in forms if not to or form["action"] == to)
    held = {"csrfmiddlewaretoken": form.all("input", name="csrfmiddlewaretoken")[0]["value"]}
    sent = {**held, **Page(200, form).values, **values}
    return client.post(form["action"] or address, {name: value for name, value in sent.items() if value is not None})


def browser(user: User | None = None) -> Client:
    """Return a client that is checked for CSRF like a browser, signed in as somebody."""
    client = Client(enforce_csrf_checks=True)
    if user:
        client.force_login(user)
    return client
