"""Every shipped question gives the same answer by its view as by the SQL that it took before."""

from datetime import timedelta
from typing import Any

import pytest

from coder_core.errors import QueryError
from coder_core.results.examples import EXAMPLES, find_example, list_examples
from coder_core.results.schema import AblationRow, ComparisonRow, GenerationRow, MetricRow
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store
from tests.coder_core.results.analyst_rows import (
    HOSTILE,
    Answers,
    class_rows,
    comparison_rows,
    confusion_rows,
    few_shot_rows,
    make_answers,
    prediction_rows,
)
from tests.coder_core.results.result_rows import START, run_row

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two evaluations, one of them run twice, with rows in every table that a question is about."""
    store = Store(str(tmp_path_factory.mktemp("examples")))
    history = (("flags-1", "flags", 5), ("flags-2", "flags", 6), ("birds-1", "birds", 4))
    for day, (run_id, name, classes) in enumerate(history):
        publish(store, make_answers(run_id, name, HOSTILE[:classes], day=day))
    return Warehouse(store)


def publish(store: Store, answers: Answers) -> None:
    base: dict[str, Any] = {"n": 40, "protocol": "honest"}
    with RunWriter(store, answers.run_id) as writer:
        for rows in (prediction_rows, few_shot_rows, class_rows, confusion_rows, comparison_rows):
            found = list(rows(answers))
            writer.append(type(found[0]), found)
        for at, method in enumerate(answers.methods):
            value = 0.5 + at / 10 + answers.day / 100
            metric = MetricRow(method=method, metric="top1", value=value, ci_low=0.5, ci_high=0.55, **base)
            writer.append(MetricRow, [metric])
            versus = {"method": method, "baseline": "clip", "metric": "top1", "difference": value - 0.6, "gained": 1}
            p_values = {"p_value": 0.01, "p_holm": (0.01, 0.2, None)[at]}
            writer.append(ComparisonRow, [ComparisonRow(**versus, lost=2, **p_values, **base)])
        rest = {"draw": 0, "n": 40, "ci_low": 0.0, "ci_high": 1.0, "top5": 1.0, "mean_per_class_accuracy": 0.5}
        for at, kinds in enumerate(("class_name", "class_name+attribute")):
            writer.append(AblationRow, [AblationRow(kinds=kinds, mean_texts=4.0 * at, top1=0.25 + at / 4, **rest)])
        counts = {"asked": 5, "generated": 4, "reused": 0, "failed": 1}
        writer.append(
            GenerationRow, [GenerationRow(kind="attribute", cost_usd=[0.5, None, 0.0][answers.day], **counts)]
        )
        started_at = START + timedelta(days=answers.day)
        took = timedelta(seconds=1.5)
        row = run_row(name=answers.name, started_at=started_at, finished_at=started_at + took, spec_key=answers.name)
        writer.publish(row, b"{}")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_view_answers_what_sql_over_tables_answers(warehouse: Warehouse, name: str) -> None:
    by_view, by_hand = (warehouse.query(sql) for sql in (EXAMPLES[name].sql(), EXAMPLES[name].sql_by_hand()))
    assert by_view.columns == by_hand.columns
    assert rounded(by_view.rows) == rounded(by_hand.rows)
    assert len(by_view.rows) > 0
    assert len(EXAMPLES[name].by_view) < len(EXAMPLES[name].by_hand)


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sums of floats depend on the order of rows in their last digits."""
    return [tuple(round(value, 9) if isinstance(value, float) else value for value in row) for row in rows]


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.is_about_runs])
def test_a_question_may_be_about_one_run(warehouse: Warehouse, name: str) -> None:
    latest = warehouse.query(EXAMPLES[name].sql()).rows
    of_each = [warehouse.query(EXAMPLES[name].sql(run_id)).rows for run_id in ("birds-1", "flags-2")]
    known = {repr(row) for rows in of_each for row in rounded(rows)}
    assert set(map(repr, rounded(latest))) <= known
    assert len(latest) == min(len(known), 20) or len(latest) == len(known)


def test_a_question_that_is_not_there_is_told_with_the_near_name() -> None:
    for wrong, near in (("worst", "worst-classes"), ("clas-gains", "class-gains"), ("pairs", "confused-pairs")):
        with pytest.raises(QueryError, match=f"no question '{wrong}'.*Did you mean '{near}'"):
            find_example(wrong)
    assert len(list(list_examples())) == len(EXAMPLES) >= 10
