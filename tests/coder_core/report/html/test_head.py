"""The answer in one sentence: its interval, its direction, and what the best method has read that others have not."""

from datetime import UTC, datetime
from typing import Any

from coder_core.report.html.answers import read_answers
from coder_core.report.html.few_shot_lines import few_shot_lines
from coder_core.report.html.head import answer, answer_note, left_out, method_lines, question
from coder_core.report.html.run_facts import LARGE, SMALL, RunFacts
from coder_core.results.arrow_rows import arrow_schema
from coder_core.results.schema import ComparisonRow, FewShotSummaryRow, GenerationRow, MetricRow, RunRow

CONTRACT: dict[str, Any] = {"reads_labels": "none", "reads_unlabelled_images": False, "assumes_balance": False}


def facts_of(*rows: Any, missing: tuple[str, ...] = ()) -> RunFacts:
    """A run with these rows and nothing else."""
    numbers = {name: 0 for name in RunRow.__annotations__ if name.endswith(("_embedded", "_reused", "_ignored"))}
    texts = dict.fromkeys(("spec_key", "spec_json", "device", "code_version", "engine", "encoder"), "")
    keys = dict.fromkeys(("dataset_key", "labels_key", "encoder_key", "texts_key"), "")
    counts = {"class_count": 3, "image_count": 200, "text_count": 9, "images_quarantined": 2}
    times = {"started_at": datetime(2026, 1, 1, tzinfo=UTC), "finished_at": datetime(2026, 1, 1, tzinfo=UTC)}
    run = RunRow(name="birds", dataset="birds", **texts, **keys, **numbers, **counts, **times)
    by_class = {row_class: [row for row in rows if isinstance(row, row_class)] for row_class in SMALL}
    tables = {name: arrow_schema(name).empty_table() for name in LARGE}
    return RunFacts("run-1", run, None, by_class, tables, read_answers(None), missing)


def top1(method: str, value: float, low: float | None = None, high: float | None = None, **more: Any) -> MetricRow:
    contract = {**CONTRACT, **more}
    return MetricRow(
        method=method, metric="top1", value=value, n=200, ci_low=low, ci_high=high, protocol="honest", **contract
    )


def against_clip(method: str, difference: float, low: float, high: float) -> ComparisonRow:
    return ComparisonRow(
        method=method, baseline="clip", metric="top1", difference=difference, n=200, ci_low=low, ci_high=high,
        gained=9, lost=3, p_value=0.02, p_holm=0.04, protocol="honest",
    )  # fmt: skip


def test_the_answer_is_one_sentence_with_intervals() -> None:
    rows = (top1("clip", 0.6, 0.53, 0.67), top1("coder", 0.8, 0.74, 0.85), against_clip("coder", 0.2, 0.12, 0.28))
    told = answer(facts_of(*rows)).replace("\u00a0", " ")
    assert told == ("coder names 80.0 % (74.0 to 85.0) of 200 images right, 20.0 points (12.0 to 28.0) more than clip.")
    assert "p = 0.04" in answer_note(facts_of(*rows))
    assert question(facts_of(*rows)) == "Which of 3 classes does each of 200 images of birds show? Asked of 2 methods."


def test_less_is_fewer_and_without_an_interval_none_is_told() -> None:
    rows = (top1("clip", 0.6, 0.5, 0.7), against_clip("clip", -0.1, -0.15, -0.05))
    assert "10.0 points (5.0 to 15.0) fewer" in answer(facts_of(*rows)).replace("\u00a0", " ")
    assert answer(facts_of(top1("clip", 1.0))).replace("\u00a0", " ") == "clip names 100.0 % of 200 images right."


def test_a_best_method_that_reads_more_names_the_best_that_does_not() -> None:
    more = top1("batch_on_coder", 0.9, 0.86, 0.94, reads_unlabelled_images=True)
    control = top1("control_nameless", 0.95, 0.9, 0.97)
    facts = facts_of(top1("clip", 0.6, 0.5, 0.7), top1("coder", 0.8, 0.74, 0.85), more, control)
    assert facts.best == "batch_on_coder", "a control is never the answer"
    told = "reads the other images of the batch; the best that does not, coder, names 80.0 % right."
    assert told in answer_note(facts)


def test_methods_whose_intervals_overlap_are_told_and_share_a_tier() -> None:
    facts = facts_of(top1("clip", 0.5, 0.45, 0.55), top1("vcd", 0.79, 0.73, 0.84), top1("coder", 0.8, 0.74, 0.85))
    assert "cannot tell it apart from vcd." in answer_note(facts)
    assert [(line.method, line.tier, line.is_best) for line in method_lines(facts)] == [
        ("clip", "2", False),
        ("vcd", "1", False),
        ("coder", "1", True),
    ]


def test_few_shot_alone_is_an_answer_too_and_nothing_is_said_to_be_nothing() -> None:
    row = FewShotSummaryRow(method="gda", shots=4, draws=3, top1=0.7, top1_std=0.02)
    assert answer(facts_of(row)) == "gda with 4 labelled images per class names 70.0 % ± 2.0 over 3 draws right."
    assert "No method was measured" in answer(facts_of())


def test_what_was_left_out_is_told_line_by_line() -> None:
    failed = GenerationRow(kind="attribute", asked=10, generated=7, reused=0, failed=3)
    lines = left_out(facts_of(failed, missing=("texts: the file is damaged",)))
    assert lines == [
        "2 images could not be read and are left out (table quarantine, below).",
        "3 of 10 questions for attribute texts got no usable answer.",
        "Not readable any more: texts: the file is damaged",
    ]


def test_few_shot_lines_say_what_a_temperature_changed_and_leave_older_runs_out() -> None:
    own = {"shots": 4, "draws": 3, "expected_calibration_error_by_chance": 0.02, "negative_log_likelihood": 1.25}
    rows = (
        FewShotSummaryRow(
            method="gda",
            top1=0.7,
            calibrated_on="validation",
            expected_calibration_error_uncalibrated=0.5,
            expected_calibration_error=0.03,
            **own,
        ),
        FewShotSummaryRow(
            method="lda",
            top1=0.6,
            calibrated_on="none",
            expected_calibration_error_uncalibrated=0.4,
            expected_calibration_error=0.4,
            **own,
        ),
        FewShotSummaryRow(method="older", shots=4, draws=3, top1=0.5),
    )
    assert few_shot_lines(facts_of(*rows)) == [
        ("gda", "4", "70.0", "0.500→0.030", "0.020", "1.250", "validation"),
        ("lda", "4", "60.0", "0.400", "0.020", "1.250", "none"),
    ]
