"""Every column of every result table says something in some run: what is declared is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import TABLES
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import LlmServer
from tests.fixtures_inputs import write_photos, write_tiny_clip, write_world

from .conftest import Finished
from .runs import llm_runtime, paired_world, run_spec
from .test_text_commands import spec_of

NOT_YET: dict[tuple[str, str], str] = {}
"""Columns that nobody writes yet, and why. This list only gets shorter."""


def columns_with_values(runtime: Runtime) -> Iterator[tuple[str, str]]:
    """The columns that are not null in some row of some run of a store."""
    results = ResultTables(Store(runtime.store))
    for run_id in results.published():
        for name in TABLES:
            table = results.read(name, run_id)
            yield from ((name, column) for column in table.column_names if table.column(column).null_count < len(table))


@pytest.mark.slow
def test_every_column_is_written(
    flags_run: Finished, tmp_path: Path, runtime: Runtime, server: LlmServer, settings: dict[str, Any]
) -> None:
    pool, other = (
        write_world(tmp_path / name, images_per_class=6, first_image=first).settings["dataset"]
        for name, first in (("pool", 300), ("validation", 500))
    )
    few_shot = {"pool": pool, "shots": [2], "draws": 2, "methods": ["nearest_mean"], "zero_shot": "none"}
    transduction = {"methods": ["batch_discriminant", "class_prior"], "stage1": ["clip", "nearest_mean"]}
    chosen = {
        "rerank": {"choose_threshold": True},
        "validation": other,
        "few_shot": few_shot,
        "transduction": transduction,
        "groups": {"pattern": r"\d$"},
    }
    run_spec(paired_world(tmp_path / "world", **chosen).spec(), runtime)
    (tmp_path / "sigmoid").mkdir()
    biased = write_tiny_clip(tmp_path / "sigmoid", init_logit_bias=-10.0)  # as SigLIP has
    run_spec(write_photos(tmp_path / "photos", biased, images_per_class=2).spec(methods=["clip"]), runtime, "biased")
    price = {"test-model": {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0}}
    bought = llm_runtime(server, tmp_path / "generated", prices=price)
    run_spec(spec_of({**settings, "methods": ["clip", "coder"]}), bought)

    written = {found for store in (flags_run.runtime, runtime, bought) for found in columns_with_values(store)}
    declared = {(name, column.name) for name, table in TABLES.items() for column in table.columns[1:]}
    assert declared - written == NOT_YET.keys(), "wire the column, or take it from the list"


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_every_table_of_a_run_can_be_read_back_as_its_rows(flags_run: Finished, table: str) -> None:
    """What the schema says of a column holds for every value that a real run wrote."""
    results, run_id = ResultTables(flags_run.context.artifacts.store), flags_run.run.result.run_id
    row_class = TABLES[table].row_class
    found = results.read_rows(row_class, run_id)
    assert len(found) == results.read(table, run_id).num_rows
    assert all(isinstance(row, row_class) for row in found)
