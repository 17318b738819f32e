"""One evaluation with everything on, by every runner: without Prefect, on its threads, on Dask, on Ray.

Each writes to a store of its own; then every result table of all of them is the same to the last byte.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from bench.store_identity import find_differences, read_content
from coder_core import steps
from coder_core.care.store_format import FORMAT_FILE
from coder_core.config import load_spec
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.pipeline.runner import inline_runner
from coder_core.pipeline.step import Step
from coder_core.recipes.evaluate import evaluate
from coder_core.recipes.published_runs import open_run
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import TABLES
from coder_core.specs import Runtime
from coder_core.steps import load_dataset
from coder_core.storage.manifest import FOLDER
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import NAMES, World, write_image_class, write_photos

from .conftest import worker_processes
from .disturbed import GENERATOR

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]

NOT_COMPARED: Mapping[str, tuple[str, ...]] = {
    "runs": ("started_at", "finished_at", "engine"),  # two times, and who ran the steps
    # durations, and what follows from them
    "timings": ("seconds", "items_per_second", "device_share", "decode_share", "read_share", "write_share"),
}
"""All columns that are left out, beside `run_id`, which `ResultTables.read` leaves out."""

OF_OTHER_RECIPES = {
    "CalibrateExport",
    "CalibrateFewShotByBatch",  # where `calibrate: batch` is set and a draw has no validation images
    "CheckExport",
    "ChooseBatchTemperature",  # instead of the choice on validation images
    "ChooseShownImages",  # where a language model is shown photographs
    "ClaimAnnouncement",
    "CompactStore",
    "CompareNames",
    "ExportTable",
    "ListNewImages",
    "LookAtClasses",
    "NamePredictions",
    "OfDraw",  # what steps of one draw have in common
    "PredictAsReleased",  # instead of `Predict`, under the reference protocol
    "SampleDataset",
    "SetTestImagesApart",  # likewise
    "StandardiseFewShot",  # before `CalibrateFewShotByBatch`
    "WithdrawAnnouncement",
}
"""Steps that an honest evaluation does not take."""


class Scene(NamedTuple):
    """The evaluation, and where its stores are."""

    settings: dict[str, Any]
    folder: Path
    llm: LlmRuntime

    def runtime(self, engine: str) -> Runtime:
        task_runner = "threads" if engine == "inline" else engine
        return Runtime(
            store=str(self.folder / engine),
            device="cpu",
            batch_size=4,
            shard_images=9,
            classes_per_task=3,
            workers=2,
            task_runner=task_runner,
            llm=self.llm,
        )


class Outcome(NamedTuple):
    """A run, and the steps that made something new or looked at the world in it."""

    result: EvalResult
    steps: set[str]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("agree")
    with serving(LlmServer()) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-not-checked")
        patch.setattr(load_dataset, "LISTING_ROWS", 3)  # so that a few images are several shards
        yield Scene(write_settings(write_photos(folder / "photos", tiny_clip)), folder, LlmRuntime(base_url=server.url))


def write_settings(photos: World) -> dict[str, Any]:
    """Everything that an evaluation can be asked for, on four classes; one image is broken, and one file is none."""
    (photos.folder / "images" / "wren" / "empty.png").write_bytes(b"")
    (photos.folder / "images" / "wren" / "notes.txt").write_text("no image")
    return {
        **photos.settings,
        "name": "agree",
        "methods": ["clip", "clip_ensemble", "coder", "coder_rerank"],
        "texts": {"generator": GENERATOR, "pairs": "confused", "domain": "bird"},
        "validation": other_images(photos.folder / "validation", first=5, count=2),
        "rerank": {"choose_threshold": True, "threshold": 2.0},
        "controls": ["waffle", "nameless"],
        "calibrate": True,
        "transduction": {"stage1": ["coder", "text_pool"], "methods": ["batch_discriminant", "stata"]},
        "ablation": {"draws": 2, "texts_per_class": [2]},
        "matrix": {"write": True},
        "few_shot": {
            "pool": other_images(photos.folder / "pool", first=7, count=4),
            "shots": [1, 2],
            "draws": 1,
            "views": 2,
            "methods": ["tip_adapter", "coder_adapter", "text_discriminant", "text_pool"],
            "vocabulary": "shipped",
            "select_texts": True,
        },
    }


def other_images(folder: Path, *, first: int, count: int) -> dict[str, str]:
    """Class folders of images from a certain number on."""
    for name in NAMES:
        write_image_class(folder, name, first + count)
        for number in range(first):
            (folder / name / f"{number:03d}.png").unlink()
    return {"kind": "folder", "path": str(folder)}


@pytest.fixture(scope="module")
def inline(scene: Scene) -> Outcome:
    """The run without Prefect."""
    ran: set[str] = set()
    check_result = Step.check_result

    def noting(self: Step[Any], result: object) -> None:
        ran.add(type(self).__name__)
        check_result(self, result)

    with pytest.MonkeyPatch.context() as patch, inline_runner(scene.runtime("inline")) as run:
        patch.setattr(Step, "check_result", noting)
        return Outcome(evaluate(load_spec(scene.settings), run), ran)


def test_the_evaluation_takes_every_step_and_fills_every_table(scene: Scene, inline: Outcome) -> None:
    modules = [
        importlib.import_module(f"{steps.__name__}.{name}") for _, name, _ in pkgutil.iter_modules(steps.__path__)
    ]
    known = {
        found.__name__
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Step)
        and found.__module__ == module.__name__
        and "[" not in found.__name__  # a generic class with its type filled in
    }
    assert inline.steps == known - OF_OTHER_RECIPES
    tables = ResultTables(Store(scene.runtime("inline").store))
    assert [name for name in TABLES if not len(tables.read(name, inline.result.run_id))] == []


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("engine", "package"),
    [("threads", "prefect"), ("dask", "prefect_dask"), ("ray", "prefect_ray")],
)
def test_tables_are_those_of_the_run_without_prefect(
    scene: Scene, inline: Outcome, monkeypatch: pytest.MonkeyPatch, engine: str, package: str
) -> None:
    if find_spec(package) is None:  # not imported here: Ray reads its environment when it is
        pytest.skip(f"{package} is not installed")
    before = worker_processes()
    monkeypatch.chdir(scene.folder)
    result = coder_eval(scene.settings, [], scene.runtime(engine).model_copy(update={"store": engine}))
    assert worker_processes() == before, "a cluster that was started for the run has ended with it"

    found, expected = Store(scene.runtime(engine).store), Store(scene.runtime("inline").store)
    assert table_differences(found, result.run_id, expected, inline.result.run_id) == []
    assert find_differences(read_content(found), read_content(expected)) == []  # ledgers and artifacts, too
    assert untimed(open_run(found, result.run_id)) == untimed(open_run(expected, inline.result.run_id))
    assert ResultTables(found).read("runs", result.run_id).column("engine").to_pylist() == [engine]
    shards = [path for path in found.list(f"{FOLDER}/image_embeddings") if path.endswith(".parquet")]
    assert len(shards) == 7 + 3 + 6, "parts of three images: 21 to classify, 8 to choose on, 16 to learn from"
    assert [path for path in found.list() if "/" not in path] == [FORMAT_FILE], "nothing is left beside the folders"


def table_differences(found: Store, run_id: str, expected: Store, expected_id: str) -> list[str]:
    """Columns of result tables that differ in a byte; the order of rows counts."""
    return [
        f"{name}.{column}"
        for name in TABLES
        for column in _differing(compared(found, name, run_id), compared(expected, name, expected_id))
    ]


def compared(store: Store, name: str, run_id: str) -> pa.Table:
    """A result table of a run without what is not compared."""
    return ResultTables(store).read(name, run_id).drop_columns(list(NOT_COMPARED.get(name, ())))


def _differing(found: pa.Table, expected: pa.Table) -> Iterator[str]:
    assert found.schema == expected.schema
    for column in found.column_names:
        if column_bytes(found, column) != column_bytes(expected, column):
            yield column


def column_bytes(table: pa.Table, column: str) -> bytes:
    """A column as Arrow would send it."""
    sink = pa.BufferOutputStream()
    chosen = table.select([column]).combine_chunks()
    with pa.ipc.new_stream(sink, chosen.schema) as writer:
        writer.write_table(chosen)
    return bytes(sink.getvalue())


def untimed(manifest: RunManifest) -> dict[str, Any]:
    """What a run was made of, whenever it was."""
    return manifest.model_dump(exclude={"run_id", "started_at"})
