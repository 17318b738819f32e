"""The few-shot methods of a report, worded: accuracy, and whether the probabilities are true."""

from typing import NamedTuple

from coder_core.report.html.run_facts import RunFacts
from coder_core.report.html.shown_text import shorten
from coder_core.report.summary import calibration_change
from coder_core.results.schema import FewShotSummaryRow


class FewShotLine(NamedTuple):
    """One method and number of shots, as text."""

    method: str
    shots: str
    top1: str
    calibration_error: str
    by_chance: str
    likelihood: str
    chosen_on: str


def few_shot_lines(facts: RunFacts) -> list[FewShotLine]:
    """A line per method and number of shots; none of older runs, which did not measure their probabilities."""
    return [
        FewShotLine(
            method=shorten(row.method),
            shots=str(row.shots),
            top1=f"{100 * row.top1:.1f}",
            calibration_error=calibration_change(row),
            by_chance=_digits(row.expected_calibration_error_by_chance),
            likelihood=_digits(row.negative_log_likelihood),
            chosen_on=row.calibrated_on or "",
        )
        for row in facts.of(FewShotSummaryRow)
        if row.expected_calibration_error is not None
    ]


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
