"""Transduction as a method of a run: rows of its own, labels that it cannot see, answers for new images."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from coder_core.errors import ConfigError
from coder_core.evaluation.temperature import fit_score_temperature
from coder_core.few_shot.draws import draw_examples
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.predict import predict
from coder_core.specs import BATCH_ONLY, Runtime, TransductionName
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.predict_images import read_predictions, read_vectors, usable_images
from coder_core.transduction import batch_answers
from coder_core.transduction.fit_batch import fit_batch
from coder_core.transduction.image_batch import KnownRows, in_parts
from coder_core.transduction.neighbour_mixtures import stata_logits, transclip_logits
from tests.fixtures_inputs import NAMES as CLASSES
from tests.fixtures_inputs import World, rewrite_features, write_world

from .runs import Run, contents, paired_world, permute_labels, rows, run_spec, write_flags

ALL = {"methods": list(get_args(TransductionName)), "stage1": ["clip", "coder"]}
NAMES = [f"{method}_on_{stage1}" for stage1 in ALL["stage1"] for method in ALL["methods"]]


@pytest.mark.slow
def test_rows_say_what_they_read_and_leave_others_alone(tmp_path: Path, runtime: Runtime) -> None:
    """The same world without a transduction has the same predictions, under the same keys."""
    before = contents(run_spec(paired_world(tmp_path / "world").spec(), runtime), runtime)
    world = paired_world(tmp_path / "world2", transduction=ALL)
    run = run_spec(world.spec(), runtime, "run-2")
    after = contents(run, runtime)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == set(NAMES)
    read = "SELECT DISTINCT method, reads_unlabelled_images, assumes_balance FROM metrics WHERE run_id = 'run-2'"
    found = {method: (images, balance) for method, images, balance in rows(runtime, read)}
    assert {method for method, (images, _) in found.items() if images} == set(NAMES)
    assert {method for method, (_, balance) in found.items() if balance} == {"sinkhorn_on_clip", "sinkhorn_on_coder"}
    taken_for = dict(rows(runtime, "SELECT method, batch FROM transductions"))
    assert taken_for.keys() == set(NAMES)
    assert {taken_for[name] for name in NAMES if not name.startswith("batch_")} == {"stated"}


@pytest.mark.slow
def test_labels_decide_nothing_and_the_classifier_gives_the_answers_again(tmp_path: Path, runtime: Runtime) -> None:
    world = paired_world(tmp_path / "world", transduction=ALL)
    first = run_spec(world.spec(), runtime)
    with np.load(world.folder / "images.npz") as found:
        labels = dict(found)["labels"]
    rewrite_features(world, labels=labels[::-1].copy())
    second = run_spec(world.spec(), runtime, "run-2")
    answers = [contents(run, runtime) for run in (first, second)]
    assert {name: answers[0][name][1] for name in NAMES} == {name: answers[1][name][1] for name in NAMES}
    context = Context.open(runtime)
    for name in NAMES:
        record = first.manifest.method(name)
        assert record.classifier.method == name
        if not name.startswith(BATCH_ONLY):
            assert read_classifier(context, record.for_any_image).shape.class_count == first.manifest.texts.class_count


def test_it_stands_on_methods_of_the_run(tmp_path: Path) -> None:
    for stage1 in ("vcd", "coder_rerank", "lda"):
        with pytest.raises(ConfigError, match=r"transduction\.stage1"):
            paired_world(tmp_path / stage1, transduction={"stage1": [stage1]}).spec()


@pytest.mark.slow
def test_new_images_are_answered_without_their_batch(tmp_path: Path, runtime: Runtime) -> None:
    world = write_flags(tmp_path / "flags", methods=["clip"], transduction={})
    run = run_spec(world.spec(), runtime)
    images = sorted(str(path) for path in (world.folder / "images").rglob("*.png"))
    answers = []
    for batch in (images, images[:1]):
        with inline_runner(runtime) as runner:
            predicted = predict(run.manifest, batch, runner, method="batch_discriminant_on_clip")
        answers.append(Context.open(runtime).read(predicted.table).to_pylist()[0]["class_name"])
    assert (
        answers[0]
        == answers[1]
        == rows(
            runtime,
            "SELECT predicted_name FROM predictions WHERE method = 'batch_discriminant_on_clip' ORDER BY location",
        )[0][0]
    )


def vectors_of(run: Run, runtime: Runtime) -> torch.Tensor:
    """The images under test, as the run has embedded them."""
    context, manifest = Context.open(runtime), run.manifest
    parts = [usable_images(context, manifest.images, part.name) for part in context.parts(manifest.images)]
    return torch.cat([read_vectors(context, manifest.encoder, part).float() for part in parts])


def few_shot_world(folder: Path, **transduction: Any) -> World:
    """A world to test on, and a pool to learn from."""
    write_world(folder / "pool", images_per_class=12, first_image=500)
    world = write_world(folder / "test")
    pool = {"kind": "features", "path": str(folder / "pool" / "images.npz")}
    few_shot = {"pool": pool, "shots": [1, 2], "draws": 2, "methods": ["lda", "text_discriminant"], "zero_shot": "none"}
    changes = {"methods": ["clip"], "few_shot": few_shot, "transduction": transduction, "matrix": {"write": False}}
    return World(world.folder, {**world.settings, **changes})


ON_FEW_SHOT = {"methods": ["batch_discriminant", "sinkhorn"], "stage1": ["clip", "lda", "text_discriminant"]}


@pytest.mark.slow
def test_a_draw_goes_on_with_its_support_as_images_whose_class_is_known(tmp_path: Path, runtime: Runtime) -> None:
    """Rows in the few-shot tables with contracts of their own; the classifier is that of the library's own function."""
    run = run_spec(few_shot_world(tmp_path, **ON_FEW_SHOT).spec(), runtime)
    columns = "reads_labels, reads_unlabelled_images, assumes_balance"
    summary = f"SELECT method, draws, {columns} FROM few_shot_summary WHERE shots = 2 ORDER BY ALL"
    validation = "support+validation"
    assert rows(runtime, summary) == [
        ("batch_discriminant_on_lda", 2, validation, True, False),
        ("batch_discriminant_on_text_discriminant", 2, validation, True, False),
        ("lda", 2, validation, False, False),
        ("sinkhorn_on_lda", 2, validation, True, True),
        ("sinkhorn_on_text_discriminant", 2, validation, True, True),
        ("text_discriminant", 2, validation, False, False),
    ]
    told = (
        "SELECT stage1, shots, seed, images FROM transductions WHERE method = 'batch_discriminant_on_lda' ORDER BY ALL"
    )
    assert rows(runtime, told) == [("lda", shots, seed, 120) for shots in (1, 2) for seed in (1, 2)]

    images, draws = vectors_of(run, runtime), run.manifest.few_shot.draws
    fits = {(draw.fits.seed, bool(draw.fits.found)): draw.fits for draw in draws if draw.fits.shots == 2}
    with np.load(tmp_path / "pool" / "images.npz") as file:
        pool = torch.nn.functional.normalize(torch.from_numpy(file["features"]).float(), dim=1)
        labels = torch.from_numpy(file["labels"]).long()
    context = Context.open(runtime)
    for seed in (1, 2):
        draw = draw_examples(labels.numpy(), shots=2, seed=seed)
        support, validation_rows = (torch.from_numpy(chosen) for chosen in (draw.support, draw.validation))
        stage1 = read_classifier(context, fits[seed, False], "lda")
        heat = fit_score_temperature(stage1.inner.logits(pool[validation_rows]), labels[validation_rows])
        assert stage1.temperature == pytest.approx(heat, rel=1e-3)
        known = KnownRows(pool[support], labels[support])
        found = fit_batch(in_parts(images), stage1, known=known)
        kept = read_classifier(context, fits[seed, True], "batch_discriminant_on_lda")
        if found.kind != "nothing":
            sure = [float(each.logits(images).softmax(dim=1).amax(dim=1).mean()) for each in (kept, stage1)]
            assert sure[0] == pytest.approx(sure[1], abs=1e-4) or kept.temperature == 1
            kept = kept.inner
        np.testing.assert_allclose(kept.logits(images), found.classifier.logits(images), atol=1e-4)
        assert fits[seed, True].found["batch_discriminant_on_lda"].reason == found.reason


