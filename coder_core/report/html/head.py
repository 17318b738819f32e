"""The head of a report: what was asked, the answer in one sentence, every method, and what it cost."""

from collections.abc import Iterator
from typing import NamedTuple

from coder_core.counted import counted
from coder_core.evaluation.intervals import Interval
from coder_core.evaluation.predictions import HONEST
from coder_core.evaluation.tiers import tiers_of
from coder_core.report.html.run_facts import RunFacts, is_control
from coder_core.report.html.shown_text import shorten
from coder_core.results.schema import ComparisonRow, FewShotSummaryRow, GenerationRow, MetricRow, RerankRow

NONE = "\u2013"
MINUS = "\u2212"
UNKNOWN = "not recorded"
SMALLEST_P = 1e-300
REASON_CHARACTERS = 300


class MethodLine(NamedTuple):
    """A row of the table of methods, as text; empty where there is nothing to say."""

    method: str
    note: str
    is_control: bool
    is_best: bool
    tier: str
    top1: str
    top1_interval: str
    top5: str
    mean_per_class: str
    difference: str
    difference_interval: str
    against: str
    p_value: str
    calibration_error: str
    labels: str
    batch: str
    balance: str
    texts: str


class Fact(NamedTuple):
    """A number with its name."""

    name: str
    value: str


def question(facts: RunFacts) -> str:
    """What was asked, in one sentence."""
    run = facts.run
    images, classes = _count(run.image_count, "image"), _count(run.class_count, "class", "classes")
    controls = sum(is_control(name) for name in facts.top1)
    asked = _count(len(facts.top1) - controls, "method")
    few = len({row.method for row in facts.of(FewShotSummaryRow)})
    parts = [asked] if facts.top1 else []
    parts += [_count(controls, "control")] if controls else []
    parts += [_count(few, "few-shot method")] if few else []
    who = ", ".join(parts) or "no method"
    return f"Which of {classes} does each of {images} of {shorten(run.dataset or UNKNOWN)} show? Asked of {who}."


def answer(facts: RunFacts) -> str:
    """The answer in one sentence, with its interval."""
    if facts.best is None:
        return _few_shot_answer(facts)
    row, name = facts.top1[facts.best], shorten(facts.best)
    said = f"{name} names {percent(row.value)}\u00a0%{_between(row)} of {_count(row.n, 'image')} right"
    compared = _against_baseline(facts)
    if compared is None:
        return f"{said}."
    points, word = abs(100 * compared.difference), "more" if compared.difference >= 0 else "fewer"
    return f"{said}, {points:.1f}\u00a0points{_between(compared)} {word} than {shorten(compared.baseline)}."


def answer_note(facts: RunFacts) -> str:
    """What stands below the answer: what the brackets are, the test, and who cannot be told apart from the best."""
    if facts.best is None:
        return ""
    compared = _against_baseline(facts)
    p = p_text(compared.p_holm) if compared else ""
    tested = f" McNemar's p {p if p.startswith('<') else f'= {p}'} (Holm)." if p else ""
    few_shot = f" {_few_shot_answer(facts)}" if facts.of(FewShotSummaryRow) else ""
    return f"In brackets: 95 % intervals.{tested}{_told_peers(facts)}{_told_reading(facts)}{few_shot}"


def method_lines(facts: RunFacts) -> list[MethodLine]:
    """The table of methods."""
    tiers = tiers_of({name: (row.value, _interval(row)) for name, row in facts.top1.items()})
    differences = {row.method: row for row in facts.of(ComparisonRow) if row.metric == "top1" and row.controls is None}
    differences |= {
        row.method: row for row in facts.of(ComparisonRow) if row.metric == "top1" and row.baseline == facts.baseline
    }
    return [_line(facts, name, tiers[name], differences.get(name)) for name in facts.top1]


