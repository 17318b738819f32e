"""A published run on new images: any of its methods says what it said, and errors say what to do."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from coder_core.errors import CheckpointError, ConfigError, InputError, QueryError, StoreError
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.pipeline.runner import InlineRunner
from coder_core.recipes.predict import Predicted, choose_method, describe_choice, predict, usable_methods
from coder_core.recipes.published_runs import open_run
from coder_core.report.prediction_table import NamedPrediction, read_named, render_named
from coder_core.specs import FewShotMethodName, Runtime
from coder_core.steps import load_dataset
from coder_core.steps.load_dataset import ListNewImages
from coder_core.storage.store import Store
from tests.fixtures_inputs import World, write_photos

from .conftest import Finished
from .runs import CONTROLS, FIRST_STAGE, VARIANTS, counted_passes, rows, run_spec

RUN = "flags-20260101T000000-a"
LATER = "flags-20260102T000000-a"
QUICK = {"clip", "coder", "coder_rerank", "control_waffle"}
ZERO_SHOT = (*FIRST_STAGE, *VARIANTS, "coder_rerank", *(f"control_{name}" for name in CONTROLS))
SMALL = {"methods": ["clip", "coder", "coder_rerank"], "controls": [], "few_shot": None, "ablation": None}
FEW_SHOT = get_args(FewShotMethodName)


class Answered(NamedTuple):
    """A prediction of new images, and its rows."""

    found: Predicted
    rows: list[NamedPrediction]
    runner: InlineRunner


class Published(NamedTuple):
    """A run in a store that may be written to."""

    world: World
    runtime: Runtime

    @property
    def images(self) -> Path:
        """Its test images."""
        return self.world.folder / "images"

    def predict(self, *images: Path | str, run: str = RUN, **asked: Any) -> Answered:
        """Predict with a method of the run."""
        runner = InlineRunner(self.runtime)
        manifest = open_run(Store(self.runtime.store), run)
        found = predict(manifest, list(map(str, images)), runner, **asked)
        return Answered(found, list(read_named(Context.open(self.runtime), found.table)), runner)


def copied(finished: Finished, folder: Path) -> Published:
    """The run's images and its store once more."""
    shutil.copytree(finished.world.folder, folder / "world")
    shutil.copytree(finished.runtime.store, folder / "store")
    runtime = finished.runtime.model_copy(update={"store": str(folder / "store")})
    return Published(World(folder / "world", finished.world.settings), runtime)


@pytest.fixture(scope="module")
def shared(flags_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A copy of the run that grows from test to test."""
    return copied(flags_run, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def own(flags_run: Finished, tmp_path: Path) -> Published:
    """A copy for one test."""
    return copied(flags_run, tmp_path)


def by_image(answered: Answered, images: Path) -> dict[str, tuple[str, float]]:
    """Image id in the data set -> class and probability, of those that could be read."""
    return {
        Path(row.image).relative_to(images).as_posix(): (row.class_name, row.probability)
        for row in answered.rows
        if row.problem is None
    }


def stored(runtime: Runtime, table: str, condition: str) -> dict[str, tuple[str, float]]:
    """The same from the run's own tables."""
    found = rows(runtime, f"SELECT image_id, predicted_name, probability FROM {table} WHERE {condition}")
    return {image_id: (name, probability) for image_id, name, probability in found}


@pytest.mark.parametrize(
    "method", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in ZERO_SHOT]
)
def test_every_zero_shot_method_says_again_what_it_said(shared: Published, method: str) -> None:
    """The images are those of the run, so their vectors are in the ledger: equal to the last bit."""
    answered = shared.predict(shared.images, method=method)
    assert by_image(answered, shared.images) == stored(shared.runtime, "predictions", f"method = '{method}'")
    assert (answered.found.images, answered.found.broken, answered.found.method) == (24, 1, method)
    for row in answered.rows:
        if row.problem is None:
            assert row.top5 is not None
            assert row.top5_probabilities is not None
            assert (row.top5[0], len(set(row.top5))) == (row.class_name, 5)
            assert row.top5_probabilities[0] == row.probability
            assert sum(row.top5_probabilities) <= 1 + 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("method", FEW_SHOT)
