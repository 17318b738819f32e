"""Transduction as a method of a run: rows of its own, labels that it cannot see, answers for new images."""

from pathlib import Path

import numpy as np
import pytest

from coder_core.errors import ConfigError
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.predict import predict
from coder_core.specs import Runtime
from coder_core.steps.build_classifier import read_classifier
from tests.fixtures_inputs import rewrite_features

from .runs import contents, paired_world, rows, run_spec, write_flags

ALL = {"methods": ["batch_discriminant", "class_prior", "sinkhorn"], "stage1": ["clip", "coder"]}
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
    assert {taken_for[name] for name in NAMES if name.startswith("sinkhorn")} == {"stated"}


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
        assert read_classifier(context, record.classifier).shape.class_count == first.manifest.texts.class_count


def test_it_stands_on_methods_of_the_run(tmp_path: Path) -> None:
    for stage1 in ("vcd", "coder_rerank"):
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
