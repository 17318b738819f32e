import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from typing import Annotated

import pytest

from coder_core.errors import StoreError
from coder_core.results.schema import TABLES, VIEWS, MetricRow, RunRow, result_table, table_of

OF_THE_FIRST_VERSION = {
    "runs": "name spec_key spec_json started_at finished_at encoder dataset class_count image_count text_count "
    "texts_embedded texts_reused images_embedded images_reused images_quarantined device code_version",
    "metrics": "method metric value n ci_low ci_high protocol",
    "comparisons": "method baseline metric difference n ci_low ci_high gained lost p_value p_holm protocol",
    "predictions": "method image_id label label_name predicted predicted_name probability is_correct top5 protocol",
    "class_metrics": "method class_id class_name n recall precision protocol",
    "confusions": "method class_id class_name predicted predicted_name count protocol",
    "class_comparisons": "method baseline class_id class_name n recall_baseline recall gained lost p_value p_holm "
    "protocol",
    "confusion_comparisons": "method baseline class_id class_name predicted predicted_name n_baseline n resolved "
    "introduced p_value p_holm protocol",
    "texts": "text_id class_id class_name kind rival_name text phrase source",
    "timings": "step seconds rows computed",
    "artifacts": "step kind key rows",
    "reranks": "threshold threshold_source candidates images gated changed pairs_wanted pairs_missing pairs_one_sided "
    "images_incomplete protocol",
    "threshold_search": "threshold images_gated top1",
    "confused_pairs": "rank class_id class_name rival_id rival_name images texts rival_texts",
    "pair_budget": "pairs uses share_of_uses images_touched images_complete images_gated",
    "few_shot": "method shots seed n top1 ci_low ci_high mean_per_class_accuracy settings chosen_on chosen_n "
    "chosen_accuracy settings_tried pool_images_dropped",
    "few_shot_summary": "method shots draws top1 top1_std",
    "ablation": "kinds texts_per_class draw mean_texts n top1 ci_low ci_high top5 mean_per_class_accuracy",
    "quarantine": "image_id problem",
}
"""What queries that people have written down ask for: names and order must stay."""


@pytest.mark.parametrize("table", OF_THE_FIRST_VERSION)
def test_tables_of_the_first_version_begin_with_the_columns_they_had(table: str) -> None:
    expected = ["run_id", *OF_THE_FIRST_VERSION[table].split()]
    assert [column.name for column in TABLES[table].columns][: len(expected)] == expected


def test_every_table_and_column_is_documented() -> None:
    assert {
        "few_shot_predictions",
        "few_shot_reliability",
        "ignored",
        "generation",
        "reliability",
        "transductions",
    } == TABLES.keys() - OF_THE_FIRST_VERSION.keys()
    for name, table in TABLES.items():
        assert table.name == name
        assert table.description.endswith(".")
        assert len({column.name for column in table.columns}) == len(table.columns)
        assert all(len(column.description) > 3 and column.description.endswith(".") for column in table.columns)
    assert all(view.description.endswith(".") and set(view.reads) <= TABLES.keys() for view in VIEWS.values())


def test_types_and_nulls_follow_from_the_annotations() -> None:
    types = {column.name: (column.type, column.optional) for column in table_of(RunRow).columns}
    assert types["run_id"] == ("VARCHAR", False)
    assert types["started_at"] == ("TIMESTAMP", False)
    assert types["images_ignored"] == ("BIGINT", False)
    assert types["best_top1"] == ("DOUBLE", True)
    assert table_of("predictions").columns[9].type == "BIGINT[]"


def test_a_row_is_made_by_keywords_and_does_not_change() -> None:
    row = MetricRow(method="clip", metric="top1", value=0.5, n=10, protocol="honest")
    assert row.ci_low is None
    with pytest.raises(FrozenInstanceError):
        row.value = 1.0  # type: ignore[misc]


def test_what_is_no_table_is_refused_by_name() -> None:
    with pytest.raises(StoreError, match=r"no result table 'nonsense'.*runs, metrics"):
        table_of("nonsense")
    with pytest.raises(StoreError, match="is no row of a result table"):
        table_of(int)


def test_a_row_that_cannot_be_a_table_is_refused_where_it_is_declared() -> None:
    @dataclass(frozen=True)
    class WithoutWords:
        value: float

    @dataclass(frozen=True)
    class OfAnotherType:
        value: Annotated[dict[str, int], "Counts."]

    @dataclass
    class Changing:
        value: Annotated[float, "A number."]

    for row_class, problem in (
        (WithoutWords, "Annotated"),
        (OfAnotherType, "no type of a column"),
        (Changing, "frozen"),
    ):
        with pytest.raises(TypeError, match=problem):
            result_table("x")(row_class)


def test_the_schema_loads_nothing_that_is_slow() -> None:
    code = (
        "import sys, coder_core.results.schema; "
        "print([name for name in ('torch', 'pyarrow', 'duckdb', 'pydantic', 'fsspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
