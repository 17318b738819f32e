"""A folder of 200,000 files is listed in bounded memory, and says how far it is while that takes."""

import logging
from collections.abc import Iterator

import fsspec
import psutil
import pytest

from coder_core import progress
from coder_core.images.listing import list_folder
from coder_core.specs import FolderDataset

FILES, FOLDERS = 200_000, 200
MOST_BYTES_A_FILE = 2_000
"""An id, a location, a token and a label, and as much again while they are sorted and put into columns."""


@pytest.fixture
def many() -> Iterator[str]:
    """The folder; in memory, because making so many files takes a busy disk minutes."""
    files = fsspec.filesystem("memory")
    for folder in range(FOLDERS):
        for number in range(FILES // FOLDERS):
            files.pipe_file(f"/many/class {folder:03d}/{number:05d}.jpg", b"x")
    try:
        yield "memory://many"
    finally:
        for place in [place for place in files.store if place.startswith("/many/")]:
            del files.store[place]  # its own `rm` looks at every file for every file


@pytest.mark.slow
@pytest.mark.thorough
def test_two_hundred_thousand_files_are_listed_with_progress_and_within_memory(
    many: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    caplog.set_level(logging.INFO, logger="coder_core.progress")
    process = psutil.Process()
    before = process.memory_info().rss
    found = list_folder(FolderDataset(kind="folder", path=many))
    grown = process.memory_info().rss - before
    assert (len(found.image_ids), len(found.classes)) == (FILES, FOLDERS)
    assert found.label_ids.tolist() == [number // (FILES // FOLDERS) for number in range(FILES)]
    assert grown < MOST_BYTES_A_FILE * FILES
    told = {record.getMessage().partition(" files, ")[0] for record in caplog.records}
    assert {f"listing files: {count:,}" for count in range(1_000, FILES + 1, 1_000)} <= told
