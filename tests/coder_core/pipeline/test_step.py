"""A step's fields are its identity: what changes a key, what does not, what is found, and what is said about a miss."""

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest

from coder_core import packaged
from coder_core.errors import StepContractError
from coder_core.fingerprint import NotIdentity, key_of
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.pipeline.step_inputs import FileInput, PackagedData
from coder_core.specs import Runtime
from coder_core.storage.manifest import artifact_key

from .fixtures import Count, Numbers, Settings, Sum


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context.open(Runtime(store=str(tmp_path / "store"), device="cpu"))


@pytest.fixture(autouse=True)
def _forget() -> None:
    Count.made.clear()


def test_the_key_is_that_of_kind_version_and_every_field() -> None:
    step = Count(count=3, settings=Settings(factor=2))
    spec = {"count": 3, "settings": {"factor": 2}, "file": None, "packaged": None}
    assert step.key == key_of({"kind": "numbers", "step_version": 1, "spec": spec, "inputs": {}})
    assert step.key == artifact_key(step.payload)


@pytest.mark.parametrize("change", [{"count": 4}, {"settings": Settings(factor=3)}])
def test_every_field_changes_the_key(change: dict[str, Any]) -> None:
    assert Count(**{"count": 3, **change}).key != Count(count=3).key


def test_a_field_that_is_no_identity_changes_nothing_wherever_it_stands() -> None:
    same = Count(count=3, settings=Settings(label="x"), label="other")
    assert same.key == Count(count=3).key
    assert same.name == "other"


def test_the_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Count(count=3).key
    monkeypatch.setattr(Count, "version", 2)
    assert Count(count=3).key != before


def test_a_file_counts_by_content_and_columns_and_not_by_its_place(tmp_path: Path) -> None:
    for name, content in (("a", b"same"), ("b", b"same"), ("c", b"other")):
        (tmp_path / name).write_bytes(content)

    def key(name: str, *columns: str) -> str:
        return Count(count=1, file=FileInput(path=str(tmp_path / name), columns=columns)).key

    assert key("a", "x") == key("b", "x")
    assert len({key("a", "x"), key("a", "y"), key("a", "x", "y"), key("c", "x")}) == 4


def test_packaged_data_count_by_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Count(count=1, packaged=PackagedData(name="texts/domains.yaml"))
    before, read = step.key, packaged.read_packaged
    monkeypatch.setattr(packaged, "read_packaged", lambda name: read(name) + b"\n# edited")
    assert step.key != before


def test_an_artifact_counts_by_its_key_and_is_named_as_an_input_at_any_depth() -> None:
    class Nested(ArtifactStep[Numbers]):
        one: Numbers
        many: tuple[Numbers, ...]

    def nested(key: str, rows: int = 1) -> Nested:
        numbers = Numbers(key=key, rows=rows, total=rows)
        return Nested(one=numbers, many=(numbers, Numbers(key="z", total=0)))

    assert nested("a").key == nested("a", rows=9).key != nested("b").key
    assert nested("a").payload.inputs == {"one": "a", "many.0": "a", "many.1": "z"}


def test_what_was_made_is_found_and_not_made_again(context: Context) -> None:
    first = Count(count=7)(context)
    again = Count(count=7)(context)
    assert first.result == again.result == Numbers(key=Count(count=7).key, rows=7, total=21)
    assert Count.made == [Count(count=7).key]
    assert [(record.computed, record.reused) for done in (first, again) for record in done.records] == [(7, 0), (0, 7)]


def test_a_recomputation_says_which_field_changed(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "coder_core")
    Count(count=3)(context)
    assert "count: computing, because count has made none yet" in caplog.messages
    caplog.clear()
    Count(count=4, settings=Settings(factor=2))(context)
    (why,) = [message for message in caplog.messages if "because" in message]
    assert "spec.count: was 3, now 4" in why
    assert "spec.settings.factor: was 1, now 2" in why
    caplog.clear()
    Count(count=4, settings=Settings(factor=2))(context)
    assert not [message for message in caplog.messages if "because" in message]


def test_an_artifact_that_is_not_intact_is_made_again(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    Count(count=3)(context)
    monkeypatch.setattr(Count, "is_intact", lambda *_: False)
    assert Count(count=3)(context).records[0].computed == 3


class WrongType(ArtifactStep[Numbers]):
    def make(self, context: Context, output: Output) -> Numbers:
        return 3  # type: ignore[return-value]


class WrongArtifact(ArtifactStep[Numbers]):
    def make(self, context: Context, output: Output) -> Numbers:
        return Numbers(key="another", total=1)


class NoPart(ArtifactStep[Numbers]):
    def make(self, context: Context, output: Output) -> Numbers:
        return output.finish(Numbers, total=0)


class WrongResult(Step[str]):
    def run(self, context: Context) -> str:
        return b"bytes"  # type: ignore[return-value]


class NotNone(Step[None]):
    def run(self, context: Context) -> None:
        return 1  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (WrongType(), "step WrongType: it returned a int and declares Numbers"),
        (WrongArtifact(), "step WrongArtifact: it returned the artifact another and was to make"),
        (NoPart(), "artifact numbers: it finished without a part and without a document"),
        (WrongResult(), "step WrongResult: it returned a bytes and declares str"),
        (NotNone(), "step NotNone: it returned a int and declares NoneType"),
    ],
)
def test_a_step_that_returns_something_else_than_it_declares_is_one_clear_error(
    context: Context, step: Step[Any], message: str
) -> None:
    with pytest.raises(StepContractError, match=message):
        step(context)
    assert context.artifacts.store.list("artifacts") == []


def test_a_handle_keeps_its_facts_in_the_manifest(context: Context) -> None:
    made = Count(count=2)(context).result
    manifest = context.artifacts.manifest(made.stored)
    assert manifest.summary == {"total": 1}
    assert Numbers.of_manifest(manifest) == made
    assert manifest.payload == Count(count=2).payload


def test_a_step_done_within_another_one_is_accounted_for(context: Context) -> None:
    class Outer(Step[Numbers]):
        def run(self, context: Context) -> Numbers:
            return context.do(Count(count=3))

    done = Outer()(context)
    assert [(record.step, record.computed) for record in done.records] == [("count", 3), ("outer", 0)]
    assert Sum(numbers=done.result)(context).result == 3


def test_settings_of_the_runtime_cannot_be_a_field_that_counts() -> None:
    class Leaky(ArtifactStep[Numbers]):
        runtime: Runtime

    with pytest.raises(TypeError, match="comes from the environment"):
        _ = Leaky(runtime=Runtime()).key


def test_leaving_a_field_out_needs_its_reason() -> None:
    with pytest.raises(TypeError, match="reason"):
        Annotated[int, NotIdentity("")]


def test_what_has_no_canonical_text_cannot_be_a_field() -> None:
    class WithArray(ArtifactStep[Numbers]):
        rows: np.ndarray

    with pytest.raises(TypeError, match="rows: a ndarray has no canonical text"):
        _ = WithArray(rows=np.zeros(2)).key


def test_names_follow_the_class() -> None:
    class EmbedAllTexts(Step[None]):
        kind: ClassVar[str] = ""

    assert (EmbedAllTexts().name, EmbedAllTexts().title) == ("embed_all_texts", "embed-all-texts")
    assert issubclass(Numbers, ArtifactHandle)