@pytest.mark.parametrize("shots", [1, None])
def test_every_few_shot_method_says_again_what_it_said(shared: Published, method: str, shots: int | None) -> None:
    answered = shared.predict(shared.images, method=method, shots=shots)
    condition = f"method = '{method}' AND shots = {shots or 3}"
    assert by_image(answered, shared.images) == stored(shared.runtime, "few_shot_predictions", condition)


def test_methods_differ_where_they_should(shared: Published) -> None:
    """What was compared above is not one answer many times over."""
    asked = ["clip", "coder", "coder_rerank", "control_nameless", "control_waffle", "coder_mahalanobis", "tip_adapter"]
    answers = [by_image(shared.predict(shared.images, method=method), shared.images) for method in asked]
    assert len({repr(sorted(answer.items())) for answer in answers}) == len(asked)
    assert rows(shared.runtime, "SELECT gated > 0 AND gated < images AND changed > 0 FROM reranks") == [(True,)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["coder", "coder_rerank", "control_shuffled", "tip_adapter"])
def test_images_that_no_ledger_knows_are_told_the_same(own: Published, method: str) -> None:
    """Embedded anew, in other batches and another order: equal but for the last bits of a vector."""
    few_shot = method in FEW_SHOT
    condition = f"method = '{method}'" + (" AND shots = 3" if few_shot else "")
    before = stored(own.runtime, "few_shot_predictions" if few_shot else "predictions", condition)
    shutil.rmtree(Path(own.runtime.store) / "ledgers" / "image_embeddings")
    one_by_one = Published(own.world, own.runtime.model_copy(update={"batch_size": 5}))
    images = sorted(own.images.glob("*/*.png"), reverse=True)
    with counted_passes() as passes:
        after = by_image(one_by_one.predict(*images, method=method), own.images)
    assert passes.images == [5, 5, 5, 5, 4]
    assert passes.texts == []
    assert after.keys() == before.keys()
    assert [after[name][0] for name in before] == [before[name][0] for name in before]
    np.testing.assert_allclose([after[name][1] for name in before], [before[name][1] for name in before], atol=1e-4)


def test_everything_that_can_predict_is_named(flags_run: Finished) -> None:
    few_shot = [f"{method} ({shots})" for shots in ("1 shot", "3 shots") for method in FEW_SHOT]
    assert usable_methods(flags_run.run.manifest) == [*ZERO_SHOT, *few_shot]


def only(run: Finished, *methods: str, few_shot: bool = True) -> RunManifest:
    """What the run's manifest would be with these zero-shot methods."""
    manifest = run.run.manifest
    records = tuple(record for record in manifest.methods if record.method in methods)
    return manifest.model_copy(update={"methods": records, "few_shot": manifest.few_shot if few_shot else None})


def test_without_a_name_the_usual_method_is_meant_or_the_first_that_can(flags_run: Finished) -> None:
    whole = flags_run.run.manifest
    assert (choose_method(whole), describe_choice(whole, "coder")) == ("coder", "")
    assert choose_method(whole, "vcd") == "vcd"
    assert choose_method(whole, shots=3) == FEW_SHOT[0]
    without = only(flags_run, "vcd", "clip_ensemble")
    assert choose_method(without) == "clip_ensemble"  # the run's order
    told = describe_choice(without, "clip_ensemble")
    assert told.startswith(
        "method clip_ensemble: none was named, and the run has no coder. It has: clip_ensemble, vcd, "
    )
    assert choose_method(only(flags_run)) == FEW_SHOT[0]
    with pytest.raises(ConfigError, match=rf"run {RUN}: it has no method for new images\. It has: none\."):
        choose_method(only(flags_run, few_shot=False))
    with pytest.raises(ConfigError, match=r"it has no method with 2 shots for new images\. It has: clip, "):
        choose_method(whole, shots=2)


