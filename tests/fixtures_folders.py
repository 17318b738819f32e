"""Folders as users have them: with links, pipes, names of every kind, and without permission."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65_534

ODD_NAMES = (
    "photos [2024]",
    "a*b?.jpg",
    'it\'s "quoted".jpg',
    "two\nlines.jpg",
    "tab\there.jpg",
    "back\\slash.jpg",
    "100%25.jpg",
    "#1 & 2=3;4.jpg",
    "\U0001f427 \u05d0\u05d1\u05d2 \u202eabc.jpg",
    "e\u0301t\u00e9.jpg",
    " blank at both ends ",
    "{braces} $HOME ~.jpg",
    "n" * 251 + ".jpg",
)
"""Names that shells, globs and URLs stumble over; every one is a valid name on a Linux disk."""


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of its own; the test runs as a user without privileges, for root may read everything."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)
