"""Small things that people give: more classes in a bank, brackets in names, marks at the start of a file, a pivot."""

import json
from pathlib import Path
from typing import Any

import pytest

from coder_core import evaluate, open_warehouse, predict
from coder_core.errors import CoderError, StoreError
from coder_core.storage.store import Store
from tests.fixtures_inputs import write_bank, write_image_class


@pytest.fixture
def settings(tmp_path: Path, tiny_clip: Path) -> dict[str, Any]:
    """Two classes of images in a folder whose name is a pattern, and a bank of four."""
    for name in ("wren", "blue tit"):
        write_image_class(tmp_path / "images [2024]", name, 2)
    write_bank(tmp_path / "bank.yaml", ["wren", "blue tit", "robin", "red kite"])
    return {
        "name": "small",
        "dataset": {"kind": "folder", "path": str(tmp_path / "images [2024]")},
        "encoder": {"kind": "open_clip", "checkpoint": str(tiny_clip)},
        "texts": {"bank": str(tmp_path / "bank.yaml"), "domain": "bird"},
        "methods": ["clip", "coder"],
    }


def test_a_bank_with_more_classes_and_folders_with_brackets(settings: dict[str, Any], tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    result = evaluate(settings, store=store)
    assert (result.class_count, result.image_count) == (2, 4)
    folder = Path(settings["dataset"]["path"])
    assert predict("latest", [str(folder)], store=store).images == 4
    assert predict("small", [str(folder / "wren" / "*.png")], store=store).images == 2
    pivot = "PIVOT metrics ON metric IN ('top1', 'top5') USING first(value) GROUP BY method"
    top1 = {row.method: row.value for row in result.metrics if row.metric == "top1"}
    warehouse = open_warehouse(store)
    assert {method: first for method, first, _ in warehouse.query(pivot).rows} == top1
    plain = warehouse.query("PIVOT metrics ON metric USING first(value) GROUP BY method")
    assert {row[0]: row[plain.columns.index("top1")] for row in plain.rows} == top1


def test_a_split_file_with_a_mark_at_its_start_and_one_with_two_labels(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    images = [["wren/000.png", 0, "wren"], ["blue tit/000.png", 1, "blue tit"]]
    file = tmp_path / "split.json"
    split = {"kind": "split", "path": settings["dataset"]["path"], "split_file": str(file), "split": "test"}
    settings |= {"dataset": split, "texts": {}, "methods": ["clip"]}
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"train": [], "val": [], "test": images}).encode())
    assert evaluate(settings, store=str(tmp_path / "store")).image_count == 2
    file.write_text(json.dumps({"train": [], "val": [], "test": [*images, ["wren/000.png", 1, "blue tit"]]}))
    with pytest.raises(CoderError, match=r"test\[2\].*has the labels 0 and 1"):
        evaluate(settings, store=str(tmp_path / "store"))


def test_an_endpoint_without_a_scheme_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with pytest.raises(StoreError, match=r"Write AWS_ENDPOINT_URL with its scheme, such as http://127.0.0.1:9"):
        Store("s3://bucket/prefix").check_writable()
