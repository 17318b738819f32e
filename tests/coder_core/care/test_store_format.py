"""An older store is opened, told once, and left as it is; a newer one is left alone."""

import logging
from pathlib import Path

import pytest

from coder_core.care.file_roles import Role, read_role
from coder_core.care.store_format import FORMAT, FORMAT_FILE, note_format
from coder_core.errors import StoreError
from coder_core.pipeline.context import Context
from coder_core.specs import Runtime
from coder_core.steps.preflight import CheckStore
from coder_core.storage.store import Store

OLD_FILES = {
    "tables/runs/run_id=flags-1/main.parquet": b"a row",
    "artifacts/classes/" + "a" * 64 + "/manifest.json": b"{}",
    "ledgers/text_embeddings/" + "b" * 64 + "/part.parquet": b"vectors",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_store_of_the_first_version_is_told_once_and_left_as_it_is(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for path, content in OLD_FILES.items():
        store.write_bytes(path, content)
    context = Context.open(Runtime(store=str(store.address.path), device="cpu"))
    with caplog.at_level(logging.WARNING):
        CheckStore().run(context)
        CheckStore().run(context)
    (record,) = caplog.records
    assert "written by coder-eval 0.1" in record.getMessage()
    assert "computed once more" in record.getMessage()
    assert {path: store.read_bytes(path) for path in OLD_FILES} == OLD_FILES


@pytest.mark.parametrize("path", OLD_FILES)
def test_a_run_or_a_class_list_is_the_trace_of_an_older_store(store: Store, path: str) -> None:
    store.write_bytes(path, b"")
    assert (note_format(store) is None) == path.startswith("ledgers")


def test_a_new_store_is_noted_without_a_word(store: Store) -> None:
    assert note_format(store) is None
    assert store.list() == [FORMAT_FILE]
    assert read_role(FORMAT_FILE)[0] is Role.NOTE
    store.write_bytes("artifacts/classes/" + "a" * 64 + "/manifest.json", b"{}")
    assert note_format(store) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"format": %d}' % (FORMAT + 1), "this version knows"),
        (b'{"format": "x"}', "this version knows"),
        (b"[]", "no note"),
        (b"\xff", "no note"),
        (b"{", "no note"),
    ],
)
def test_a_store_that_this_version_does_not_know_is_left_alone(store: Store, content: bytes, problem: str) -> None:
    store.write_bytes(FORMAT_FILE, content)
    with pytest.raises(StoreError, match=problem) as caught:
        note_format(store)
    assert FORMAT_FILE in str(caught.value)
    assert store.read_bytes(FORMAT_FILE) == content
