"""Runs that stop in the middle until a test lets them go on: the language model keeps answers about one class back.

Questions about the other classes are answered at once, so that a test can see what a run that ends there has left in
the store, and that a later run does not buy it again.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import yaml

from bench.store_identity import count_embedded, find_damage, read_ledgers
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import Call, LlmServer, Raw, completion, make_items, serving, write_answer
from tests.fixtures_deployment import Deployed
from tests.fixtures_inputs import NAMES, write_photos

HELD_CLASS = NAMES[-1]
KINDS = ("attribute", "analogous_class")
BOUGHT = len(KINDS) * (len(NAMES) - 1)
"""Answers about the classes that are not held."""

HELD_SECONDS = 600.0
"""Longer than any test waits: who is held ends by what the test does."""


class HeldScene(NamedTuple):
    """An evaluation whose texts come from a language model, and the model."""

    config: Path
    server: LlmServer

    def hold(self, seconds: float) -> None:
        """Keep answers about one class back for so long; every other is counted from now."""
        self.server.good.clear()
        self.server.script = lambda call: _held(call, seconds) if call.names[0] == HELD_CLASS else None

    def release(self) -> None:
        """Answer everything at once from now on."""
        self.server.script = lambda _call: None

    def start(self, place: Deployed, store: Path) -> UUID:
        """Type `prefect deployment run coder-eval`; the run writes to a store of its own."""
        runtime = {
            "store": str(store),
            "device": "cpu",
            "classes_per_task": 1,
        }
        environment = {"OPENAI_API_KEY": "sk-not-checked", "CODER_LLM_BASE_URL": self.server.url}
        told = place.prefect(
            *("deployment", "run", "coder-eval", "--param", f"config={self.config}"),
            *("--param", f"runtime={json.dumps(runtime)}"),
            *("--job-variable", f"env={json.dumps(environment)}"),
        )
        return read_run_id(told)

    def start_held(self, place: Deployed, store: Path, seconds: float) -> UUID:
        """Start a run, and wait until it has bought and stored all that is not held."""
        self.hold(seconds)
        run_id = self.start(place, store)
        place.wait_until(lambda: stored_answers(str(store)) >= BOUGHT or None)
        return run_id

    def resume(self, place: Deployed, store: Path) -> None:
        """What an ended run left is sound, a new run ends well with it, and buys nothing that was stored."""
        assert find_damage(Store(str(store))) == []
        self.release()
        run = place.wait_for_end(self.start(place, store))
        assert run.state.is_completed(), run.state
        assert find_damage(Store(str(store))) == []
        bought = {question: times for question, times in self.server.good.items() if question[1][0] != HELD_CLASS}
        assert len(bought) == BOUGHT
        assert set(bought.values()) == {1}, "an answer that was stored is not bought again"


@contextmanager
def held_scene(folder: Path, checkpoint: Path) -> Iterator[HeldScene]:
    """Write the evaluation and start the model."""
    photos = write_photos(folder / "photos", checkpoint)
    generator = {"model": "test-model", "kinds": list(KINDS), "max_similarity": 1.0}
    settings = {**photos.settings, "name": "held", "texts": {"generator": generator, "domain": "bird"}}
    config = folder / "held.yaml"
    config.write_text(yaml.safe_dump(settings))
    with serving(LlmServer()) as server:
        yield HeldScene(config, server)


def read_run_id(told: str) -> UUID:
    """The flow run that `prefect deployment run` says it has created."""
    return UUID(next(line.split()[-1] for line in told.splitlines() if "UUID:" in line))


def _held(call: Call, seconds: float) -> Raw:
    return completion(write_answer(call, call.names, make_items(call)))._replace(delay_seconds=seconds)


def stored_answers(store: str) -> int:
    """Answers of the language model that a store holds."""
    return count_embedded(read_ledgers(Store(store)), "completions")