def test_broken_images_are_answered_with_their_problem(
    shared: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_dataset, "LISTING_ROWS", 2)
    for name in ("0.png", "1.png", "4.png"):
        (tmp_path / name).write_bytes(b"no image")
    good = sorted((shared.images / "France").glob("*.png"))
    named = [tmp_path / "1.png", good[0], tmp_path / "4.png", tmp_path / "0.png", good[1]]
    out = tmp_path / "named.parquet"
    answered = shared.predict(*named, output=str(out))
    assert [row.image for row in answered.rows] == [str(path) for path in named]
    assert [row.problem is None for row in answered.rows] == [False, True, False, False, True]
    assert [row.class_name is None for row in answered.rows] == [True, False, True, True, False]
    assert (answered.found.images, answered.found.broken, answered.found.location) == (2, 3, str(out))
    assert pq.read_table(out).to_pylist() == [row._asdict() for row in answered.rows]
    printed = render_named(answered.rows, "csv").splitlines()
    assert len(printed) == 3
    assert "no image" not in render_named(answered.rows, "table")


@pytest.fixture
def shots() -> Iterator[str]:
    """A folder in memory with one image and a note."""
    filesystem = fsspec.filesystem("memory")
    yield "memory://shots"
    if filesystem.exists("/shots"):
        filesystem.rm("/shots", recursive=True)


def test_images_by_file_folder_pattern_and_url(own: Published, shots: str) -> None:
    images, run = own.images, InlineRunner(own.runtime)
    (images / "odd[1].jpeg").write_bytes((images / "France" / "000.png").read_bytes())
    fsspec.filesystem("memory").pipe_file("/shots/a.png", (images / "France" / "001.png").read_bytes())
    fsspec.filesystem("memory").pipe_file("/shots/b.txt", b"text")
    for locations, count, ignored in (
        ([str(images / "France" / "000.png"), str(images / "France")], 4, 0),
        ([str(images / "*" / "00[01].png")], 12, 0),
        ([str(images / "odd[1].jpeg")], 1, 0),
        ([shots], 1, 1),
        ([f"{shots}/*.png", f"{shots}/a.png"], 1, 0),
        ([str(images)], 26, 1),
    ):
        found = run(ListNewImages(locations=tuple(locations)))
        assert (found.images.rows, found.ignored.count) == (count, ignored), locations
    again = InlineRunner(own.runtime)
    again(ListNewImages(locations=(str(images),)))
    assert [record.computed for record in again.records] == [0, 0]


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("missing.jpg", r"missing\.jpg"),
        ("missing/*.jpg", "missing: this is no folder"),
        ("images/*.gif", r"images/\*\.gif"),
        ("empty", "empty"),
    ],
)
def test_a_location_without_images_is_named(own: Published, location: str, named: str) -> None:
    (own.world.folder / "empty").mkdir()
    with pytest.raises(InputError, match=named):
        own.predict(own.images, own.world.folder / location)


@pytest.mark.slow
def test_a_name_stands_for_its_latest_run(world: World, runtime: Runtime) -> None:
    store = Store(runtime.store)
    for name, run_id in (("flags", RUN), ("flags", LATER), ("flags-2", "flags-2-20260103T000000-a")):
        run_spec(world.spec(name=name, methods=["clip"]), runtime, run_id)
    assert open_run(store, "flags").run_id == LATER
    assert open_run(store, RUN).run_id == RUN
    assert open_run(store, "flags-2").run_id == "flags-2-20260103T000000-a"


@pytest.mark.parametrize("name", ["fla", "flags-2026", "x' OR '1'='1", "../runs"])
def test_an_unknown_run_is_named(flags_run: Finished, name: str) -> None:
    with pytest.raises(QueryError, match=f"there is no run .*Latest runs: {RUN}"):
        open_run(Store(flags_run.runtime.store), name)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"method": "code"}, "it has no method 'code' for new images.*It has: clip, clip_ensemble, vcd, coder, "),
        ({"method": "clip", "shots": 3}, "'clip' learns from no images, so it has no shots. It has: clip"),
        ({"method": "tip_adapter", "shots": 2}, r"no method 'tip_adapter' with 2 shots.*tip_adapter \(3 shots\)"),
    ],
)
def test_a_method_that_the_run_has_not_is_refused(shared: Published, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"run {RUN}: .*{message}"):
        shared.predict(shared.images, **asked)


