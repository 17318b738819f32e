"""The stores of every kind that `storage` is tested with."""

from tests.coder_core.storage.conftest import disk_store, store

__all__ = ["disk_store", "store"]
