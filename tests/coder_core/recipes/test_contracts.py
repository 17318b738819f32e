"""What a recipe is told in one line: a step that breaks its word, a device that is not there, a stopped run."""

import threading
from pathlib import Path
from typing import Any

import pytest

from coder_core.errors import CoderError, ConfigError, StepContractError
from coder_core.interruption import InterruptedWorkError, interruptible, stop_event
from coder_core.pipeline import runner as runner_module
from coder_core.pipeline.artifact_types import ClassifierArtifact, TextsArtifact
from coder_core.pipeline.runner import InlineRunner, inline_runner
from coder_core.recipes.evaluate import evaluate
from coder_core.specs import Runtime
from coder_core.steps.build_classifier import BuildClassifier
from coder_core.steps.choose_threshold import ChooseThreshold, RefuseTestImages
from coder_core.steps.predict_images import Predict
from coder_core.storage.store import Store
from tests.fixtures_inputs import World

from .runs import counted_passes, paired_world, rows, run_spec


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits before further tries, which are not waited for."""
    found: list[float] = []
    monkeypatch.setattr(runner_module, "_wait", found.append)
    return found


def make_other_kind(step: BuildClassifier, _context: Any, _output: Any) -> TextsArtifact:
    return TextsArtifact(key=step.key, class_count=1, unique_texts=1)


def make_other_key(step: BuildClassifier, _context: Any, _output: Any) -> ClassifierArtifact:
    return ClassifierArtifact(key="0" * 64, method=step.method)


def join_other_kind(step: Predict, _context: Any, _output: Any) -> ClassifierArtifact:
    return ClassifierArtifact(key=step.key, method="clip")


@pytest.mark.parametrize(
    ("step", "method", "broken", "message"),
    [
        (BuildClassifier, "make", make_other_kind, "BuildClassifier: it returned a TextsArtifact and declares Class"),
        (BuildClassifier, "make", make_other_key, "BuildClassifier: it returned the artifact 000000000000 and was to"),
        (
            Predict,
            "join",
            join_other_kind,
            "Predict: it returned a ClassifierArtifact and declares PredictionsArtifact",
        ),
        (RefuseTestImages, "run", lambda *_: "fine", "RefuseTestImages: it returned a str and declares NoneType"),
        (ChooseThreshold, "run", lambda *_: 0.5, "ChooseThreshold: it returned a float and declares RerankThreshold"),
    ],
)
def test_a_step_that_returns_another_kind_is_named_once_and_nothing_is_published(
    tmp_path: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
    step: type[Any],
    method: str,
    broken: Any,
    message: str,
) -> None:
    pool = paired_world(tmp_path / "validation").settings["dataset"]
    world = paired_world(tmp_path / "world", validation=pool, rerank={"choose_threshold": True})
    monkeypatch.setattr(RefuseTestImages, "run", lambda *_: None)  # (the two worlds hold the same images)
    monkeypatch.setattr(step, method, broken)
    with pytest.raises(StepContractError, match=f"step {message}"):
        run_spec(world.spec(), runtime)
    assert waits == [], "trying again mends no code"
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]


def test_a_device_that_is_not_there_is_named_before_anything_is_embedded(
    photos: World, runtime: Runtime, waits: list[float]
) -> None:
    without = runtime.model_copy(update={"device": "cuda:99"})
    with (
        counted_passes() as passes,
        pytest.raises(ConfigError, match=r"CODER_DEVICE .*: there is no 'cuda:99'"),
    ):
        run_spec(photos.spec(), without)
    assert (passes.texts, passes.images, waits) == ([], [], [])
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]


def test_features_need_no_device(world: World, runtime: Runtime) -> None:
    run_spec(world.spec(), runtime.model_copy(update={"device": "cuda:99"}))
    assert rows(runtime, "SELECT device FROM runs") == [("none",)]


@pytest.mark.slow
def test_a_run_that_finds_everything_needs_no_device_any_more(photos: World, runtime: Runtime) -> None:
    run_spec(photos.spec(), runtime)
    again = run_spec(photos.spec(), runtime.model_copy(update={"device": "cuda:99"}), "run-2")
    assert again.computed == {}
    assert rows(runtime, "SELECT run_id, device FROM runs ORDER BY 1") == [("run-1", "cpu"), ("run-2", "none")]


def test_a_stopped_run_ends_at_its_next_step_and_the_next_run_goes_on(world: World, runtime: Runtime) -> None:
    class StoppedRunner(InlineRunner):
        """Stops when the classifiers are asked for."""

        def each(self, steps: Any) -> Any:
            stop.set()
            return super().each(steps)

    with interruptible() as stop, pytest.raises(InterruptedWorkError):
        evaluate(world.spec(), StoppedRunner(runtime))
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]
    rest = run_spec(world.spec(), runtime)
    assert rest.record("embed_images").computed == 0
    assert rest.record("build_coder").computed > 0


def test_an_exception_stops_what_still_works_for_the_run(runtime: Runtime) -> None:
    found: list[threading.Event | None] = []

    def interrupted() -> None:
        with inline_runner(runtime):
            found.append(stop_event())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (stop,) = found
    assert stop is not None
    assert stop.is_set()


@pytest.fixture
def unwritable(tmp_path: Path) -> str:
    """A store below a file."""
    (tmp_path / "file").write_text("")
    return str(tmp_path / "file" / "store")


def test_a_store_that_cannot_be_is_told_before_the_data_are_looked_at(world: World, unwritable: str) -> None:
    (world.folder / "images.npz").unlink()
    with pytest.raises(CoderError, match="The store cannot be written") as error:
        run_spec(world.spec(), Runtime(store=unwritable, device="cpu"))
    assert len(str(error.value).splitlines()) == 1
    assert not Store(unwritable).exists("anything")
