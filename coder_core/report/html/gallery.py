"""Images worth looking at, and why they were decided so: who was right, wrong, surely wrong, rescued and broken."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from coder_core.errors import CoderError
from coder_core.loops import each
from coder_core.pipeline.context import Context
from coder_core.recipes.decision import Decision, TextShare
from coder_core.recipes.explain_decision import EXPLAINABLE, Asked, explain_decisions
from coder_core.report.html.run_facts import RunFacts, is_control
from coder_core.report.html.shown_text import shorten
from coder_core.results.schema import TransductionRow
from coder_core.specs import RERANK

PER_GROUP = 24
PER_CLASS = 3
"""Images of one class in a group: a gallery of one class shows one mistake."""
SHARES_SHOWN = 8
TEXT_CHARACTERS = 140
REASON_CHARACTERS = 240


class Group(NamedTuple):
    """Images of one kind.

    Args:
        key: In the page.
        title: For the reader.
        about: What they have in common.
        method: Whose decision is explained.
        against: Whose answer it is compared with, where that matters.
        rows: The images chosen.
    """

    key: str
    title: str
    about: str
    method: str
    against: str | None
    rows: Int[np.ndarray, " images"]


def choose_groups(facts: RunFacts) -> list[Group]:
    """Choose the images of each group; a group without images is left out."""
    return [group for group in _groups(facts) if len(group.rows)] if facts.best else []


def gallery_data(facts: RunFacts, groups: Sequence[Group], context: Context) -> dict[str, Any]:
    """Everything about the chosen images but their pictures, for the page's script."""
    methods = [name for name in facts.answers.methods if not is_control(name)]
    rows = list(dict.fromkeys(int(row) for group in groups for row in group.rows))
    places = {row: at for at, row in enumerate(rows)}
    decisions, note = _explained(facts, groups, context)
    return {
        "methods": methods,
        "images": [_image(facts, row, methods) for row in rows],
        "groups": [
            {
                "key": group.key,
                "title": group.title,
                "about": group.about,
                "method": group.method,
                "items": [[places[int(row)], decisions.get((group.key, int(row)))] for row in group.rows],
            }
            for group in groups
        ],
        "note": note,
    }


def _groups(facts: RunFacts) -> Iterator[Group]:
    answers, best = facts.answers, str(facts.best)
    if best not in answers.methods:
        return
    sure, known = answers.methods[best].probability, answers.is_labelled
    right, wrong = answers.is_right(best), known & ~answers.is_right(best)
    name = shorten(best)
    yield Group("right", "Right", f"{name} is right; from narrow to clear.", best, None, _spread(right, sure))
    yield Group("wrong", "Wrong", f"{name} is wrong; from unsure to sure.", best, None, _spread(wrong, sure))
    yield Group("surely", "Surely wrong", f"{name} is wrong and most sure.", best, None, _first(facts, wrong, -sure))
    for key, what, before, after in _steps(facts):
        rescued = answers.is_right(after) & known & ~answers.is_right(before)
        broken = answers.is_right(before) & known & ~answers.is_right(after)
        probability, names = answers.methods[after].probability, f"{shorten(before)}, {shorten(after)}"
        told = f"{names}: the first is wrong, the second right."
        yield Group(f"rescued-{key}", f"Rescued by {what}", told, after, before, _first(facts, rescued, -probability))
        told = f"{names}: the first is right, the second wrong."
        yield Group(f"broken-{key}", f"Broken by {what}", told, after, before, _first(facts, broken, -probability))


def _steps(facts: RunFacts) -> Iterator[tuple[str, str, str, str]]:
    """Key, name, method before and method after, of each step that may rescue or break an image."""
    own = facts.answers.methods
    after = "coder" if "coder" in own else str(facts.best)
    if facts.baseline in own and after != facts.baseline:
        yield "coder", "CODER" if after == "coder" else shorten(after), str(facts.baseline), after
    if RERANK in own and "coder" in own:
        yield "rerank", "the rerank", "coder", RERANK
    for row in facts.of(TransductionRow):
        if row.method in own and row.stage1 in own:
            yield f"batch-{row.method}", f"the batch ({shorten(row.method)})", row.stage1, row.method


