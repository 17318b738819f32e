"""Get a data set: fetch its files, unpack them beside their place, and give the folder its name when it is whole."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.fetching import FetchLimits, fetch
from coder_core.datasets.places import data_root, locate
from coder_core.datasets.published_files import Download, PublishedFile, download_of
from coder_core.datasets.status import look_at_datasets
from coder_core.datasets.unpacking import unpack
from coder_core.errors import ConfigError, InputError
from coder_core.progress import track
from coder_core.specs import PublishedName

__all__ = ["get_dataset", "install"]

ARCHIVES = "downloads"
"""The folder below the data root that files are fetched into."""
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")


def get_dataset(
    name: PublishedName,
    root: str | None = None,
    *,
    limits: FetchLimits | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Path | None:
    """Fetch and unpack a data set where it is not there yet.

    Args:
        name: Which.
        root: As for `data_root`; a folder on this machine.
        limits: What each file may take.
        tell: Told what happens, in lines.

    Returns:
        Its folder; None where it was there already.

    Raises:
        ConfigError: It cannot be fetched without an account; says what to do by hand. Or `root` is no local folder.
        InputError: As for `fetch` and `unpack`; it is there, and not whole; or something else has the folder's name.
    """
    entry, place = CATALOGUE[name], data_root(root)
    if "://" in place:
        raise ConfigError("data sets are fetched to a disk.", place, "Name a local folder: --root.")
    found = locate(name, root)
    if found is not None:
        _require_whole(name, root)
        tell(f"{name}: there already, in {found.root}")
        return None
    download = download_of(name)
    if download is None:
        raise ConfigError(f"{entry.title} cannot be fetched.", name, f"By hand: {entry.by_hand}.")
    tell(f"{name}: {entry.title}, {entry.gigabytes:.2f} GB to {place}; terms: {entry.terms} ({entry.page})")
    folder = install(download, Path(place), limits=limits)
    tell(f"{name}: in {folder}" + (f"; {entry.by_hand}" if entry.by_hand else ""))
    return folder


def _require_whole(name: PublishedName, root: str | None) -> None:
    """Refuse to call a half-extracted archive there."""
    (status,) = look_at_datasets([name], root)
    if status.state != "incomplete":
        return
    lacking = "; ".join(f"{part}: {problem}" for part, problem in status.problems.items())
    remedy = "Move it away and get it again; or take what is there: `partial: true` beside its name in a config."
    raise InputError(f"it is there, and not whole ({lacking}).", status.place or name, remedy)


def install(download: Download, root: Path, *, limits: FetchLimits | None = None) -> Path:
    """Fetch the files of a download and unpack them to their folder below a root, which appears whole or not at all.

    Raises:
        InputError: As for `fetch` and `unpack`; or something else has the folder's name.
    """
    target = root / download.folder
    if os.path.lexists(target):
        remedy = "Move it away: it may be a half-extracted archive."
        raise InputError("this folder is there, and is not the whole data set.", str(target), remedy)
    archives = root / ARCHIVES / download.folder
    archives.mkdir(parents=True, exist_ok=True)
    size = sum(file.size for file in download.files)
    with track("fetching", total=size, unit="bytes") as progress:
        fetched = [fetch(file, archives, limits=limits, advance=progress.advance) for file in download.files]
    with _built(root) as built:
        for file, archive in zip(download.files, fetched, strict=True):
            _place(file, archive, built)
        inside = built / download.top if download.top else built
        if not inside.is_dir():
            problem = f"the archive holds no folder {download.top!r}."
            raise InputError(problem, str(fetched[0]), "It is not the one that was expected.")
        _publish(inside, target)
    shutil.rmtree(archives)
    return target


def _place(file: PublishedFile, archive: Path, built: Path) -> None:
    folder = built / file.into
    folder.mkdir(parents=True, exist_ok=True)
    if not file.name.endswith(_SUFFIXES):
        shutil.copyfile(archive, folder / file.name)
        return
    # photographs hardly shrink: an archive's size is about that of what is in it
    with track("unpacking", total=archive.stat().st_size, unit="bytes") as progress:
        unpack(archive, folder, progress.advance)
        for inner in file.inner:
            unpack(folder / inner, (folder / inner).parent, progress.advance)
            (folder / inner).unlink()


@contextmanager
def _built(root: Path) -> Iterator[Path]:
    """A folder beside the place that is gone afterwards, whatever happened."""
    folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=root))
    try:
        yield folder / "whole"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(built: Path, target: Path) -> None:
    """Give the folder its name; another process that was faster keeps its own."""
    try:
        built.rename(target)
    except OSError as error:
        raise InputError(
            f"the folder cannot be named ({error.strerror}).", str(target), "Look what is there."
        ) from error