@pytest.mark.slow
def test_what_labels_steered_classifies_no_new_image(own: Published) -> None:
    spec = own.world.spec(protocol="reference", **SMALL)
    run_spec(spec, own.runtime, LATER)
    with pytest.raises(ConfigError, match=r"no method 'coder_rerank' .*It has: (?!.*coder_rerank)"):
        own.predict(own.images, run=LATER, method="coder_rerank")
    assert own.predict(own.images, run=LATER, method="coder").found.images == 24


def test_features_of_another_tool_cannot_embed_an_image(features_run: Finished) -> None:
    published = Published(features_run.world, features_run.runtime)
    with pytest.raises(ConfigError, match="there is no model to embed an image with"):
        published.predict("anything.png", run="world")


@pytest.mark.slow
def test_other_weights_are_refused(tmp_path: Path, tiny_clip: Path, runtime: Runtime) -> None:
    checkpoint = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    photos = write_photos(tmp_path / "photos", checkpoint)
    run_spec(photos.spec(methods=["clip"]), runtime, RUN)
    weights = load_file(checkpoint / "open_clip_model.safetensors")
    save_file(
        {name: np.asarray(2 * value) for name, value in weights.items()}, checkpoint / "open_clip_model.safetensors"
    )
    with pytest.raises(CheckpointError, match=f"not those that run {RUN} used"):
        Published(photos, runtime).predict(photos.folder / "images", method="clip")


def test_a_classifier_needs_no_text_any_more(own: Published) -> None:
    before = own.predict(own.images).rows
    store = Store(own.runtime.store)
    for prefix in ("ledgers/text_embeddings", "artifacts/texts", "artifacts/text_bank", "artifacts/predictions"):
        for path in store.list(prefix):
            store.delete(path)
    with counted_passes() as passes:
        after = own.predict(own.images)
    assert after.rows == before
    assert (passes.texts, passes.images) == ([], [])
    assert next(record for record in after.runner.records if record.step == "predict_coder").computed == 24


def test_a_classifier_that_is_gone_is_named(own: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coder_core.pipeline.runner._wait", lambda _: None)
    manifest = open_run(Store(own.runtime.store), RUN)
    folder = f"artifacts/classifier/{manifest.method('coder').classifier.key}"
    shutil.rmtree(Path(own.runtime.store) / folder)
    with pytest.raises(StoreError, match=r"not in the store \(any more\)") as error:
        own.predict(own.images / "France" / "000.png")
    assert folder in error.value.place


@pytest.mark.parametrize("out", ["named.csv", "named"])
def test_another_kind_of_file_is_refused_before_the_work(shared: Published, tmp_path: Path, out: str) -> None:
    with counted_passes() as passes, pytest.raises(ConfigError, match=r"\.parquet"):
        shared.predict(shared.images, output=str(tmp_path / out))
    assert passes.images == []


def test_predictions_go_to_a_url_too(shared: Published) -> None:
    answered = shared.predict(shared.images, output="memory://answers/all.parquet")
    content = fsspec.filesystem("memory").cat_file("/answers/all.parquet")
    assert pq.read_table(io.BytesIO(content)).num_rows == len(answered.rows) == 25


@pytest.mark.slow
def test_a_run_whose_texts_tell_no_pair_apart_predicts_with_its_rerank(own: Published) -> None:
    """A rerank without a single pair is CODER again."""
    bank = own.world.folder / "bank.yaml"
    bank.write_text(bank.read_text().partition("one_to_one:")[0])
    world = World(own.world.folder, {**own.world.settings, "texts": {"bank": str(bank), "domain": "flag"}})
    run_spec(world.spec(**SMALL), own.runtime, LATER)
    answers = [own.predict(own.images, run=LATER, method=method).rows for method in ("coder", "coder_rerank")]
    assert answers[0] == answers[1]