def _first(
    facts: RunFacts, mask: Bool[np.ndarray, " images"], key: Float[np.ndarray, " images"]
) -> Int[np.ndarray, " chosen"]:
    """The images with the least key, a few of a class."""
    found = np.flatnonzero(mask)
    order = found[np.argsort(np.nan_to_num(key[found]), kind="stable")]
    taken: dict[int, int] = defaultdict(int)
    chosen = []
    for row in each(order.tolist(), every=1000):
        label = int(facts.answers.labels[row])
        if taken[label] < PER_CLASS:
            taken[label] += 1
            chosen.append(row)
        if len(chosen) == PER_GROUP:
            break
    return np.array(chosen, np.int64)


def _spread(mask: Bool[np.ndarray, " images"], key: Float[np.ndarray, " images"]) -> Int[np.ndarray, " chosen"]:
    """Images at equal distances in the order of a key, so that all of its range is seen."""
    found = np.flatnonzero(mask)
    order = found[np.argsort(np.nan_to_num(key[found]), kind="stable")]
    places = np.unique(np.linspace(0, max(len(order) - 1, 0), PER_GROUP).round().astype(np.int64))
    return np.asarray(order[places] if len(order) else order, np.int64)


def _image(facts: RunFacts, row: int, methods: Sequence[str]) -> dict[str, Any]:
    said = [facts.answers.methods[method] for method in methods]
    return {
        "id": shorten(facts.answers.image_ids[row], TEXT_CHARACTERS),
        "label": int(facts.answers.labels[row]),
        "said": [int(one.predicted[row]) for one in said],
        "p": [None if np.isnan(one.probability[row]) else round(float(one.probability[row]), 3) for one in said],
    }


def _explained(
    facts: RunFacts, groups: Sequence[Group], context: Context
) -> tuple[dict[tuple[str, int], dict[str, Any]], str]:
    """Explanations by group and image, and why there are none where there are none."""
    if facts.manifest is None:
        return {}, "No texts are shown: the run was published by a version that wrote no manifest."
    asked = dict(_asked(facts, groups))
    if not asked:
        return {}, "No texts are shown: none of these methods is a sum over texts." if groups else ""
    try:
        found = explain_decisions(context, facts.manifest, list(asked.values()))
    except CoderError as error:
        return {}, f"No texts are shown: {shorten(str(error), REASON_CHARACTERS)}"
    scale = float(facts.manifest.spec.get("logit_scale", 1.0))
    return {key: _decision(one, scale) for key, one in zip(asked, found, strict=True)}, ""


def _asked(facts: RunFacts, groups: Sequence[Group]) -> Iterator[tuple[tuple[str, int], Asked]]:
    answers, names = facts.answers, facts.class_names
    for group in groups:
        method = _explainable(facts, group.method)
        if method is None or len(names) < 2:
            continue
        for row in group.rows.tolist():
            predicted, label = int(answers.methods[method].predicted[row]), int(answers.labels[row])
            rival = label if label != predicted else None
            if rival is None and group.against is not None:
                before = int(answers.methods[group.against].predicted[row])
                rival = before if before != predicted else None
            is_named = rival is not None and method != RERANK and names.index(names[rival]) != predicted
            named = names[rival] if is_named and rival is not None else None
            yield (group.key, row), Asked(answers.image_ids[row], method, named)


def _explainable(facts: RunFacts, method: str) -> str | None:
    """The method itself, or the one below it, whose score is a sum over texts; None where there is none."""
    own = {record.method for record in facts.manifest.methods} if facts.manifest else set()
    below = [row.stage1 for row in facts.of(TransductionRow) if row.method == method]
    chain = (method, method.removesuffix("_calibrated"), *below, "coder")
    return next((name for name in chain if name in EXPLAINABLE and name in own and name in facts.answers.methods), None)


def _decision(decision: Decision, scale: float) -> dict[str, Any]:
    """The largest shares, and the rest in one: they add up to the gap. Cosines are scaled, so that gaps compare."""
    factor = scale if decision.unit == "cosines" else 1.0
    rest = decision.shares[SHARES_SHOWN:]
    return {
        "method": decision.method,
        "winner": shorten(decision.winner),
        "rival": shorten(decision.rival),
        "gap": round(factor * decision.margin, 3),
        "shares": [_share(one, factor) for one in decision.shares[:SHARES_SHOWN]],
        "rest": [len(rest), round(factor * sum(one.share for one in rest), 3)],
        "note": shorten(decision.note, TEXT_CHARACTERS),
    }


def _share(one: TextShare, factor: float) -> list[Any]:
    return [round(factor * one.share, 3), one.kind, shorten(one.about), shorten(one.text, TEXT_CHARACTERS)]
