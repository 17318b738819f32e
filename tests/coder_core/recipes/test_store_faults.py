"""All steps on a store that fails: what goes wrong is told in one clear error, and a rerun ends as if nothing had."""

import errno
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.care.repairing import repair_store
from coder_core.care.verifying import verify_store
from coder_core.errors import StoreError
from coder_core.pipeline import runner as runner_module
from coder_core.results.warehouse import Warehouse
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps import publish_run
from coder_core.storage import artifact_writer
from coder_core.storage.refusals import DamagedFileError, UnexpectedContentError
from coder_core.storage.store import Store
from tests.faulty_filesystem import Faults, FaultyFileSystem, disturbed
from tests.fixtures_inputs import World, write_world

from .runs import copy_store, forget_files, run_spec
from .store_snapshot import COUNTS, file_names, ledger_rows, result_rows

METHODS = ("clip", "coder")
COUNTED = frozenset(COUNTS)


class Undisturbed(NamedTuple):
    """What a run finds, and another one with another logit scale after it, where nothing goes wrong."""

    world: World
    one_run: str
    rows: dict[str, list[str]]
    rows_again: dict[str, list[str]]

    def spec(self, **changes: Any) -> EvalSpec:
        return self.world.spec(methods=METHODS, **changes)

    def copy_store(self, to: Runtime) -> Runtime:
        """Fill a store as one run has filled it."""
        copy_store(Runtime(store=self.one_run), to)
        return to


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    world = write_world(folder / "world", images_per_class=6)
    one, two = (Runtime(store=f"memory://{folder.name}-{name}", device="cpu") for name in ("one", "two"))
    run_spec(world.spec(methods=METHODS), one, "run-1")
    copy_store(one, two)
    run_spec(world.spec(methods=METHODS, logit_scale=50.0), two, "run-2")
    rows, again = result_rows(one.store, "run-1", without=COUNTED), result_rows(two.store, "run-2", without=COUNTED)
    yield Undisturbed(world, one.store, rows, again)
    forget_files(MemoryFileSystem, folder.name)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits before further tries of a step, which are not waited for."""
    found: list[float] = []
    monkeypatch.setattr(runner_module, "_wait", found.append)
    return found


@pytest.fixture
def faulty() -> Iterator[Runtime]:
    """An empty store on a file system that fails on purpose."""
    root = uuid.uuid4().hex
    yield Runtime(store=f"faulty://{root}/store", device="cpu")
    forget_files(FaultyFileSystem, root)


@pytest.mark.slow
def test_a_store_that_fails_every_tenth_write_ends_with_the_same_rows(
    undisturbed: Undisturbed, faulty: Runtime
) -> None:
    with disturbed(Faults(every=10)) as faults:
        run_spec(undisturbed.spec(), faulty)
    assert faults.failures >= 3
    assert result_rows(faulty.store, "run-1", without=COUNTED) == undisturbed.rows
    assert ledger_rows(faulty.store) == ledger_rows(undisturbed.one_run)
    assert file_names(faulty.store) == file_names(undisturbed.one_run)
    assert verify_store(Store(faulty.store)).findings == ()


@pytest.mark.slow
def test_inputs_and_a_store_of_which_reads_fail_at_random_end_with_the_same_rows(
    undisturbed: Undisturbed, faulty: Runtime
) -> None:
    inputs, folder = FaultyFileSystem(), uuid.uuid4().hex
    for path in undisturbed.world.folder.iterdir():
        inputs.pipe_file(f"/{folder}/{path.name}", path.read_bytes())
    settings = undisturbed.world.settings
    dataset = {**settings["dataset"], "path": f"faulty://{folder}/images.npz"}
    texts = {**settings["texts"], "bank": f"faulty://{folder}/bank.yaml"}
    with disturbed(Faults(failing_reads=0.05)) as faults:
        run_spec(undisturbed.spec(dataset=dataset, texts=texts), faulty)
    assert faults.failures >= 20, faults.reads
    found = result_rows(faulty.store, "run-1", without=COUNTED)
    assert {**found, "runs": undisturbed.rows["runs"]} == undisturbed.rows, "the row of the run holds other paths"
    assert ledger_rows(faulty.store) == ledger_rows(undisturbed.one_run)
    forget_files(FaultyFileSystem, folder)


@pytest.mark.slow
def test_a_read_only_store_is_refused_at_the_door_and_can_still_be_read(
    undisturbed: Undisturbed, faulty: Runtime
) -> None:
    run_spec(undisturbed.spec(), faulty)
    store = Store(faulty.store)
    with disturbed(Faults(is_read_only=True)) as faults:
        with pytest.raises(StoreError, match=r"The store cannot be written.*choose another store root") as error:
            run_spec(undisturbed.spec(), faulty, "run-2")
        assert faults.writes == 1, "what will not pass is not tried again"
        assert verify_store(store).findings == ()
        assert Warehouse(store).query("SELECT count(*) FROM runs").rows == [(1,)]
    assert error.value.place == faulty.store


@pytest.mark.parametrize("share", [0.05, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.4, 0.8, 0.99))])
def test_a_store_that_fills_up_shows_nothing_half_and_the_rerun_finishes(
    undisturbed: Undisturbed, faulty: Runtime, share: float
) -> None:
    needed = sum(file.size for file in Store(undisturbed.one_run).list_files())
    with (
        disturbed(Faults(space_bytes=int(share * needed))),
        pytest.raises(StoreError, match="Free some space") as error,
    ):
        run_spec(undisturbed.spec(), faulty)
    assert faulty.store in error.value.place
    assert Warehouse(Store(faulty.store)).query("SELECT count(*) FROM runs").rows == [(0,)]
    assert verify_store(Store(faulty.store)).damage == []
    run_spec(undisturbed.spec(), faulty)
    assert result_rows(faulty.store, "run-1", without=COUNTED) == undisturbed.rows
    assert ledger_rows(faulty.store) == ledger_rows(undisturbed.one_run)


class Damage(NamedTuple):
    """A kind of file, and whether the same evaluation, run again with another logit scale, reads it."""

    prefix: str
    suffix: str
    is_read: bool


DAMAGES = [
    Damage("artifacts/classes/", "manifest.json", True),
    Damage("artifacts/text_bank/", "manifest.json", True),
    Damage("artifacts/texts/", ".parquet", True),
    Damage("artifacts/text_embeddings/", ".parquet", True),
    Damage("artifacts/image_embeddings/", ".parquet", True),
    Damage("artifacts/image_embeddings/", "manifest.json", True),
    Damage("artifacts/images/", "manifest.json", True),
    Damage("artifacts/images/", ".parquet", False),
    Damage("artifacts/labels/", ".parquet", True),
    Damage("artifacts/ignored/", ".parquet", True),
    Damage("artifacts/classifier/", ".parquet", False),
    Damage("artifacts/predictions/", ".parquet", False),
    Damage("artifacts/measurement/", ".parquet", False),
    Damage("artifacts/coder_matrix/", ".parquet", False),
    Damage("ledgers/text_embeddings/", ".parquet", True),
    Damage("ledgers/image_embeddings/", ".parquet", True),
]

EXAMPLES = (DAMAGES[0], DAMAGES[-2])
"""For those in a hurry: a document and vectors."""


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("damage", "harm"),
    [
        pytest.param(damage, harm, marks=[] if damage in EXAMPLES else pytest.mark.slow)
        for damage, harm in [*zip(DAMAGES, cycle([flip, truncate]), strict=False), (DAMAGES[-2], truncate)]
    ],
    ids=lambda value: value.__name__ if callable(value) else value.prefix + value.suffix,
)
def test_a_damaged_file_is_named_and_the_plain_rerun_makes_it_again(
    undisturbed: Undisturbed, runtime: Runtime, damage: Damage, harm: Callable[[bytes], bytes]
) -> None:
    undisturbed.copy_store(runtime)
    store = Store(runtime.store)
    before = ledger_rows(runtime.store)
    path = next(path for path in store.list() if path.startswith(damage.prefix) and path.endswith(damage.suffix))
    sound = store.read_bytes(path)
    store.write_bytes(path, harm(sound))
    assert [finding.path for finding in verify_store(store).damage] == [path]

    errors = run_until_it_ends(undisturbed.spec(logit_scale=50.0), runtime)
    assert [error.place for error in errors] == [store.url(path)] * damage.is_read
    assert all(isinstance(error, DamagedFileError) and "run again" in error.remedy for error in errors)
    if not damage.is_read:
        [finding] = repair_store(store).damage
        assert finding.path == path
        assert "moved to damaged/" in finding.remedy
        run_spec(undisturbed.spec(), runtime, "run-3")
    assert verify_store(store).damage == []
    assert harm(sound) in [store.read_bytes(copy) for copy in store.list("damaged")]
    assert ledger_rows(runtime.store) == before
    assert result_rows(runtime.store, "run-2", without=COUNTED) == undisturbed.rows_again


def run_until_it_ends(spec: EvalSpec, runtime: Runtime) -> list[StoreError]:
    """Run again after every error, as a user would; returns the errors."""
    errors = []
    for _ in range(3):
        try:
            run_spec(spec, runtime, "run-2")
        except StoreError as error:
            errors.append(error)
        else:
            return errors
    raise AssertionError(errors)


@pytest.mark.parametrize("harm", [flip, pytest.param(truncate, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "table", ["runs", *(pytest.param(table, marks=pytest.mark.slow) for table in ("metrics", "predictions"))]
)
def test_a_damaged_result_is_named_withdrawn_and_published_again(
    undisturbed: Undisturbed, runtime: Runtime, table: str, harm: Callable[[bytes], bytes]
) -> None:
    undisturbed.copy_store(runtime)
    store = Store(runtime.store)
    path = next(path for path in store.list(f"tables/{table}") if path.endswith(".parquet"))
    store.write_bytes(path, harm(store.read_bytes(path)))
    with pytest.raises(UnexpectedContentError, match="not what was published") as error:
        Warehouse(store).query(f"SELECT * FROM {table}")
    assert error.value.place == store.url(path)
    assert [finding.path for finding in verify_store(store).damage] == [path]
    [finding] = repair_store(store).damage
    assert "run-1 was withdrawn" in finding.remedy
    assert Warehouse(store).query("SELECT count(*) FROM runs").rows == [(0,)]
    assert verify_store(store).damage == []
    second = run_spec(undisturbed.spec(), runtime, "run-2").result
    assert (second.images_embedded, second.texts_embedded) == (0, 0), "everything it is made from is still there"
    assert result_rows(runtime.store, "run-2", without=COUNTED) == undisturbed.rows


@pytest.mark.slow
def test_no_key_and_no_order_depends_on_the_clock(
    undisturbed: Undisturbed, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000))

    class BackwardsClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # noqa: ARG003
            return datetime(2030, 1, 1, tzinfo=UTC) - timedelta(hours=next(clock))

    for module in (artifact_writer, publish_run, runner_module):
        monkeypatch.setattr(module, "datetime", BackwardsClock)
    run_spec(undisturbed.spec(), runtime)
    assert next(clock) > 10
    assert file_names(runtime.store) == file_names(undisturbed.one_run)
    assert result_rows(runtime.store, "run-1", without=COUNTED) == undisturbed.rows


def test_a_disk_that_takes_no_more_bytes_keeps_nothing_half(tmp_path: Path) -> None:
    """A limit that the kernel enforces in the middle of a write, as a full disk does."""
    import resource

    store = Store(str(tmp_path / "store"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        for write in (store.write_bytes, store.create_bytes):
            with pytest.raises(StoreError) as error:
                write("file", b"x" * 10_000)
            assert isinstance(error.value.__cause__, OSError)
            assert error.value.__cause__.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "store").iterdir()] == []
