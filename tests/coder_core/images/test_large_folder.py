"""A folder of 200,000 files is listed in bounded memory, and says how far it is while that takes."""

import logging
import os
from pathlib import Path

import psutil
import pytest

from coder_core import progress
from coder_core.images.listing import list_folder
from coder_core.specs import FolderDataset

FILES, FOLDERS = 200_000, 200
MOST_BYTES_A_FILE = 2_000
"""An id, a location, a token and a label, and as much again while they are sorted and put into columns."""


@pytest.mark.slow
@pytest.mark.thorough
def test_two_hundred_thousand_files_are_listed_with_progress_and_within_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in range(FOLDERS):
        place = tmp_path / f"class {folder:03d}"
        place.mkdir()
        for number in range(FILES // FOLDERS):
            os.close(os.open(f"{place}/{number:05d}.jpg", os.O_CREAT | os.O_WRONLY))
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    caplog.set_level(logging.INFO, logger="coder_core.progress")
    process = psutil.Process()
    before = process.memory_info().rss
    found = list_folder(FolderDataset(kind="folder", path=str(tmp_path)))
    grown = process.memory_info().rss - before
    assert (len(found.image_ids), len(found.classes)) == (FILES, FOLDERS)
    assert found.label_ids.tolist() == [number // (FILES // FOLDERS) for number in range(FILES)]
    assert grown < MOST_BYTES_A_FILE * FILES
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == FILES // 1_000
    assert told[99].startswith("listing files: 100,000 files, ")
