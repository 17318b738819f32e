"""A published run on new images: the same answers as the evaluation gave, and errors that say what to do."""

import io
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from coder_core.report.answers import render_answers
from coder_core.steps.answers import Answers, read_answers, write_answers
from coder_core.steps.new_images import list_new_images
from coder_core.steps.past_classifiers import PastClassifier, recall_classifier
from coder_core.storage.warehouse import Warehouse
from safetensors.numpy import load_file, save_file

from coder_core import steps
from coder_core.errors import CheckpointError, ConfigError, InputError, QueryError
from coder_core.specs import Runtime
from coder_core.steps.predictions import PredictionInputs
from coder_core.storage.store import Store
from tests.fixtures_inputs import World, write_photos

from .conftest import run_predictions, run_steps

pytestmark = pytest.mark.slow

RUN = "photos-20260101T000000-a"
LATER = "photos-20260102T000000-a"


@pytest.fixture
def run(photos: World, runtime: Runtime) -> World:
    """Four classes of five images, evaluated."""
    run_steps(photos.spec(), runtime, RUN)
    return photos


def answer(past: PastClassifier, locations: list[str], runtime: Runtime, out: str | None = None) -> Answers:
    """What the flow does, without a workflow engine."""
    images = list_new_images(locations, runtime).images.artifact
    shards = steps.image_embeddings.plan_embedding(images, past.encoder, runtime)
    reports = [steps.image_embeddings.embed_image_shard(shard, images, past.encoder, runtime) for shard in shards]
    embedded = steps.image_embeddings.finish_image_embeddings(images, past.encoder, reports, runtime).artifact
    inputs = PredictionInputs(
        texts=past.texts.artifact,
        text_embeddings=steps.text_embeddings.embed_texts(past.texts.artifact, past.encoder, runtime).artifact,
        image_embeddings=embedded,
        encoder=past.encoder,
        logit_scale=past.logit_scale,
    )
    return write_answers(past, embedded, run_predictions(inputs, (past.method,), runtime)[past.method], out, runtime)


@pytest.mark.parametrize("method", ["clip", "clip_ensemble", "vcd", "coder"])
def test_the_evaluation_and_the_prediction_agree(run: World, runtime: Runtime, method: str) -> None:
    answers = answer(recall_classifier("photos", method, runtime), [str(run.folder / "images")], runtime)
    said = {
        Path(row.image).relative_to(run.folder / "images").as_posix(): (row.class_name, row.probability)
        for row in read_answers(answers, runtime)
    }
    sql = f"SELECT image_id, predicted_name, probability FROM predictions WHERE method = '{method}'"
    assert said == {name: (found, share) for name, found, share in Warehouse(Store(runtime.store)).query(sql).rows}
    for row in read_answers(answers, runtime):
        assert row.top5 is not None
        assert row.top5_probabilities is not None
        assert (row.top5[0], len(set(row.top5))) == (row.class_name, 4)
        np.testing.assert_allclose(sum(row.top5_probabilities), 1, atol=1e-5)
        assert row.top5_probabilities == sorted(row.top5_probabilities, reverse=True)


def test_broken_images_are_answered_with_their_problem(
    run: World, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.new_images, "LISTING_ROWS", 2)
    for name in ("0.png", "1.png", "4.png"):
        (run.folder / name).write_bytes(b"no image")
    good = sorted((run.folder / "images" / "wren").glob("*.png"))
    named = [run.folder / "1.png", good[0], run.folder / "4.png", run.folder / "0.png", good[1]]
    out = tmp_path / "answers.parquet"
    answers = answer(recall_classifier(RUN, "coder", runtime), [str(path) for path in named], runtime, str(out))
    rows = list(read_answers(answers, runtime))
    assert [row.image for row in rows] == [str(path) for path in named]
    assert [row.problem is None for row in rows] == [False, True, False, False, True]
    assert [row.class_name is None for row in rows] == [True, False, True, True, False]
    assert (answers.images, answers.broken, answers.location) == (2, 3, str(out))
    assert pq.read_table(out).to_pylist() == [row._asdict() for row in rows]
    printed = render_answers(rows, "csv").splitlines()
    assert len(printed) == 3
    assert "no image" not in render_answers(rows, "table")


