"""docs/faults.md names the tests that hold every point; they exist, and every point has some."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| ((?:`tests/\S+::\w+` ?)+) \|$", re.MULTILINE)
POINTS = 29

PARQUET_READS = {"read", "read_row_group", "read_row_groups", "iter_batches"}
"""Of a `pyarrow.parquet.ParquetFile`."""


def named_tests() -> dict[int, list[str]]:
    rows = ROW.findall((ROOT / "docs" / "faults.md").read_text("utf-8"))
    return {int(number): re.findall(r"`(\S+)`", tests) for number, _, _, tests in rows}


def test_every_point_has_tests_and_all_of_them_exist() -> None:
    named = named_tests()
    assert list(named) == list(range(1, POINTS + 1))
    assert [test for tests in named.values() for test in tests if not exists(test)] == []


def exists(name: str) -> bool:
    """Whether a file defines a test; what a base class or a loop would define is none."""
    path, _, function = name.partition("::")
    file = ROOT / path
    return (
        file.is_file() and re.search(rf"^(async )?def {function}\(", file.read_text("utf-8"), re.MULTILINE) is not None
    )


def test_the_check_finds_what_is_gone() -> None:
    assert exists("tests/test_faults.py::test_the_check_finds_what_is_gone")
    assert not exists("tests/test_faults.py::test_the_check_finds")
    assert not exists("tests/test_nothing.py::test_x")


def test_no_arrow_thread_holds_a_python_buffer_when_the_interpreter_ends() -> None:
    """A pool thread of Arrow that gives one back while the interpreter ends takes the process down, status 134."""
    found = 0
    for file in sorted((ROOT / "coder_core").rglob("*.py")):
        source = file.read_text("utf-8")
        if "ParquetFile(" not in source:
            continue
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            keywords = {keyword.arg for keyword in call.keywords}
            if isinstance(call.func, ast.Attribute) and call.func.attr in PARQUET_READS and "columns" in keywords:
                found += 1
                assert "use_threads" in keywords, f"{file.relative_to(ROOT)}:{call.lineno}"
    assert found >= 5
