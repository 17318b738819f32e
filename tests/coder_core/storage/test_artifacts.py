import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from coder_core.errors import StoreError
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore, artifact_key
from coder_core.storage.refusals import DamagedFileError
from coder_core.storage.store import Store


class Spec(BaseModel):
    template: str = "a photo of {class}"
    seed: int = 1


def payload(**changes: Any) -> ArtifactPayload:
    fields = {"kind": "texts", "step_version": 1, "spec": Spec(), "inputs": {"classes": "abc"}}
    return ArtifactPayload(**(fields | changes))


def table(start: int, stop: int) -> pa.Table:
    return pa.table({"row": list(range(start, stop)), "text": [f"text {row}" for row in range(start, stop)]})


def write(store: Store, wanted: ArtifactPayload | None = None) -> Artifact:
    writer = ArtifactStore(store).writer(wanted or payload())
    writer.write_part("part-000000000-000000003", table(0, 3))
    writer.write_part("part-000000003-000000005", table(3, 5))
    return writer.commit({"classes": 2, "share": 0.5, "who": "me"})


def test_what_is_committed_is_found_and_read(store: Store) -> None:
    artifacts = ArtifactStore(store)
    assert artifacts.find(payload()) is None
    artifact = write(store)
    assert artifacts.find(payload()) == artifact
    assert artifact.rows == 5
    assert artifact.summary == {"classes": 2, "share": 0.5, "who": "me"}
    assert artifacts.read(artifact).to_pydict() == table(0, 5).to_pydict()
    assert artifacts.read(artifact, ["row"]).to_pydict() == {"row": [0, 1, 2, 3, 4]}
    artifacts.verify(artifact)
    manifest = artifacts.manifest(artifact)
    assert manifest.payload == payload()
    assert manifest.columns == {"row": "int64", "text": "string"}
    assert [part.rows for part in manifest.parts] == [3, 2]


def test_a_handle_travels_as_json() -> None:
    artifact = Artifact(kind="texts", key="k", rows=3, summary={"a": 1, "b": 0.5, "c": "d"})
    assert Artifact.model_validate_json(artifact.model_dump_json()) == artifact
    with pytest.raises(ValidationError):
        artifact.rows = 4  # type: ignore[misc]


def test_a_payload_survives_the_manifest(disk_store: Store) -> None:
    wanted = payload(spec={"a": (1, 2.5, None), "b": {"c": True}})
    artifact = write(disk_store, wanted)
    assert artifact_key(ArtifactStore(disk_store).manifest(artifact).payload) == artifact_key(wanted) == artifact.key


def test_the_key_is_that_of_the_four_fields_alone() -> None:
    same = payload(spec={"seed": 1, "template": "a photo of {class}"})
    assert artifact_key(same) == artifact_key(payload())


@pytest.mark.parametrize(
    "change",
    [{"kind": "other"}, {"step_version": 2}, {"spec": Spec(seed=2)}, {"inputs": {"classes": "abd"}}, {"inputs": {}}],
)
def test_every_field_of_a_payload_changes_the_key(change: dict[str, Any]) -> None:
    assert artifact_key(payload(**change)) != artifact_key(payload())


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4))
def test_the_order_of_a_specs_fields_does_not_change_the_key(spec: dict[str, Any]) -> None:
    turned = dict(reversed(spec.items()))
    assert artifact_key(payload(spec=turned)) == artifact_key(payload(spec=spec))


def test_a_spec_that_cannot_be_hashed_is_refused() -> None:
    with pytest.raises(TypeError, match=r"spec\.kinds: a set has no canonical text"):
        payload(spec={"kinds": {"a"}})


@pytest.mark.parametrize("kind", ["", "../x", "A", "a/b", ".a"])
def test_a_kind_that_is_no_plain_name_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError):
        payload(kind=kind)


def test_parts_without_a_manifest_are_nothing(store: Store) -> None:
    ArtifactStore(store).writer(payload()).write_part("part-0", table(0, 3))
    assert ArtifactStore(store).find(payload()) is None
    with pytest.raises(StoreError, match="not in the store"):
        ArtifactStore(store).read(Artifact(kind="texts", key=artifact_key(payload()), rows=3))


def test_a_part_that_the_manifest_does_not_name_is_ignored(disk_store: Store) -> None:
    ArtifactStore(disk_store).writer(payload()).write_part("part-000000000-000000005", table(0, 5))
    artifact = write(disk_store)
    ArtifactStore(disk_store).writer(payload()).write_part("part-999", table(7, 9))
    assert ArtifactStore(disk_store).read(artifact).column("row").to_pylist() == [0, 1, 2, 3, 4]
    assert ArtifactStore(disk_store).find(payload()) == artifact


def test_an_interrupted_artifact_goes_on_where_it_stopped(disk_store: Store) -> None:
    ArtifactStore(disk_store).writer(payload()).write_part("part-0", table(0, 3))
    writer = ArtifactStore(disk_store).writer(payload())
    record = writer.found_part("part-0")
    assert record is not None
    assert record.rows == 3
    assert writer.found_part("part-1") is None
    writer.write_part("part-1", table(3, 5))
    artifact = writer.commit()
    assert ArtifactStore(disk_store).read(artifact).num_rows == 5
    ArtifactStore(disk_store).verify(artifact)


