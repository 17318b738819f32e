"""Who is taken for whom, readable at 1,000 classes: cells that are not 0, classes beside those they are taken for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.spatial.distance import squareform

from coder_core.report.html.chart_theme import BLUE, CONFIG, GREY
from coder_core.report.html.run_facts import RunFacts, is_control
from coder_core.report.html.shown_text import shorten
from coder_core.texts.kinds import TextKind

MOST_CELLS = 20_000
"""Cells drawn of one method, the fullest ones: more than a screen has room for."""
MOST_PAIRS = 400
"""Pairs of one method in the table."""
MOST_CLUSTERED = 2_000
"""Classes up to which a tree of clusters is made: it takes a full matrix. Beyond, bands of a sparse one."""
TEXTS_SHOWN, TEXT_CHARACTERS = 4, 90


def confusion_data(facts: RunFacts) -> dict[str, Any]:
    """Cells, order of classes, pairs and their texts, for the page's script."""
    table = facts.tables["confusions"]
    methods = [name for name in pc.unique(table.column("method")).to_pylist() if not is_control(name)]
    own = {
        name: table.filter(pc.equal(table.column("method"), name)).sort_by([("count", "descending")])
        for name in methods
    }
    pairs = {name: _pairs(facts, name, own[name]) for name in methods}
    return {
        "order": order_classes(table, len(facts.class_names)),
        "cells": {name: _cells(cells) for name, cells in own.items()},
        "sizes": _sizes(facts),
        "pairs": pairs,
        **_texts(facts, [pair for rows in pairs.values() for pair in rows]),
    }


def order_classes(table: pa.Table, class_count: int) -> list[int]:
    """Put classes beside those that they are confused with, over all methods; those never confused come last.

    Args:
        table: Rows of `confusions`.
        class_count: Classes in all.

    Returns:
        Class ids in order.
    """
    true, taken = (table.column(name).to_numpy() for name in ("class_id", "predicted"))
    counts = coo_matrix((table.column("count").to_numpy(), (true, taken)), shape=(class_count, class_count)).tocsr()
    both = csr_matrix(counts + counts.T)
    confused = np.flatnonzero(np.asarray(both.sum(1)).ravel())
    alone = np.setdiff1d(np.arange(class_count), confused)
    if len(confused) > 2:
        confused = confused[_clustered(both[confused][:, confused])]
    return [*confused.tolist(), *alone.tolist()]


def confusion_chart() -> dict[str, Any]:
    """A cell per pair that is confused; the page puts in the cells, and moves the limits of both axes.

    Written as Vega-Lite itself: Altair's types know no expressions in the places where these stand.
    """
    ink = {name: {"expr": "ink"} for name in ("labelColor", "titleColor", "domainColor", "tickColor")}
    plain = {"grid": False, "labelOverlap": "greedy", **ink}
    named = "{} <= 200 ? slice(names[datum.value] || '', 0, 24) : ''"
    across = {
        "labelExpr": named.format("to - from"),
        "values": {"expr": "ticks"},
        "labelAngle": -60,
        "title": "taken for",
    }
    down = {"labelExpr": named.format("above - below"), "values": {"expr": "rows"}, "title": "true class"}
    x = {"type": "quantitative", "scale": _limits("from", "to"), "axis": {**plain, **across}}
    y = {"type": "quantitative", "scale": {**_limits("below", "above"), "reverse": True}, "axis": {**plain, **down}}
    side = "max(2, min(width / (to - from), height / (above - below)) - 1)"
    shades = {"type": "sqrt", "range": ["#8db9e8", BLUE, "#c2411c"]}
    legend = {
        "title": "images",
        "labelColor": {"expr": "ink"},
        "titleColor": {"expr": "ink"},
        "format": ".0f",
        "tickMinStep": 1,
    }
    tips = [{"field": name, "title": title} for name, title in (("true", "true class"), ("taken", "taken for"))]
    diagonal = {
        "data": {"values": [{"at": -1}, {"at": 100_000}]},
        "mark": {"type": "line", "clip": True, "color": GREY, "opacity": 0.35, "strokeWidth": 1},
        "encoding": {"x": {"field": "at", **x}, "y": {"field": "at", **y}},
    }
    cells = {
        "data": {"name": "cells"},
        "mark": {"type": "square", "opacity": 1, "clip": True, "size": {"expr": f"pow({side}, 2)"}},
        "encoding": {
            "x": {"field": "x", **x},
            "y": {"field": "y", **y},
            "color": {"field": "count", "type": "quantitative", "scale": shades, "legend": legend},
            "tooltip": [*tips, {"field": "count", "title": "images"}],
        },
    }
    numbers: dict[str, Any] = {"from": -0.5, "to": 1, "below": -0.5, "above": 1, "names": [], "ticks": [], "rows": []}
    said = "Confused pairs: true class downwards, what it is taken for across. The table of pairs has the same."
    return {
        "description": said,
        "width": "container",
        "height": 620,
        "autosize": {"type": "fit", "contains": "padding"},
        "params": [{"name": name, "value": value} for name, value in {**numbers, "ink": GREY}.items()],
        "layer": [diagonal, cells],
        "config": CONFIG,
    }


