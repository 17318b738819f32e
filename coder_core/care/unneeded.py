"""What nobody needs in a store, whatever its age: left behind, unfinished, unpublished, or referred to by nobody.

An artifact is needed when a published run lists it, when a needed one was made from it, or when a young one was: the
run that made the young one may still be going and have found the old one in the store.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from coder_core.care.file_roles import Layout, has_manifest, latest_write
from coder_core.care.references import keys_of_runs, reachable, read_inputs
from coder_core.results.catalog import Catalog, read_catalog
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.manifest import load_manifest, part_path
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store


class Unneeded(NamedTuple):
    """Files that belong together: the file or folder to name, why nobody needs them, the files, and whose run's."""

    path: str
    reason: str
    files: list[StoredFile]
    run_id: str | None = None


def list_unneeded(store: Store, layout: Layout, young_after: datetime) -> Iterator[Unneeded]:
    """Yield what nobody needs.

    Args:
        store: Whose files.
        layout: All of them.
        young_after: An artifact written later is young.

    Raises:
        StoreError: The list of artifacts of a published run cannot be read: then nobody knows what is needed.
    """
    for file in layout.temporary:
        yield Unneeded(file.path, "a killed writer left it", [file])
    catalog = read_catalog(store)
    yield from _unneeded_results(catalog, layout)
    finished = {folder: files for folder, files in layout.artifacts.items() if has_manifest(files)}
    for folder in sorted(layout.artifacts.keys() - finished.keys()):
        yield Unneeded(folder, "it was never finished", layout.artifacts[folder])
    needed = _needed_keys(catalog, finished, young_after)
    for folder, files in finished.items():
        if folder.rpartition("/")[2] not in needed:
            yield Unneeded(folder, "no published run refers to it", files)
        elif unnamed := _unnamed_parts(store, folder, files):
            yield Unneeded(folder, "its manifest does not name these parts", unnamed)


def _unneeded_results(catalog: Catalog, layout: Layout) -> Iterator[Unneeded]:
    """Yield files of runs that do not count; what belongs to merged files is for the next compaction to remove."""
    for run_id, files in layout.runs.items():
        place = f"tables/*/{run_id}.*"
        if run_id in catalog.generation.by_run:
            yield Unneeded(place, "its rows are in merged files", files, run_id)
        elif run_id not in catalog.singles:
            yield Unneeded(place, "the run was never published", files, run_id)
        elif unnamed := _unpublished_files(catalog, run_id, files):
            yield Unneeded(place, "an attempt that was interrupted left these files", unnamed, run_id)


def _unpublished_files(catalog: Catalog, run_id: str, files: list[StoredFile]) -> list[StoredFile]:
    """Pick the files that a published run did not publish, where its record tells."""
    try:
        record = catalog.records([run_id])[run_id]
    except (UnexpectedContentError, NotInStoreError):  # damage, for `verify` to name; or compacted meanwhile
        return []
    if record is None or not record.name:
        return []
    named = {file.path for file in record.files} | {catalog.singles[run_id].row.path, catalog.record_path(run_id)}
    if record.manifest:
        named.add(record.manifest.path)
    return [file for file in files if file.path not in named]


def _needed_keys(catalog: Catalog, finished: Mapping[str, list[StoredFile]], young_after: datetime) -> set[str]:
    inputs = read_inputs(catalog.store, finished)
    young = {folder.rpartition("/")[2] for folder, files in finished.items() if _is_young(files, young_after)}
    wanted = reachable(young, inputs) - young  # a young artifact needs its inputs; it is not needed for being young
    return reachable(keys_of_runs(catalog) | wanted, inputs)


def _is_young(files: Iterable[StoredFile], young_after: datetime) -> bool:
    written_at = latest_write(files)
    return written_at is None or written_at > young_after


def _unnamed_parts(store: Store, folder: str, files: Iterable[StoredFile]) -> list[StoredFile]:
    kind, key = folder.split("/")[-2:]
    try:
        manifest = load_manifest(store, kind, key)
    except UnexpectedContentError:  # damage, for `verify` to name
        return []
    if manifest is None:
        return []
    named = {part_path(kind, key, part.name) for part in manifest.parts}
    return [file for file in files if file.path.endswith(".parquet") and file.path not in named]