def cost_facts(facts: RunFacts) -> list[Fact]:
    """What the run cost."""
    run = facts.run
    found = [
        Fact("Seconds", f"{(run.finished_at - run.started_at).total_seconds():,.1f}" if run.finished_at else UNKNOWN),
        Fact("Texts embedded", _with_reused(run.texts_embedded, run.texts_reused)),
        Fact("Images embedded", _with_reused(run.images_embedded, run.images_reused)),
    ]
    spent = facts.of(GenerationRow)
    if spent:
        calls = sum((row.generated or 0) + (row.failed or 0) for row in spent)
        tokens = sum((row.prompt_tokens or 0) + (row.completion_tokens or 0) for row in spent)
        prices = [row.cost_usd for row in spent if row.cost_usd is not None]
        found += [Fact("Language model calls", f"{calls:,}"), Fact("Tokens", f"{tokens:,}")]
        found.append(Fact("US dollars", f"{sum(prices):,.2f}" if prices else "price unknown"))
    return found


def run_facts_of(facts: RunFacts) -> list[Fact]:
    """What stands on the card beside the answer."""
    run = facts.run
    return [
        Fact("Data set", shorten(run.dataset or UNKNOWN)),
        Fact("Encoder", shorten(run.encoder or UNKNOWN)),
        Fact("Images", _number(run.image_count)),
        Fact("Classes", _number(run.class_count)),
        Fact("Texts", _number(run.text_count)),
        Fact("Run", shorten(facts.run_id)),
        Fact("Started (UTC)", f"{run.started_at:%Y-%m-%d %H:%M}"),
        Fact("Device, version", f"{run.device or UNKNOWN}, {run.code_version or UNKNOWN}"),
    ]


def left_out(facts: RunFacts) -> list[str]:
    """What is not in the numbers, and why; one line each."""
    return [*_lacking(facts), *(f"Not readable any more: {shorten(line, REASON_CHARACTERS)}" for line in facts.missing)]


def _lacking(facts: RunFacts) -> Iterator[str]:
    run = facts.run
    if run.images_quarantined:
        yield f"{_count(run.images_quarantined, 'image')} could not be read and are left out (table quarantine, below)."
    if run.images_ignored:
        yield f"{_count(run.images_ignored, 'file')} in the folders are no images (table ignored)."
    unlabelled = int((~facts.answers.is_labelled).sum())
    if unlabelled:
        yield f"{_count(unlabelled, 'image')} have no label and count in no accuracy."
    yield from _lacking_texts(facts)


def _lacking_texts(facts: RunFacts) -> Iterator[str]:
    for row in facts.of(GenerationRow):
        if row.failed:
            yield f"{row.failed:,} of {_count(row.asked, 'question')} for {row.kind} texts got no usable answer."
    without = {name: row.classes_without_texts for name, row in facts.top1.items() if row.classes_without_texts}
    for name, count in without.items():
        yield f"{shorten(name)} had no text about {_count(count, 'class', 'classes')}: judged by their names alone."
    for rerank in facts.of(RerankRow):
        if rerank.pairs_missing or rerank.pairs_one_sided:
            lacking = f"{rerank.pairs_missing or 0:,} without a text, {rerank.pairs_one_sided or 0:,} one-sided"
            yield f"Of {rerank.pairs_wanted:,} comparisons that the rerank asked for, {lacking}: they count 0."


def percent(value: float) -> str:
    """A share as percent, one decimal."""
    return f"{100 * value:.1f}"


def p_text(value: float | None) -> str:
    """A p-value, two digits."""
    if value is None:
        return ""
    return f"< {SMALLEST_P:.0e}" if value < SMALLEST_P else f"{value:.2g}"


def _line(facts: RunFacts, method: str, tier: int, compared: ComparisonRow | None) -> MethodLine:
    by_metric = {row.metric: row for row in facts.of(MetricRow) if row.method == method}
    row, error = by_metric["top1"], by_metric.get("expected_calibration_error")
    top5, per_class = (by_metric.get(name) for name in ("top5", "mean_per_class_accuracy"))
    return MethodLine(
        method=shorten(method),
        note="" if row.protocol in (HONEST, None) else f"{row.protocol} protocol, for comparison only",
        is_control=is_control(method),
        is_best=method == facts.best,
        tier=str(tier),
        top1=percent(row.value),
        top1_interval=interval_text(row.ci_low, row.ci_high),
        top5=percent(top5.value) if top5 else "",
        mean_per_class=percent(per_class.value) if per_class else "",
        difference=f"{100 * compared.difference:+.1f}".replace("-", MINUS) if compared else "",
        difference_interval=interval_text(compared.ci_low, compared.ci_high, sign="+") if compared else "",
        against=compared.baseline if compared else "",
        p_value=p_text(compared.p_holm) if compared else "",
        calibration_error=f"{error.value:.3f}" if error else "",
        labels=row.reads_labels or "",
        batch=_yes(row.reads_unlabelled_images),
        balance=_yes(row.assumes_balance),
        texts=(row.reads_texts or "").replace("+", " + "),
    )