@pytest.mark.slow
def test_labels_under_test_reach_no_transduction_of_a_draw(tmp_path: Path, runtime: Runtime) -> None:
    world = few_shot_world(tmp_path, **ON_FEW_SHOT)
    run_spec(world.spec(), runtime)
    permute_labels(world)
    elsewhere = runtime.model_copy(update={"store": f"{runtime.store}-2"})
    run_spec(world.spec(), elsewhere)
    told = "SELECT method, shots, seed, image_id, predicted, probability FROM few_shot_predictions ORDER BY ALL"
    assert rows(runtime, told) == rows(elsewhere, told)
    labels = "SELECT DISTINCT image_id, label FROM few_shot_predictions ORDER BY ALL"
    assert rows(runtime, labels) != rows(elsewhere, labels)


def test_what_stands_on_images_alone_asks_for_no_text(tmp_path: Path, runtime: Runtime) -> None:
    world = few_shot_world(tmp_path, stage1=["lda"])
    settings = {**world.settings, "encoder": {"kind": "precomputed"}}
    settings = {name: value for name, value in settings.items() if name not in ("methods", "texts")}
    settings["few_shot"] = {**settings["few_shot"], "methods": ["lda"], "shots": [2], "draws": 1}
    run_spec(World(world.folder, settings).spec(), runtime)
    read = "SELECT method, reads_texts FROM few_shot ORDER BY ALL"
    assert rows(runtime, read) == [("batch_discriminant_on_lda", "none"), ("lda", "none")]


