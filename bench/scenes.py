"""What is disturbed: an evaluation with everything on, its undisturbed run, and where its stores are.

Few images keep a run at some ten seconds; small batches give every ledger several parts.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.run_processes import QUIET, RunCommand, RunOutcome, prepare_processes, run_whole
from bench.store_identity import StoreContent, count_embedded, read_content
from coder_core.storage.store import Store

CONFIG = Path(__file__).parents[1] / "configs" / "flags.yaml"
ENVIRONMENT = {"CODER_BATCH_SIZE": "64", "CODER_DEVICE": "cpu"}
SERVER_SECONDS = 120
"""A server's first start on a busy machine takes half a minute."""


class Scene(NamedTuple):
    """What is run, and where."""

    folder: Path
    config: Path
    environment: Mapping[str, str]

    def command(self, name: str, *, log: str | None = None, kill_at_write: int | None = None) -> RunCommand:
        """A run on the store of that name; its log stands beside the store."""
        store = self.folder / name
        return RunCommand(self.config, store, self.folder / f"{log or name}.log", self.environment, kill_at_write)

    def store(self, name: str) -> Store:
        """The store of that name."""
        return Store(str(self.folder / name))


class Undisturbed(NamedTuple):
    """A run that nobody disturbed, in a store of its own."""

    outcome: RunOutcome
    content: StoreContent

    @property
    def texts(self) -> int:
        """Texts embedded."""
        return count_embedded(self.content.ledgers, "text_embeddings")

    @property
    def images(self) -> int:
        """Images embedded."""
        return count_embedded(self.content.ledgers, "image_embeddings")

    def __str__(self) -> str:
        rows = sum(table.total() for tables in self.content.runs.values() for table in tables.values())
        return (
            f"undisturbed: {self.outcome.seconds:.1f} s, {self.outcome.writes} writes, {self.texts} texts and "
            f"{self.images} images embedded, {rows} result rows, {len(self.content.artifacts)} artifacts"
        )


def make_scene(folder: Path, settings: Mapping[str, Any], **environment: str) -> Scene:
    """Write the config of an evaluation; CODER_* and other settings of its runs come as keywords."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(dict(settings)))
    return Scene(folder, config, {**ENVIRONMENT, **environment})


def run_undisturbed(scene: Scene) -> Undisturbed:
    """Run in a fresh store."""
    outcome = run_whole(scene.command("undisturbed"))
    return Undisturbed(outcome, read_content(scene.store("undisturbed")))


def flags_settings(images: int) -> dict[str, Any]:
    """The demonstration with a chosen threshold and few-shot beside what it has, and few images per class."""
    settings: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    flags = {"kind": "flags", "images_per_class": images}
    few_shot = {
        "pool": {**flags, "images_per_class": images + 1, "seed": 3},
        "shots": [1],
        "draws": 1,
        "methods": ["tip_adapter", "coder_adapter", "text_discriminant"],
    }
    return {
        **settings,
        "dataset": {**flags, "seed": 1},
        "validation": {**flags, "seed": 2},
        "rerank": {"choose_threshold": True},
        "ablation": {"draws": 1, "texts_per_class": [2]},
        "few_shot": few_shot,
    }


@contextmanager
def prefect_for_runs(folder: Path) -> Iterator[None]:
    """One Prefect server on loopback for all runs of a script."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with the script
    os.environ.update(QUIET)  # Prefect reads it when it is imported: nothing leaves this machine
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=SERVER_SECONDS):
        prepare_processes(str(get_current_settings().api.url), folder / "prefect")
        yield
