"""docs/analysis.md and the notebook do what they say, on a store in a folder and on one in S3."""

import importlib.util
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coder_core import open_warehouse
from coder_core.storage.store import Store
from tests.coder_core.results.analyst_rows import HOSTILE, make_answers, write

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "analysis.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)
WORST = "FROM worst_classes WHERE is_latest AND method = 'coder' ORDER BY name, rank LIMIT 10"
RECALLS = "SELECT run_id, class_name, recall FROM class_metrics WHERE method = 'coder' ORDER BY run_id, class_id"


def fill(root: str) -> str:
    for day, run_id in enumerate(("flags-1", "flags-2")):
        write(Store(root), make_answers(run_id, "flags", HOSTILE, day=day))
    return root


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return fill(str(tmp_path / "store"))
    new_bucket: Callable[[], str] = request.getfixturevalue("new_s3_bucket")
    return fill(f"s3://{new_bucket()}/some/prefix")


@pytest.mark.slow
def test_every_block_gives_the_same_answer(store: str, tmp_path: Path) -> None:
    warehouse = open_warehouse(store)
    warehouse.export(tmp_path / "results.duckdb")
    expected = {"answer": warehouse.query(WORST), "recalls": warehouse.query(RECALLS)}
    names: dict[str, Any] = {}
    compared = {"answer": 0, "recalls": 0}
    for block in BLOCKS:
        told = block.replace("./store", store).replace("results.duckdb", str(tmp_path / "results.duckdb"))
        found: dict[str, Any] = {**names}
        exec(compile(told, "docs/analysis.md", "exec"), found)  # noqa: S102 (our own page)
        for name in ("answer", "recalls"):
            if name in found and found[name] is not names.get(name):
                compared[name] += 1
                assert plain(found[name]) == plain(expected[name].rows), block
        names = found
    assert compared == {"answer": 4, "recalls": 3}
    wide = names["side_by_side"]
    assert list(wide.columns) == ["image_id", "label_name", "clip", "coder"]
    assert len(wide) == 40


def plain(rows: list[Any]) -> list[list[Any]]:
    """Rows of any library as lists of plain values; pandas says NaN where there is nothing."""
    values = [list(row.values()) if isinstance(row, dict) else list(row) for row in rows]
    return [[plain_value(value) for value in row] for row in values]


def plain_value(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return None if isinstance(value, float) and math.isnan(value) else value


@pytest.mark.slow
def test_the_notebook_answers_its_questions(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_STORE", store)
    path = ROOT / "notebooks" / "questions.py"
    spec = importlib.util.spec_from_file_location("questions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, found = module.app.run()
    warehouse = open_warehouse(store)
    classes = "SELECT count(*) FROM worst_classes WHERE is_latest AND rank <= 10 AND method <> 'control_waffle'"
    assert [(len(found["worst"]),)] == warehouse.query(classes).rows
    images = "SELECT image_id FROM images_wrong_everywhere WHERE is_latest"
    assert sorted(found["suspects"].image_id) == sorted(row[0] for row in warehouse.query(images).rows)
    assert set(found["worst"].class_name) <= set(HOSTILE)


@pytest.mark.slow
def test_the_notebook_is_a_script(tmp_path: Path) -> None:
    environment = os.environ | {"CODER_STORE": fill(str(tmp_path / "store"))}
    script = [sys.executable, str(ROOT / "notebooks" / "questions.py")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"methods compared: 0, classes listed: 10, images to look at: \d+\n", done.stdout)