def _limits(low: str, high: str) -> dict[str, Any]:
    return {"domain": [{"expr": low}, {"expr": high}], "nice": False, "zero": False}


def _clustered(both: csr_matrix) -> Int[np.ndarray, " classes"]:
    """An order in which classes that are confused often are neighbours: leaves of an average-linkage tree."""
    if both.shape[0] > MOST_CLUSTERED:
        return np.asarray(reverse_cuthill_mckee(both, symmetric_mode=True), np.int64)
    dense = both.toarray().astype(np.float64)
    distances = 1.0 / (1.0 + dense)
    np.fill_diagonal(distances, 0.0)
    return np.asarray(leaves_list(linkage(squareform(distances, checks=False), method="average")), np.int64)


def _cells(table: pa.Table) -> dict[str, Any]:
    shown = table.slice(0, MOST_CELLS)
    columns = {
        key: shown.column(name).to_pylist() for key, name in (("t", "class_id"), ("p", "predicted"), ("n", "count"))
    }
    return {**columns, "all": len(table), "images": int(pc.sum(table.column("count")).as_py() or 0)}


def _sizes(facts: RunFacts) -> list[int]:
    """Images of every class."""
    found = [0] * len(facts.class_names)
    table = facts.tables["class_metrics"]
    for class_id, images in zip(*(table.column(name).to_pylist() for name in ("class_id", "n")), strict=True):
        found[class_id] = images
    return found


def _pairs(facts: RunFacts, method: str, cells: pa.Table) -> list[list[Any]]:
    """True class, taken for, images, resolved and introduced against the baseline, p."""
    compared = facts.tables["confusion_comparisons"]
    own = compared.filter(pc.equal(compared.column("method"), method))
    names = ("class_id", "predicted", "resolved", "introduced", "p_holm")
    tested = {row[:2]: row[2:] for row in zip(*(own.column(name).to_pylist() for name in names), strict=True)}
    shown = cells.slice(0, MOST_PAIRS)
    rows = zip(*(shown.column(name).to_pylist() for name in ("class_id", "predicted", "count")), strict=True)
    return [[*row, *tested.get(row[:2], (None, None, None))] for row in rows]


def _texts(facts: RunFacts, pairs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Texts that tell pairs apart where there are any, and what is said of each class."""
    table = facts.tables["texts"]
    wanted = {class_id for pair in pairs for class_id in pair[:2]}
    apart, about = dict[str, list[str]](), dict[int, list[str]]()
    numbers = {name: class_id for class_id, name in reversed(list(enumerate(facts.class_names)))}
    asked = {tuple(pair[:2]) for pair in pairs}
    columns = (table.column(name).to_pylist() for name in ("class_id", "kind", "rival_name", "phrase", "text"))
    for class_id, kind, rival, phrase, text in zip(*columns, strict=True):
        if class_id not in wanted:
            continue
        if kind == TextKind.ONE_TO_ONE:
            other = numbers.get(rival)
            if other is not None and ({(class_id, other), (other, class_id)} & asked):
                _add(apart.setdefault(f"{class_id},{other}", []), phrase or text)
        elif kind == TextKind.ATTRIBUTE:
            _add(about.setdefault(class_id, []), phrase or text)
    return {"apart": apart, "about": about}


def _add(texts: list[str], text: str) -> None:
    shown = shorten(text, TEXT_CHARACTERS)
    if len(texts) < TEXTS_SHOWN and shown not in texts:
        texts.append(shown)
