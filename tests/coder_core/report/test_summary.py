"""The summary of a run as it stands on a page of 120 columns."""

import io
from itertools import permutations
from pathlib import Path

import pytest

from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.evaluate import evaluate
from coder_core.report.summary import FILE_WIDTH, few_shot_rows, print_summary
from coder_core.specs import EvalSpec, Runtime
from tests.fixtures_inputs import NAMES, World, write_world


def run(spec: EvalSpec, store: Path) -> EvalResult:
    with inline_runner(Runtime(store=str(store), device="cpu")) as runner:
        return evaluate(spec, runner)


def printed(result: EvalResult) -> list[str]:
    stream = io.StringIO()
    print_summary(result, stream)
    return stream.getvalue().splitlines()


def test_tables_fit_the_page_whatever_the_methods_are_called(tmp_path: Path) -> None:
    world = write_world(tmp_path / "world", pairs=tuple(permutations(NAMES, 2)))
    spec = world.spec(methods=["clip", "coder", "coder_rerank"], rerank={"threshold": 0.9}, protocol="reference")
    lines = printed(run(spec, tmp_path / "store"))
    tables = [line for line in lines if line.startswith(("│", "┃", "┏", "└", "├"))]
    assert max(map(len, tables)) <= FILE_WIDTH
    (marked,) = [line for line in tables if "reference protocol" in line]
    assert "coder_rerank" in marked


def test_controls_stand_apart_and_are_explained(photos: World, tmp_path: Path) -> None:
    spec = photos.spec(methods=["clip", "coder"], controls=["waffle", "repeated_names"])
    result = run(spec, tmp_path / "store")
    lines = printed(result)
    top1 = {metric.method: metric.value for metric in result.metrics if metric.metric == "top1"}
    assert list(top1) == ["clip", "coder", "control_waffle", "control_repeated_names"]
    for method, value in top1.items():
        first, second, contract = [line for line in lines if line.startswith(f"│ {method} ")]
        assert f" {100 * value:.1f} [" in first
        assert ("[" in second) == (method != "clip"), "no method is compared with itself"
        assert "none" in contract, "no label is read"
    places = [place for place, line in enumerate(lines) if line.startswith("├")]
    assert [lines[place + 1].split()[1] for place in places] == ["control_waffle"] * 2
    assert any(line.startswith("controls: ") for line in lines)


def test_what_is_typed_next_is_never_about_a_control(photos: World, tmp_path: Path) -> None:
    spec = photos.spec(methods=["clip"], controls=["nameless"])
    lines = printed(run(spec, tmp_path / "store"))
    assert any("method = 'clip'" in line for line in lines[lines.index("Next:") :])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", ["80", "60"])
def test_no_line_of_a_table_is_wider_than_80_columns_and_no_number_breaks(
    columns: str, photos: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    spec = photos.spec(methods=["clip", "coder"], controls=["repeated_names"])
    stream = Terminal()
    print_summary(run(spec, tmp_path / "store"), stream)
    plain = stream.getvalue()
    assert "\x1b" not in plain, "the command line would show the codes of colours as text"
    tables = plain[: plain.index("controls: ")].splitlines()
    assert max(len(line.rstrip()) for line in tables) <= 80
    for line in tables:
        assert line.count("[") == line.count("]")


def test_few_shot_methods_show_their_calibration_before_and_after_and_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, pool = write_world(tmp_path / "world"), write_world(tmp_path / "pool", images_per_class=8, first_image=500)
    few_shot = {"pool": pool.settings["dataset"], "shots": [1, 2, 3, 4, 5], "draws": 1, "methods": ["nearest_mean"]}
    result = run(world.spec(methods=["clip"], few_shot=few_shot), tmp_path / "store")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    print_summary(result, stream)
    lines = stream.getvalue().splitlines()
    (line,) = [line for line in lines if line.count("→") == 5]  # the name may go on below it
    assert len(line.rstrip()) <= 80
    *changes, chance = line.split()[1:]
    for row, change in zip(result.few_shot, changes, strict=True):
        before, after = row.expected_calibration_error_uncalibrated, row.expected_calibration_error
        assert change == f"{before:.3f}→{after:.3f}"
    mean = sum(row.expected_calibration_error_by_chance for row in result.few_shot) / 5
    assert chance == f"{mean:.3f}"
    assert few_shot_rows(result)[0]["5 shots, calibration error"] == changes[-1]
