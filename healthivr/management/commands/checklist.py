"""manage.py checklist: which requirements have a test that names them."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

ROW = re.compile(r"^\| ([SC]\d+(?:\.\d+)?) \| (.*) \|$")


class Command(BaseCommand):
    help = "Prints, for each row of docs/checklist.md, how many tests name it, and names rows that no row knows."

    def handle(self, *args: Any, **options: Any) -> None:
        rows = dict(_rows(settings.BASE_DIR / "docs" / "checklist.md"))
        tests: dict[str, list[str]] = defaultdict(list)
        for path in sorted(settings.BASE_DIR.glob("**/test_*.py")):
            if not {".venv", "node_modules"} & set(path.parts):
                for row, name in _named_rows(path):
                    tests[row].append(f"{path.relative_to(settings.BASE_DIR)}::{name}")
        for row, asked in rows.items():
            mark = f"{len(tests[row]):>3} tests" if tests.get(row) else "        –"
            self.stdout.write(f"{row:<6} {mark}  {asked[:90]}")
        unknown = sorted(set(tests) - set(rows))
        proven = sum(1 for row in rows if tests.get(row))
        self.stdout.write(f"\n{proven} of {len(rows)} rows have a test that names them.")
        if unknown:
            self.stdout.write(f"Named by tests and not in the checklist: {', '.join(unknown)}")


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        match = ROW.match(line)
        if match:
            yield match[1], match[2]


def _named_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the rows that each test function of a file names, its class's and its module's included."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                for row in _seeds(decorator):
                    yield row, node.name
        if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "pytestmark" for name in node.targets):
            for row in _seeds(node.value):
                yield row, "every test"


def _seeds(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "seed":
            yield from (argument.value for argument in call.args if isinstance(argument, ast.Constant))  # type: ignore[misc]
