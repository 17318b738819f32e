"""Published figures beside ours: read from a sweep or a file, checked before anything runs, and harmless as text."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from coder_core.errors import CoderError, ConfigError, InputError
from coder_core.recipes.published_figures import compare_published, read_published
from coder_core.recipes.sweep_cells import check_sweep
from coder_core.recipes.sweep_results import SweepResult
from coder_core.recipes.sweep_rows import Score, SweepGroup, SweepRow
from coder_core.report.sweep_table import sweep_markdown, sweep_record, write_sweep
from coder_core.specs.sweep_spec import PublishedRow, SweepSpec

ROW = {"source": "Them, table 2", "model": "a", "method": "clip", "top1_percent": {"x": 50.0, "y": 71.4}}
AXES = {"name": "s", "datasets": {"x": "x.yaml", "y": "y.yaml"}, "models": {"a": "demo:micro-clip"}}
OURS = {"x": Score(0.52, 0.51, 0.53), "y": Score(0.71, 0.70, 0.72)}


def sweep_of(published: Any) -> SweepSpec:
    return check_sweep({**AXES, "published": published}, "sweep.yaml")


def row_of(**changes: Any) -> PublishedRow:
    return sweep_of([{**ROW, **changes}]).published[0]  # type: ignore[return-value]


def result_of(*rows: PublishedRow, group: SweepGroup | None = None) -> SweepResult:
    group = group or SweepGroup(None, ("x", "y"), (SweepRow("a", "", "clip", None, OURS),))
    return SweepResult("s", (), (group,), published=compare_published(rows, [group], ["x", "y"]))


def test_the_difference_is_ours_minus_theirs_and_the_mean_is_over_what_both_have() -> None:
    (found,) = result_of(row_of()).published
    assert found.by_dataset["x"].difference == pytest.approx(0.02)
    assert found.by_dataset["x"].is_outside, "0.50 is no part of 0.51 to 0.53"
    assert found.by_dataset["y"].difference == pytest.approx(-0.004)
    assert not found.by_dataset["y"].is_outside
    assert found.means.published == pytest.approx((0.5 + 0.714) / 2)
    assert found.means.difference == pytest.approx((0.02 - 0.004) / 2)
    group = SweepGroup(None, ("x",), (SweepRow("a", "", "clip", None, {"x": OURS["x"]}),))
    (found,) = result_of(row_of(), group=group).published
    assert found.by_dataset["y"].difference is None
    assert found.means.difference == pytest.approx(0.02)


def test_a_row_stands_beside_ours_of_its_model_shots_and_method_and_an_honest_one_first() -> None:
    marked = SweepRow("a", "", "clip (reference)", None, {"x": Score(0.9, None, None)})
    honest = SweepRow("a", "", "clip", None, OURS)
    zero_shot = SweepGroup(None, ("x", "y"), (marked, honest))
    learnt = SweepGroup(4, ("x",), (SweepRow("a", "", "tip_adapter", 4, {"x": Score(0.6, None, None)}),))
    rows = [
        row_of(),
        row_of(method="tip_adapter", shots=4),
        row_of(method="tip_adapter", shots=8),
        row_of(method="vcd"),
    ]
    found = compare_published(rows, [zero_shot, learnt], ["x", "y"])
    assert [(each.method, each.row.shots) for each in found] == [("clip", None), ("tip_adapter", 4)]
    assert not found[1].by_dataset["x"].is_outside, "without an interval nothing can be said"


def test_tables_for_a_person_and_for_a_program_hold_figure_source_and_difference() -> None:
    result = result_of(row_of(note="other images"))
    written = write_sweep(result)
    table = written[written.index("s: zero-shot, beside published figures, top-1 %") :].splitlines()
    lines = [line.split() for line in table[3:6]]
    assert lines == [
        ["a", "clip", "ours", "52.0", "71.0", "61.5"],
        ["a", "clip", "[1]", "50.0", "71.4", "60.7"],
        ["a", "clip", "ours", "-", "[1]", "+2.0*", "-0.4", "+0.8"],
    ]
    assert "[1] Them, table 2 (other images)" in written
    (record,) = json.loads(json.dumps(sweep_record(result)))["published"]
    assert record["by_dataset"]["x"]["published"] == 0.5
    assert record["by_dataset"]["x"]["difference"] == pytest.approx(0.02)
    assert (record["source"], record["note"], record["shots"]) == ("Them, table 2", "other images", None)


def test_hostile_words_of_a_source_are_text_in_every_table() -> None:
    source = "![x](http://evil.example/p.png) | <script>x</script> \x1b[31mred\u202e"
    result = result_of(row_of(source=source))
    page = sweep_markdown(result)
    assert "![x]" not in page
    assert "<script>" not in page
    assert "http://evil" not in page
    assert not any(char in text for text in (page, write_sweep(result)) for char in "\x1b\u202e")


def test_rows_may_lie_in_a_file_beside_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump({"published": [ROW]}))
    sweep = sweep_of("theirs.yaml")
    assert read_published(sweep, str(tmp_path)) == sweep_of([ROW]).published
    (tmp_path / "theirs.yaml").write_text("published: [{source: x}]\n")
    with pytest.raises(CoderError, match=r"theirs\.yaml.*published\.0\.method: this key is required"):
        read_published(sweep, str(tmp_path))
    (tmp_path / "theirs.yaml").write_text("secret: hunter2\n")
    with pytest.raises(ConfigError) as refused:
        read_published(sweep, str(tmp_path))
    assert "hunter2" not in str(refused.value)
    with pytest.raises(InputError):
        read_published(sweep_of("absent.yaml"), str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"top1_percent": {"x": 101}}, "at most 100"),
        ({"top1_percent": {"x": -1}}, "at least 0"),
        ({"top1_percent": {"x": float("nan")}}, "finite"),
        ({"top1_percent": {"x": "50 %"}}, "expected a number"),
        ({"top1_percent": {"x": 0.52, "y": 0.71}}, "looks like fractions"),
        ({"top1_percent": {}}, "empty"),
        ({"source": ""}, "empty"),
        ({"method": "clyp"}, "Did you mean 'clip'"),
        ({"shots": 4}, "`shots` belongs to few-shot methods"),
        ({"method": "tip_adapter"}, "`shots` belongs to few-shot methods"),
        ({"top_1": 3}, "unknown key 'top_1'"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_place(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(CoderError, match=problem) as refused:
        sweep_of([{**ROW, **changes}])
    assert "published.0" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"top1_percent": {"xx": 50.0}}, r"no 'xx' among its datasets\. Did you mean 'x'"),
        ({"model": "RN50"}, r"no 'RN50' among its models\. There are: a"),
        ({"model": ""}, "no '' among its models"),
        ({"texts": "written"}, "no 'written' among its texts"),
    ],
)
def test_a_row_about_nothing_of_the_sweep_is_told_before_anything_runs(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_published(sweep_of([{**ROW, **changes}]), ".")


def test_what_is_published_changes_no_cell(tmp_path: Path) -> None:
    from coder_core.fingerprint import key_of
    from coder_core.recipes.sweep_cells import cells_of

    flags = {"datasets": {"x": {"kind": "flags", "images_per_class": 2}}, "methods": ["clip"]}
    row = {**ROW, "top1_percent": {"x": 50.0}}
    keys = [
        key_of(cell.spec)
        for published in ([], [row])
        for cell in cells_of(check_sweep({**AXES, **flags, "published": published}, "s"), str(tmp_path))
        if cell.spec is not None
    ]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_every_shipped_sweep_names_figures_that_are_about_it() -> None:
    from coder_core.recipes.sweep_cells import load_sweep

    paper = Path(__file__).parents[3] / "configs" / "paper"
    rows = {file.stem: read_published(load_sweep(str(file)), str(paper)) for file in paper.glob("*.yaml")}
    assert len(rows) == 4
    assert {row.model for row in rows["zero-shot-by-model"]} == {"RN50", "ViT-B-32", "ViT-B-16", "ViT-L-14"}
    assert all("commit" in row.source or "arXiv" in row.source for found in rows.values() for row in found)