def interval_text(low: float | None, high: float | None, *, sign: str = "") -> str:
    """An interval of shares as percent; a dash where images cannot say."""
    return (
        NONE if low is None or high is None else f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}".replace("-", MINUS)
    )


def _few_shot_answer(facts: RunFacts) -> str:
    rows = facts.of(FewShotSummaryRow)
    if not rows:
        return "No method was measured: the images have no labels, or the tables cannot be read."
    best = max(rows, key=lambda row: row.top1)
    spread = (
        f" ± {percent(best.top1_std)} over {_count(best.draws, 'draw')}" if best.top1_std is not None else ", one draw"
    )
    shots = _count(best.shots, "labelled image")
    return f"{shorten(best.method)} with {shots} per class names {percent(best.top1)} %{spread} right."


def _between(row: MetricRow | ComparisonRow) -> str:
    """The interval in brackets; of a difference without its sign, which the sentence says."""
    if row.ci_low is None or row.ci_high is None:
        return ""
    low, high = row.ci_low, row.ci_high
    if isinstance(row, ComparisonRow) and row.difference < 0:
        low, high = -high, -low
    return f" ({percent(low)} to {percent(high)})"


def _against_baseline(facts: RunFacts) -> ComparisonRow | None:
    rows = [row for row in facts.of(ComparisonRow) if row.metric == "top1" and row.method == facts.best]
    return next((row for row in rows if row.baseline == facts.baseline), None)


def _told_peers(facts: RunFacts) -> str:
    own = {name: row for name, row in facts.top1.items() if not is_control(name)}
    tiers = tiers_of({name: (row.value, _interval(row)) for name, row in own.items()})
    peers = [shorten(name) for name in own if name != facts.best and tiers[name] == tiers[str(facts.best)]]
    if not peers:
        return ""
    told = ", ".join(peers[:3]) + (f" and {len(peers) - 3} more" if len(peers) > 3 else "")
    return f" These images cannot tell it apart from {told}."


def _told_reading(facts: RunFacts) -> str:
    """What the best has read beyond texts and the image itself, and the best of those that have not."""
    read = _read_beyond(facts.top1[str(facts.best)])
    if not read:
        return ""
    plain = [row for name, row in facts.top1.items() if not is_control(name) and not _read_beyond(row)]
    told = f" {shorten(str(facts.best))} {' and '.join(read)}"
    if not plain:
        return f"{told}."
    other = max(plain, key=lambda row: row.value)
    return f"{told}; the best that does not, {shorten(other.method)}, names {percent(other.value)} % right."


def _read_beyond(row: MetricRow) -> list[str]:
    found = [] if row.reads_labels in (None, "none") else [f"reads labels ({row.reads_labels})"]
    found += ["reads the other images of the batch"] if row.reads_unlabelled_images else []
    return [*found, *(["assumes balanced classes"] if row.assumes_balance else [])]


def _interval(row: MetricRow) -> Interval:
    low, high = row.ci_low, row.ci_high
    return Interval(row.value if low is None else low, row.value if high is None else high)


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _with_reused(new: int | None, reused: int | None) -> str:
    return UNKNOWN if new is None else f"{new:,} ({reused or 0:,} were in the store)"


def _number(value: int | None) -> str:
    """A number of a run; runs of older versions do not say all of them."""
    return UNKNOWN if value is None else f"{value:,}"


def _count(number: int | None, one: str, many: str | None = None) -> str:
    return counted(number or 0, one, many, form=",")
