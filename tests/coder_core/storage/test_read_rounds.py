"""Reads that fail for a moment: tried again from where they began; what will not pass is told at once."""

import ast
import errno
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import coder_core
from coder_core.errors import InputError
from coder_core.storage import read_rounds
from coder_core.storage.input_files import open_input, read_input
from coder_core.storage.input_tables import read_feature_file
from coder_core.storage.read_rounds import PatientFile, read_in_rounds
from tests.faulty_filesystem import Faults, FaultyFileSystem, disturbed

THREADED = frozenset({"read", "read_row_group", "read_row_groups", "iter_batches", "to_batches"})


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(read_rounds.time, "sleep", waited.append)
    return waited


def failing(errors: list[Exception]) -> Callable[[], str]:
    def read() -> str:
        if errors:
            raise errors.pop(0)
        return "content"

    return read


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "reset"),
        TimeoutError("silent"),
        OSError(errno.EIO, "stutter"),
        OSError(errno.ESTALE, "a network disk"),
        OSError(errno.EMFILE, "too many open files"),
    ],
    ids=lambda error: type(error).__name__ + str(error.errno),
)
def test_what_may_pass_is_read_again_and_waited_for_longer_each_time(error: OSError, pauses: list[float]) -> None:
    assert read_in_rounds(failing([error, error, error])) == "content"
    assert pauses == [0.2, 1.0, 5.0]
    with pytest.raises(type(error)):
        read_in_rounds(failing([error] * 4))


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "not yours"),
        ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens"),
        IsADirectoryError(errno.EISDIR, "a folder"),
        OSError(errno.ENAMETOOLONG, "long"),
        ValueError("no URL"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_will_not_pass_is_told_at_once(error: Exception, pauses: list[float]) -> None:
    with pytest.raises(type(error)):
        read_in_rounds(failing([error]))
    assert pauses == []


def test_an_open_file_is_read_on_from_where_a_piece_failed(pauses: list[float]) -> None:
    class Stuttering(io.BytesIO):
        """Moves on before it fails, every second time."""

        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            piece = super().read(size)
            if self.reads % 2:
                raise ConnectionResetError(errno.ECONNRESET, "reset")
            return piece

    content = bytes(range(256))
    with PatientFile(Stuttering(content)) as file:
        assert b"".join(iter(lambda: file.read(10), b"")) == content
        assert (file.seek(-6, 2), file.read(), file.seek(3), bytes(file.read(2))) == (
            250,
            content[-6:],
            3,
            content[3:5],
        )
    assert set(pauses) == {0.2}


def test_an_input_of_which_reads_fail_at_random_is_read() -> None:
    FaultyFileSystem().pipe_file("/inputs/names.txt", b"cat\nfox\n")
    with disturbed(Faults(failing_reads=0.3)) as faults:
        for _ in range(40):
            assert read_input("faulty://inputs/names.txt", max_bytes=100) == b"cat\nfox\n"
            with open_input("faulty://inputs/names.txt") as file:
                assert file.read() == b"cat\nfox\n"
    assert faults.failures > 10
    with disturbed(Faults(failing_reads=1.0)), pytest.raises(InputError, match="reset by peer"):
        read_input("faulty://inputs/names.txt")


def test_no_reader_over_a_file_of_python_uses_threads_of_arrow() -> None:
    """Such a thread gives a buffer back while the interpreter ends, now and then: exit status 134."""
    root = Path(coder_core.__file__).parent
    sources = {path: path.read_text("utf-8") for path in sorted(root.rglob("*.py"))}
    readers = {path: text for path, text in sources.items() if "ParquetFile(" in text or "open_parquet(" in text}
    calls = [(path, call) for path, text in readers.items() for call in ast.walk(ast.parse(text)) if is_reading(call)]
    threaded = [f"{path.relative_to(root)}:{call.lineno}" for path, call in calls if not is_unthreaded(call)]
    assert (len(calls) >= 10, threaded) == (True, [])
    assert not [path for path, text in sources.items() if "pq.read_table(" in text or "pyarrow.dataset" in text]


def is_reading(node: ast.AST) -> bool:
    """A call that reads rows of a Parquet file: those of artifacts have other names before the dot."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in THREADED:
        return False
    is_of_rows = node.func.attr != "read" or any(word.arg == "columns" for word in node.keywords)
    return is_of_rows and "artifacts" not in ast.unparse(node.func.value)


def is_unthreaded(call: ast.AST) -> bool:
    words = call.keywords if isinstance(call, ast.Call) else []
    return any(word.arg == "use_threads" and ast.unparse(word.value) == "False" for word in words)


@pytest.mark.parametrize("name", ["features.npz", "features.parquet"])
def test_a_network_that_fails_is_no_damaged_file(name: str, tmp_path: Path, pauses: list[float]) -> None:
    """Though a parser stands between the two, and takes every error for one of the file."""
    arrays = {"features": np.zeros((3, 2), np.float32)}
    if name.endswith("npz"):
        np.savez(tmp_path / name, **arrays)
    else:
        pq.write_table(pa.table({"features": list(arrays["features"])}), tmp_path / name)

    class Reset(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    place = f"faulty://inputs/{name}"
    with pytest.MonkeyPatch.context() as network:
        network.setattr(FaultyFileSystem, "open", lambda *_args, **_options: Reset((tmp_path / name).read_bytes()))
        with pytest.raises(InputError, match="reset by peer") as error:
            read_feature_file(place, ["features"])
    assert (type(error.value), pauses[:3]) == (InputError, [0.2, 1.0, 5.0])
