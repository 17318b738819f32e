"""Data files that ship with the package, read through this one door.

Their content decides results, so it enters the keys of the steps that read them (`pipeline.inputs.PackagedData`).
"""

from functools import lru_cache
from importlib.resources import files

from coder_core.fingerprint import content_hash


def read_packaged(name: str) -> bytes:
    """Read a data file of this package.

    Args:
        name: Its path below `coder_core`, e.g. `texts/domains.yaml`.
    """
    return files("coder_core").joinpath(name).read_bytes()


def packaged_hash(name: str) -> str:
    """The sha256 of a data file's content."""
    return _hash(read_packaged(name))


@lru_cache(maxsize=32)
def _hash(content: bytes) -> str:
    return content_hash(content)