def test_images_by_file_folder_pattern_and_url(run: World, runtime: Runtime) -> None:
    images = run.folder / "images"
    (images / "notes.txt").write_text("no image")
    (images / "odd[1].jpeg").write_bytes((images / "wren" / "000.png").read_bytes())
    fsspec.filesystem("memory").pipe_file("/shots/a.png", (images / "wren" / "001.png").read_bytes())
    fsspec.filesystem("memory").pipe_file("/shots/b.txt", b"text")
    for locations, count in (
        ([str(images / "wren" / "000.png"), str(images / "wren")], 5),
        ([str(images / "*" / "00[01].png")], 8),
        ([str(images / "odd[1].jpeg")], 1),
        (["memory://shots"], 1),
        (["memory://shots/*.png", "memory://shots/a.png"], 1),
    ):
        assert list_new_images(locations, runtime).images.artifact.rows == count, locations
    assert list_new_images([str(images)], runtime).images.computed == 21
    assert list_new_images([str(images)], runtime).images.computed == 0


@pytest.mark.parametrize("location", ["missing.jpg", "missing/*.jpg", "images/*.gif", "empty"])
def test_a_location_without_images_is_named(run: World, runtime: Runtime, location: str) -> None:
    (run.folder / "empty").mkdir()
    with pytest.raises(InputError, match=location.replace("*", r"\*")):
        list_new_images([str(run.folder / "images"), str(run.folder / location)], runtime)


def test_a_name_stands_for_its_latest_run(run: World, runtime: Runtime) -> None:
    run_steps(run.spec(), runtime, LATER)
    run_steps(run.spec(name="photos-2"), runtime, "photos-2-20260103T000000-a")
    assert recall_classifier("photos", "coder", runtime).run_id == LATER
    assert recall_classifier(RUN, "coder", runtime).run_id == RUN


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", ["phot", "photos-2026", "x' OR '1'='1", "../runs"])
def test_an_unknown_run_is_named(runtime: Runtime, name: str) -> None:
    with pytest.raises(QueryError, match=f"there is no run .*Published runs: {RUN}"):
        recall_classifier(name, "coder", runtime)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("method", ["code", "coder_rerank", "tip_adapter"])
def test_a_method_that_the_run_has_not_is_refused(runtime: Runtime, method: str) -> None:
    with pytest.raises(ConfigError, match=f"it has no method '{method}' .*It has: clip, clip_ensemble, vcd, coder"):
        recall_classifier(RUN, method, runtime)


def test_features_of_another_tool_cannot_embed_an_image(world: World, runtime: Runtime) -> None:
    run_steps(world.spec(), runtime, "world-20260101T000000-a")
    with pytest.raises(ConfigError, match="there is no model to embed an image with"):
        recall_classifier("world", "coder", runtime)


def test_other_weights_are_refused(tmp_path: Path, tiny_clip: Path, runtime: Runtime) -> None:
    checkpoint = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    photos = write_photos(tmp_path / "photos", checkpoint)
    run_steps(photos.spec(), runtime, RUN)
    weights = load_file(checkpoint / "open_clip_model.safetensors")
    save_file(
        {name: np.asarray(2 * value) for name, value in weights.items()}, checkpoint / "open_clip_model.safetensors"
    )
    with pytest.raises(CheckpointError, match=f"not those that run {RUN} used"):
        recall_classifier(RUN, "coder", runtime)


def test_lost_text_embeddings_are_made_again(run: World, runtime: Runtime) -> None:
    images = [str(run.folder / "images")]
    before = list(read_answers(answer(recall_classifier(RUN, "coder", runtime), images, runtime), runtime))
    for path in Store(runtime.store).list("ledgers/text_embeddings"):
        Store(runtime.store).delete(path)
    for kind in ("predictions", "answers"):
        for path in Store(runtime.store).list(f"artifacts/{kind}"):
            if kind == "answers" or path not in _artifacts_of_run(runtime):
                Store(runtime.store).delete(path)
    again = list(read_answers(answer(recall_classifier(RUN, "coder", runtime), images, runtime), runtime))
    assert again == before


def _artifacts_of_run(runtime: Runtime) -> set[str]:
    rows = Warehouse(Store(runtime.store)).query("SELECT kind, key FROM artifacts").rows
    return {path for kind, key in rows for path in Store(runtime.store).list(f"artifacts/{kind}/{key}")}


@pytest.mark.parametrize("out", ["answers.csv", "answers"])
def test_another_kind_of_file_is_refused(run: World, runtime: Runtime, out: str) -> None:
    past = recall_classifier(RUN, "coder", runtime)
    with pytest.raises(ConfigError, match=f"out: .*'{run.folder / out}'. Let it end in .parquet"):
        answer(past, [str(run.folder / "images")], runtime, str(run.folder / out))


def test_answers_go_to_a_url_too(run: World, runtime: Runtime) -> None:
    past = recall_classifier(RUN, "coder", runtime)
    answers = answer(past, [str(run.folder / "images")], runtime, "memory://answers/all.parquet")
    content = fsspec.filesystem("memory").cat_file("/answers/all.parquet")
    assert pq.read_table(io.BytesIO(content)).num_rows == answers.images == 20
