"""Timeline and pictures of a run: what is drawn is what was measured, as an XML parser sees it."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.step import StepRecord
from coder_core.report.run_plots import plot_accuracy, plot_few_shot, plot_step_times
from coder_core.report.timeline import StepTime, list_step_times
from coder_core.results.schema import FewShotSummaryRow, MetricRow


def words(svg: bytes) -> list[str]:
    """Every text of a picture."""
    return [text for node in ET.fromstring(svg).iter() for text in [(node.text or "").strip()] if text]  # noqa: S314


def metric(method: str, value: float) -> MetricRow:
    return MetricRow(method=method, metric="top1", value=value, n=10, ci_low=value, ci_high=1.0, protocol="honest")


def result(*metrics: MetricRow, name: str = "flags") -> EvalResult:
    counts = ("texts_embedded", "texts_reused", "images_embedded", "images_reused", "images_quarantined")
    ignored = {"images_ignored": 0, "started_at": datetime(2026, 3, 1, tzinfo=UTC), "records": ()}
    return EvalResult(
        run_id="flags-1",
        name=name,
        store="./store",
        metrics=metrics,
        comparisons=(),
        few_shot=(),
        has_ablation=False,
        class_count=2,
        image_count=10,
        seconds=1.0,
        **dict.fromkeys(counts, 0),
        **ignored,
    )


@pytest.mark.parametrize(
    ("computed", "reused", "origin"), [(5, 0, "made"), (0, 5, "reused"), (2, 3, "partly made"), (0, 0, "reused")]
)
def test_a_step_says_whether_it_was_made_or_found(computed: int, reused: int, origin: str) -> None:
    record = StepRecord(
        step="write_texts", kind="texts", key="0" * 64, rows=5, seconds=1.23456, computed=computed, reused=reused
    )
    assert list_step_times([record, StepRecord(step="identify_encoder", seconds=1.0)]) == [
        StepTime("write_texts", 1.235, 5, computed, origin)
    ]


def test_every_method_is_drawn_with_its_name() -> None:
    svg = plot_accuracy(result(metric("clip", 0.5), metric("coder_rerank", 0.75)))
    assert {"clip", "coder_rerank", "flags"} <= set(words(svg))
    assert svg == plot_accuracy(result(metric("clip", 0.5), metric("coder_rerank", 0.75)))


def test_an_interval_that_excludes_its_value_by_rounding_is_drawn() -> None:
    row = replace(metric("clip", 0.5), ci_low=0.5 + 1e-12, ci_high=0.5 - 1e-12)
    assert "clip" in words(plot_accuracy(result(row)))


def test_every_step_is_drawn_with_its_origin() -> None:
    steps = [StepTime("embed_texts", 2.0, 10, 10, "made"), StepTime("$x^2$ <b>", 0.0, 1, 0, "reused")]
    assert {"embed_texts (made)", "$x^2$ <b> (reused)"} <= set(words(plot_step_times(steps)))


def test_few_shot_is_one_line_per_method() -> None:
    rows = [
        FewShotSummaryRow(method="gda", shots=shots, draws=3, top1=0.1 * shots, top1_std=None) for shots in (4, 1, 2)
    ]
    assert "gda" in words(plot_few_shot(rows))
