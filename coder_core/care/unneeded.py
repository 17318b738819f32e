"""What nobody needs in a store, whatever its age: left behind, unfinished, unpublished, or referred to by nobody.

An artifact is needed when a published run lists it, when a needed one was made from it, or when a young one was: the
run that made the young one may still be going and have found the old one in the store.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from coder_core.storage.care.layout import Layout, has_manifest, is_published, latest_write
from coder_core.storage.care.references import keys_of_runs, reachable, read_inputs
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.manifest import load_manifest, part_path
from coder_core.storage.refusals import UnexpectedContentError
from coder_core.storage.store import Store


class Unneeded(NamedTuple):
    """Files that belong together: the file or folder to name, why nobody needs them, and the files."""

    path: str
    reason: str
    files: list[StoredFile]


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
    for run_id, files in layout.runs.items():
        if not is_published(files):
            yield Unneeded(f"tables/*/run_id={run_id}", "the run was never published", files)
    finished = {folder: files for folder, files in layout.artifacts.items() if has_manifest(files)}
    for folder in sorted(layout.artifacts.keys() - finished.keys()):
        yield Unneeded(folder, "it was never finished", layout.artifacts[folder])
    needed = _needed_keys(store, layout, finished, young_after)
    for folder, files in finished.items():
        if folder.rpartition("/")[2] not in needed:
            yield Unneeded(folder, "no published run refers to it", files)
        elif unnamed := _unnamed_parts(store, folder, files):
            yield Unneeded(folder, "its manifest does not name these parts", unnamed)


def _needed_keys(
    store: Store, layout: Layout, finished: Mapping[str, list[StoredFile]], young_after: datetime
) -> set[str]:
    inputs = read_inputs(store, finished)
    young = {folder.rpartition("/")[2] for folder, files in finished.items() if _is_young(files, young_after)}
    published = [run_id for run_id, files in layout.runs.items() if is_published(files)]
    wanted = reachable(young, inputs) - young  # a young artifact needs its inputs; it is not needed for being young
    return reachable(keys_of_runs(store, layout, published) | wanted, inputs)


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