@pytest.mark.slow
@pytest.mark.parametrize("method", BATCH_ONLY)
def test_published_mixtures_are_rows_and_answer_their_batch_alone(
    tmp_path: Path, runtime: Runtime, method: str
) -> None:
    names = (*CLASSES, "robin", "raven", "rook", "crow")  # more than the classes that predictions keep
    world = write_world(tmp_path / "world", names)
    transduction = {"methods": [method], "stage1": ["clip"]}
    run = run_spec(world.spec(methods=["clip"], matrix={}, transduction=transduction), runtime)
    images, name, context = vectors_of(run, runtime), f"{method}_on_clip", Context.open(runtime)
    stage1 = read_classifier(context, run.manifest.method("clip").for_any_image)
    own = stage1.logits(images)
    anchors = torch.nn.functional.normalize(stage1.weights, dim=1)
    logits = transclip_logits(images, own) if method == "transclip" else stata_logits(images, own, anchors)
    said = read_predictions(context, run.predictions[name], name)
    np.testing.assert_array_equal(said.top_ids[:, 0], logits.argmax(dim=1))
    shares = logits.double().softmax(dim=1).numpy()
    np.testing.assert_allclose(said.top_probabilities[:, 0], shares.max(axis=1), atol=1e-5)

    labels = np.repeat(np.arange(len(names)), 30)
    told = f"SELECT value FROM metrics WHERE method = '{name}' AND metric = 'negative_log_likelihood'"
    own = logits.double().log_softmax(dim=1).numpy()[np.arange(240), labels]
    is_kept = (said.top_ids == labels[:, None]).any(axis=1)  # kept as float32, of all others exact
    loss = -np.where(is_kept, np.maximum(own, np.log(np.finfo(np.float32).tiny)), own).mean()
    assert 0 < is_kept.sum() < 240
    assert rows(runtime, told) == [(pytest.approx(loss, rel=1e-3),)]
    with pytest.raises(ConfigError, match=r"no classifier for any other image.*Take clip"):
        _ = run.manifest.method(name).for_any_image


def test_a_batch_that_would_not_fit_is_refused_before_any_work(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_answers, "MOST_BYTES", 10_000)
    world = paired_world(tmp_path / "world", transduction={"methods": ["stata"]})
    with pytest.raises(ConfigError, match=r"120 images x 4 classes .*batch_discriminant reads a batch of any size"):
        run_spec(world.spec(), runtime)
    context = Context.open(runtime)
    assert not [path for path in context.artifacts.store.list() if path.startswith("image_embeddings")]


def test_mixtures_take_no_support(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stata takes no support images: it cannot stand on lda"):
        few_shot_world(tmp_path, methods=["class_prior", "stata"], stage1=["lda"]).spec()
    with pytest.raises(ConfigError, match=r"nothing that is listed takes support images: take lda out"):
        few_shot_world(tmp_path, methods=["stata"], stage1=["clip", "lda"]).spec()
    both = few_shot_world(tmp_path, methods=["class_prior", "stata"], stage1=["clip", "lda"]).spec().transduction
    assert both is not None
    assert list(both.row_names) == ["class_prior_on_clip", "stata_on_clip"]
    assert both.with_support == ("class_prior",)
