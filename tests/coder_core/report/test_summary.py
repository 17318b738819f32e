"""The summary of a run as it stands on a page of 120 columns."""

import io
from pathlib import Path

from coder_core.steps.results import EvalResult

from coder_core.report.summary import FILE_WIDTH, print_summary
from coder_core.specs import Runtime
from tests.coder_core.steps.conftest import run_steps
from tests.coder_core.steps.test_rerank_steps import paired_world
from tests.fixtures_inputs import World


def printed(result: EvalResult) -> list[str]:
    stream = io.StringIO()
    print_summary(result, stream)
    return stream.getvalue().splitlines()


def test_tables_fit_the_page_whatever_the_methods_are_called(tmp_path: Path) -> None:
    spec = paired_world(tmp_path / "world").spec(protocol="reference")
    lines = printed(run_steps(spec, Runtime(store=str(tmp_path / "store"), device="cpu")).result)
    tables = [line for line in lines if line.startswith(("│", "┃", "┏", "└", "├"))]
    assert max(map(len, tables)) <= FILE_WIDTH
    (marked,) = [line for line in tables if "reference protocol" in line]
    assert "coder_rerank" in marked


def test_controls_stand_apart_and_are_explained(photos: World, tmp_path: Path) -> None:
    spec = photos.spec(methods=["clip", "coder"], controls=["waffle", "repeated_names"])
    result = run_steps(spec, Runtime(store=str(tmp_path / "store"), device="cpu")).result
    lines = printed(result)
    top1 = {metric.method: metric.value for metric in result.metrics if metric.metric == "top1"}
    assert list(top1) == ["clip", "coder", "control_waffle", "control_repeated_names"]
    for method, value in top1.items():
        first, second = [line for line in lines if line.startswith(f"│ {method} ")]
        assert f" {100 * value:.1f} [" in first
        assert ("[" in second) == (method != "clip"), "no method is compared with itself"
    places = [place for place, line in enumerate(lines) if line.startswith("├")]
    assert [lines[place + 1].split()[1] for place in places] == ["control_waffle"] * 2
    assert any(line.startswith("controls: ") for line in lines)


def test_what_is_typed_next_is_never_about_a_control(photos: World, tmp_path: Path) -> None:
    spec = photos.spec(methods=["clip"], controls=["nameless"])
    lines = printed(run_steps(spec, Runtime(store=str(tmp_path / "store"), device="cpu")).result)
    assert any("method = 'clip'" in line for line in lines[lines.index("Next:") :])
