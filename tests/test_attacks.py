"""docs/security.md counts the attacks that the tests try; the numbers are those of the tests."""

import importlib
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
ROW = re.compile(r"^\| ([^|`]+) \| (\d+) \| (\d+) \| (\d+) \| (`.+`) \|$", re.MULTILINE)
LEAST = 300


class Row(NamedTuple):
    kind: str
    tried: int
    refused: int
    harmless: int
    tests: tuple[str, ...]


def rows() -> list[Row]:
    found = ROW.findall(PAGE.read_text("utf-8"))
    return [Row(kind, int(a), int(b), int(c), tuple(re.findall(r"`([^`]+)`", tests))) for kind, a, b, c, tests in found]


def cases_of(name: str) -> int:
    """How many cases a test has: the product of what it is parametrised over."""
    path, _, function = name.partition("::")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    marks: list[Any] = getattr(getattr(module, function), "pytestmark", [])
    return math.prod(len(mark.args[1]) for mark in marks if mark.name == "parametrize")


def test_the_page_counts_what_the_tests_try() -> None:
    counted = {row.kind: sum(map(cases_of, row.tests)) for row in rows()}
    assert counted == {row.kind: row.tried for row in rows()}
    assert all(row.refused + row.harmless == row.tried for row in rows())


def test_there_are_at_least_three_hundred() -> None:
    tried = [row.tried for row in rows()]
    assert sum(tried) - max(tried) >= LEAST  # also without the kind that has most
    assert len(rows()) >= 10
