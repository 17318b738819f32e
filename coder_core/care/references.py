"""Which artifacts are still of use: those that a published run was made from, and what those were made from.

The table `artifacts` of a run records kinds and keys, a manifest records the keys of its inputs. Together they reach
everything but what a run looked at and does not list (the images on which a threshold was chosen): such an artifact is
judged by its age alone, and made again when it is needed.
"""

from collections.abc import Collection, Iterable, Mapping

from coder_core.results.catalog import Catalog
from coder_core.storage.manifest import load_manifest
from coder_core.storage.refusals import UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import read_parquet

ARTIFACTS_TABLE = "artifacts"


def keys_of_runs(catalog: Catalog) -> set[str]:
    """Read the artifacts that published runs list.

    Raises:
        StoreError: A list is damaged: then nobody knows what is needed.
    """
    keys: set[str] = set()
    for file in catalog.files(ARTIFACTS_TABLE):
        keys.update(read_parquet(catalog.store, file.path, ["key"]).column("key").to_pylist())
    return keys


def read_inputs(store: Store, folders: Iterable[str]) -> dict[str, frozenset[str]]:
    """Read what finished artifacts were made from: own key -> keys and hashes of the inputs.

    A damaged manifest names no inputs; `verify` reports it.
    """
    inputs: dict[str, frozenset[str]] = {}
    for folder in folders:
        kind, key = folder.split("/")[-2:]
        try:
            manifest = load_manifest(store, kind, key)
        except UnexpectedContentError:
            continue
        if manifest is not None:
            inputs[key] = frozenset(manifest.payload.inputs.values())
    return inputs


def reachable(starts: Collection[str], inputs: Mapping[str, frozenset[str]]) -> set[str]:
    """Follow inputs from some keys; returns every key on the way, the first ones included."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting.extend(inputs.get(key, ()))
    return seen
