"""`coder-eval predict ... --adapt` as typed: with a run, and with an exported folder."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.export_classifier import export_classifier
from coder_core.specs import Runtime
from flows.cli_predict import predict
from tests.coder_core.recipes.runs import run_spec, write_flag_images, write_flags

pytestmark = pytest.mark.slow


class Published(NamedTuple):
    store: str
    folder: Path
    few: list[str]

    def ask(self, place: str, *arguments: str) -> Result:
        options = () if place != "run-1" else ("--store", self.store, "--engine", "inline", "--method", "vcd")
        return CliRunner().invoke(predict, [place, *arguments, *options], catch_exceptions=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    root = tmp_path_factory.mktemp("adapt")
    runtime = Runtime(store=str(root / "store"), device="cpu")
    run = run_spec(write_flags(root / "flags", methods=["clip", "vcd"]).spec(), runtime)
    with inline_runner(runtime) as runner:
        export_classifier(run.manifest, root / "vcd", runner, method="vcd")
    write_flag_images(root / "new", 30, seed=7)
    few = sorted(str(path) for name in ("France", "Netherlands") for path in (root / "new" / name).glob("*.png"))
    return Published(runtime.store, root / "vcd", few)


def test_run_and_folder_answer_alike_and_say_what_the_batch_was(published: Published) -> None:
    answers = []
    for place in ("run-1", str(published.folder)):
        done = published.ask(place, *published.few, "--adapt", "--format", "json")
        assert done.exit_code == 0, done.output
        answers.append(json.loads(done.stdout))
        assert {answer["batch"] for answer in answers[-1]} == {"few_classes"}
        assert f"batch taken for few_classes: {answers[-1][0]['batch_reason']}" in done.stderr
    said = [[(answer["class_name"], answer["probability"]) for answer in found] for found in answers]
    assert [name for name, _ in said[0]] == [name for name, _ in said[1]]
    assert [chance for _, chance in said[0]] == pytest.approx([chance for _, chance in said[1]], abs=1e-3)


def test_one_image_is_answered_as_without(published: Published) -> None:
    for place in ("run-1", str(published.folder)):
        plain, adapted = (
            published.ask(place, published.few[0], "--format", "csv", *more) for more in ((), ("--adapt",))
        )
        assert plain.stdout == adapted.stdout
        assert "batch taken for nothing: stage 1 unchanged: 1 usable image" in adapted.stderr


def test_a_folder_cannot_explain_what_a_batch_has_moved(published: Published) -> None:
    done = CliRunner().invoke(predict, [str(published.folder), published.few[0], "--adapt", "--explain"])
    assert done.exit_code == 2
    assert "no sum over texts" in done.output
