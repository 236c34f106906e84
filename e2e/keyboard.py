"""Using a page by keyboard alone."""

from playwright.sync_api import Page

_NAME = """() => {
  const focused = document.activeElement;
  if (!focused || focused === document.body) return "";
  const labels = focused.labels ? [...focused.labels].map(label => label.innerText) : [];
  return [focused.getAttribute("aria-label") || "", ...labels, focused.innerText || "", focused.value || ""].join(" ");
}"""


def tab_to(page: Page, name: str, *, most: int = 60) -> None:
    """Press Tab until what has the focus is called `name`, as a person would; fails when it is never reached."""
    for _press in range(most):
        page.keyboard.press("Tab")
        if name in " ".join(page.evaluate(_NAME).split()):
            return
    raise AssertionError(f"{name!r} cannot be reached by keyboard on {page.url.split('?')[0]}")


def fill_in(page: Page, name: str, text: str) -> None:
    """Go to a field by keyboard and replace what it holds."""
    tab_to(page, name)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def press(page: Page, name: str, *, key: str = "Enter") -> None:
    """Go to a button or link by keyboard and press it."""
    tab_to(page, name)
    page.keyboard.press(key)
