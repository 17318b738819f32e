"""A run's metrics in the files of other tools: written down by hand from what these tools write and read."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coder_core.results.schema import MetricRow
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store
from flows.cli import main
from tests.coder_core.results.result_rows import START, run_row

RUN = "textures-1"
FACTS = {
    "name": "textures",
    "dataset": "dtd",
    "encoder": "ViT-B-32/laion2b_s34b_b79k",
    "class_count": 47,
    "dataset_key": "5f",
    "started_at": START,
    "finished_at": START + timedelta(seconds=90),
}


def metric(method: str, name: str, value: float, **interval: float) -> MetricRow:
    return MetricRow(method=method, metric=name, value=value, n=1692, protocol="honest", **interval)


def publish(root: Path, *methods: str, **changes: object) -> None:
    with RunWriter(Store(str(root)), RUN) as writer:
        for method in methods:
            numbers = {"top5": 0.75, "mean_per_class_accuracy": 0.4375}
            rows = [metric(method, "top1", 0.448, ci_low=0.42, ci_high=0.47)]
            writer.append(MetricRow, rows + [metric(method, name, value) for name, value in numbers.items()])
        writer.publish(run_row(**{**FACTS, **changes}), b"{}")


def typed(root: Path, *words: str) -> Result:
    out = str(root / "out")
    return CliRunner().invoke(main, ["metrics", "textures", out, *words, "--store", str(root / "store")])


def test_a_result_of_clip_benchmark(tmp_path: Path) -> None:
    publish(tmp_path / "store", "clip", "coder", "control_waffle")
    assert typed(tmp_path, "--format", "clip_benchmark").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.json", "coder.json"]
    # the six keys are those of its command; `build` puts `metrics` and all others side by side into one row
    assert json.loads((tmp_path / "out" / "coder.json").read_text()) == {
        "dataset": "dtd",
        "model": "ViT-B-32",
        "pretrained": "laion2b_s34b_b79k",
        "task": "zeroshot_classification",
        "metrics": {"acc1": 0.448, "acc5": 0.75, "mean_per_class_recall": 0.4375},
        "language": "en",
        "method": "coder",
        "n": 1692,
        "acc1_ci_low": 0.42,
        "acc1_ci_high": 0.47,
        "run_id": RUN,
    }


def test_a_task_result_of_mteb(tmp_path: Path) -> None:
    publish(tmp_path / "store", "clip", "control_waffle")
    words = ("--format", "mteb", "--task", "DTDZeroShot", "--method", "control_waffle")
    found = typed(tmp_path, *words)
    file = tmp_path / "out" / "control_waffle" / "DTDZeroShot.json"
    assert found.stdout.splitlines() == [str(file)]
    result = json.loads(file.read_text())
    (scores,) = result.pop("scores")["test"]
    # what TaskResult checks: main_score, a text hf_subset, a list of languages; the date is seconds since 1970
    assert (scores["main_score"], scores["hf_subset"], scores["languages"]) == (0.448, "default", ["eng-Latn"])
    assert (scores["accuracy"], scores["method"], scores["model"]) == (0.448, "control_waffle", FACTS["encoder"])
    assert result == {
        "dataset_revision": "5f",
        "task_name": "DTDZeroShot",
        "mteb_version": None,
        "evaluation_time": 90.0,
        "kg_co2_emissions": None,
        "date": FACTS["finished_at"].timestamp(),
    }


def test_below_five_classes_there_is_no_top5_and_an_edited_file_stays(tmp_path: Path) -> None:
    publish(tmp_path / "store", "clip", class_count=4)
    assert typed(tmp_path, "--format", "clip_benchmark").exit_code == 0
    file = tmp_path / "out" / "clip.json"
    assert json.loads(file.read_text())["metrics"]["acc5"] is None
    file.write_text("edited")
    assert typed(tmp_path, "--format", "clip_benchmark").exit_code == 3
    assert file.read_text() == "edited"
    assert typed(tmp_path, "--format", "clip_benchmark", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("methods", "asked", "told"),
    [
        (("clip", "vcd"), ("--method", "coder"), "run textures-1: it has no metrics of 'coder'. It has: clip, vcd."),
        ((), (), "run textures-1: it has no metrics of zero-shot methods."),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, methods: tuple[str, ...], asked: tuple[str, ...], told: str) -> None:
    publish(tmp_path / "store", *methods)
    found = typed(tmp_path, "--format", "mteb", *asked)
    assert found.exit_code == 2
    assert told in found.stderr
    assert not (tmp_path / "out").exists()