def test_parts_of_several_processes_are_committed_by_name_or_by_record(disk_store: Store) -> None:
    sent = pickle.dumps(ArtifactStore(disk_store).writer(payload()))
    first, second, chief = (pickle.loads(sent) for _ in range(3))  # noqa: S301 (our own bytes)
    first.write_part("part-0", table(0, 3))
    record = second.write_part("part-1", table(3, 5))
    chief.adopt([record])
    artifact = chief.commit(parts=["part-1", "part-0"])
    assert ArtifactStore(disk_store).read(artifact).to_pydict() == table(0, 5).to_pydict()
    ArtifactStore(disk_store).verify(artifact)


def test_a_part_that_is_there_stays_as_it_is(disk_store: Store) -> None:
    artifact = write(disk_store)
    late = ArtifactStore(disk_store).writer(payload())
    record = late.write_part("part-000000000-000000003", table(100, 103))
    assert record == ArtifactStore(disk_store).manifest(artifact).parts[0]
    assert late.commit() == artifact
    ArtifactStore(disk_store).verify(artifact)


def test_an_artifact_needs_a_part_and_an_empty_table_is_one(disk_store: Store) -> None:
    writer = ArtifactStore(disk_store).writer(payload())
    with pytest.raises(StoreError, match="Write an empty table"):
        writer.commit()
    writer.write_part("part-0", table(0, 0))
    artifact = writer.commit()
    assert artifact.rows == 0
    assert ArtifactStore(disk_store).read(artifact).schema.names == ["row", "text"]


def test_batches_hold_at_most_the_asked_rows(store: Store) -> None:
    batches = list(ArtifactStore(store).iter_batches(write(store), ["row"], rows=2))
    assert [batch.column("row").to_pylist() for batch in batches] == [[0, 1], [2], [3, 4]]


def test_a_document_is_an_artifact_without_a_table(store: Store) -> None:
    artifacts = ArtifactStore(store)
    artifact = artifacts.write_document(payload(), {"threshold": 0.25, "pairs": [["a", "b"]]})
    assert artifacts.find(payload()) == artifact
    assert artifacts.read_document(artifact) == {"threshold": 0.25, "pairs": [["a", "b"]]}
    with pytest.raises(StoreError, match="Use `read`"):
        artifacts.read_document(write(store, payload(kind="table")))


def test_a_changed_part_is_found_by_verify(disk_store: Store) -> None:
    artifact = write(disk_store)
    [path, *_] = [path for path in disk_store.list() if path.endswith("3.parquet")]
    content = disk_store.read_bytes(path)
    disk_store.write_bytes(path, content[:-1] + b"?")
    with pytest.raises(DamagedFileError, match="sha256 differs") as error:
        ArtifactStore(disk_store).verify(artifact)
    assert error.value.place == disk_store.url(path)
    assert write(disk_store) == artifact
    disk_store.delete(path)
    with pytest.raises(DamagedFileError, match="it is not there"):
        ArtifactStore(disk_store).verify(artifact)
    assert write(disk_store) == artifact
    ArtifactStore(disk_store).verify(artifact)


@pytest.mark.parametrize(
    "damage", [lambda text: text[:50], lambda _text: "{}", lambda text: text.replace('"seed": 1', '"seed": 2')]
)
def test_a_damaged_manifest_is_refused_with_its_name(disk_store: Store, damage: Any) -> None:
    artifact = write(disk_store)
    path = Path(disk_store.root, "artifacts", "texts", artifact.key, "manifest.json")
    path.write_text(damage(path.read_text()))
    content = path.read_bytes()
    with pytest.raises(DamagedFileError, match=r"moved to damaged/.*run again") as error:
        ArtifactStore(disk_store).find(payload())
    assert error.value.place == str(path)
    [copy] = disk_store.list("damaged")
    assert disk_store.read_bytes(copy) == content
    assert ArtifactStore(disk_store).find(payload()) is None
    assert write(disk_store) == artifact


def test_a_manifest_is_readable_json(disk_store: Store) -> None:
    artifact = write(disk_store)
    manifest = json.loads(disk_store.read_bytes(f"artifacts/texts/{artifact.key}/manifest.json"))
    assert manifest["payload"]["spec"] == {"template": "a photo of {class}", "seed": 1}
    assert len(manifest["parts"][0]["sha256"]) == 64


def test_a_miss_names_the_field_that_differs_from_what_the_step_made_last(store: Store) -> None:
    artifacts = ArtifactStore(store)
    assert artifacts.explain_miss(payload(), "write_texts") == "write_texts has made none yet"
    artifacts.note_latest(write(store), "write_texts")
    artifacts.note_latest(write(store, payload(spec=Spec(seed=7), inputs={"classes": "xyz"})), "write_other_texts")
    reason = artifacts.explain_miss(payload(spec=Spec(seed=2)), "write_texts")
    assert reason.startswith("spec.seed: was 1, now 2 (compared with texts ")
    assert "inputs.classes" in artifacts.explain_miss(payload(), "write_other_texts")
